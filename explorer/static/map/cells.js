// Points sorted into the cells of a grid, so that a million of them are asked about as fast as a few. What is asked at every
// movement makes no small objects: a browser keeps what is thrown away for long.

import { aside } from "../shared/one_shot_worker.js";

const POINTS = 4; // in a cell, on average
const MOST = 1024; // cells along a side

/** The address of the worker that sorts. */
export const WORKER = new URL("./cells_worker.js", import.meta.url).href;

export class Cells {
  #ranks = null;

  /** Those at an address, x, y pairs, fetched and sorted in a worker. */
  static async fetched(url) {
    return Object.assign(new Cells([]), await aside(WORKER, { url: new URL(url, document.baseURI).href }));
  }

  /** `points`: x, y pairs. */
  constructor(points) {
    const n = (this.size = points.length / 2);
    const side = (this.side = Math.max(1, Math.min(MOST, Math.round(Math.sqrt(n / POINTS)))));
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < 2 * n; i += 2) {
      const x = points[i];
      const y = points[i + 1];
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < low) low = y;
      if (y > high) high = y;
    }
    Object.assign(this, { left, right, low, high });
    // A point on the upper edge belongs to the last cell.
    this.across = side / Math.max(right - left, 1e-12);
    this.up = side / Math.max(high - low, 1e-12);
    // Where each cell begins, one place further on while they are filled: there it counts up to where the next one begins.
    const starts = new Uint32Array(side * side + 2);
    for (let i = 0; i < 2 * n; i += 2) starts[this.#cell(points[i], points[i + 1]) + 2] += 1;
    for (let i = 2; i < starts.length; i++) starts[i] += starts[i - 1];
    /** The points' indices, cell by cell, row by row; and their places, x, y pairs, in the same order. */
    Object.assign(this, { order: new Uint32Array(n), places: new Float32Array(2 * n) });
    for (let i = 0; i < n; i++) {
      const at = starts[this.#cell(points[2 * i], points[2 * i + 1]) + 1]++;
      this.order[at] = i;
      this.places[2 * at] = points[2 * i];
      this.places[2 * at + 1] = points[2 * i + 1];
    }
    this.starts = starts.subarray(0, -1);
  }

  #cell(x, y) {
    return this.#row(y) * this.side + this.#column(x);
  }

  /** Where each point stands in the order; made when it is first asked for. */
  get ranks() {
    if (!this.#ranks) {
      this.#ranks = new Uint32Array(this.size);
      for (let i = 0; i < this.size; i++) this.#ranks[this.order[i]] = i;
    }
    return this.#ranks;
  }

  /** What there is of each point, in the order of the cells, in an array of another type. */
  arrange(values, Type) {
    const out = new Type(this.size);
    for (let i = 0; i < out.length; i++) out[i] = values[this.order[i]];
    return out;
  }

  #column(x) {
    return Math.max(0, Math.min(this.side - 1, Math.floor((x - this.left) * this.across)));
  }

  #row(y) {
    return Math.max(0, Math.min(this.side - 1, Math.floor((y - this.low) * this.up)));
  }

  /** Stretches of `order` that hold all points of a box, and some around it: where each begins, and where it has ended. */
  box(left, right, low, high) {
    if (!this.size || right < this.left || left > this.right || high < this.low || low > this.high) return new Uint32Array();
    const [first, last] = [this.#column(left), this.#column(right)];
    const [bottom, top] = [this.#row(low), this.#row(high)];
    const runs = new Uint32Array(2 * (top - bottom + 1));
    for (let row = bottom, at = 0; row <= top; row++) {
      runs[at++] = this.starts[row * this.side + first];
      runs[at++] = this.starts[row * this.side + last + 1];
    }
    return runs;
  }

  /** The point nearest to a place among those that `counts(index)`, if one is within reach, else -1. */
  nearest(x, y, reach, counts = () => true) {
    let [best, found] = [reach * reach, -1];
    const runs = this.box(x - reach, x + reach, y - reach, y + reach);
    for (let run = 0; run < runs.length; run += 2) {
      for (let i = runs[run]; i < runs[run + 1]; i++) {
        const d = (this.places[2 * i] - x) ** 2 + (this.places[2 * i + 1] - y) ** 2;
        if (!(d < best) || !counts(this.order[i])) continue;
        best = d;
        found = this.order[i];
      }
    }
    return found;
  }

  /**
   * Which points lie in a polygon of [x, y] corners, as a byte each, in the points' own order. Exact, by the even-odd rule: only
   * where an edge passes through a cell are its points looked at one by one.
   */
  inside(corners) {
    const mask = new Uint8Array(this.size);
    const ys = corners.map(([, y]) => y);
    const xs = corners.map(([x]) => x);
    const [low, high] = [Math.min(...ys), Math.max(...ys)];
    if (corners.length < 3 || !this.size || high < this.low || low > this.high) return mask;
    const [first, last] = [this.#column(Math.min(...xs)), this.#column(Math.max(...xs))];
    const ring = Float64Array.from(corners.flat());
    const passed = new Uint8Array(this.side); // cells of a row
    for (let row = this.#row(low), end = this.#row(high); row <= end; row++) {
      this.#pass(ring, row, passed.fill(0));
      let within = null; // of the cells since the last one that was passed, all of them alike
      for (let column = first; column <= last; column++) {
        const cell = row * this.side + column;
        const from = this.starts[cell];
        const to = this.starts[cell + 1];
        if (passed[column]) within = null;
        if (from === to) continue;
        if (passed[column]) {
          for (let i = from; i < to; i++) mask[this.order[i]] = inside(ring, this.places[2 * i], this.places[2 * i + 1]);
        } else if ((within ??= inside(ring, this.places[2 * from], this.places[2 * from + 1]))) {
          for (let i = from; i < to; i++) mask[this.order[i]] = 1;
        }
      }
    }
    return mask;
  }

  /** Mark which cells of a row an edge of a polygon, of corners as `inside` takes them, passes through, or passes close to. */
  #pass(ring, row, passed) {
    // A cell more on each side, so that rounding never takes a cell for whole that is not. Outer cells reach beyond the grid.
    const low = row === 0 ? -Infinity : this.low + (row - 1) / this.up;
    const high = row === this.side - 1 ? Infinity : this.low + (row + 2) / this.up;
    for (let i = 0, j = ring.length - 2; i < ring.length; j = i, i += 2) {
      const a = ring[j + 1] <= ring[i + 1] ? j : i; // the lower end
      const b = i + j - a;
      const x = ring[a];
      const bottom = ring[a + 1];
      const top = ring[b + 1];
      if (top < low || bottom > high) continue;
      const slope = top === bottom ? 0 : (ring[b] - x) / (top - bottom);
      const one = x + slope * (Math.max(bottom, low) - bottom);
      const other = top === bottom ? ring[b] : x + slope * (Math.min(top, high) - bottom);
      const from = Math.max(0, this.#column(Math.min(one, other)) - 1);
      const to = Math.min(this.side - 1, this.#column(Math.max(one, other)) + 1);
      passed.fill(1, from, to + 1);
    }
  }
}

/** 1 where a place lies in a polygon, by the even-odd rule, else 0. `ring`: its corners, x and y of one after those of another. */
export function inside(ring, x, y) {
  let odd = 0;
  for (let i = 0, j = ring.length - 2; i < ring.length; j = i, i += 2) {
    const y0 = ring[j + 1];
    const y1 = ring[i + 1];
    if (y0 > y !== y1 > y && x < ((ring[i] - ring[j]) * (y - y0)) / (y1 - y0) + ring[j]) odd ^= 1;
  }
  return odd;
}
