// The map: Plotly draws axes and legend, and the points of a map of ordinary size; a larger one's are a raster under the same axes.
// The nearest point and the marker are ours.

import { Cells } from "./cells.js";
import { palette, rgb, scale, shades } from "./colours.js";
import { frame } from "../shared/frame.js";
import { thumbnails } from "../pixels/picture.js";
import { Raster } from "./raster.js";
import { loadPlotly } from "../shared/load_plotly.js";

const MOST = 20_000; // points that Plotly's WebGL moves at frame rate
const FEW = 20; // classes that a legend has room for; more are named on the map itself
const MANY = 150; // classes beyond which names would cover the map
const MARGIN = { l: 34, r: 8, t: 4, b: 30 }; // CSS pixels around the axes
const LEGEND = 41; // above them, where there is one, of a single row
const AIR = 1.14; // the axes' length, by that of what is on them
const SOME = 500; // members of a class that tell where its name goes
const NEAR = 9; // pixels within which the pointer is on a point
const AXES = { umap: ["UMAP 1", "UMAP 2"], pca: ["first principal direction", "second principal direction"], latents: ["first latent", "second latent"] };

export class LatentMap {
  lassoing = false; // whether dragging draws a loop
  opening = false; // whether the points are those of a model that is left
  #classOf = null;
  #classes = [];
  #coloured = [];
  #group = null; // a byte for each point, where some of them stand out
  #place = null;
  #pointsShown = true;

