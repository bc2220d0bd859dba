// The map. Plotly draws the axes, the legend and up to MAX_PLOTLY_POINTS points. More points are drawn as a raster under these axes.
// The search for the nearest point and the marker of the current point do not use Plotly.

import { Cells } from "./cells.js";
import { colourScale, palette, rgb, shades } from "./colours.js";
import { frame } from "../shared/frame.js";
import { thumbnails } from "../pixels/picture.js";
import { Raster } from "./raster.js";
import { loadPlotly } from "../shared/load_plotly.js";

const MAX_PLOTLY_POINTS = 20_000; // points that Plotly's WebGL moves at frame rate, at most
const MAX_LEGEND = 20; // classes in the legend, at most; with more, the names are written on the map
const MAX_NAMED = 150; // classes named on the map, at most
const MARGIN = { l: 34, r: 8, t: 4, b: 30 }; // CSS pixels around the axes
const LEGEND_HEIGHT = 41; // CSS pixels of a legend with one row
const PADDING = 1.14; // length of the axes, relative to the extent of the points
const NAME_SAMPLE = 500; // points of a class from which the position of its name is computed, at most
const HOVER_RADIUS = 9; // CSS pixels between the pointer and a point that it is on, at most
const AXES = { umap: ["UMAP 1", "UMAP 2"], pca: ["first principal direction", "second principal direction"], latents: ["first latent", "second latent"] };

export class LatentMap {
  lassoing = false; // whether the lasso is active
  opening = false; // whether another model is being opened: its points are not here yet
  #classOf = null; // each point's class code, if the map is coloured by classes
  #classes = []; // their names
  #colouring = []; // the last arguments of `colour`
  #group = null; // 1 for each point of the highlighted group, else 0; null without a group
  #marked = null; // position of the current point, [x, y]
  #pointsShown = true;

