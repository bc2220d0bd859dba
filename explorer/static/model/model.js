// The open model, as the page asks it: by itself once it can, else by way of the server.

import { graphics, opener, ServerDecoder } from "./decoder.js";
import { bytes } from "../pixels/picture.js";
import { Projection } from "./projection.js";
import { fetchJson } from "../shared/fetch.js";
import { Turns } from "../shared/idle_queue.js";

const FRAME = 8; // milliseconds that a picture may take and still be there for every frame

/** What opens a described model's map and decoder in the page, with this runtime, from where `file` says that files are. */
export function opened(runtime, file) {
  return { projection: (description) => Projection.open(description, file), decoder: opener(runtime, file), graphics: graphics(runtime, file) };
}

export class Model {
  projection = null;
  turns = new Turns();
  names = null; // what the gallery's images are called, where that is known
  closed = false;
  asked = false; // whether the page has been told to decode

  /** `description` is the server's answer to open_model; `own` opens what the page computes with: see `opened`. */
  constructor(description, server, own) {
    Object.assign(this, { description, server, own, name: description.model });
    this.decoder = new ServerDecoder(this.name, server);
  }

  /** Fetch what the map is computed from: the gallery's places and posterior means. */
  async openProjection() {
    this.projection = await this.own.projection(this.description);
  }

  /** Fetch what the gallery's images are called, if they are called anything. */
  async openNames(file) {
    const { names } = this.description;
    if (names) this.names = await fetchJson(file(names));
  }

  /** Decode in the page from now on. Resolves with null, or with the reason why not. */
  async openDecoder() {
    try {
      const decoder = await this.own.decoder(this.description);
      // Once for nothing: the first run is slower than all others.
      await decoder.decode([this.description.start]);
      if (this.closed) decoder.close();
      else this.decoder = decoder;
      return null;
    } catch (error) {
      return error.message;
    }
  }

  /** Where WebAssembly takes longer than `enough` for a picture, in milliseconds, the graphics processor decodes from now on if
   * it is faster. Resolves with whether it does. */
  async hasten(enough = FRAME) {
    const slow = this.decoder;
    const { start } = this.description;
    let fast = null;
    try {
      const least = await pace(slow, start);
      if (least <= enough) return false;
      fast = await this.own.graphics?.(this.description);
      if (!fast || (await pace(fast, start)) >= least || this.closed || this.decoder !== slow) return false;
      this.decoder = fast;
      slow.close();
      return true;
    } catch {
      return false; // closed, or a processor that cannot: what there was goes on
    } finally {
      if (fast !== this.decoder) fast?.close();
    }
  }

  close() {
    this.closed = true;
    this.decoder.close();
  }

  /**
   * The picture {z, pixels, x, y, nearest, gap} at {z}, a point {index} of the map, or a place {x, y}: for a moving hand.
   * Place and nearest image are found here, whoever draws.
   */
  async follow(at) {
    const where = spot(at);
    if (this.projection === null && this.description.map !== null) return this.exact(where);
    // Of encoded images the page has no posterior means.
    if ("index" in where && this.description.encoded) return this.exact(where);
    try {
      return await this.#here(where);
    } catch (error) {
      if (!this.decoder.inPage) return { error: error.message };
      // A worker that has died draws nothing more; the server still does.
      this.decoder.close();
      this.decoder = new ServerDecoder(this.name, this.server);
      return this.follow(at);
    }
  }

  /** The same from the server, in full precision. */
  async exact(at) {
    const where = spot(at);
    const { decode_image, decode_row, decode_point, decode_place } = this.server;
    const ask = "index" in where ? (this.description.encoded ? decode_row : decode_image) : "z" in where ? decode_point : decode_place;
    const answer = await ask({ model: this.name, ...where, ...(where.z && { z: [...where.z] }) });
    if (answer && !answer.error) answer.pixels = bytes(answer.pixels);
    return answer;
  }

  /** Where latents lie on the map, [x, y] each; none before there is one. */
  places(points) {
    const { projection } = this;
    if (!projection) return [];
    return points.map((z) => projection.place(z)).map(({ x, y }) => [x, y]);
  }

  async #here(where) {
    const { projection } = this;
    const { z, gap } = "z" in where ? where : "index" in where ? { z: projection.mean(where.index) } : projection.lift(where.x, where.y);
    const pixels = this.decoder.decode([z]);
    const answer = { z: [...z], gap, ...(projection?.place(z) ?? {}), ...("x" in where && { x: where.x, y: where.y }) };
    if ("index" in where) Object.assign(answer, { nearest: { index: where.index, distance: 0 }, file: this.names?.[where.index] });
    return { ...answer, pixels: await pixels };
  }

  /** Pictures at many points, a batch at a time, whenever the hand is still; `wanted()` is asked before each batch. */
  async *patiently(points, rank, wanted) {
    for (let i = 0; i < points.length; ) {
      const batch = points.slice(i, i + this.decoder.batch);
      const pixels = await this.turns.rest(() => (wanted() && !this.closed ? this.decoder.decode(batch) : null), rank);
      if (pixels === null) return;
      const size = pixels.length / batch.length;
      for (let j = 0; j < batch.length; j++) yield [i + j, pixels.subarray(j * size, (j + 1) * size)];
      i += batch.length;
    }
  }
}

/** The least milliseconds that a page's decoder takes for a picture; its first run compiles. */
async function pace(decoder, z) {
  let least = Infinity;
  for (let run = 0; run < 4; run++) {
    await decoder.decode([z]);
    least = Math.min(least, decoder.ms);
  }
  return least;
}

/** What a point is asked for by: its latents, its dot, or its place on the map. */
function spot({ z, index, x, y }) {
  if (z) return { z };
  return index >= 0 ? { index } : { x, y };
}

/** A name for what a point is asked for by. */
export function name(at) {
  return JSON.stringify(spot(at));
}