  /**
   * `on.hover(at)`, `on.ahead(at)` (the same, earlier, where the browser lets a move be seen before the next frame),
   * `on.leave()`, `on.click(at, pin)`, `pin` being whether Shift was down, and `on.view()` when the axes have moved.
   * `at` is {x, y, index, left, top}: index is -1 off the points, left and top are pixels in the map's box; it says
   * `finger` or `walked` where it is no mouse that is there.
   */
  constructor(element, marker, raster, on) {
    Object.assign(this, { element, marker, on });
    this.raster = new Raster(raster, () => this.view() ?? this.#early());
    this.cells = new Cells([]);
    new MutationObserver(() => this.#restyle()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    new ResizeObserver(() => this.drawn && window.Plotly.Plots.resize(element)).observe(element);
  }

  get drawn() {
    return this.element._fullLayout?.xaxis !== undefined;
  }

  /** The place of the current point, [x, y]. */
  get marked() {
    return this.#place;
  }

  /** Where a place is in pixels of the element, and whether that is inside the axes. */
  screen(x, y) {
    const { xaxis, yaxis } = this.element._fullLayout;
    const [px, py] = [xaxis.d2p(x), yaxis.d2p(y)];
    return { left: px + xaxis._offset, top: py + yaxis._offset, inside: px >= 0 && py >= 0 && px <= xaxis._length && py <= yaxis._length };
  }

  /** Whether a point is shown: its class may be switched off in the legend. */
  visible(index) {
    return !this.#classOf || this.#isShown(this.#classOf[index]);
  }

  /** The class of a point, where the map is coloured by classes. */
  label(index) {
    return this.#classOf ? this.#classes[this.#classOf[index]] : null;
  }

  /** Take a model's thumbnails, and the places of the points to show. */
  open({ map, sprite, shape }, cells, file) {
    this.method = map.method;
    this.sprite = thumbnails(file(sprite.file), sprite.columns, shape);
    this.cells = cells;
    this.large = this.cells.size > MOST;
    this.raster.open(this.large ? this.cells : null);
    this.#classOf = this.#group = this.range = null;
    this.opening = false;
  }

  /** No map: a model without a gallery. */
  close() {
    if (this.drawn) window.Plotly.purge(this.element);
    this.cells = new Cells([]);
    this.raster.open(null);
    this.large = this.opening = false;
    this.sprite = this.#place = null;
    this.followed = false;
    this.marker.hidden = true;
  }

  /** Draw the points in these colours: {classes, codes} or {values}. */
  async colour(by, name) {
    this.#coloured = [by, name];
    this.#classOf = by.classes ? by.codes : null;
    this.#classes = by.classes ?? [];
    if (this.large) this.data = by.classes ? this.#classRaster(by) : this.#amountRaster(by.values, name);
    else this.data = by.classes ? this.#classTraces(by) : [this.#amountTrace(by.values, name)];
    const { classes } = by;
    this.names = classes?.length > FEW && classes.length <= MANY ? members(by, SOME).map((some, code) => this.#name(classes[code], some)) : [];
    this.legend = classes?.length > 1 && classes.length <= FEW;
    // The points need no axes: they are there before Plotly, which takes a second to start.
    if (this.large) this.raster.redraw((shade) => this.#isShown(shade));
    const { cells } = this;
    if (this.large && !this.drawn) await new Promise((drawn) => frame.after(drawn));
    await loadPlotly();
    if (cells !== this.cells) return; // another model is open
    await window.Plotly.react(this.element, this.data, this.#layout(), {
      responsive: false,
      scrollZoom: true,
      displayModeBar: false,
      doubleClick: "reset",
      // Plotly's own choice is 2 on every screen: four times the pixels to blend under each movement of the lens.
      plotGlPixelRatio: window.devicePixelRatio,
    });
    // Once: the element keeps its listeners from one drawing to the next.
    if (!this.followed) for (const name of ["plotly_relayouting", "plotly_afterplot"]) this.element.on(name, () => this.#follow());
    this.followed = true;
    this.#follow();
  }

  /** Show "points", "pictures" or "both"; where the points are hidden, the pointer finds none. */
  show(what) {
    this.#pointsShown = what !== "pictures";
    this.element.dataset.show = this.raster.canvas.dataset.show = what;
  }

  /** Which of the visible points lie in a polygon of [x, y] corners: a byte each. */
  inside(corners) {
    const mask = this.cells.inside(corners);
    const shown = this.#classOf && this.#classes.map((_, code) => this.#isShown(code));
    if (shown?.includes(false)) for (let i = 0; i < mask.length; i++) if (!shown[this.#classOf[i]]) mask[i] = 0;
    return mask;
  }

  /** Whether a class is shown: only those of a legend can be switched off. */
  #isShown(code) {
    return !this.legend || !this.#classOf || this.element.data?.[code]?.visible !== "legendonly";
  }

  /** Let a group of points stand out, a byte for each point; null lets none. */
  async select(group) {
    if (group === this.#group) return;
    this.#group = group;
    if (this.large) this.raster.select(group);
    else if (this.drawn) await this.colour(...this.#coloured);
  }

  /** Where the axes lie in the map's box, in CSS pixels, their upper left corner on the map, and pixels per unit. */
  view() {
    if (!this.drawn) return null;
    const { xaxis, yaxis } = this.element._fullLayout;
    const [left, top, width, height] = [xaxis._offset, yaxis._offset, xaxis._length, yaxis._length];
    return { left, top, width, height, x: xaxis.p2d(0), y: yaxis.p2d(0), scale: width / (xaxis.p2d(width) - xaxis.p2d(0)), ratio: window.devicePixelRatio };
  }

  /** What `view` will be like, before there are axes. */
  #early() {
    const { clientWidth, clientHeight } = this.element;
    const [left, top] = [MARGIN.l, MARGIN.t + (this.legend ? LEGEND : 0)];
    const [width, height] = [clientWidth - left - MARGIN.r, clientHeight - top - MARGIN.b];
    const { x, y } = this.#whole(width, height);
    return { left, top, width, height, x: x[0], y: y[1], scale: width / (x[1] - x[0]), ratio: window.devicePixelRatio };
  }

  /** The ranges of axes, so many pixels long, that all points lie on. */
  #whole(width, height) {
    const { left, right, low, high } = this.cells;
    const unit = AIR * Math.max((right - left) / width, (high - low) / height, 1e-12); // a pixel's length
    const range = (from, to, pixels) => [(from + to - pixels * unit) / 2, (from + to + pixels * unit) / 2];
    return { x: range(left, right, width), y: range(low, high, height) };
  }

  /** Put the marker of the current point. */
  place(x, y) {
    this.#place = [x, y];
    this.#mark();
  }

  #trace(index, extra) {
    const x = new Float32Array(index.length);
    const y = new Float32Array(index.length);
    // Not Plotly's own selection, which is drawn on two canvases more that the browser blends into every frame.
    const opacity = this.#group ? Float32Array.from(index, (point) => (this.#group[point] ? 0.9 : 0.05)) : 0.75;
    const { places, ranks } = this.cells;
    index.forEach((point, i) => {
      x[i] = places[2 * ranks[point]];
      y[i] = places[2 * ranks[point] + 1];
    });
    const size = Math.max(3, Math.min(9, 340 / Math.sqrt(this.cells.size)));
    return { type: "scattergl", mode: "markers", x, y, hoverinfo: "skip", ...extra, marker: { size, opacity, line: { width: 0 }, ...extra.marker } };
  }

  #classTraces(by) {
    const colours = palette(by.classes);
    return members(by).map((index, code) => this.#trace(index, { name: by.classes[code], marker: { color: colours[code] } }));
  }

  #amountTrace(values, name) {
    return this.#trace(Uint32Array.from(values, (_, i) => i), { showlegend: false, marker: { color: values, ...scale(values, name) } });
  }

  /** A large map's colours to its raster; gives the traces of a legend, and one, unseen, that spans the axes. */
  #classRaster(by) {
    const colours = palette(by.classes);
    this.raster.colour(by.codes, colours.map(rgb));
    const named = by.classes.length <= FEW ? by.classes : [];
    const legend = named.map((name, code) => ({ type: "scatter", mode: "markers", x: [null], y: [null], name, marker: { color: colours[code], size: 9 } }));
    return [...legend, this.#frame({})];
  }

  #amountRaster(values, name) {
    const shown = scale(values, name);
    this.raster.colour(...shades(values, shown));
    return [this.#frame({ color: [shown.cmin, shown.cmax], ...shown })];
  }

  #frame(marker) {
    const { left, right, low, high } = this.cells;
    return { type: "scatter", mode: "markers", x: [left, right], y: [low, high], showlegend: false, hoverinfo: "skip", marker: { ...marker, opacity: 0 } };
  }

  /** A class's name, at its member nearest to its median place: over the points, and in the way of none of them. */
  #name(name, index) {
    const { places, ranks } = this.cells;
    const [x, y] = [0, 1].map((axis) => Array.from(index, (point) => places[2 * ranks[point] + axis]));
    const middle = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
    const [a, b] = [middle(x), middle(y)];
    let nearest = 0;
    const far = (i) => (x[i] - a) ** 2 + (y[i] - b) ** 2;
    for (let i = 1; i < x.length; i++) if (far(i) < far(nearest)) nearest = i;
    return { x: x[nearest], y: y[nearest], text: name.replaceAll("<", "&lt;"), showarrow: false, yshift: 10, font: { size: 14, weight: 700, shadow: "auto" } };
  }

  #layout() {
    const style = getComputedStyle(this.element);
    const colour = (name) => style.getPropertyValue(name).trim();
    const ink = colour("--body-text-color");
    const [first, second] = AXES[this.method];
    const early = this.large ? this.#early() : null;
    // Once for each map: with another range Plotly would think that nobody had zoomed.
    if (early?.width > 0 && early.height > 0) this.range ??= this.#whole(early.width, early.height);
    const axis = (text) => ({ title: { text, standoff: 4, font: { size: 11 } }, showticklabels: this.method !== "umap", zeroline: false, showgrid: this.method !== "umap", gridcolor: colour("--border-color-primary"), tickfont: { size: 10 } });
    return {
      uirevision: `${this.method} ${this.cells.size}`,
      margin: MARGIN,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: style.fontFamily, color: ink, size: 11 },
      dragmode: "pan",
      hovermode: false,
      showlegend: this.legend,
      annotations: this.names,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemsizing: "constant", font: { size: 11 } },
      xaxis: { ...axis(first), ...(this.range && { range: this.range.x }) },
      // One unit is as long on both axes: distances on the map mean the same in every direction.
      yaxis: { ...axis(second), scaleanchor: "x", ...(this.range && { range: this.range.y }) },
    };
  }

  #restyle() {
    if (this.drawn) window.Plotly.react(this.element, this.data, { ...this.element.layout, ...this.#layout(), xaxis: { ...this.element.layout.xaxis, ...this.#layout().xaxis }, yaxis: { ...this.element.layout.yaxis, ...this.#layout().yaxis } });
  }

  /** The place under a pointer, [x, y], also outside the axes. */
  where(event) {
    const { xaxis, yaxis } = this.element._fullLayout;
    const box = this.element.getBoundingClientRect();
    return [xaxis.p2d(event.clientX - box.left - xaxis._offset), yaxis.p2d(event.clientY - box.top - yaxis._offset)];
  }

  /** Where on the map a pointer is; null outside the axes. */
  at(event) {
    if (!this.drawn || this.opening) return null;
    const { xaxis, yaxis } = this.element._fullLayout;
    const box = this.element.getBoundingClientRect();
    const px = event.clientX - box.left - xaxis._offset;
    const py = event.clientY - box.top - yaxis._offset;
    if (px < 0 || py < 0 || px > xaxis._length || py > yaxis._length) return null;
    const [x, y] = this.where(event);
    const reach = NEAR / Math.abs(xaxis.d2p(1) - xaxis.d2p(0));
    const index = this.#pointsShown ? this.cells.nearest(x, y, reach, (point) => this.visible(point)) : -1;
    return { x, y, index, left: event.clientX - box.left, top: event.clientY - box.top };
  }

  /** Look at what is under a pointer, which may be a finger. */
  look(pointer, finger = false) {
    const at = this.at(pointer);
    if (!at) return this.leave();
    this.element.classList.toggle("ls-on-point", at.index >= 0);
    this.on.hover({ ...at, finger });
  }

  /** Look at nothing any more. */
  leave() {
    this.element.classList.remove("ls-on-point");
    this.on.leave();
  }

  #follow() {
    if (!this.drawn) return;
    if (this.large) this.raster.redraw();
    this.on.view();
    this.#mark();
  }

  #mark() {
    if (!this.#place || !this.drawn) return;
    const { left, top, inside } = this.screen(...this.#place);
    this.marker.hidden = !inside;
    this.marker.style.transform = `translate(${left}px, ${top}px)`;
  }
}

/** The members of each class, at most so many of each: evenly spread ones. */
function members({ classes, codes }, most = Infinity) {
  const counts = new Uint32Array(classes.length);
  for (const code of codes) counts[code] += 1;
  const index = classes.map(() => []);
  const seen = new Uint32Array(classes.length);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (index[code].length * Math.max(1, counts[code] / most) <= seen[code]) index[code].push(i);
    seen[code] += 1;
  }
  return index;
}
