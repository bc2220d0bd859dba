// Tests of preprocessing in the page against core/data/preprocessing.py and Pillow. CASES is the folder of the reference data.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { crop, flatten, prepare, roundHalfEven } from "../../../explorer/static/pixels/images.js";
import { isPng, pngSize, readPng } from "../../../explorer/static/pixels/png.js";
import { resize } from "../../../explorer/static/pixels/resampler.js";

const { resized, flat, prepared, pngs, broken, framed } = JSON.parse(readFileSync(`${process.env.CASES}/cases.json`, "utf8"));
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const picture = ({ data, ...rest }) => ({ ...rest, data: bytes(data) });

function same(got, wanted, what) {
  for (const side of ["width", "height", "channels"]) assert.equal(got[side], wanted[side], `${what}: ${side}`);
  assert.equal(Buffer.compare(Buffer.from(got.data), Buffer.from(wanted.data, "base64")), 0, `${what}: levels differ`);
}

test("the resampler matches Pillow bit for bit", () => {
  for (const { given, box, wanted } of resized) {
    same(resize(picture(given), wanted.width, wanted.height, box ?? undefined), wanted, `${given.width}x${given.height} ${box}`);
  }
});

test("transparent pictures are composited on core's matte", () => {
  for (const { given, matte, wanted } of flat) same(flatten(picture(given), matte), wanted, `on ${matte}`);
});

test("the model input and the listed steps match core", () => {
  for (const { given, model, polarity, trim, image, steps } of prepared) {
    const what = `${given.width}x${given.height}x${given.channels} for ${JSON.stringify(model)}, ${polarity}, ${trim}`;
    const made = prepare(flatten(picture(given)), model, polarity, trim);
    assert.deepEqual(made.steps, steps, what);
    same(made.image, { width: model.width, height: model.height, channels: model.channels, data: image }, what);
  }
});

test("a frame that is too large raises core's message", () => {
  const { given, model, max_pixels, error } = framed;
  assert.throws(() => prepare(flatten(picture(given)), model, "keep", true, null, max_pixels), { message: error });
});

test("a binary model gets its fixed sample", () => {
  const model = { channels: 1, width: 2, height: 1, fit: "pad", background: null, extent: 1 };
  const { image } = prepare({ width: 2, height: 1, channels: 1, data: Uint8Array.of(100, 100) }, model, "auto", true, Float32Array.of(99.5, 100.5));
  assert.deepEqual([...image.data], [255, 0]);
});

for (const { name, file, wanted } of pngs) {
  test(`PNG, ${name}: pixels match Pillow`, async () => {
    assert.ok(isPng(bytes(file)));
    const read = await readPng(bytes(file));
    assert.deepEqual(pngSize(bytes(file)), [wanted.width, wanted.height]);
    same(flatten(read), wanted, name);
  });
}

test("a truncated PNG is refused", async () => {
  for (const file of broken) await assert.rejects(readPng(bytes(file)));
});

test("a crop is in fractions of the sides, rounded as in Python, and never empty", () => {
  const data = Uint8Array.from({ length: 35 }, (_, i) => i);
  const given = { width: 7, height: 5, channels: 1, data };
  assert.deepEqual([...crop(given, [0.5, 0.5, 0.64, 0.9]).data], [17, 24]);
  const point = crop(given, [0.99, 0.99, 0.991, 0.991]);
  assert.deepEqual([point.width, point.height, ...point.data], [1, 1, 34]);
  for (const shares of [[0.5, 0, 0.2, 1], [-0.1, 0, 1, 1], [0, 0, 1.1, 1], [NaN, 0, 1, 1]]) assert.throws(() => crop(given, shares), /increasing shares/);
  assert.deepEqual([0.5, 1.5, 2.5, 2.4, 254.5].map(roundHalfEven), [0, 2, 2, 2, 254]);
});
