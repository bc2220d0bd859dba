// Tests of the idle queue: tasks wait until the user is inactive.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IdleQueue } from "../../../explorer/static/shared/idle_queue.js";

/** Return an idle queue and a fake clock that advances only while the queue sleeps. */
function queueOnClock() {
  const clock = { now: 0, slept: [] };
  const sleep = async (ms) => {
    clock.slept.push(ms);
    clock.now += ms;
  };
  return [new IdleQueue(100, () => clock.now, sleep), clock];
}

test("no task starts before the idle time has passed", async () => {
  const [queue, clock] = queueOnClock();
  queue.noteActivity();
  const startTime = await queue.run(() => clock.now);
  assert.equal(startTime, 100);
});

test("new activity restarts the idle time", async () => {
  const [queue, clock] = queueOnClock();
  const startTimes = [];
  queue.noteActivity();
  const all = [0, 1, 2].map((i) =>
    queue.run(() => {
      startTimes.push([i, clock.now]);
      if (i === 0) queue.noteActivity();
    }),
  );
  await Promise.all(all);
  assert.deepEqual(startTimes, [[0, 100], [1, 200], [2, 200]]);
});

test("tasks run one at a time, by rank and then in order", async () => {
  const [queue] = queueOnClock();
  const log = [];
  let running = 0;
  const task = (name) => async () => {
    assert.equal(++running, 1);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    log.push(name);
  };
  queue.noteActivity();
  await Promise.all([queue.run(task("map 1"), 1), queue.run(task("map 2"), 1), queue.run(task("film 1"), 0), queue.run(task("film 2"), 0)]);
  assert.deepEqual(log, ["film 1", "film 2", "map 1", "map 2"]);
});

test("a failed task rejects its promise and the next one runs", async () => {
  const [queue] = queueOnClock();
  const failed = queue.run(() => Promise.reject(new Error("no")));
  const next = queue.run(() => 7);
  await assert.rejects(failed, /no/);
  assert.equal(await next, 7);
});
