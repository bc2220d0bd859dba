// A page without a server: what explorer/app/explore.py and explorer/app/encode.py answer, answered from files beside the page and by the
// worker that decodes. explorer/publish/static_site.py bakes what this reads.

import { opener } from "../model/decoder.js";
import { normal } from "../model/prior.js";
import { loadColumn } from "../map/columns.js";
import { halves, neighbours, Projection } from "../model/projection.js";
import { fetchBytes, fetchJson } from "../shared/fetch.js";

const CALLS = ["open_model", "decode_point", "decode_points", "decode_image", "decode_place", "draw_samples", "colour", "find", "encode_upload", "draw_again"];

/** The calls that the tabs make of a server, each with an answer, or with {error}. */
export function calls(standalone) {
  const call = (name) => async (request) => {
    try {
      return await standalone[name](request);
    } catch (error) {
      return { error: error.message ?? String(error) };
    }
  };
  return Object.fromEntries(CALLS.map((name) => [name, call(name)]));
}

export class Standalone {
  #decoder = null;
  #ask = null;
  #asked = new Promise((resolve) => {
    this.#ask = resolve;
  });
  #made = new Map(); // what is made of files, once

  /** `baked`: what the page was given; `file(path)`: where a path of it is found. */
  constructor(baked, file, open = opener(baked.runtime, file)) {
    Object.assign(this, { baked, file, opener: open, description: baked.description });
  }

  /** The one worker that decodes and encodes, opened when first needed, and anew if it has died. */
  async decoder() {
    this.#ask();
    const opening = (this.#decoder ??= this.opener(this.description));
    const decoder = await opening;
    if (!decoder.closed) return decoder;
    if (this.#decoder === opening) this.#decoder = null;
    return this.decoder();
  }

  async open_model() {
    return this.description;
  }

  /** The baked picture stands for the first point; any other waits for the worker. */
  async decode_point({ z }) {
    const { start } = this.baked;
    if (z.every((value, i) => value === start.z[i])) return { ...start };
    return this.#at(z);
  }

  async decode_image({ index }) {
    const projection = await this.projection();
    const answer = await this.#at([...projection.mean(index)]);
    const [x, y] = projection.points.subarray(2 * index, 2 * index + 2);
    return { ...answer, x, y, nearest: { index, distance: 0 } };
  }

  async decode_place({ x, y }) {
    const { z, gap } = (await this.projection()).lift(x, y);
    return { ...(await this.#at([...z])), x, y, gap };
  }

  /** Pictures that nobody waits for: the worker is not opened for them alone. */
  async decode_points({ z }) {
    await this.#asked;
    return { pixels: await this.#decode(z) };
  }

  /** Draws that were baked: sheet `seed` of the prior, drawn together by the temperature. */
  async draw_samples({ seed, temperature, count }) {
    const { draws, description } = this;
    const all = new Float32Array(await this.#file(this.baked.draws));
    const latents = description.middle.length;
    const size = all.length / latents;
    const z = Array.from({ length: count }, (_, i) => {
      const row = ((seed * count + i) % size) * latents;
      return description.middle.map((middle, j) => middle + temperature * (all[row + j] - middle));
    });
    return { z, pixels: await this.#decode(z) };
  }

  async colour({ by }) {
    return this.baked.colours[by] ?? { values: (await this.projection()).values(Number(by.slice(1))) };
  }

  /** Which images have a label or a name that contains the text: a bit for each. */
  async find({ text }) {
    const found = new Uint8Array(Math.ceil(this.description.images / 8));
    const alike = (name) => name.normalize("NFC").toLowerCase();
    const word = alike(text);
    const mark = (i) => (found[i >> 3] |= 1 << (i & 7));
    for (const { classes, ...rest } of Object.values(this.baked.colours)) {
      if (!classes) continue;
      const { codes } = await loadColumn({ classes, ...rest }, this.file);
      const hit = classes.map((name) => alike(name).includes(word));
      codes.forEach((code, i) => hit[code] && mark(i));
    }
    const { names } = this.description;
    if (names) (await fetchJson(this.file(names))).forEach((name, i) => alike(name).includes(word) && mark(i));
    return { found };
  }

  /** `path` is the picture's own file: it never leaves the page. */
  async encode_upload({ path, crop, polarity, trim }) {
    const { encoder, score, preprocessing, threshold, max_pixels, max_framed_pixels } = this.baked.encoding;
    const files = { encoder: this.file(encoder), score: this.file(score) };
    const levels = threshold && new Float32Array(await this.#file(threshold));
    const decoder = await this.decoder();
    const record = await decoder.encode({ files, file: path, shares: crop, model: preprocessing, polarity, trim, threshold: levels, max_pixels, max_framed_pixels });
    const { seen, reconstruction } = record;
    const difference = seen.map((value, i) => Math.abs(value - reconstruction[i]));
    return {
      ...record,
      elbo: record.log_likelihood - record.kl,
      error_map: largest(difference, this.description.shape[0]),
      rmse: Math.sqrt(difference.reduce((sum, value) => sum + value * value, 0) / difference.length) / 255,
      ...(await this.#verdict(record.score)),
      ...(await this.#surroundings(record)),
    };
  }

  async draw_again({ mean, log_variance }) {
    const z = mean.map((m, i) => m + Math.exp(log_variance[i] / 2) * normal());
    return { z, pixels: await this.#decode([z]) };
  }

  async #decode(points) {
    return (await this.decoder()).decode(points);
  }

  async #at(z) {
    const [pixels, place] = await Promise.all([this.#decode([z]), this.#place(z)]);
    return { z: [...z], pixels, ...place };
  }

  /** Where a latent lies on the map, and the image whose mean is nearest: what there is of it. */
  async #place(z) {
    if (this.description.map) return (await this.projection()).place(z);
    const [nearest] = await this.#near(z, 1);
    return nearest ? { nearest } : {};
  }

  async #near(z, count) {
    const { images } = this.description;
    if (!images) return [];
    const { distance, index } = neighbours(z, await this.#means(), Math.min(count, images));
    return [...index].map((found, i) => ({ index: found, distance: distance[i] }));
  }

  /** The gallery's posterior means; those of the map where there is one. */
  async #means() {
    const { map, means } = this.description;
    return map ? (await this.projection()).means : this.#once("means", async () => halves(await this.#file(means)));
  }

  async #surroundings({ mean, log_likelihood }) {
    const { x = null, y = null } = await this.#place(mean);
    const near = await this.#near(mean, this.baked.encoding.neighbours);
    if (!near.length) return { x, y };
    const { log_likelihood: known } = this.baked.colours;
    const scores = known && (await loadColumn(known, this.file)).values;
    const rank = scores && { rank: scores.filter((score) => score < log_likelihood).length / scores.length };
    return { x, y, neighbours: near, ...rank };
  }

  /** The conformal p-value of an anomaly score, as core/evaluation/anomaly.py has it, and its words. */
  async #verdict(score) {
    if (score === null) return { p_value: null };
    const calibration = new Float64Array(await this.#file(this.baked.encoding.calibration));
    const below = calibration.filter((value) => value < score).length;
    const p = (1 + calibration.length - below) / (1 + calibration.length);
    return { p_value: p, verdict: verdict(p, calibration.length, this.description.verdict) };
  }

  /** The model's map: one for the tabs and for what is answered here. */
  projection() {
    return this.#once("projection", () => Projection.open(this.description, this.file));
  }

  #file(path) {
    return fetchBytes(this.file(path));
  }

  #once(name, make) {
    if (!this.#made.has(name)) {
      const made = make();
      this.#made.set(name, made);
      made.catch(() => this.#made.delete(name));
    }
    return this.#made.get(name);
  }
}

/** A p-value, by so many normal images, in words: explorer/describe.py's. */
export function verdict(p, normal, { odd, very_odd, few }) {
  const word = p >= odd ? "Looks normal" : p >= very_odd ? "Odd" : "Very odd";
  const asOdd = Math.round(p * (1 + normal)) - 1;
  const caveat = normal < few ? " This sample is small; train on more pictures." : "";
  const [count, all] = [asOdd, normal].map((value) => value.toLocaleString("en-US"));
  return `${word}: ${asOdd ? count : "none"} of ${all} normal images ${asOdd > 1 ? "are" : "is"} at least as odd.${caveat}`;
}

/** The largest of each pixel's channels. */
function largest(values, channels) {
  const out = new Uint8ClampedArray(values.length / channels);
  for (let i = 0; i < values.length; i++) out[Math.floor(i / channels)] = Math.max(out[Math.floor(i / channels)], values[i]);
  return out;
}
