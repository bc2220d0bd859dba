// Laws of where pictures come from: both ways answer alike, and failures are failures.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PageDecoder, ServerDecoder } from "../../../explorer/static/model/decoder.js";

/** A worker that answers as told: `reply(request)` gives what it posts, besides the id. */
class Worker extends EventTarget {
  asked = [];
  constructor(reply) {
    super();
    this.reply = reply;
  }
  postMessage(request) {
    this.asked.push(request);
    const answer = this.reply(request);
    if (answer) queueMicrotask(() => this.dispatchEvent(Object.assign(new Event("message"), { data: { id: request.id, ...answer } })));
  }
  terminate() {
    this.ended = true;
  }
}

test("points go to the worker as one array, and its pixels come back", async () => {
  const worker = new Worker(({ z, n }) => ({ pixels: new Uint8ClampedArray(n).fill(z.length), ms: 2 }));
  const decoder = new PageDecoder(worker);
  const pixels = await decoder.decode([[1, 2, 3], [4, 5, 6]]);
  assert.deepEqual([...pixels], [6, 6]);
  assert.deepEqual([...worker.asked[0].z], [1, 2, 3, 4, 5, 6]);
  assert.equal(worker.asked[0].n, 2);
});

test("a batch is what takes about 4 ms, and never nothing", async () => {
  for (const [ms, batch] of [[1, 4], [2, 2], [100, 1], [0.01, 8]]) {
    const decoder = new PageDecoder(new Worker(() => ({ pixels: new Uint8ClampedArray(1), ms })));
    await decoder.decode([[0]]);
    assert.equal(decoder.batch, batch);
  }
});

test("an error of the worker, its death and its end are told to whoever waits", async () => {
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

test("the server is asked for plain lists, and its error is thrown", async () => {
  let asked;
  const server = { decode_points: async (request) => ((asked = request), { pixels: btoa("\x00\x7f\xff") }) };
  const pixels = await new ServerDecoder("digits", server).decode([Float32Array.of(1, 2)]);
  assert.deepEqual([...pixels], [0, 127, 255]);
  assert.deepEqual(asked, { model: "digits", z: [[1, 2]] });
  for (const answer of [null, { error: "z must be" }]) {
    await assert.rejects(new ServerDecoder("digits", { decode_points: async () => answer }).decode([[0]]), /did not answer|z must be/);
  }
});
