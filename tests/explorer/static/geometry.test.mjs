// Tests of explorer/static/model/geometry.js; core computes the reference paths.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { distance, interpolate, nearestInDirection, path } from "../../../explorer/static/model/geometry.js";

const DIRECTIONS = [[1, 0], [-1, 0], [0, 1], [0, -1]];

function assertClose(actual, expected) {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-12, `${value} is not ${expected[i]}`));
}

test("paths match core", () => {
  const cases = JSON.parse(readFileSync(process.env.PATHS, "utf8"));
  assert.ok(cases.length > 100);
  for (const { start, end, method, path: expected } of cases) {
    path(start, end, expected.length, method).forEach((z, i) => assertClose(z, expected[i]));
  }
});

test("a path starts and ends exactly at its endpoints", () => {
  const [start, end] = [[0.1, -2.3, 1e-9], [3.3, 0.7, -1.1]];
  for (const method of ["linear", "spherical"]) {
    assert.deepEqual(interpolate(start, end, 0, method), start);
    assert.deepEqual(interpolate(start, end, 1, method), end);
  }
});

test("distance is Euclidean", () => assert.equal(distance([1, 2, 3], [1, 5, 7]), 5));

test("nearestInDirection returns the nearest point in a direction beyond the minimum distance", () => {
  const points = Float32Array.from([0, 0, 0.5, 0, 2, 0, 3, 0, 0, 2, -2, 0, 0, -2]);
  assert.deepEqual(DIRECTIONS.map((direction) => nearestInDirection(points, [0, 0], direction, 1)), [2, 5, 4, 6]);
  assert.equal(nearestInDirection(points, [0, 0], [1, 0], 0.1), 1);
  assert.equal(nearestInDirection(points, [0, 0], [1, 0], 2.5), 3);
  assert.equal(nearestInDirection(points, [0, 0], [1, 0], 1, (i) => i !== 2), 3);
  assert.equal(nearestInDirection(points, [3, 0], [1, 0], 0.1), -1);
});

test("the four directions cover all angles", () => {
  for (let angle = 0; angle < 360; angle += 5) {
    const point = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
    assert.ok(DIRECTIONS.some((direction) => nearestInDirection(point, [0, 0], direction, 0.5) === 0), `${angle}°`);
  }
});
