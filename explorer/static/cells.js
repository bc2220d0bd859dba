// Points sorted into the cells of a grid, so that a million of them are asked about as fast as a few.

const POINTS = 4; // in a cell, on average
const MOST = 1024; // cells along a side

export class Cells {
  /** `points`: x, y pairs. */
  constructor(points) {
    const n = (this.size = points.length / 2);
    this.points = points;
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
    const starts = (this.starts = new Uint32Array(side * side + 1));
    const cell = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
      cell[i] = this.#row(points[2 * i + 1]) * side + this.#column(points[2 * i]);
      starts[cell[i] + 1] += 1;
    }
    for (let i = 1; i <= side * side; i++) starts[i] += starts[i - 1];
    const next = starts.slice(0, -1);
    /** The points' indices, cell by cell, row by row; and their places in the same order. */
    Object.assign(this, { order: new Uint32Array(n), x: new Float32Array(n), y: new Float32Array(n) });
    for (let i = 0; i < n; i++) {
      const at = next[cell[i]]++;
      this.order[at] = i;
      this.x[at] = points[2 * i];
      this.y[at] = points[2 * i + 1];
    }
  }

  #column(x) {
    return Math.max(0, Math.min(this.side - 1, Math.floor((x - this.left) * this.across)));
  }

  #row(y) {
    return Math.max(0, Math.min(this.side - 1, Math.floor((y - this.low) * this.up)));
  }

  /** Stretches [from, to) of `order` that hold all points of a box, and some around it. */
  *box(left, right, low, high) {
    if (!this.size || right < this.left || left > this.right || high < this.low || low > this.high) return;
    const [first, last] = [this.#column(left), this.#column(right)];
    for (let row = this.#row(low), end = this.#row(high); row <= end; row++) {
      const [from, to] = [this.starts[row * this.side + first], this.starts[row * this.side + last + 1]];
      if (from < to) yield [from, to];
    }
  }

  /** The point nearest to a place among those that `counts(index)`, if one is within reach, else -1. */
  nearest(x, y, reach, counts = () => true) {
    let [best, found] = [reach * reach, -1];
    for (const [from, to] of this.box(x - reach, x + reach, y - reach, y + reach)) {
      for (let i = from; i < to; i++) {
        const d = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
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
    for (let row = this.#row(low), end = this.#row(high); row <= end; row++) {
      const passed = this.#passed(corners, row);
      let within = null; // of the cells since the last one that was passed, all of them alike
      for (let column = first; column <= last; column++) {
        const cell = row * this.side + column;
        const [from, to] = [this.starts[cell], this.starts[cell + 1]];
        if (passed[column]) within = null;
        if (from === to) continue;
        if (passed[column]) {
          for (let i = from; i < to; i++) mask[this.order[i]] = inside(corners, this.x[i], this.y[i]);
        } else if ((within ??= inside(corners, this.x[from], this.y[from]))) {
          for (let i = from; i < to; i++) mask[this.order[i]] = 1;
        }
      }
    }
    return mask;
  }

  /** Which cells of a row an edge of a polygon passes through, or passes close to. */
  #passed(corners, row) {
    const passed = new Uint8Array(this.side);
    // A cell more on each side, so that rounding never takes a cell for whole that is not. Outer cells reach beyond the grid.
    const low = row === 0 ? -Infinity : this.low + (row - 1) / this.up;
    const high = row === this.side - 1 ? Infinity : this.low + (row + 2) / this.up;
    for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
      let [[x0, y0], [x1, y1]] = [corners[j], corners[i]];
      if (y0 > y1) [x0, y0, x1, y1] = [x1, y1, x0, y0];
      if (y1 < low || y0 > high) continue;
      const at = (y) => (y1 === y0 ? x0 : x0 + ((y - y0) / (y1 - y0)) * (x1 - x0));
      const ends = y1 === y0 ? [x0, x1] : [at(Math.max(y0, low)), at(Math.min(y1, high))];
      const from = Math.max(0, this.#column(Math.min(...ends)) - 1);
      const to = Math.min(this.side - 1, this.#column(Math.max(...ends)) + 1);
      passed.fill(1, from, to + 1);
    }
    return passed;
  }
}

/** 1 where a place lies in a polygon, by the even-odd rule, else 0. */
export function inside(corners, x, y) {
  let odd = 0;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const [[x0, y0], [x1, y1]] = [corners[i], corners[j]];
    if (y0 > y !== y1 > y && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0) odd ^= 1;
  }
  return odd;
}
