// Laws of latest-wins scheduling.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Latest } from "../../../explorer/static/shared/latest.js";

/** Requests that are answered when the test says so. */
function desk() {
  const open = [];
  const run = (request) => new Promise((resolve, reject) => open.push({ request, resolve, reject }));
  return { open, run };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

test("at most `width` are under way, and of what waits only the newest is sent", async () => {
  const { open, run } = desk();
  const shown = [];
  const latest = new Latest(run, (answer) => shown.push(answer), () => 2);
  for (let i = 0; i < 10; i++) latest.request(i);
  assert.deepEqual(open.map(({ request }) => request), [0, 1]);
  open[0].resolve("a");
  await settle();
  assert.deepEqual(open.map(({ request }) => request), [0, 1, 9]);
  open[1].resolve("b");
  open[2].resolve("c");
  await settle();
  assert.deepEqual(shown, ["a", "b", "c"]);
});

test("an answer that is overtaken is not shown, and the last one always is", async () => {
  const { open, run } = desk();
  const shown = [];
  const latest = new Latest(run, (answer) => shown.push(answer));
  for (let i = 0; i < 3; i++) latest.request(i);
  open[2].resolve(2);
  await settle();
  open[0].resolve(0);
  open[1].resolve(1);
  await settle();
  assert.deepEqual(shown, [2]);
});

test("the width may change between requests", async () => {
  const { open, run } = desk();
  let width = 1;
  const latest = new Latest(run, () => {}, () => width);
  latest.request(0);
  latest.request(1);
  assert.equal(open.length, 1);
  width = 2;
  latest.request(2);
  assert.deepEqual(open.map(({ request }) => request), [0, 2]);
});

test("what is cancelled is not shown, and a failure is an answer that never came", async () => {
  const { open, run } = desk();
  const shown = [];
  const latest = new Latest(run, (answer) => shown.push(answer), () => 1);
  latest.request(0);
  latest.cancel();
  open[0].resolve("late");
  await settle();
  latest.request(1);
  open[1].reject(new Error("lost"));
  await settle();
  assert.deepEqual(shown, [{ error: "The server did not answer." }]);
});

test("a request of the same name as the last is the last, until it is cancelled", async () => {
  const { open, run } = desk();
  const latest = new Latest(run, () => {});
  for (const place of ["here", "here", "there", "here"]) latest.request(place, place);
  latest.request("anything");
  assert.equal(open.length, 3);
  for (const { resolve } of open) resolve({});
  await settle();
  latest.request("here", "here");
  assert.equal(open.length, 5, "the newest of what waited, and one more");
  latest.cancel();
  latest.request("here", "here");
  assert.equal(open.length, 6);
});
