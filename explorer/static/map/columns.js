// What the points of a map are coloured by: classes or amounts, whose numbers come in a file.

import { fetchBytes } from "../shared/fetch.js";

const CODES = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };

/** A server's answer to `colour`, with its numbers fetched: {classes, codes} or {values}. Throws where there are none. */
export async function column(answer, file) {
  if (!answer || answer.error) throw new Error(answer?.error ?? "the server did not answer");
  if (answer.classes) return { classes: answer.classes, codes: new CODES[answer.bytes](await fetchBytes(file(answer.codes))) };
  return { values: typeof answer.values === "string" ? new Float32Array(await fetchBytes(file(answer.values))) : answer.values };
}

/** Where the colours of an amount begin and end: the outer percent on each side shares them, or a few odd images would use up the scale. */
export function ends(values, share = 0.01) {
  const step = Math.max(1, Math.floor(values.length / 20_000));
  const some = [];
  for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) some.push(values[i]);
  some.sort((a, b) => a - b);
  const at = (part) => some[Math.round(part * (some.length - 1))] ?? 0;
  return [at(share), at(1 - share)];
}
