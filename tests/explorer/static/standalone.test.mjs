// Tests of the standalone page against responses of the app's server. SITE is the address of an exported folder, CASES the folder
// of the reference data, RUNTIME the folder with the runtime's files.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { loadColumn } from "../../../explorer/static/map/columns.js";
import { Encoder } from "../../../explorer/static/model/encoder.js";
import { decodeBase64 } from "../../../explorer/static/pixels/picture.js";
import { loadBytes, Network, toBytes } from "../../../explorer/static/model/runtime.js";
import { serverFunctions, Standalone, verdict } from "../../../explorer/static/site/standalone.js";

const { SITE, CASES, RUNTIME } = process.env;
const cases = JSON.parse(readFileSync(`${CASES}/cases.json`, "utf8"));
const file = (path) => SITE + path;
const page = await (await fetch(file("index.html"))).text();
const baked = JSON.parse(page.match(/id="baked">(.*?)<\/script>/s)[1]);

/** Do the work of worker.js in this thread: Node has no Web Workers. */
async function open({ decoder }) {
  const ort = await import(pathToFileURL(`${RUNTIME}/ort.wasm.bundle.min.mjs`));
  Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: readFileSync(`${RUNTIME}/ort-wasm-simd-threaded.wasm`) });
  const network = await Network.open(ort, await loadBytes(file(decoder)));
  return {
    closed: false,
    async decode(points) {
      const { data, dims } = await network.mean(Float32Array.from(points.flat()), points.length);
      return toBytes(data, dims);
    },
    async encode({ files, ...request }) {
      this.encoder ??= await Encoder.open(network, files);
      return this.encoder.encode(request);
    },
  };
}

let server;
before(() => {
  server = serverFunctions(new Standalone(baked, file, open));
});

const maxDifference = (got, wanted) => Math.max(0, ...wanted.map((value, i) => Math.abs(value - got[i])));
function assertNear(got, wanted, tolerance, what) {
  assert.equal(got.length, wanted.length, what);
  assert.ok(maxDifference(got, wanted) <= tolerance, `${what}: ${maxDifference(got, wanted)} off`);
}

/** Assert that a response matches the server's; the page has posterior means in half precision. */
function assertMatches(got, wanted, what) {
  assert.equal(got.error, undefined, what);
  assertNear(got.z, wanted.z, 4e-3, `${what}: z`);
  assertNear([...decodeBase64(got.pixels)], [...decodeBase64(wanted.pixels)], 3, `${what}: pixels`);
  if (wanted.x !== undefined) assertNear([got.x, got.y], [wanted.x, wanted.y], 0.02, `${what}: place`);
  if (wanted.gap !== undefined) assertNear([got.gap], [wanted.gap], 1e-4, `${what}: gap`);
  if (wanted.nearest) assertNear([got.nearest.distance], [wanted.nearest.distance], 4e-3, `${what}: nearest`);
}

test("the first image needs no decoder", async () => {
  const alone = serverFunctions(new Standalone(baked, file, () => assert.fail("the decoder was opened")));
  assertMatches(await alone.decode_point({ z: baked.description.start }), cases.start, "start");
});

test("background requests wait until a point opens the decoder", async () => {
  let opened = 0;
  const alone = serverFunctions(new Standalone(baked, file, (description) => ((opened += 1), open(description))));
  const background = alone.decode_points({ z: [baked.description.middle] });
  await new Promise((wake) => setTimeout(wake, 20));
  assert.equal(opened, 0);
  await alone.decode_point({ z: baked.description.middle });
  assert.equal((await background).pixels.length, baked.description.shape.reduce((a, b) => a * b));
  assert.equal(opened, 1);
});

test("points, images and positions match the server", async () => {
  for (const [call, request, wanted] of cases.points) assertMatches(await server[call](request), wanted, `${call} ${JSON.stringify(request)}`);
});

test("samples match the server at any temperature, and repeat after the embedded ones", async () => {
  const flat = ({ z, pixels }) => ({ z: z.flat(), pixels });
  for (const [request, wanted] of cases.samples) assertMatches(flat(await server.draw_samples(request)), flat(wanted), JSON.stringify(request));
  const request = { temperature: 1, count: 64 };
  const [first, again] = [await server.draw_samples({ ...request, seed: 0 }), await server.draw_samples({ ...request, seed: 16 })];
  assert.deepEqual(first.z, again.z);
  assert.equal((await server.draw_samples({ ...request, count: 1, seed: 2 ** 31 - 1 })).z.length, 1);
});