  /**
   * `on.hover(at)`; `on.early(at)`, the same before the next frame, where the browser reports raw pointer positions;
   * `on.leave()`; `on.click(at, pin)`, where `pin` is whether Shift was down; `on.view()` after the axes have moved.
   * `at` is {x, y, index, left, top}: index is -1 off the points, left and top are CSS pixels in the map's box. `at.touch` or
   * `at.keyboard` is true for that kind of input.
   */
  constructor(element, marker, raster, on) {
    Object.assign(this, { element, marker, on });
    this.raster = new Raster(raster, () => this.view() ?? this.#expectedView());
    this.cells = new Cells([]);
    new MutationObserver(() => this.#restyle()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    new ResizeObserver(() => this.drawn && window.Plotly.Plots.resize(element)).observe(element);
  }

  get drawn() {
    return this.element._fullLayout?.xaxis !== undefined;
  }

  /** The position of the current point, [x, y], or null. */
  get markerPosition() {
    return this.#marked;
  }

  /** A position in CSS pixels of the element, and whether it is inside the axes. */
  screen(x, y) {
    const { xaxis, yaxis } = this.element._fullLayout;
    const [px, py] = [xaxis.d2p(x), yaxis.d2p(y)];
    return { left: px + xaxis._offset, top: py + yaxis._offset, inside: px >= 0 && py >= 0 && px <= xaxis._length && py <= yaxis._length };
  }

  /** Whether a point is shown: classes can be switched off in the legend. */
  visible(index) {
    return !this.#classOf || this.#isShown(this.#classOf[index]);
  }

  /** The class of a point, or null if the map is not coloured by classes. */
  label(index) {
    return this.#classOf ? this.#classes[this.#classOf[index]] : null;
  }

  /** Another model: its thumbnails, and the points to show. */
  open({ map, sprite, shape }, cells, file) {
    this.method = map.method;
    this.sprite = thumbnails(file(sprite.file), sprite.columns, shape);
    this.cells = cells;
    this.large = this.cells.size > MAX_PLOTLY_POINTS;
    this.raster.open(this.large ? this.cells : null);
    this.#classOf = this.#group = this.range = null;
    this.opening = false;
  }

  /** Show no map, for a model without a gallery. */
  close() {
    if (this.drawn) window.Plotly.purge(this.element);
    this.cells = new Cells([]);
    this.raster.open(null);
    this.large = this.opening = false;
    this.sprite = this.#marked = null;
    this.listening = false;
    this.marker.hidden = true;
  }

  /** Draw the points in these colours: {classes, codes} or {values}. */
  async colour(by, name) {
    this.#colouring = [by, name];
    this.#classOf = by.classes ? by.codes : null;
    this.#classes = by.classes ?? [];
    if (this.large) this.data = by.classes ? this.#classRaster(by) : this.#valueRaster(by.values, name);
    else this.data = by.classes ? this.#classTraces(by) : [this.#valueTrace(by.values, name)];
    const { classes } = by;
    this.annotations = classes?.length > MAX_LEGEND && classes.length <= MAX_NAMED ? members(by, NAME_SAMPLE).map((points, code) => this.#annotation(classes[code], points)) : [];
    this.legend = classes?.length > 1 && classes.length <= MAX_LEGEND;
    // The raster needs no axes, so it is drawn before Plotly has started, which takes a second.
    if (this.large) this.raster.redraw((shade) => this.#isShown(shade));
    const { cells } = this;
    if (this.large && !this.drawn) await new Promise((drawn) => frame.afterPaint(drawn));
    await loadPlotly();
    if (cells !== this.cells) return; // another model is open
    await window.Plotly.react(this.element, this.data, this.#layout(), {
      responsive: false,
      scrollZoom: true,
      displayModeBar: false,
      doubleClick: "reset",
      // Plotly's default is 2 on every screen: four times the pixels for the browser to blend at each move of the lens.
      plotGlPixelRatio: window.devicePixelRatio,
    });
    // Only once: Plotly.react does not remove an element's listeners.
    if (!this.listening) for (const name of ["plotly_relayouting", "plotly_afterplot"]) this.element.on(name, () => this.#viewChanged());
    this.listening = true;
    this.#viewChanged();
  }

  /** Show "points", "pictures" or "both". The pointer does not find hidden points. */
  show(what) {
    this.#pointsShown = what !== "pictures";
    this.element.dataset.show = this.raster.canvas.dataset.show = what;
  }

  /** Which visible points are inside a polygon of [x, y] corners: 1 or 0 for each point. */
  inside(corners) {
    const mask = this.cells.inside(corners);
    const shown = this.#classOf && this.#classes.map((_, code) => this.#isShown(code));
    if (shown?.includes(false)) for (let i = 0; i < mask.length; i++) if (!shown[this.#classOf[i]]) mask[i] = 0;
    return mask;
  }

  /** Whether a class is shown. Without a legend all are. */
  #isShown(code) {
    return !this.legend || !this.#classOf || this.element.data?.[code]?.visible !== "legendonly";
  }

  /** Highlight a group, 1 or 0 for each point; null for none. */
  async select(group) {
    if (group === this.#group) return;
    this.#group = group;
    if (this.large) this.raster.select(group);
    else if (this.drawn) await this.colour(...this.#colouring);
  }

  /** The box of the axes in CSS pixels, the position (x, y) of its upper left corner, `scale` in CSS pixels per unit, and `ratio`
   * in device pixels per CSS pixel; null before there are axes. */
  view() {
    if (!this.drawn) return null;
    const { xaxis, yaxis } = this.element._fullLayout;
    const [left, top, width, height] = [xaxis._offset, yaxis._offset, xaxis._length, yaxis._length];
    return { left, top, width, height, x: xaxis.p2d(0), y: yaxis.p2d(0), scale: width / (xaxis.p2d(width) - xaxis.p2d(0)), ratio: window.devicePixelRatio };
  }

  /** What `view` will return once there are axes. */
  #expectedView() {
    const { clientWidth, clientHeight } = this.element;
    const [left, top] = [MARGIN.l, MARGIN.t + (this.legend ? LEGEND_HEIGHT : 0)];
    const [width, height] = [clientWidth - left - MARGIN.r, clientHeight - top - MARGIN.b];
    const { x, y } = this.#fullRanges(width, height);
    return { left, top, width, height, x: x[0], y: y[1], scale: width / (x[1] - x[0]), ratio: window.devicePixelRatio };
  }

  /** The axes' ranges that show all points, for axes of this size in CSS pixels. */
  #fullRanges(width, height) {
    const { left, right, low, high } = this.cells;
    const unit = PADDING * Math.max((right - left) / width, (high - low) / height, 1e-12); // units per pixel
    const range = (from, to, pixels) => [(from + to - pixels * unit) / 2, (from + to + pixels * unit) / 2];
    return { x: range(left, right, width), y: range(low, high, height) };
  }

  /** Move the marker of the current point. */
  placeMarker(x, y) {
    this.#marked = [x, y];
    this.#drawMarker();
  }

  #trace(index, extra) {
    const x = new Float32Array(index.length);
    const y = new Float32Array(index.length);
    // Plotly's own selection would add two canvases, which the browser blends into every frame.
    const opacity = this.#group ? Float32Array.from(index, (point) => (this.#group[point] ? 0.9 : 0.05)) : 0.75;
    const { positions, slots } = this.cells;
    index.forEach((point, i) => {
      x[i] = positions[2 * slots[point]];
      y[i] = positions[2 * slots[point] + 1];
    });
    const size = Math.max(3, Math.min(9, 340 / Math.sqrt(this.cells.size)));
    return { type: "scattergl", mode: "markers", x, y, hoverinfo: "skip", ...extra, marker: { size, opacity, line: { width: 0 }, ...extra.marker } };
  }

  #classTraces(by) {
    const colours = palette(by.classes);
    return members(by).map((index, code) => this.#trace(index, { name: by.classes[code], marker: { color: colours[code] } }));
  }

  #valueTrace(values, name) {
    return this.#trace(Uint32Array.from(values, (_, i) => i), { showlegend: false, marker: { color: values, ...colourScale(values, name) } });
  }

  /** Colour the raster by classes. Returns Plotly traces for the legend, and an invisible one with the extent of the points. */
  #classRaster(by) {
    const colours = palette(by.classes);
    this.raster.colour(by.codes, colours.map(rgb));
    const named = by.classes.length <= MAX_LEGEND ? by.classes : [];
    const legend = named.map((name, code) => ({ type: "scatter", mode: "markers", x: [null], y: [null], name, marker: { color: colours[code], size: 9 } }));
    return [...legend, this.#boundsTrace({})];
  }

  #valueRaster(values, name) {
    const shown = colourScale(values, name);
    this.raster.colour(...shades(values, shown));
    return [this.#boundsTrace({ color: [shown.cmin, shown.cmax], ...shown })];
  }

  #boundsTrace(marker) {
    const { left, right, low, high } = this.cells;
    return { type: "scatter", mode: "markers", x: [left, right], y: [low, high], showlegend: false, hoverinfo: "skip", marker: { ...marker, opacity: 0 } };
  }

  /** A class's name as an annotation above the point that is nearest to the class's median position. */
  #annotation(name, index) {
    const { positions, slots } = this.cells;
    const [x, y] = [0, 1].map((axis) => Array.from(index, (point) => positions[2 * slots[point] + axis]));
    const middle = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
    const [a, b] = [middle(x), middle(y)];
    let nearest = 0;
    const distance = (i) => (x[i] - a) ** 2 + (y[i] - b) ** 2;
    for (let i = 1; i < x.length; i++) if (distance(i) < distance(nearest)) nearest = i;
    return { x: x[nearest], y: y[nearest], text: name.replaceAll("<", "&lt;"), showarrow: false, yshift: 10, font: { size: 14, weight: 700, shadow: "auto" } };
  }

  #layout() {
    const style = getComputedStyle(this.element);
    const colour = (name) => style.getPropertyValue(name).trim();
    const textColour = colour("--body-text-color");
    const [first, second] = AXES[this.method];
    const expected = this.large ? this.#expectedView() : null;
    // Computed once per map: if the range changed, Plotly would reset the user's zoom.
    if (expected?.width > 0 && expected.height > 0) this.range ??= this.#fullRanges(expected.width, expected.height);
    const axis = (text) => ({ title: { text, standoff: 4, font: { size: 11 } }, showticklabels: this.method !== "umap", zeroline: false, showgrid: this.method !== "umap", gridcolor: colour("--border-color-primary"), tickfont: { size: 10 } });
    return {
      uirevision: `${this.method} ${this.cells.size}`,
      margin: MARGIN,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: style.fontFamily, color: textColour, size: 11 },
      dragmode: "pan",
      hovermode: false,
      showlegend: this.legend,
      annotations: this.annotations,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemsizing: "constant", font: { size: 11 } },
      xaxis: { ...axis(first), ...(this.range && { range: this.range.x }) },
      // Equal scales on both axes, so that distances are comparable in all directions.
      yaxis: { ...axis(second), scaleanchor: "x", ...(this.range && { range: this.range.y }) },
    };
  }

  #restyle() {
    if (this.drawn) window.Plotly.react(this.element, this.data, { ...this.element.layout, ...this.#layout(), xaxis: { ...this.element.layout.xaxis, ...this.#layout().xaxis }, yaxis: { ...this.element.layout.yaxis, ...this.#layout().yaxis } });
  }

  /** The position under a pointer, [x, y], also outside the axes. */
  position(event) {
    const { xaxis, yaxis } = this.element._fullLayout;
    const box = this.element.getBoundingClientRect();
    return [xaxis.p2d(event.clientX - box.left - xaxis._offset), yaxis.p2d(event.clientY - box.top - yaxis._offset)];
  }

  /** The position and the point under a pointer, as in the constructor's `at`; null outside the axes. */
  locate(event) {
    if (!this.drawn || this.opening) return null;
    const { xaxis, yaxis } = this.element._fullLayout;
    const box = this.element.getBoundingClientRect();
    const px = event.clientX - box.left - xaxis._offset;
    const py = event.clientY - box.top - yaxis._offset;
    if (px < 0 || py < 0 || px > xaxis._length || py > yaxis._length) return null;
    const [x, y] = this.position(event);
    const reach = HOVER_RADIUS / Math.abs(xaxis.d2p(1) - xaxis.d2p(0));
    const index = this.#pointsShown ? this.cells.nearest(x, y, reach, (point) => this.visible(point)) : -1;
    return { x, y, index, left: event.clientX - box.left, top: event.clientY - box.top };
  }

  /** Preview what is under a pointer; `touch` is true for a finger. */
  hover(pointer, touch = false) {
    const at = this.locate(pointer);
    if (!at) return this.leave();
    this.element.classList.toggle("ls-on-point", at.index >= 0);
    this.on.hover({ ...at, touch });
  }

  /** End the preview. */
  leave() {
    this.element.classList.remove("ls-on-point");
    this.on.leave();
  }

  #viewChanged() {
    if (!this.drawn) return;
    if (this.large) this.raster.redraw();
    this.on.view();
    this.#drawMarker();
  }

  #drawMarker() {
    if (!this.#marked || !this.drawn) return;
    const { left, top, inside } = this.screen(...this.#marked);
    this.marker.hidden = !inside;
    this.marker.style.transform = `translate(${left}px, ${top}px)`;
  }
}

/** The indices of each class's points; of a class with more than `limit` points, an evenly spaced sample. */
function members({ classes, codes }, limit = Infinity) {
  const counts = new Uint32Array(classes.length);
  for (const code of codes) counts[code] += 1;
  const index = classes.map(() => []);
  const seen = new Uint32Array(classes.length);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (index[code].length * Math.max(1, counts[code] / limit) <= seen[code]) index[code].push(i);
    seen[code] += 1;
  }
  return index;
}
