// Columns of values by which the points of a map are coloured: class codes or numbers, loaded from a file.

import { fetchBytes } from "../shared/fetch.js";

const CODES = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }; // array types by bytes per code
const SAMPLE = 20_000; // values that `colourRange` sorts, about

/** Load the values that an answer to `colour` refers to: {classes, codes} or {values}. Throws an Error if the answer is one. */
export async function loadColumn(answer, file) {
  if (!answer || answer.error) throw new Error(answer?.error ?? "the server did not answer");
  if (answer.classes) return { classes: answer.classes, codes: new CODES[answer.bytes](await fetchBytes(file(answer.codes))) };
  return { values: typeof answer.values === "string" ? new Float32Array(await fetchBytes(file(answer.values))) : answer.values };
}

/** The ends of a colour scale: quantiles at `share` and 1 - `share`, so that a few outliers do not stretch the scale. */
export function colourRange(values, share = 0.01) {
  const step = Math.max(1, Math.floor(values.length / SAMPLE));
  const sample = [];
  for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) sample.push(values[i]);
  sample.sort((a, b) => a - b);
  const quantile = (part) => sample[Math.round(part * (sample.length - 1))] ?? 0;
  return [quantile(share), quantile(1 - share)];
}
