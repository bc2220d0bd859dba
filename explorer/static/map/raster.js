// Draws the points of a map that is too large for Plotly's WebGL: the colours of the points in each pixel of a canvas are added up.
// When the axes move it is drawn at most once per frame: a subset of the points while they move, all points afterwards.

import { frame } from "../shared/frame.js";

const [MIN_DOT, MAX_DOT] = [1, 9]; // diameter of a dot in CSS pixels
const DOT_SCALE = 340; // a dot's diameter in CSS pixels, times the square root of the number of points in view; as in Plotly
const DOT_OPACITY = 0.75; // of a single dot, where there are few
const MIN_OPACITY = 0.14; // of a pixel with a dot, where there are many
const FULL_WEIGHT = 16; // of a point: an integer, so that fractions of a pixel can be counted
const UNSELECTED_WEIGHT = 1; // of a point outside the highlighted group
const MAX_MOVING_PIXELS = 400_000; // covered by the subset of dots that is drawn while the axes move
const IDLE_DELAY = 120; // ms without movement after which all points are drawn
const OPACITY_STEPS = 1024; // entries of the table of opacities
const MAX_DEPTH = 6; // optical depth of the table's last entry: opacity is 1 - exp(-depth)

export class Raster {
  #sums = new Uint32Array(); // for each pixel: the sum of the weights, and of the weights times red, green and blue
  #buffer = this.#sums; // memory for the sums, reused when the size of the dots changes
  #contributions = null; // for each colour: what a point of weight 1 adds to the sums
  #pixels = null;
  #drawn = -Infinity; // time of the last drawing, by performance.now()
  #timer = 0;

  /** `view()`: the map's view, as LatentMap.view returns it. */
  constructor(canvas, view) {
    Object.assign(this, { canvas, view });
  }

  /** Show the points of these Cells; null for none. */
  open(cells) {
    Object.assign(this, { cells, shades: null, weights: null });
    clearTimeout(this.#timer);
    this.canvas.hidden = cells === null;
    this.canvas.width = 0;
    this.#sums = this.#buffer = new Uint32Array();
    this.#pixels = null;
  }

  /** `shades`: each point's index into `colours`, which are [red, green, blue], 0 to 255. */
  colour(shades, colours) {
    this.shades = this.cells.arrange(shades, colours.length > 256 ? Uint16Array : Uint8Array);
    this.colours = colours;
    this.#contributions = new Int32Array(4 * colours.length);
  }

  /** Highlight a group, 1 or 0 for each point; null for none. */
  select(mask) {
    this.weights = mask && this.cells.arrange(mask, Uint8Array);
    if (mask) for (let i = 0; i < mask.length; i++) this.weights[i] = this.weights[i] ? FULL_WEIGHT : UNSELECTED_WEIGHT;
    this.redraw();
  }

  /** Draw in the next frame the points whose colour `shown(shade)` accepts. */
  redraw(shown = this.shown) {
    this.shown = shown;
    if (this.cells && this.shades) frame.paint(this, () => this.#draw());
  }

  #draw() {
    const moving = performance.now() - this.#drawn < IDLE_DELAY;
    this.#drawn = performance.now();
    clearTimeout(this.#timer);
    const view = this.view();
    if (!view || !this.cells || !this.shades) return;
    const { canvas } = this;
    const [width, height] = [Math.round(view.width * view.ratio), Math.round(view.height * view.ratio)];
    if (!(width > 0 && height > 0)) return;
    if (canvas.width !== width || canvas.height !== height || !this.#pixels) {
      Object.assign(canvas, { width, height });
      this.#pixels = new ImageData(width, height);
    }
    const box = { left: `${view.left}px`, top: `${view.top}px`, width: `${view.width}px`, height: `${view.height}px` };
    for (const side in box) if (canvas.style[side] !== box[side]) canvas.style[side] = box[side];
    const runs = this.cells.box(view.x, view.x + view.width / view.scale, view.y - view.height / view.scale, view.y);
    let inView = 0;
    for (let run = 0; run < runs.length; run += 2) inView += runs[run + 1] - runs[run];
    const size = Math.max(MIN_DOT, Math.min(MAX_DOT, DOT_SCALE / Math.sqrt(inView))) * view.ratio; // diameter in canvas pixels
    const pixels = Math.max(1, size ** 2); // per dot
    const stride = moving ? Math.ceil((inView * pixels) / MAX_MOVING_PIXELS) : 1;
    if (stride > 1) this.#timer = setTimeout(() => this.redraw(), IDLE_DELAY);
    this.#addPoints(runs, view, width, height, size, stride);
    this.#shade(width, height, size > 1 || this.weights ? FULL_WEIGHT : 1);
    canvas.getContext("2d").putImageData(this.#pixels, 0, 0);
  }

  /** Compute the sums of each pixel, with a margin of half a dot around the canvas. */
  #addPoints(runs, view, width, height, size, stride) {
    const reach = (this.reach = Math.max(0, Math.ceil((size - 1) / 2)));
    const [across, down] = [width + 2 * reach, height + 2 * reach];
    const { offsets, cover } = dotMask(size, reach, across);
    // Allocated once for the largest dots, because the browser frees a replaced buffer late.
    const margin = 2 * Math.ceil((MAX_DOT * view.ratio - 1) / 2);
    if (this.#buffer.length < 4 * across * down) this.#buffer = new Uint32Array(4 * (width + margin) * (height + margin));
    this.#sums = this.#buffer.subarray(0, 4 * across * down).fill(0);
    const colours = this.#colourContributions();
    const scale = view.scale * view.ratio;
    const frame = { across, down, scale, left: view.x - reach / scale, top: view.y + reach / scale };
    for (let run = 0; run < runs.length; run += 2) {
      if (offsets.length === 1) this.#addPixels(runs[run], runs[run + 1], stride, colours, frame);
      else this.#addDots(runs[run], runs[run + 1], stride, colours, frame, offsets, cover);
    }
  }

  /** What a point of each colour adds to a pixel's sums: nothing if the colour is not shown. */
  #colourContributions() {
    const contributions = this.#contributions;
    for (let shade = 0, o = 0; shade < this.colours.length; shade++) {
      const counts = this.shown?.(shade) ?? true ? 1 : 0;
      contributions[o++] = counts;
      for (let channel = 0; channel < 3; channel++) contributions[o++] = counts * this.colours[shade][channel];
    }
    return contributions;
  }

  /** Add dots of one pixel each. */
  #addPixels(from, to, stride, colours, { across, down, scale, left, top }) {
    const { positions } = this.cells;
    const { shades, weights } = this;
    const sums = this.#sums;
    for (let i = from; i < to; i += stride) {
      const column = (positions[2 * i] - left) * scale;
      const row = (top - positions[2 * i + 1]) * scale;
      if (!(column >= 0 && row >= 0 && column < across && row < down)) continue;
      const weight = weights === null ? 1 : weights[i];
      const shade = 4 * shades[i];
      const o = 4 * (Math.imul(row, across) + (column | 0));
      sums[o] += weight * colours[shade];
      sums[o + 1] += weight * colours[shade + 1];
      sums[o + 2] += weight * colours[shade + 2];
      sums[o + 3] += weight * colours[shade + 3];
    }
  }

  /** Add dots of several pixels each, at `offsets` from their centre, covered by the fractions `cover`. */
  #addDots(from, to, stride, colours, { across, down, scale, left, top }, offsets, cover) {
    const { positions } = this.cells;
    const { shades, weights } = this;
    const sums = this.#sums;
    const end = sums.length;
    for (let i = from; i < to; i += stride) {
      const column = (positions[2 * i] - left) * scale;
      const row = (top - positions[2 * i + 1]) * scale;
      if (!(column >= 0 && row >= 0 && column < across && row < down)) continue;
      const weight = weights === null ? FULL_WEIGHT : weights[i];
      const shade = 4 * shades[i];
      const at = (row | 0) * across + (column | 0);
      for (let j = 0; j < offsets.length; j++) {
        const o = 4 * (at + offsets[j]);
        if (o < 0 || o >= end) continue;
        const part = Math.round(weight * cover[j]);
        sums[o] += part * colours[shade];
        sums[o + 1] += part * colours[shade + 1];
        sums[o + 2] += part * colours[shade + 2];
        sums[o + 3] += part * colours[shade + 3];
      }
    }
  }

