// Tests of key steps and screen-reader descriptions.

import assert from "node:assert/strict";
import { test } from "node:test";

import { describe } from "../../../explorer/static/explore/announcer.js";
import { arrowStep } from "../../../explorer/static/explore/key_steps.js";

test("arrow keys step, Shift makes the step longer, other keys and combinations are ignored", () => {
  assert.deepEqual(arrowStep({ key: "ArrowRight" }), [0.1, 0]);
  assert.deepEqual(arrowStep({ key: "ArrowDown", shiftKey: true }), [0, -0.5]);
  assert.equal(arrowStep({ key: "Home" }), null);
  assert.equal(arrowStep({ key: "ArrowLeft", altKey: true }) || null, null);
});

test("a point is described by the nearest image's class and distance", () => {
  const labels = { classes: ["bag", "shoe"], codes: [1, 0] };
  assert.equal(describe({ nearest: { index: 0, distance: 0 } }, labels), "real image: shoe");
  assert.equal(describe({ nearest: { index: 1, distance: 1.234 } }, labels), "nearest real image: bag, 1.23 away");
  assert.equal(describe({ nearest: { index: 7, distance: 2 } }, null), "nearest real image: image 7, 2.00 away");
  assert.equal(describe({}, labels), "no real image to compare with");
});