test("colours match the server", async () => {
  for (const [by, wanted] of cases.colours) {
    const got = await loadColumn(await server.colour({ by }), file);
    if (wanted.classes) assert.deepEqual({ ...got, codes: [...got.codes] }, wanted);
    else assertNear(got.values, wanted.values, 4e-3, by);
  }
});

test("search results match the server", async () => {
  for (const [text, wanted] of cases.words) assert.deepEqual([...(await server.find({ text })).found], [...decodeBase64(wanted.found)], text);
});

for (const { name, picture, request, wanted } of cases.encodings) {
  test(`${name} is encoded as on the server, to 1e-4`, async () => {
    const path = new Blob([Buffer.from(picture, "base64")]);
    const got = await server.encode_upload({ path, crop: null, ...request });
    assert.equal(got.error, undefined);
    assert.deepEqual(got.steps, wanted.steps);
    assert.equal(Buffer.compare(Buffer.from(got.seen), Buffer.from(wanted.seen, "base64")), 0, "seen");
    for (const key of ["mean", "log_variance"]) assertNear(got[key], wanted[key], 1e-4, key);
    for (const key of ["log_likelihood", "kl", "elbo"]) assertNear([got[key]], [wanted[key]], 1e-4 * (1 + Math.abs(wanted[key])), key);
    assertNear([got.p_value], [wanted.p_value], 1e-2, "p-value");
    assertNear([got.rank], [wanted.rank], 1e-2, "rank");
    assertNear([got.rmse], [wanted.rmse], 2e-3, "error");
    assertNear([got.x, got.y], [wanted.x, wanted.y], 0.02, "place");
    for (const key of ["reconstruction", "error_map"]) assertNear([...got[key]], [...decodeBase64(wanted[key])], 1, key);
    assertNear(got.neighbours.map(({ distance }) => distance), wanted.neighbours.map(({ distance }) => distance), 4e-3, "neighbours");
  });
}

test("a draw is mean + sigma * epsilon", async () => {
  const mean = baked.description.middle.map((_, i) => i);
  const still = await server.draw_again({ mean, log_variance: mean.map(() => -60) });
  assertNear(still.z, mean, 1e-9, "no sigma");
  const draws = await Promise.all(Array.from({ length: 400 }, () => server.draw_again({ mean, log_variance: mean.map(() => Math.log(4)) })));
  const spread = Math.sqrt(draws.reduce((sum, { z }) => sum + (z[0] - mean[0]) ** 2, 0) / draws.length);
  assert.ok(Math.abs(spread - 2) < 0.4, `${spread}`);
});

test("picture errors are returned, not thrown", async () => {
  for (const path of [new Blob(["these are notes"]), new Blob([Buffer.from(cases.encodings[0].picture, "base64").subarray(0, 60)])]) {
    const { error } = await server.encode_upload({ path, crop: null, polarity: "auto", trim: true });
    assert.match(error, /not an image/);
  }
  const { error } = await server.encode_upload({ path: new Blob([Buffer.from(cases.bomb, "base64")]), crop: null, polarity: "auto", trim: true });
  assert.match(error, /up to 50,000,000 pixels; this one has 60000x60000/);
});

test("a crashed decoder is reopened, and a failure to open is reported", async () => {
  const decoders = [];
  const one = { decode: async () => new Uint8ClampedArray(1) };
  const standalone = new Standalone(baked, file, async () => (decoders.push({ ...one, closed: false }), decoders.at(-1)));
  await standalone.decoder();
  assert.equal(await standalone.decoder(), decoders[0]);
  decoders[0].closed = true;
  await Promise.all([standalone.decoder(), standalone.decoder()]);
  assert.equal(decoders.length, 2);
  const never = serverFunctions(new Standalone(baked, file, async () => Promise.reject(new Error("no WebAssembly"))));
  assert.deepEqual(await never.decode_point({ z: baked.description.middle }), { error: "no WebAssembly" });
});

test("the verdict of a p-value matches core", () => {
  for (const [p, normal, words] of cases.verdicts) assert.equal(verdict(p, normal, baked.description.verdict), words);
});
