// The points of a map too large for Plotly's WebGL: counted into pixels, in the colours of their classes, whenever the axes move.
// Drawn at most once a frame, so that nothing piles up; while the hand moves some stand for all, and at rest all are drawn.

import { frame } from "../shared/frame.js";

const DOT = [1, 9]; // CSS pixels across, at least and at most
const COVER = 340; // a dot is this wide, by the square root of the points in view: as Plotly's are
const ALONE = 0.75; // opacity of a single dot where they are few
const FAINT = 0.14; // and at least, where they are many
const WHOLE = 16; // what a point counts where parts of one are counted
const OTHERS = 1; // and one that is not of the chosen group
const MOVING = 400_000; // pixels of dots, evenly chosen, that stand for all while the hand moves
const REST = 120; // ms without movement after which all are drawn
const STEPS = 1024; // opacities that are told apart
const THICK = 6; // overlaps beyond which nothing shines through any more

export class Raster {
  #sums = new Uint32Array(); // of each pixel: how much covers it, and that times red, green and blue
  #room = this.#sums; // what they lie in: dots of another size need more or less of it, not another
  #weighed = null; // of each colour: what a point of it adds to the sums
  #pixels = null;
  #drawn = -Infinity; // when, by the page's clock
  #timer = 0;

  /** `view()`: where the axes lie in the map's box, as LatentMap.view() tells it; null before there are any. */
  constructor(canvas, view) {
    Object.assign(this, { canvas, view });
  }

  /** Take points that have been sorted into Cells; null for none. */
  open(cells) {
    Object.assign(this, { cells, shades: null, weights: null });
    clearTimeout(this.#timer);
    this.canvas.hidden = cells === null;
    this.canvas.width = 0;
    this.#sums = this.#room = new Uint32Array();
    this.#pixels = null;
  }

  /** The number of each point's colour among `colours`, [red, green, blue] up to 255 each. */
  colour(shades, colours) {
    this.shades = this.cells.arrange(shades, colours.length > 256 ? Uint16Array : Uint8Array);
    this.colours = colours;
    this.#weighed = new Int32Array(4 * colours.length);
  }

  /** Let the points of a group stand out: a byte for each, or null for none. */
  select(mask) {
    this.weights = mask && this.cells.arrange(mask, Uint8Array);
    if (mask) for (let i = 0; i < mask.length; i++) this.weights[i] = this.weights[i] ? WHOLE : OTHERS;
    this.redraw();
  }

  /** Draw with the next frame; `shown(shade)` says which colours are. */
  redraw(shown = this.shown) {
    this.shown = shown;
    if (this.cells && this.shades) frame.paint(this, () => this.#draw());
  }

  #draw() {
    const moving = performance.now() - this.#drawn < REST;
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
    const size = Math.max(DOT[0], Math.min(DOT[1], COVER / Math.sqrt(inView))) * view.ratio;
    const pixels = Math.max(1, size ** 2); // of a dot
    const stride = moving ? Math.ceil((inView * pixels) / MOVING) : 1;
    if (stride > 1) this.#timer = setTimeout(() => this.redraw(), REST);
    this.#add(runs, view, width, height, size, stride);
    this.#shade(width, height, size > 1 || this.weights ? WHOLE : 1);
    canvas.getContext("2d").putImageData(this.#pixels, 0, 0);
  }

  /** Add up, for each pixel, how much of dots covers it, and of which colours. Around the canvas there is room for half a dot. */
  #add(runs, view, width, height, size, stride) {
    const reach = (this.reach = Math.max(0, Math.ceil((size - 1) / 2)));
    const [across, down] = [width + 2 * reach, height + 2 * reach];
    const { offsets, cover } = stamp(size, reach, across);
    // Room for the largest dots, once: what is thrown away for something larger is kept by the browser for long.
    const most = 2 * Math.ceil((DOT[1] * view.ratio - 1) / 2);
    if (this.#room.length < 4 * across * down) this.#room = new Uint32Array(4 * (width + most) * (height + most));
    this.#sums = this.#room.subarray(0, 4 * across * down).fill(0);
    const colours = this.#weigh();
    const scale = view.scale * view.ratio;
    const frame = { across, down, scale, left: view.x - reach / scale, top: view.y + reach / scale };
    for (let run = 0; run < runs.length; run += 2) {
      if (offsets.length === 1) this.#specks(runs[run], runs[run + 1], stride, colours, frame);
      else this.#dots(runs[run], runs[run + 1], stride, colours, frame, offsets, cover);
    }
  }

  /** Colours that are not shown weigh nothing. */
  #weigh() {
    const weighed = this.#weighed;
    for (let shade = 0, o = 0; shade < this.colours.length; shade++) {
      const counts = this.shown?.(shade) ?? true ? 1 : 0;
      weighed[o++] = counts;
      for (let channel = 0; channel < 3; channel++) weighed[o++] = counts * this.colours[shade][channel];
    }
    return weighed;
  }

  /** Points of one pixel: the many. */
  #specks(from, to, stride, colours, { across, down, scale, left, top }) {
    const { places } = this.cells;
    const { shades, weights } = this;
    const sums = this.#sums;
    for (let i = from; i < to; i += stride) {
      const column = (places[2 * i] - left) * scale;
      const row = (top - places[2 * i + 1]) * scale;
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

  #dots(from, to, stride, colours, { across, down, scale, left, top }, offsets, cover) {
    const { places } = this.cells;
    const { shades, weights } = this;
    const sums = this.#sums;
    const end = sums.length;
    for (let i = from; i < to; i += stride) {
      const column = (places[2 * i] - left) * scale;
      const row = (top - places[2 * i + 1]) * scale;
      if (!(column >= 0 && row >= 0 && column < across && row < down)) continue;
      const weight = weights === null ? WHOLE : weights[i];
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

  /** Each pixel's mean colour, the more opaque the more covers it; where dots crowd, each counts for less, so that density shows. */
  #shade(width, height, whole) {
    const sums = this.#sums;
    let [covered, all] = [0, 0];
    for (let o = 0; o < sums.length; o += 4) {
      if (sums[o] === 0) continue;
      covered += whole;
      all += sums[o];
    }
    const each = Math.min(-Math.log(1 - ALONE), (1.2 * covered) / all);
    const opacity = new Uint8Array(STEPS);
    for (let i = 0; i < STEPS; i++) opacity[i] = Math.round(255 * (1 - Math.exp((-THICK * i) / (STEPS - 1))));
    const step = (each * (STEPS - 1)) / (THICK * whole);
    const faint = (255 * FAINT) / whole;
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
        const alpha = Math.max(opacity[Math.min(STEPS - 1, (sum * step) | 0)], faint * Math.min(whole, sum));
        const part = 1 / sum;
        pixels[i] = (alpha << 24) | ((sums[o + 3] * part + 0.5) << 16) | ((sums[o + 2] * part + 0.5) << 8) | (sums[o + 1] * part + 0.5);
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
