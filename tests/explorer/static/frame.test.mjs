// Laws of painting: one frame at a time, the newest of each name.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Frame } from "../../../explorer/static/shared/frame.js";

function frames() {
  const asked = [];
  const next = () => asked.splice(0).forEach((draw) => draw());
  return [new Frame((draw) => asked.push(draw)), asked, next];
}

test("of what is to be painted under one name only the newest is, in one frame", () => {
  const [frame, asked, next] = frames();
  const log = [];
  for (const value of [1, 2, 3]) frame.paint("picture", () => log.push(value));
  frame.paint("film", () => log.push("film"));
  assert.equal(asked.length, 1);
  assert.deepEqual(log, []);
  next();
  assert.deepEqual(log, [3, "film"]);
  next();
  assert.deepEqual(log, [3, "film"]);
});

test("what comes after comes after the paint, and what a paint asks for comes a frame later", () => {
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