  /** Colour each pixel with the mean of its points; more points make it more opaque. Where dots overlap more on average, each adds
   * less, so that differences in density stay visible. */
  #shade(width, height, fullWeight) {
    const sums = this.#sums;
    let [covered, total] = [0, 0];
    for (let o = 0; o < sums.length; o += 4) {
      if (sums[o] === 0) continue;
      covered += fullWeight;
      total += sums[o];
    }
    const depth = Math.min(-Math.log(1 - DOT_OPACITY), (1.2 * covered) / total); // optical depth of one dot
    const opacity = new Uint8Array(OPACITY_STEPS);
    for (let i = 0; i < OPACITY_STEPS; i++) opacity[i] = Math.round(255 * (1 - Math.exp((-MAX_DEPTH * i) / (OPACITY_STEPS - 1))));
    const step = (depth * (OPACITY_STEPS - 1)) / (MAX_DEPTH * fullWeight);
    const faintest = (255 * MIN_OPACITY) / fullWeight;
    const pixels = new Uint32Array(this.#pixels.data.buffer); // little-endian: the bytes are red, green, blue, opacity
    const reach = this.reach;
    for (let row = 0, i = 0; row < height; row++) {
      let o = 4 * ((row + reach) * (width + 2 * reach) + reach);
      for (const end = i + width; i < end; i++, o += 4) {
        const sum = sums[o];
        if (sum === 0) {
          pixels[i] = 0;
          continue;
        }
        const alpha = Math.max(opacity[Math.min(OPACITY_STEPS - 1, (sum * step) | 0)], faintest * Math.min(fullWeight, sum));
        const part = 1 / sum;
        pixels[i] = (alpha << 24) | ((sums[o + 3] * part + 0.5) << 16) | ((sums[o + 2] * part + 0.5) << 8) | (sums[o + 1] * part + 0.5);
      }
    }
  }
}

/** A round dot with a diameter of `size` pixels, in an image with rows of `across` pixels: the offset of each of its pixels from
 * the centre, and the fraction of the pixel that the dot covers. */
function dotMask(size, reach, across) {
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
