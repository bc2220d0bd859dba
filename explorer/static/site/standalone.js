// The server functions of a static page. They compute in the browser what app/explore.py and app/encode.py compute on a server,
// from the files that publish/static_site.py writes.

import { loadColumn } from "../map/columns.js";
import { wasmFactory } from "../model/decoder.js";
import { standardNormal } from "../model/prior.js";
import { float16ToFloat32, neighbours, Projection } from "../model/projection.js";
import { fetchBytes, fetchJson } from "../shared/fetch.js";

const FUNCTIONS = [
  "open_model", "decode_point", "decode_points", "decode_image", "decode_place",
  "draw_samples", "colour", "find", "encode_upload", "draw_again",
];

/** The server functions that the tabs call. Each resolves with its answer, or with {error}. */
export function serverFunctions(standalone) {
  const safe = (name) => async (request) => {
    try {
      return await standalone[name](request);
    } catch (error) {
      return { error: error.message ?? String(error) };
    }
  };
  return Object.fromEntries(FUNCTIONS.map((name) => [name, safe(name)]));
}

export class Standalone {
  #decoder = null;
  #noteRequest = null;
  #requested = new Promise((resolve) => {
    this.#noteRequest = resolve; // called when the decoder is first needed
  });
  #made = new Map(); // promises of what is computed once, by name

  /** `baked` is the page's data, `file(path)` the URL of a file, `open(description)` opens the decoder. */
  constructor(baked, file, open = wasmFactory(baked.runtime, file)) {
    Object.assign(this, { baked, file, open, description: baked.description });
  }

  /** The worker that decodes and encodes. It is opened when it is first needed, and again if it was closed. */
  async decoder() {
    this.#noteRequest();
    const opening = (this.#decoder ??= this.open(this.description));
    const decoder = await opening;
    if (!decoder.closed) return decoder;
    if (this.#decoder === opening) this.#decoder = null;
    return this.decoder();
  }

  async open_model() {
    return this.description;
  }

  /** The start point's picture is part of the page, so that it needs no decoder. */
  async decode_point({ z }) {
    const { start } = this.baked;
    if (z.every((value, i) => value === start.z[i])) return { ...start };
    return this.#answerAt(z);
  }

  async decode_image({ index }) {
    const projection = await this.projection();
    const answer = await this.#answerAt([...projection.mean(index)]);
    const [x, y] = projection.points.subarray(2 * index, 2 * index + 2);
    return { ...answer, x, y, nearest: { index, distance: 0 } };
  }

  async decode_place({ x, y }) {
    const { z, gap } = (await this.projection()).lift(x, y);
    return { ...(await this.#answerAt([...z])), x, y, gap };
  }

  /** Background work: it waits until something else has needed the decoder. */
  async decode_points({ z }) {
    await this.#requested;
    return { pixels: await this.#decode(z) };
  }

  /** Samples from the draws that were written at export: sheet `seed`, scaled by the temperature around the middle. */
  async draw_samples({ seed, temperature, count }) {
    const { middle } = this.description;
    const draws = new Float32Array(await this.#file(this.baked.draws));
    const size = draws.length / middle.length;
    const z = Array.from({ length: count }, (_, i) => {
      const row = ((seed * count + i) % size) * middle.length;
      return middle.map((centre, j) => centre + temperature * (draws[row + j] - centre));
    });
    return { z, pixels: await this.#decode(z) };
  }

  async colour({ by }) {
    return this.baked.colours[by] ?? { values: (await this.projection()).values(Number(by.slice(1))) };
  }

  /** Which images have a label or a file name that contains the text: one bit per image. */
  async find({ text }) {
    const found = new Uint8Array(Math.ceil(this.description.images / 8));
    const normalize = (name) => name.normalize("NFC").toLowerCase();
    const word = normalize(text);
    const mark = (i) => (found[i >> 3] |= 1 << (i & 7));
    for (const { classes, ...rest } of Object.values(this.baked.colours)) {
      if (!classes) continue;
      const { codes } = await loadColumn({ classes, ...rest }, this.file);
      const matches = classes.map((name) => normalize(name).includes(word));
      codes.forEach((code, i) => matches[code] && mark(i));
    }
    const { names } = this.description;
    if (names) (await fetchJson(this.file(names))).forEach((name, i) => normalize(name).includes(word) && mark(i));
    return { found };
  }

  /** `path` is the File itself: it is not uploaded. */
  async encode_upload({ path, crop, polarity, trim }) {
    const { encoder, score, preprocessing, threshold, max_pixels, max_framed_pixels } = this.baked.encoding;
    const files = { encoder: this.file(encoder), score: this.file(score) };
    const levels = threshold && new Float32Array(await this.#file(threshold));
    const options = { shares: crop, model: preprocessing, polarity, trim, threshold: levels, max_pixels, max_framed_pixels };
    const decoder = await this.decoder();
    const record = await decoder.encode({ files, file: path, ...options });
    const { seen, reconstruction } = record;
    const difference = seen.map((value, i) => Math.abs(value - reconstruction[i]));
    return {
      ...record,
      elbo: record.log_likelihood - record.kl,
      error_map: maxOverChannels(difference, this.description.shape[0]),
      rmse: Math.sqrt(difference.reduce((sum, value) => sum + value * value, 0) / difference.length) / 255,
      ...(await this.#verdict(record.score)),
      ...(await this.#surroundings(record)),
    };
  }

  async draw_again({ mean, log_variance }) {
    const z = mean.map((m, i) => m + Math.exp(log_variance[i] / 2) * standardNormal());
    return { z, pixels: await this.#decode([z]) };
  }

  async #decode(points) {
    return (await this.decoder()).decode(points);
  }

  async #answerAt(z) {
    const [pixels, position] = await Promise.all([this.#decode([z]), this.#place(z)]);
    return { z: [...z], pixels, ...position };
  }

  /** The position of latents on the map, if there is one, and the nearest gallery image, if there is one. */
  async #place(z) {
    if (this.description.map) return (await this.projection()).place(z);
    const [nearest] = await this.#nearest(z, 1);
    return nearest ? { nearest } : {};
  }

  async #nearest(z, count) {
    const { images } = this.description;
    if (!images) return [];
    const { distance, index } = neighbours(z, await this.#means(), Math.min(count, images));
    return [...index].map((found, i) => ({ index: found, distance: distance[i] }));
  }

  /** The gallery's posterior means; the map's array if there is a map. */
  async #means() {
    const { map, means } = this.description;
    return map ? (await this.projection()).means : this.#once("means", async () => float16ToFloat32(await this.#file(means)));
  }

  async #surroundings({ mean, log_likelihood }) {
    const { x = null, y = null } = await this.#place(mean);
    const nearest = await this.#nearest(mean, this.baked.encoding.neighbours);
    if (!nearest.length) return { x, y };
    const { log_likelihood: column } = this.baked.colours;
    const scores = column && (await loadColumn(column, this.file)).values;
    const rank = scores && { rank: scores.filter((score) => score < log_likelihood).length / scores.length };
    return { x, y, neighbours: nearest, ...rank };
  }

  /** The conformal p-value of an anomaly score, as in core/evaluation/anomaly.py, and its verdict. */
  async #verdict(score) {
    if (score === null) return { p_value: null };
    const calibration = new Float64Array(await this.#file(this.baked.encoding.calibration));
    const below = calibration.filter((value) => value < score).length;
    const p = (1 + calibration.length - below) / (1 + calibration.length);
    return { p_value: p, verdict: verdict(p, calibration.length, this.description.verdict) };
  }

  /** The model's map. The tabs and the functions above share one. */
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

/** The verdict on a p-value from `normal` images, in the words of explorer/describe.py. */
export function verdict(p, normal, { odd, very_odd, few }) {
  const word = p >= odd ? "Looks normal" : p >= very_odd ? "Odd" : "Very odd";
  const asOdd = Math.round(p * (1 + normal)) - 1;
  const caveat = normal < few ? " This sample is small; train on more pictures." : "";
  const [count, all] = [asOdd, normal].map((value) => value.toLocaleString("en-US"));
  return `${word}: ${asOdd ? count : "none"} of ${all} normal images ${asOdd > 1 ? "are" : "is"} at least as odd.${caveat}`;
}

/** The largest channel of each pixel. */
function maxOverChannels(values, channels) {
  const out = new Uint8ClampedArray(values.length / channels);
  for (let i = 0; i < values.length; i++) out[Math.floor(i / channels)] = Math.max(out[Math.floor(i / channels)], values[i]);
  return out;
}
