// Tests of ONNX Runtime Web against torch, to 1e-4. CASES is the folder of the reference data, RUNTIME that with the runtime's files.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { Network, toBytes } from "../../../explorer/static/model/runtime.js";

const { CASES, RUNTIME } = process.env;
const ort = await import(pathToFileURL(`${RUNTIME}/ort.wasm.bundle.min.mjs`));
Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: readFileSync(`${RUNTIME}/ort-wasm-simd-threaded.wasm`) });

for (const { name, z, dims, mean } of JSON.parse(readFileSync(`${CASES}/networks.json`, "utf8"))) {
  test(`${name}: decoded images match torch, in batches and individually`, async () => {
    const network = await Network.open(ort, readFileSync(`${CASES}/${name}.onnx`));
    const all = await network.mean(Float32Array.from(z.flat()), z.length);
    assert.deepEqual([...all.dims], dims);
    const worst = Math.max(...mean.map((value, i) => Math.abs(value - all.data[i])));
    assert.ok(worst <= 1e-4, `${worst}`);
    const one = await network.mean(Float32Array.from(z[0]), 1);
    assert.ok(one.data.every((value, i) => Math.abs(value - mean[i]) <= 1e-4));
  });
}

test("pixels are rounded to 8 bits, channels last", () => {
  const data = Float32Array.of(0, 0.5, 1, 1.2, -0.1, 0.25, 2 / 255, 0.999, 1, 0, 0, 1);
  assert.deepEqual([...toBytes(data, [2, 3, 1, 2])], [0, 255, 0, 128, 255, 64, 2, 255, 0, 255, 0, 255]);
});
