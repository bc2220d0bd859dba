// The manifold: behind the points, the plane of the map as the decoder draws it, on a lattice that refines as one zooms.

import { frame } from "../shared/frame.js";
import { imageData } from "../pixels/picture.js";

const CELL = 46; // CSS pixels a cell is about as large as, at any zoom
const COARSE = 2; // levels above the wanted one that are drawn first
const KEEP = 2048; // cells kept
const LARGEST = 96; // pixels of a cell that is kept, at most
const LIFTS = 24; // cells looked at in one turn

export class Manifold {
  #cells = new Map();
  #turn = 0;
  #filling = "";
  shown = false;

  /** `view()`: where the axes lie in the map's box, {left, top, width, height, x, y, scale, ratio}; null before there are any. */
  constructor(canvas, view) {
    Object.assign(this, { canvas, view });
  }

  open(model) {
    this.model = model;
    this.#cells.clear();
    this.#filling = "";
    this.#turn += 1;
    this.redraw();
  }

  show(shown) {
    this.shown = shown;
    this.canvas.hidden = !shown;
    this.#turn += 1;
    this.#filling = "";
    this.redraw();
  }

  redraw() {
    if (this.shown) frame.paint(this, () => this.#draw());
  }

  /** The cells of a level in view: column and row of the lattice, and their place on the screen. */
  #lattice(level, { x, y, width, height, scale }) {
    const size = this.model.projection.width / 2 ** level;
    const [first, last] = [Math.floor(x / size), Math.floor((x + width / scale) / size)];
    const [low, high] = [Math.floor((y - height / scale) / size), Math.floor(y / size)];
    const cells = [];
    for (let j = low; j <= high; j++) {
      for (let i = first; i <= last; i++) {
        const [left, top] = [(i * size - x) * scale, (y - (j + 1) * size) * scale];
        cells.push({ key: `${level} ${i} ${j}`, x: (i + 0.5) * size, y: (j + 0.5) * size, left, top, side: size * scale });
      }
    }
    return cells;
  }

  #draw() {
    const view = this.view();
    if (!view || !this.model?.projection) return;
    const { canvas } = this;
    const [width, height] = [Math.round(view.width * view.ratio), Math.round(view.height * view.ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    Object.assign(canvas.style, { left: `${view.left}px`, top: `${view.top}px`, width: `${view.width}px`, height: `${view.height}px` });
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    const level = Math.round(Math.log2((this.model.projection.width * view.scale) / CELL));
    const levels = [level - COARSE, level].map((each) => this.#lattice(each, view));
    for (const cells of levels) for (const cell of cells) this.#paint(context, cell, view.ratio);
    this.#fill(`${level} ${view.x} ${view.y} ${view.width} ${view.height}`, levels, view);
  }

  #paint(context, { key, left, top, side }, ratio) {
    const cell = this.#cells.get(key);
    if (cell === undefined) return;
    // Edges on whole pixels, so that neighbours meet without seams.
    const edge = (value) => Math.round(value * ratio);
    const [x0, y0, x1, y1] = [edge(left), edge(top), edge(left + side), edge(top + side)];
    context.clearRect(x0, y0, x1 - x0, y1 - y0);
    if (!cell) return;
    const { width, height } = cell.canvas;
    const longest = Math.max(width, height);
    const [w, h] = [Math.round(((x1 - x0) * width) / longest), Math.round(((y1 - y0) * height) / longest)];
    context.imageSmoothingEnabled = w < width;
    context.globalAlpha = cell.trust;
    context.drawImage(cell.canvas, x0 + (x1 - x0 - w) / 2, y0 + (y1 - y0 - h) / 2, w, h);
    context.globalAlpha = 1;
  }

  /** Decode what is missing in view, the coarse level first, each from the middle outwards, whenever the hand is still. */
  async #fill(name, levels, view) {
    if (name === this.#filling) return;
    this.#filling = name;
    const turn = ++this.#turn;
    const { model } = this;
    const fromMiddle = ({ left, top }) => Math.hypot(left - view.width / 2, top - view.height / 2);
    const missing = levels.flatMap((cells) => cells.filter(({ key }) => !this.#cells.has(key)).sort((a, b) => fromMiddle(a) - fromMiddle(b)));
    while (missing.length && turn === this.#turn && !model.closed) {
      try {
        await model.turns.rest(() => turn === this.#turn && this.#decode(missing), 1);
      } catch {
        return; // No decoder any more; the next view asks again.
      }
      this.redraw();
    }
  }

  async #decode(missing) {
    const { projection, decoder, description } = this.model;
    const batch = [];
    for (let i = 0; i < LIFTS && missing.length && batch.length < decoder.batch; i++) {
      const cell = missing.shift();
      const { z, gap } = projection.lift(cell.x, cell.y);
      const trust = projection.trust(gap);
      // Where no image is near, nothing vouches for a picture: the plane stays empty.
      if (trust > 0) batch.push({ ...cell, z, trust });
      else this.#keep(cell.key, null);
    }
    if (!batch.length) return;
    const pixels = await decoder.decode(batch.map(({ z }) => z));
    const size = pixels.length / batch.length;
    batch.forEach(({ key, trust }, i) => {
      this.#keep(key, { canvas: small(imageData(pixels.subarray(i * size, (i + 1) * size), description.shape)), trust });
    });
  }

  #keep(key, cell) {
    this.#cells.set(key, cell);
    if (this.#cells.size > KEEP) this.#cells.delete(this.#cells.keys().next().value);
  }
}

/** A picture on a canvas of its own, no larger than a cell needs. */
function small(data) {
  const { width, height } = data;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").putImageData(data, 0, 0);
  const scale = LARGEST / Math.max(width, height);
  if (scale >= 1) return canvas;
  const less = Object.assign(document.createElement("canvas"), { width: Math.round(width * scale), height: Math.round(height * scale) });
  less.getContext("2d").drawImage(canvas, 0, 0, less.width, less.height);
  return less;
}
