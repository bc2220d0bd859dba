// Where pictures come from: the visitor's own browser, or the server. Both are asked the same way:
//
//   decode(points) → Promise of bytes (N, H, W, C) for N latents
//   width            requests that may be under way while a hand moves
//   batch            pictures to ask for at once when nobody waits

import { bytes } from "../pixels/picture.js";

/** The server draws, over its bounded server functions. */
export class ServerDecoder {
  width = 3;
  batch = 32;
  inPage = false;

  constructor(model, server) {
    Object.assign(this, { model, server });
  }

  async decode(points) {
    const answer = await this.server.decode_points({ model: this.model, z: points.map((z) => [...z]) });
    if (!answer || answer.error) throw new Error(answer?.error ?? "the server did not answer");
    return bytes(answer.pixels);
  }

  close() {}
}

/** The browser draws, in a worker. */
export class PageDecoder {
  // One at a time: what is asked for next is newer, and no picture waits behind one that nobody wants any more.
  width = 1;
  batch = 4;
  inPage = true;
  closed = false;
  ms = Infinity; // that the last picture took
  #requests = new Map();
  #next = 0;

  /** Fetch the runtime and the decoder and start them; throws where one of them cannot be had. */
  static async open(files, decoder, provider = "wasm", url = new URL("./worker.js", import.meta.url)) {
    const opened = new PageDecoder(new Worker(url, { type: "module" }));
    try {
      await opened.#ask("open", { files, decoder, provider });
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
    const { pixels, ms } = await this.#ask("decode", this.#pack(points));
    this.ms = ms / points.length;
    // A batch is what takes 4 ms: a hand never waits longer than that for work that could have waited.
    this.batch = Math.max(1, Math.min(16, Math.round((4 / Math.max(ms, 0.5)) * points.length)));
    return pixels;
  }

  /** The pictures as the decoder gives them: float32 (N, C, H, W) in [0, 1]. */
  async mean(points) {
    return (await this.#ask("mean", this.#pack(points))).data;
  }

  /** What the model makes of a picture file: see encoder.js. */
  encode(request) {
    return this.#ask("encode", request);
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

  #ask(ask, request) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#requests.set(id, { resolve, reject });
      this.worker.postMessage({ id, ask, ...request });
    });
  }

  #settle({ id, error, ...answer }) {
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    if (error !== undefined) request?.reject(new Error(error));
    else request?.resolve(answer);
  }
}

/** How the page's own decoder is opened with a runtime: a function of the model's description that throws where it cannot be. */
export function opener(runtime, file) {
  return async ({ decoder }) => {
    if (!runtime) throw new Error("this server was told not to use the browser");
    if (!decoder) throw new Error("this bundle has no decoder.onnx; loading and saving it once adds it");
    const files = sources(runtime, runtime.files, file);
    if (!runtime.local && !(await reachable(files[0].url))) throw new Error("the runtime's server cannot be reached");
    return PageDecoder.open(files, file(decoder));
  };
}

/** The same on the graphics processor; gives null where there is none that a page may use. */
export function graphics(runtime, file) {
  return async ({ decoder }) => {
    if (!runtime?.graphics || !decoder || !(await navigator.gpu?.requestAdapter())) return null;
    return PageDecoder.open(sources(runtime, runtime.graphics, file), file(decoder), "webgpu");
  };
}

function sources(runtime, files, file) {
  return files.map(({ at, integrity }) => ({ url: runtime.local ? file(at) : at, integrity }));
}

/** Whether somebody answers at an address. A shared worker asks, so that silence is no error on the page's console. */
export async function reachable(url, patience = 6000) {
  if (!navigator.onLine) return false;
  if (!window.SharedWorker) return true;
  const program = `onconnect = ({ ports: [port] }) => fetch(${JSON.stringify(url)}, { method: "HEAD", signal: AbortSignal.timeout(${patience}) })
    .then((answer) => port.postMessage(answer.ok), () => port.postMessage(false));`;
  const source = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
  const asker = new SharedWorker(source);
  return new Promise((resolve) => {
    const end = (answer) => {
      asker.port.close();
      URL.revokeObjectURL(source);
      resolve(answer);
    };
    asker.port.onmessage = ({ data }) => end(data);
    asker.onerror = () => end(false);
    setTimeout(() => end(false), patience + 1000);
  });
}
