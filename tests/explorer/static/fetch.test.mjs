// Tests of requests and their cache.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import v8 from "node:v8";
import vm from "node:vm";
import { fetchBytes, fetchJson, request } from "../../../explorer/static/shared/fetch.js";

v8.setFlagsFromString("--expose-gc");
const gc = vm.runInNewContext("gc");
const MB = 1 << 20;
let requestedUrls = [];
let answer;
globalThis.fetch = async (address) => {
  requestedUrls.push(address);
  return answer(address);
};
beforeEach(() => {
  requestedUrls = [];
  answer = () => new Response(new Uint8Array(4));
});

test("concurrent requests fetch a file once and share its buffer", async () => {
  const all = await Promise.all([fetchBytes("a/points"), fetchBytes("a/points")]);
  assert.equal(all[0], all[1]);
  assert.equal(await fetchBytes("a/points"), all[0]);
  await fetchBytes("b/points");
  assert.deepEqual(requestedUrls, ["a/points", "b/points"]);
});

test("an error names the file and the status and is not cached", async () => {
  answer = () => new Response("", { status: 404 });
  await assert.rejects(fetchBytes("x/file=/tmp/some%20where/points?1"), { message: "request for points failed: HTTP status 404" });
  answer = () => Promise.reject(new TypeError("Failed to fetch"));
  await assert.rejects(fetchBytes("x/means"), { message: "request for means failed: Failed to fetch" });
  await assert.rejects(request("x/upload", { method: "POST" }), { message: "request for upload failed: Failed to fetch" });
  const cut = { ok: true, arrayBuffer: () => Promise.reject(new TypeError("network error")) };
  answer = () => cut;
  await assert.rejects(fetchBytes("x/means"), { message: "request for means failed: network error" });
  answer = () => new Response("[1]");
  assert.deepEqual(await fetchJson("x/means"), [1]);
});

test("files in use stay cached, and the last 32 MB of the others", async () => {
  answer = () => new Response(new Uint8Array(15 * MB));
  const used = new Float32Array(await fetchBytes("used"));
  for (const address of ["one", "two", "three"]) await fetchBytes(address);
  await new Promise((resolve) => setTimeout(resolve, 10));
  gc();
  requestedUrls = [];
  assert.equal(await fetchBytes("used"), used.buffer);
  await fetchBytes("three");
  assert.deepEqual(requestedUrls, []);
  await fetchBytes("one");
  assert.deepEqual(requestedUrls, ["one"]);
});
