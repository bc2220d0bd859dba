// Tests of painting once per animation frame, the newest paint of each name.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Frame } from "../../../explorer/static/shared/frame.js";

function frames() {
  const callbacks = [];
  const next = () => callbacks.splice(0).forEach((draw) => draw());
  return [new Frame((draw) => callbacks.push(draw)), callbacks, next];
}

test("only the newest paint of a name runs, once per frame", () => {
  const [frame, callbacks, next] = frames();
  const log = [];
  for (const value of [1, 2, 3]) frame.paint("picture", () => log.push(value));
  frame.paint("film", () => log.push("film"));
  assert.equal(callbacks.length, 1);
  assert.deepEqual(log, []);
  next();
  assert.deepEqual(log, [3, "film"]);
  next();
  assert.deepEqual(log, [3, "film"]);
});

test("afterPaint runs after painting, and nested paints run in the next frame", () => {
  const [frame, , next] = frames();
  const log = [];
  frame.afterPaint(() => log.push("after"));
  frame.paint("a", () => {
    log.push("a");
    frame.paint("a", () => log.push("a again"));
  });
  next();
  assert.deepEqual(log, ["a", "after"]);
  next();
  assert.deepEqual(log, ["a", "after", "a again"]);
});
