// Tests of the map in the page against core/latent/projection.py. CASES is the folder of the reference data.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { float16ToFloat32, neighbourMean, neighbours, Projection } from "../../../explorer/static/model/projection.js";

const folder = process.env.CASES;
const buffer = (name) => {
  const file = readFileSync(`${folder}/${name}`);
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
};
const { maps, halves: numbers } = JSON.parse(readFileSync(`${folder}/cases.json`, "utf8"));

function close(got, expected, tolerance, what) {
  assert.equal(got.length, expected.length, what);
  got.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) <= tolerance, `${what}: ${value} is not ${expected[i]}`));
}

test("half-precision numbers are decoded exactly", () => {
  const bits = new Uint16Array(numbers.map(({ bits }) => bits));
  const read = float16ToFloat32(bits.buffer);
  numbers.forEach(({ bits, value }, i) => assert.ok(Object.is(read[i], value), `${bits}: ${read[i]} is not ${value}`));
});

for (const { map, lift, place } of maps) {
  const points = new Float32Array(buffer(`${map.method}.points`));
  const projection = new Projection(map, points, float16ToFloat32(buffer(`${map.method}.means`)));
  test(`${map.method}: lift and gap match core to half precision`, () => {
    for (const { xy, z, gap } of lift) {
      const got = projection.lift(...xy);
      close(got.z, z, 4e-3, `lift ${xy}`);
      assert.ok(Math.abs(got.gap - gap) < 1e-4 * (1 + gap));
    }
  });
  test(`${map.method}: place and the nearest image match core to half precision`, () => {
    for (const { z, xy, nearest } of place) {
      const got = projection.place(z);
      close([got.x, got.y], xy, 2e-3 * projection.width, `place ${z}`);
      assert.ok(Math.abs(got.nearest.distance - nearest) < 4e-3);
    }
  });
}

test("neighbours are exact and sorted by distance", () => {
  const points = Float32Array.from({ length: 300 }, () => Math.random());
  const query = [0.3, 0.6, 0.1];
  const all = Array.from({ length: 100 }, (_, i) => Math.hypot(...query.map((q, j) => q - points[3 * i + j])));
  const { distance, index } = neighbours(query, points, 7);
  const sorted = [...all].sort((a, b) => a - b).slice(0, 7);
  close([...distance], sorted, 1e-6, "distance");
  index.forEach((i, n) => assert.ok(Math.abs(all[i] - sorted[n]) < 1e-6));
});

test("with all neighbours at the same distance, the nearest is used", () => {
  const out = neighbourMean({ distance: [1, 1, 1], index: [2, 0, 1] }, new Float32Array([5, 6, 7]), 1, 2, 0);
  assert.deepEqual([...out], [7]);
});

test("trust is 1 among the images, 0 far away, and never rises with the distance", () => {
  const points = new Float32Array(buffer("umap.points"));
  const projection = new Projection({ method: "umap" }, points, points);
  const trust = Array.from({ length: 200 }, (_, i) => projection.confidence((i * projection.width) / 200));
  assert.equal(trust[0], 1);
  assert.equal(trust.at(-1), 0);
  trust.slice(1).forEach((value, i) => assert.ok(value <= trust[i]));
});
