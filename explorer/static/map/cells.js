// Points sorted into the cells of a grid, so that queries are fast on a million points. Methods that run at every pointer move create
// no object per point, because a browser frees the memory late.

import { runInWorker } from "../shared/one_shot_worker.js";

const POINTS_PER_CELL = 4; // on average
const MAX_SIDE = 1024; // cells along a side of the grid

/** The address of the worker that fetches and sorts points. */
export const WORKER = new URL("./cells_worker.js", import.meta.url).href;

export class Cells {
  #slots = null;

  /** The points of the file at a URL, x, y pairs; a worker fetches and sorts them. */
  static async load(url) {
    return Object.assign(new Cells([]), await runInWorker(WORKER, { url: new URL(url, document.baseURI).href }));
  }

  /** `points`: x, y pairs. */
  constructor(points) {
    const n = (this.size = points.length / 2);
    const side = (this.side = Math.max(1, Math.min(MAX_SIDE, Math.round(Math.sqrt(n / POINTS_PER_CELL)))));
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
    // Cells per unit of x and of y. A point on the upper edge belongs to the last cell.
    this.across = side / Math.max(right - left, 1e-12);
    this.up = side / Math.max(high - low, 1e-12);
    // A counting sort. Entry c + 1 is cell c's insertion point; after the sort it is the start of cell c + 1.
    const starts = new Uint32Array(side * side + 2);
    for (let i = 0; i < 2 * n; i += 2) starts[this.#cell(points[i], points[i + 1]) + 2] += 1;
    for (let i = 2; i < starts.length; i++) starts[i] += starts[i - 1];
    /** The points' indices, cell by cell and row by row; and their positions, x, y pairs, in the same order. */
    Object.assign(this, { order: new Uint32Array(n), positions: new Float32Array(2 * n) });
    for (let i = 0; i < n; i++) {
      const slot = starts[this.#cell(points[2 * i], points[2 * i + 1]) + 1]++;
      this.order[slot] = i;
      this.positions[2 * slot] = points[2 * i];
      this.positions[2 * slot + 1] = points[2 * i + 1];
    }
    this.starts = starts.subarray(0, -1);
  }

  #cell(x, y) {
    return this.#row(y) * this.side + this.#column(x);
  }

  /** The inverse of `order`: order[slots[i]] is i. Computed at first use. */
  get slots() {
    if (!this.#slots) {
      this.#slots = new Uint32Array(this.size);
      for (let i = 0; i < this.size; i++) this.#slots[this.order[i]] = i;
    }
    return this.#slots;
  }

  /** One value per point, rearranged into the order of the cells, in an array of another type. */
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

  /** Ranges of `order` that contain all points of a box, and some around it: start and end of each, in one array. */
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

  /** The index of the point nearest to (x, y), at most `reach` away, for which `counts(index)` is true; -1 if there is none. */
  nearest(x, y, reach, counts = () => true) {
    let [best, found] = [reach * reach, -1];
    const runs = this.box(x - reach, x + reach, y - reach, y + reach);
    for (let run = 0; run < runs.length; run += 2) {
      for (let i = runs[run]; i < runs[run + 1]; i++) {
        const d = (this.positions[2 * i] - x) ** 2 + (this.positions[2 * i + 1] - y) ** 2;
        if (!(d < best) || !counts(this.order[i])) continue;
        best = d;
        found = this.order[i];
      }
    }
    return found;
  }

  /**
   * Which points are inside a polygon of [x, y] corners (even-odd rule): 1 or 0 for each point, by index. Exact. Only in cells that
   * an edge crosses is each point tested; any other cell is inside or outside as a whole.
   */
  inside(corners) {
    const mask = new Uint8Array(this.size);
    const ys = corners.map(([, y]) => y);
    const xs = corners.map(([x]) => x);
    const [low, high] = [Math.min(...ys), Math.max(...ys)];
    if (corners.length < 3 || !this.size || high < this.low || low > this.high) return mask;
    const [first, last] = [this.#column(Math.min(...xs)), this.#column(Math.max(...xs))];
    const ring = Float64Array.from(corners.flat());
    const crossed = new Uint8Array(this.side); // 1 for each cell of a row that an edge crosses
    for (let row = this.#row(low), end = this.#row(high); row <= end; row++) {
      this.#markCrossed(ring, row, crossed.fill(0));
      let within = null; // whether the cells since the last crossed one are inside; null if not known
      for (let column = first; column <= last; column++) {
        const cell = row * this.side + column;
        const from = this.starts[cell];
        const to = this.starts[cell + 1];
        if (crossed[column]) within = null;
        if (from === to) continue;
        if (crossed[column]) {
          for (let i = from; i < to; i++) mask[this.order[i]] = inside(ring, this.positions[2 * i], this.positions[2 * i + 1]);
        } else if ((within ??= inside(ring, this.positions[2 * from], this.positions[2 * from + 1]))) {
          for (let i = from; i < to; i++) mask[this.order[i]] = 1;
        }
      }
    }
    return mask;
  }

  /** Mark the cells of a row that an edge of a polygon crosses, and their neighbours. `ring`: as in the function `inside`. */
  #markCrossed(ring, row, crossed) {
    // One cell of margin on each side, so that rounding cannot miss a crossed cell. The outer rows have no outer limit.
    const low = row === 0 ? -Infinity : this.low + (row - 1) / this.up;
    const high = row === this.side - 1 ? Infinity : this.low + (row + 2) / this.up;
    for (let i = 0, j = ring.length - 2; i < ring.length; j = i, i += 2) {
      const a = ring[j + 1] <= ring[i + 1] ? j : i; // the lower end of the edge
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
      crossed.fill(1, from, to + 1);
    }
  }
}

/** 1 if (x, y) is inside a polygon (even-odd rule), else 0. `ring`: the corners' coordinates, x and y alternating. */
export function inside(ring, x, y) {
  let odd = 0;
  for (let i = 0, j = ring.length - 2; i < ring.length; j = i, i += 2) {
    const y0 = ring[j + 1];
    const y1 = ring[i + 1];
    if (y0 > y !== y1 > y && x < ((ring[i] - ring[j]) * (y - y0)) / (y1 - y0) + ring[j]) odd ^= 1;
  }
  return odd;
}
