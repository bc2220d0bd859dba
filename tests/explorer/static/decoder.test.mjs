// Tests of the decoders in the page and on the server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PageDecoder, ServerDecoder } from "../../../explorer/static/model/decoder.js";

/** A fake worker: it posts the result of `reply(request)` and the id of the request. */
class Worker extends EventTarget {
  requests = [];
  constructor(reply) {
    super();
    this.reply = reply;
  }
  postMessage(request) {
    this.requests.push(request);
    const answer = this.reply(request);
    if (answer) queueMicrotask(() => this.dispatchEvent(Object.assign(new Event("message"), { data: { id: request.id, ...answer } })));
  }
  terminate() {
    this.ended = true;
  }
}

test("points are sent to the worker as one array and its pixels are returned", async () => {
  const worker = new Worker(({ z, n }) => ({ pixels: new Uint8ClampedArray(n).fill(z.length), ms: 2 }));
  const decoder = new PageDecoder(worker);
  const pixels = await decoder.decode([[1, 2, 3], [4, 5, 6]]);
  assert.deepEqual([...pixels], [6, 6]);
  assert.deepEqual([...worker.requests[0].z], [1, 2, 3, 4, 5, 6]);
  assert.equal(worker.requests[0].n, 2);
});

test("the batch size corresponds to about 4 ms and is at least 1", async () => {
  for (const [ms, batch] of [[1, 4], [2, 2], [100, 1], [0.01, 8]]) {
    const decoder = new PageDecoder(new Worker(() => ({ pixels: new Uint8ClampedArray(1), ms })));
    await decoder.decode([[0]]);
    assert.equal(decoder.batch, batch);
  }
});

test("worker errors, crashes and closing reject pending requests", async () => {
  await assert.rejects(new PageDecoder(new Worker(() => ({ error: "out of memory" }))).decode([[0]]), /out of memory/);
  const silent = new Worker(() => null);
  const decoder = new PageDecoder(silent);
  const waiting = decoder.decode([[0]]);
  silent.dispatchEvent(new Event("error"));
  await assert.rejects(waiting, /could not start/);
  const last = decoder.decode([[0]]);
  decoder.close();
  await assert.rejects(last, /closed/);
  assert.ok(silent.ended);
});

test("the server gets plain lists and its errors are thrown", async () => {
  let requests;
  const server = { decode_points: async (request) => ((requests = request), { pixels: btoa("\x00\x7f\xff") }) };
  const pixels = await new ServerDecoder("digits", server).decode([Float32Array.of(1, 2)]);
  assert.deepEqual([...pixels], [0, 127, 255]);
  assert.deepEqual(requests, { model: "digits", z: [[1, 2]] });
  for (const answer of [null, { error: "z must be" }]) {
    await assert.rejects(new ServerDecoder("digits", { decode_points: async () => answer }).decode([[0]]), /did not answer|z must be/);
  }
});
