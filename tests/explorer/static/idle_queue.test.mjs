// Laws of whose turn it is: the hand's first.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Turns } from "../../../explorer/static/shared/idle_queue.js";

/** Turns on a clock that moves only while somebody sleeps. */
function turns() {
  const clock = { now: 0, slept: [] };
  const sleep = async (ms) => {
    clock.slept.push(ms);
    clock.now += ms;
  };
  return [new Turns(100, () => clock.now, sleep), clock];
}

test("nothing begins before the hand has been still", async () => {
  const [each, clock] = turns();
  each.moved();
  const began = await each.rest(() => clock.now);
  assert.equal(began, 100);
});

test("a hand that moves again is waited for again", async () => {
  const [each, clock] = turns();
  const began = [];
  each.moved();
  const all = [0, 1, 2].map((i) =>
    each.rest(() => {
      began.push([i, clock.now]);
      if (i === 0) each.moved();
    }),
  );
  await Promise.all(all);
  assert.deepEqual(began, [[0, 100], [1, 200], [2, 200]]);
});

test("one at a time; a lower rank first, then in order", async () => {
  const [each] = turns();
  const log = [];
  let running = 0;
  const task = (name) => async () => {
    assert.equal(++running, 1);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    log.push(name);
  };
  each.moved();
  await Promise.all([each.rest(task("map 1"), 1), each.rest(task("map 2"), 1), each.rest(task("film 1"), 0), each.rest(task("film 2"), 0)]);
  assert.deepEqual(log, ["film 1", "film 2", "map 1", "map 2"]);
});

test("a task that fails tells whoever asked, and the next one runs", async () => {
  const [each] = turns();
  const failed = each.rest(() => Promise.reject(new Error("no")));
  const next = each.rest(() => 7);
  await assert.rejects(failed, /no/);
  assert.equal(await next, 7);
});
