// Tests of latest-wins scheduling.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Latest } from "../../../explorer/static/shared/latest.js";

/** Return a request function whose responses the test resolves. */
function pendingRequests() {
  const open = [];
  const run = (request) => new Promise((resolve, reject) => open.push({ request, resolve, reject }));
  return { open, run };
}

const flushPromises = () => new Promise((resolve) => setImmediate(resolve));

test("at most `width` requests are pending, and only the newest waiting one is sent", async () => {
  const { open, run } = pendingRequests();
  const shown = [];
  const latest = new Latest(run, (answer) => shown.push(answer), () => 2);
  for (let i = 0; i < 10; i++) latest.request(i);
  assert.deepEqual(open.map(({ request }) => request), [0, 1]);
  open[0].resolve("a");
  await flushPromises();
  assert.deepEqual(open.map(({ request }) => request), [0, 1, 9]);
  open[1].resolve("b");
  open[2].resolve("c");
  await flushPromises();
  assert.deepEqual(shown, ["a", "b", "c"]);
});

test("outdated responses are not shown, and the last one always is", async () => {
  const { open, run } = pendingRequests();
  const shown = [];
  const latest = new Latest(run, (answer) => shown.push(answer));
  for (let i = 0; i < 3; i++) latest.request(i);
  open[2].resolve(2);
  await flushPromises();
  open[0].resolve(0);
  open[1].resolve(1);
  await flushPromises();
  assert.deepEqual(shown, [2]);
});

test("the width may change between requests", async () => {
  const { open, run } = pendingRequests();
  let width = 1;
  const latest = new Latest(run, () => {}, () => width);
  latest.request(0);
  latest.request(1);
  assert.equal(open.length, 1);
  width = 2;
  latest.request(2);
  assert.deepEqual(open.map(({ request }) => request), [0, 2]);
});

test("cancelled responses are not shown, and a rejected request is an error", async () => {
  const { open, run } = pendingRequests();
  const shown = [];
  const latest = new Latest(run, (answer) => shown.push(answer), () => 1);
  latest.request(0);
  latest.cancel();
  open[0].resolve("late");
  await flushPromises();
  latest.request(1);
  open[1].reject(new Error("lost"));
  await flushPromises();
  assert.deepEqual(shown, [{ error: "The server did not answer." }]);
});

test("a request with the same key as the last is not repeated until it is cancelled", async () => {
  const { open, run } = pendingRequests();
  const latest = new Latest(run, () => {});
  for (const place of ["here", "here", "there", "here"]) latest.request(place, place);
  latest.request("anything");
  assert.equal(open.length, 3);
  for (const { resolve } of open) resolve({});
  await flushPromises();
  latest.request("here", "here");
  assert.equal(open.length, 5, "the newest waiting request and one more");
  latest.cancel();
  latest.request("here", "here");
  assert.equal(open.length, 6);
});
