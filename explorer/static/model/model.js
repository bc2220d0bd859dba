// The open model. Decoding and the map run in the page once they are loaded; before that, and if they fail, on the server.

import { decodeBase64 } from "../pixels/picture.js";
import { fetchJson } from "../shared/fetch.js";
import { IdleQueue } from "../shared/idle_queue.js";
import { ServerDecoder, wasmFactory, webgpuFactory } from "./decoder.js";
import { Projection } from "./projection.js";

const FRAME = 8; // milliseconds: an image decoded in this time is ready for every frame

/** Functions that open a described model's map and decoders in the page. `file(path)` is the URL of a file. */
export function pageFactories(runtime, file) {
  return {
    projection: (description) => Projection.open(description, file),
    decoder: wasmFactory(runtime, file),
    graphics: webgpuFactory(runtime, file),
  };
}

export class Model {
  projection = null;
  idleQueue = new IdleQueue();
  names = null; // the file names of the gallery's images, or null
  closed = false;
  decoderRequested = false; // whether the page has been asked to load its decoder

  /** `description` is the server's answer to open_model; `factories` are those of `pageFactories`. */
  constructor(description, server, factories) {
    Object.assign(this, { description, server, factories, name: description.model });
    this.decoder = new ServerDecoder(this.name, server);
  }

  /** Load the map: positions and posterior means of the gallery. */
  async openProjection() {
    this.projection = await this.factories.projection(this.description);
  }

  /** Load the file names of the gallery's images, if it has any. */
  async openNames(file) {
    const { names } = this.description;
    if (names) this.names = await fetchJson(file(names));
  }

  /** Decode in the page from now on. Resolves with null, or with the reason why that is not possible. */
  async openDecoder() {
    try {
      const decoder = await this.factories.decoder(this.description);
      // Warm up: the first run is slower than all others.
      await decoder.decode([this.description.start]);
      if (this.closed) decoder.close();
      else this.decoder = decoder;
      return null;
    } catch (error) {
      return error.message;
    }
  }

  /** Switch to WebGPU if WebAssembly needs more than `enough` ms per image and WebGPU is faster. Resolves with true if so. */
  async switchToWebGpu(enough = FRAME) {
    const wasm = this.decoder;
    const { start } = this.description;
    let webgpu = null;
    try {
      const ms = await measure(wasm, start);
      if (ms <= enough) return false;
      webgpu = await this.factories.graphics?.(this.description);
      if (!webgpu || (await measure(webgpu, start)) >= ms || this.closed || this.decoder !== wasm) return false;
      this.decoder = webgpu;
      wasm.close();
      return true;
    } catch {
      return false; // The model was closed, or WebGPU failed: the present decoder stays.
    } finally {
      if (webgpu !== this.decoder) webgpu?.close();
    }
  }

  close() {
    this.closed = true;
    this.decoder.close();
  }

  /**
   * The answer {z, pixels, x, y, nearest, gap} at a target: latents {z}, a point of the map {index}, or a position {x, y}. Fast
   * enough for dragging. Position and nearest image are computed in the page, whichever decoder is used.
   */
  async decodeAt(at) {
    const to = target(at);
    if (this.projection === null && this.description.map !== null) return this.askServer(to);
    // The page does not have the posterior means of encoded images.
    if ("index" in to && this.description.encoded) return this.askServer(to);
    try {
      return await this.#decodeInPage(to);
    } catch (error) {
      if (!this.decoder.inPage) return { error: error.message };
      // The worker has failed: use the server.
      this.decoder.close();
      this.decoder = new ServerDecoder(this.name, this.server);
      return this.decodeAt(at);
    }
  }

  /** The same answer from the server, in full precision. */
  async askServer(at) {
    const to = target(at);
    const { decode_image, decode_row, decode_point, decode_place } = this.server;
    const atIndex = this.description.encoded ? decode_row : decode_image;
    const ask = "index" in to ? atIndex : "z" in to ? decode_point : decode_place;
    const answer = await ask({ model: this.name, ...to, ...(to.z && { z: [...to.z] }) });
    if (answer && !answer.error) answer.pixels = decodeBase64(answer.pixels);
    return answer;
  }

  /** Positions [x, y] of latents on the map; an empty list before the map is loaded. */
  positions(points) {
    const { projection } = this;
    if (!projection) return [];
    return points.map((z) => projection.place(z)).map(({ x, y }) => [x, y]);
  }

  async #decodeInPage(to) {
    const { projection } = this;
    const { z, gap } = "z" in to ? to : "index" in to ? { z: projection.mean(to.index) } : projection.lift(to.x, to.y);
    const pixels = this.decoder.decode([z]);
    const answer = { z: [...z], gap, ...(projection?.place(z) ?? {}), ...("x" in to && { x: to.x, y: to.y }) };
    if ("index" in to) Object.assign(answer, { nearest: { index: to.index, distance: 0 }, file: this.names?.[to.index] });
    return { ...answer, pixels: await pixels };
  }

  /** Decode points in batches while the user is idle, as pairs [i, pixels]. Stops before a batch if `isWanted()` is false. */
  async *decodeWhenIdle(points, rank, isWanted) {
    for (let i = 0; i < points.length; ) {
      const batch = points.slice(i, i + this.decoder.batch);
      const pixels = await this.idleQueue.run(() => (isWanted() && !this.closed ? this.decoder.decode(batch) : null), rank);
      if (pixels === null) return;
      const size = pixels.length / batch.length;
      for (let j = 0; j < batch.length; j++) yield [i + j, pixels.subarray(j * size, (j + 1) * size)];
      i += batch.length;
    }
  }
}

/** The shortest time in ms that a page's decoder takes for one image, of four runs; the first one compiles. */
async function measure(decoder, z) {
  let shortest = Infinity;
  for (let run = 0; run < 4; run++) {
    await decoder.decode([z]);
    shortest = Math.min(shortest, decoder.ms);
  }
  return shortest;
}

/** What a request asks for: latents {z}, a point of the map {index}, or a position {x, y}. */
function target({ z, index, x, y }) {
  if (z) return { z };
  return index >= 0 ? { index } : { x, y };
}

/** A key for a target: equal for requests with the same answer. */
export function pointKey(at) {
  return JSON.stringify(target(at));
}
