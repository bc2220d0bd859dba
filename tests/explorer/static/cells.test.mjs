// Tests of the spatial index of map points against a loop over all points.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Cells, inside } from "../../../explorer/static/map/cells.js";
import { colourRange } from "../../../explorer/static/map/columns.js";

/** Return a seeded generator of numbers in [0, 1). */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function cloud(n, seed, place = (next) => [next() * 10 - 5, next() * 4]) {
  const next = random(seed);
  return Float32Array.from({ length: 2 * n }, (() => {
    let y = null;
    return (_, i) => {
      if (i % 2) return y;
      const [a, b] = place(next);
      y = b;
      return a;
    };
  })());
}

const CLOUDS = {
  "spread out": cloud(5000, 1),
  "in clumps": cloud(5000, 2, (next) => [Math.floor(next() * 3) + next() ** 8, Math.floor(next() * 3) + next() ** 8]),
  "all in one place": cloud(50, 3, () => [1, 2]),
  "in a row": cloud(500, 4, (next) => [next(), 0]),
  one: cloud(1, 5),
  none: cloud(0, 6),
};

for (const [name, points] of Object.entries(CLOUDS)) {
  const n = points.length / 2;
  const cells = new Cells(points);

  test(`${name}: the order contains each point once, at its position`, () => {
    assert.deepEqual([...cells.order].sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
    const x = points.filter((_, i) => i % 2 === 0);
    const y = points.filter((_, i) => i % 2 === 1);
    assert.deepEqual(cells.arrange(x, Float32Array), cells.positions.filter((_, i) => i % 2 === 0));
    assert.deepEqual(cells.arrange(y, Float32Array), cells.positions.filter((_, i) => i % 2 === 1));
    cells.order.forEach((point, i) => assert.equal(cells.slots[point], i));
  });

  test(`${name}: a box query returns all points inside`, () => {
    const next = random(7);
    for (let trial = 0; trial < 50; trial++) {
      const [left, low] = [next() * 12 - 6, next() * 6 - 1];
      const [right, high] = [left + next() * 4, low + next() * 2];
      const actual = new Set();
      const runs = cells.box(left, right, low, high);
      for (let run = 0; run < runs.length; run += 2) for (let i = runs[run]; i < runs[run + 1]; i++) actual.add(cells.order[i]);
      for (let i = 0; i < n; i++) {
        const [x, y] = [points[2 * i], points[2 * i + 1]];
        if (left <= x && x <= right && low <= y && y <= high) assert.ok(actual.has(i));
      }
    }
  });

  test(`${name}: nearest returns the nearest allowed point within reach`, () => {
    const next = random(8);
    for (let trial = 0; trial < 100; trial++) {
      const [x, y, reach] = [next() * 12 - 6, next() * 6 - 1, next()];
      const counts = (point) => point % 3 !== trial % 3;
      let [best, found] = [reach * reach, -1];
      for (let i = 0; i < n; i++) {
        const d = (points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2;
        if (d < best && counts(i)) [best, found] = [d, i];
      }
      const actual = cells.nearest(x, y, reach, counts);
      const far = (i) => (points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2;
      assert.ok(actual === found || far(actual) === far(found), `${actual} is not ${found}`);
    }
  });

  test(`${name}: a polygon query follows the even-odd rule`, () => {
    const next = random(9);
    for (let trial = 0; trial < 60; trial++) {
      const corners = Array.from({ length: trial % 20 }, () => [next() * 14 - 7, next() * 8 - 2]);
      // Include corners on points and edges parallel to the axes.
      if (n && trial % 4 === 1) corners.forEach((corner, i) => Object.assign(corner, [points[2 * ((i * 37) % n)], points[2 * ((i * 37) % n) + 1]]));
      if (trial % 4 === 2) corners.splice(0, Infinity, [-2, 0], [2, 0], [2, 2], [-2, 2]);
      const actual = cells.inside(corners);
      for (let i = 0; i < n; i++) assert.equal(actual[i], corners.length < 3 ? 0 : inside(corners.flat(), points[2 * i], points[2 * i + 1]), `${i} of trial ${trial}`);
    }
  });
}

test("the even-odd rule for a square and for a star with its centre outside", () => {
  const square = [[0, 0], [2, 0], [2, 2], [0, 2]];
  assert.deepEqual([[1, 1], [3, 1], [-1, 1], [1, 3]].map(([x, y]) => inside(square.flat(), x, y)), [1, 0, 0, 0]);
  const star = [0, 2, 4, 1, 3].map((i) => [Math.cos((2 * Math.PI * i) / 5), Math.sin((2 * Math.PI * i) / 5)]);
  assert.equal(inside(star.flat(), 0, 0), 0);
  assert.equal(inside(star.flat(), 0.8, 0), 1);
});

test("the colour range ends at the 1st and 99th percentiles and ignores NaN", () => {
  const values = Float32Array.from({ length: 10_001 }, (_, i) => (i === 10_000 ? NaN : i));
  assert.deepEqual(colourRange(values), [100, 9899]);
  assert.deepEqual(colourRange(Float32Array.of(NaN)), [0, 0]);
  const many = Float32Array.from({ length: 1_000_000 }, (_, i) => i / 1e6);
  colourRange(many).forEach((actual, i) => assert.ok(Math.abs(actual - [0.01, 0.99][i]) < 1e-3));
});
