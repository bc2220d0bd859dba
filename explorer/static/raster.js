// The points of a map too large for Plotly's WebGL: all of them counted into pixels, in the colours of their classes, whenever the
// axes move. What it costs depends on how many are in view, and on the canvas, and never piles up: it is drawn once a frame.

import { frame } from "./frame.js";

const DOT = [1, 9]; // CSS pixels across, at least and at most
const COVER = 340; // a dot is this wide, by the square root of the points in view: as Plotly's are
const ALONE = 0.75; // opacity of a single dot where they are few
const FAINT = 0.14; // and at least, where they are many
const OTHERS = 0.04; // how much a point counts that is not of the chosen group
const STEPS = 1024; // opacities that are told apart
const THICK = 6; // overlaps beyond which nothing shines through any more

export class Raster {
  #sums = new Float32Array();
  #pixels = null;

  /** `view()`: where the axes lie in the map's box, as LatentMap.view() tells it; null before there are any. */
  constructor(canvas, view) {
    Object.assign(this, { canvas, view });
  }

  /** Take points that have been sorted into Cells; null for none. */
  open(cells) {
    Object.assign(this, { cells, shades: null, weights: null });
    this.canvas.hidden = cells === null;
    this.#sums = new Float32Array();
    this.#pixels = null;
  }

  /** The number of each point's colour among `colours`, [red, green, blue] up to 255 each. */
  colour(shades, colours) {
    this.shades = new (colours.length > 256 ? Uint16Array : Uint8Array)(this.cells.size);
    for (let i = 0; i < this.shades.length; i++) this.shades[i] = shades[this.cells.order[i]];
    this.colours = colours;
  }

  /** Let the points of a group stand out: a byte for each, or null for none. */
  select(mask) {
    this.weights = mask && Float32Array.from(this.cells.order, (point) => (mask[point] ? 1 : OTHERS));
    this.redraw();
  }

  /** Draw with the next frame; `shown(shade)` says which colours are. */
  redraw(shown = this.shown) {
    this.shown = shown;
    if (this.cells && this.shades) frame.paint(this, () => this.#draw());
  }

  #draw() {
    const view = this.view();
    if (!view || !this.cells || !this.shades) return;
    const { canvas } = this;
    const [width, height] = [Math.round(view.width * view.ratio), Math.round(view.height * view.ratio)];
    if (!(width > 0 && height > 0)) return;
    if (canvas.width !== width || canvas.height !== height || !this.#pixels) {
      Object.assign(canvas, { width, height });
      this.#pixels = new ImageData(width, height);
    }
    Object.assign(canvas.style, { left: `${view.left}px`, top: `${view.top}px`, width: `${view.width}px`, height: `${view.height}px` });
    const runs = [...this.cells.box(view.x, view.x + view.width / view.scale, view.y - view.height / view.scale, view.y)];
    const inView = runs.reduce((sum, [from, to]) => sum + to - from, 0);
    const size = Math.max(DOT[0], Math.min(DOT[1], COVER / Math.sqrt(inView))) * view.ratio;
    this.#add(runs, view, width, height, size);
    this.#shade(width, height);
    canvas.getContext("2d").putImageData(this.#pixels, 0, 0);
  }

  /** Add up, for each pixel, how much of dots covers it, and of which colours. Around the canvas there is room for half a dot. */
  #add(runs, view, width, height, size) {
    const reach = (this.reach = Math.max(0, Math.ceil((size - 1) / 2)));
    const [across, down] = [width + 2 * reach, height + 2 * reach];
    const { offsets, cover } = stamp(size, reach, across);
    if (this.#sums.length === 4 * across * down) this.#sums.fill(0);
    else this.#sums = new Float32Array(4 * across * down);
    const { x, y } = this.cells;
    const { shades, weights } = this;
    const sums = this.#sums;
    const end = sums.length;
    const colours = new Float32Array(this.colours.flat());
    const shown = Uint8Array.from(this.colours, (_, shade) => (this.shown?.(shade) ?? true ? 1 : 0));
    const scale = view.scale * view.ratio;
    const [left, top] = [view.x, view.y];
    for (const [from, to] of runs) {
      for (let i = from; i < to; i++) {
        const shade = shades[i];
        if (!shown[shade]) continue;
        const column = Math.floor((x[i] - left) * scale);
        const row = Math.floor((top - y[i]) * scale);
        if (column < -reach || row < -reach || column >= width + reach || row >= height + reach) continue;
        const weight = weights ? weights[i] : 1;
        const red = colours[3 * shade];
        const green = colours[3 * shade + 1];
        const blue = colours[3 * shade + 2];
        const at = (row + reach) * across + column + reach;
        for (let j = 0; j < offsets.length; j++) {
          const o = 4 * (at + offsets[j]);
          if (o < 0 || o >= end) continue;
          const part = weight * cover[j];
          sums[o] += part;
          sums[o + 1] += part * red;
          sums[o + 2] += part * green;
          sums[o + 3] += part * blue;
        }
      }
    }
  }

  /** Each pixel's mean colour, the more opaque the more covers it; where dots crowd, each counts for less, so that density shows. */
  #shade(width, height) {
    const sums = this.#sums;
    let [covered, all] = [0, 0];
    for (let o = 0; o < sums.length; o += 4) {
      if (sums[o] === 0) continue;
      covered += 1;
      all += sums[o];
    }
    const each = Math.min(-Math.log(1 - ALONE), (1.2 * covered) / all);
    const opacity = new Uint8Array(STEPS);
    for (let i = 0; i < STEPS; i++) opacity[i] = Math.round(255 * (1 - Math.exp((-THICK * i) / (STEPS - 1))));
    const step = (each * (STEPS - 1)) / THICK;
    const faint = 255 * FAINT;
    const pixels = new Uint32Array(this.#pixels.data.buffer); // of little-endian bytes red, green, blue, opacity
    const reach = this.reach;
    for (let row = 0, i = 0; row < height; row++) {
      let o = 4 * ((row + reach) * (width + 2 * reach) + reach);
      for (const end = i + width; i < end; i++, o += 4) {
        const sum = sums[o];
        if (sum === 0) {
          pixels[i] = 0;
          continue;
        }
        const alpha = Math.max(opacity[Math.min(STEPS - 1, Math.floor(sum * step))], faint * Math.min(1, sum));
        pixels[i] = (alpha << 24) | (Math.round(sums[o + 3] / sum) << 16) | (Math.round(sums[o + 2] / sum) << 8) | Math.round(sums[o + 1] / sum);
      }
    }
  }
}

/** A round dot `size` pixels across, in rows of `across` pixels: how far each of its pixels is off, and how much of it it covers. */
function stamp(size, reach, across) {
  const [offsets, cover] = [[], []];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const part = Math.max(0, Math.min(1, size / 2 + 0.5 - Math.hypot(dx, dy)));
      if (part > 0) {
        offsets.push(dy * across + dx);
        cover.push(part);
      }
    }
  }
  return { offsets: Int32Array.from(offsets), cover: Float32Array.from(cover) };
}
