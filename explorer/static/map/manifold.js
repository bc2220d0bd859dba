// Decoded pictures behind the points, on a grid over the map that is refined on zooming in.

import { frame } from "../shared/frame.js";
import { imageData } from "../pixels/picture.js";

const CELL_SIZE = 46; // CSS pixels of a cell's side, about, at any zoom
const COARSE_LEVELS = 2; // a grid this many levels coarser is drawn first
const MAX_CACHED = 2048; // cells in the cache
const MAX_CELL_SIDE = 96; // pixels of a cached picture's longer side
const MAX_LIFTS = 24; // positions that are lifted to latents in one task of the idle queue

export class Manifold {
  #cells = new Map(); // the cache: {canvas, trust} by key, null where no picture is drawn
  #fillCount = 0; // counts calls of #fill, so that earlier ones stop
  #filling = ""; // the view that is being filled
  shown = false;

  /** `view()`: the map's view, as LatentMap.view returns it. */
  constructor(canvas, view) {
    Object.assign(this, { canvas, view });
  }

  open(model) {
    this.model = model;
    this.#cells.clear();
    this.#filling = "";
    this.#fillCount += 1;
    this.redraw();
  }

  show(shown) {
    this.shown = shown;
    this.canvas.hidden = !shown;
    this.#fillCount += 1;
    this.#filling = "";
    this.redraw();
  }

  redraw() {
    if (this.shown) frame.paint(this, () => this.#draw());
  }

  /** The cells of a level that are in view: their centres on the map, and their places on the screen in CSS pixels. */
  #grid(level, { x, y, width, height, scale }) {
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
    const level = Math.round(Math.log2((this.model.projection.width * view.scale) / CELL_SIZE));
    const levels = [level - COARSE_LEVELS, level].map((each) => this.#grid(each, view));
    for (const cells of levels) for (const cell of cells) this.#paint(context, cell, view.ratio);
    this.#fill(`${level} ${view.x} ${view.y} ${view.width} ${view.height}`, levels, view);
  }

  #paint(context, { key, left, top, side }, ratio) {
    const cell = this.#cells.get(key);
    if (cell === undefined) return;
    // Edges on whole pixels, so that neighbouring cells meet without gaps.
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

  /** Decode the missing cells of a view while the pointer is idle: the coarse level first, each from the centre outwards. */
  async #fill(name, levels, view) {
    if (name === this.#filling) return;
    this.#filling = name;
    const fill = ++this.#fillCount;
    const { model } = this;
    const fromCentre = ({ left, top }) => Math.hypot(left - view.width / 2, top - view.height / 2);
    const missing = levels.flatMap((cells) => cells.filter(({ key }) => !this.#cells.has(key)).sort((a, b) => fromCentre(a) - fromCentre(b)));
    while (missing.length && fill === this.#fillCount && !model.closed) {
      try {
        await model.idleQueue.run(() => fill === this.#fillCount && this.#decode(missing), 1);
      } catch {
        return; // The decoder failed. The next view tries again.
      }
      this.redraw();
    }
  }

  async #decode(missing) {
    const { projection, decoder, description } = this.model;
    const batch = [];
    for (let i = 0; i < MAX_LIFTS && missing.length && batch.length < decoder.batch; i++) {
      const cell = missing.shift();
      const { z, gap } = projection.lift(cell.x, cell.y);
      const trust = projection.confidence(gap);
      // Far from all images the lift is not reliable, so the cell stays empty.
      if (trust > 0) batch.push({ ...cell, z, trust });
      else this.#cache(cell.key, null);
    }
    if (!batch.length) return;
    const pixels = await decoder.decode(batch.map(({ z }) => z));
    const size = pixels.length / batch.length;
    batch.forEach(({ key, trust }, i) => {
      this.#cache(key, { canvas: cellCanvas(imageData(pixels.subarray(i * size, (i + 1) * size), description.shape)), trust });
    });
  }

  #cache(key, cell) {
    this.#cells.set(key, cell);
    if (this.#cells.size > MAX_CACHED) this.#cells.delete(this.#cells.keys().next().value);
  }
}

/** A canvas with a picture, reduced to MAX_CELL_SIDE if it is larger. */
function cellCanvas(data) {
  const { width, height } = data;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").putImageData(data, 0, 0);
  const scale = MAX_CELL_SIDE / Math.max(width, height);
  if (scale >= 1) return canvas;
  const reduced = Object.assign(document.createElement("canvas"), { width: Math.round(width * scale), height: Math.round(height * scale) });
  reduced.getContext("2d").drawImage(canvas, 0, 0, reduced.width, reduced.height);
  return reduced;
}
