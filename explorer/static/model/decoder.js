// Decoders: the server, or the visitor's browser. Both have the same interface:
//
//   decode(points) → Promise of bytes (N, H, W, C) for N latent vectors
//   maxRequests      requests that may be under way while the user moves something
//   batch            images per request of background work

import { decodeBase64 } from "../pixels/picture.js";

/** Decodes on the server. */
export class ServerDecoder {
  maxRequests = 3;
  batch = 32;
  inPage = false;

  constructor(model, server) {
    Object.assign(this, { model, server });
  }

  async decode(points) {
    const answer = await this.server.decode_points({ model: this.model, z: points.map((z) => [...z]) });
    if (!answer || answer.error) throw new Error(answer?.error ?? "the server did not answer");
    return decodeBase64(answer.pixels);
  }

  close() {}
}

/** Decodes in the browser, in a worker. */
export class PageDecoder {
  // One request at a time: a newer point never waits behind an outdated one.
  maxRequests = 1;
  batch = 4;
  inPage = true;
  closed = false;
  ms = Infinity; // milliseconds per image of the last request
  #requests = new Map();
  #next = 0;

  /** Load the runtime and the decoder in a worker. Throws if one of them cannot be loaded or started. */
  static async open(files, decoder, provider = "wasm", url = new URL("./worker.js", import.meta.url)) {
    const opened = new PageDecoder(new Worker(url, { type: "module" }));
    try {
      await opened.#send("open", { files, decoder, provider });
    } catch (error) {
      opened.close();
      throw error;
    }
    return opened;
  }

  constructor(worker) {
    this.worker = worker;
    worker.addEventListener("message", ({ data }) => this.#settle(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      for (const id of this.#requests.keys()) this.#settle({ id, error: event.message || "the worker could not start" });
    });
  }

  async decode(points) {
    const { pixels, ms } = await this.#send("decode", this.#pack(points));
    this.ms = ms / points.length;
    // A batch takes about 4 ms, so that background work never delays a user's request by more.
    this.batch = Math.max(1, Math.min(16, Math.round((4 / Math.max(ms, 0.5)) * points.length)));
    return pixels;
  }

  /** The decoder's output before rounding: float32 (N, C, H, W) in [0, 1]. */
  async mean(points) {
    return (await this.#send("mean", this.#pack(points))).data;
  }

  /** Encode a picture file: see encoder.js. */
  encode(request) {
    return this.#send("encode", request);
  }

  close() {
    this.closed = true;
    this.worker.terminate();
    for (const id of this.#requests.keys()) this.#settle({ id, error: "the decoder was closed" });
  }

  #pack(points) {
    const z = new Float32Array(points.length * points[0].length);
    points.forEach((point, i) => z.set(point, i * point.length));
    return { z, n: points.length };
  }

  #send(action, request) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#requests.set(id, { resolve, reject });
      this.worker.postMessage({ id, action, ...request });
    });
  }

  #settle({ id, error, ...answer }) {
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    if (error !== undefined) request?.reject(new Error(error));
    else request?.resolve(answer);
  }
}

/** A function that opens the WebAssembly decoder of a model's description. It throws if that is not possible. */
export function wasmFactory(runtime, file) {
  return async ({ decoder }) => {
    if (!runtime) throw new Error("this server was told not to use the browser");
    if (!decoder) throw new Error("this bundle has no decoder.onnx; loading and saving it once adds it");
    const files = sources(runtime, runtime.files, file);
    if (!runtime.local && !(await isReachable(files[0].url))) throw new Error("the runtime's server cannot be reached");
    return PageDecoder.open(files, file(decoder));
  };
}

/** The same for WebGPU. The function returns null where the page cannot use a graphics processor. */
export function webgpuFactory(runtime, file) {
  return async ({ decoder }) => {
    if (!runtime?.graphics || !decoder || !(await navigator.gpu?.requestAdapter())) return null;
    return PageDecoder.open(sources(runtime, runtime.graphics, file), file(decoder), "webgpu");
  };
}

function sources(runtime, files, file) {
  return files.map(({ at, integrity }) => ({ url: runtime.local ? file(at) : at, integrity }));
}

/** Whether a server answers within `timeout` ms. A shared worker sends the request, so that a failure is no console error. */
export async function isReachable(url, timeout = 6000) {
  if (!navigator.onLine) return false;
  if (!window.SharedWorker) return true;
  const options = `{ method: "HEAD", signal: AbortSignal.timeout(${timeout}) }`;
  const program = `onconnect = ({ ports: [port] }) => fetch(${JSON.stringify(url)}, ${options})
    .then((response) => port.postMessage(response.ok), () => port.postMessage(false));`;
  const source = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
  const worker = new SharedWorker(source);
  return new Promise((resolve) => {
    const end = (answer) => {
      worker.port.close();
      URL.revokeObjectURL(source);
      resolve(answer);
    };
    worker.port.onmessage = ({ data }) => end(data);
    worker.onerror = () => end(false);
    setTimeout(() => end(false), timeout + 1000);
  });
}
