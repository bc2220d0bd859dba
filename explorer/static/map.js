// The map: Plotly draws points, axes and legend; pointer, nearest point and marker are ours.

import { Sprite } from "./picture.js";

// Petroff, 2021, arXiv 2107.02270: ten colours told apart with any colour vision, on light and dark.
export const CLASSES = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];
const FEW = 20; // classes that a legend has room for; more are named on the map itself
const MANY = 150; // classes beyond which names would cover the map
const COLOUR = /^#[0-9a-f]{6}$/i;
const NEAR = 9; // pixels within which the pointer is on a point
const STILL = 5; // pixels a click may travel
const AXES = { umap: ["UMAP 1", "UMAP 2"], pca: ["first principal direction", "second principal direction"], latents: ["first latent", "second latent"] };

export class LatentMap {
  points = new Float32Array(); // x, y pairs
  #classOf = null;
  #down = null;
  #place = null;
  #pointsShown = true;

  /**
   * `on.hover(at)`, `on.ahead(at)` (the same, earlier, where the browser lets a move be seen before the next frame),
   * `on.leave()`, `on.click(at, pin)`, `pin` being whether Shift was down, and `on.view()` when the axes have moved.
   * `at` is {x, y, index, left, top}: index is -1 off the points, left and top are pixels in the map's box; it says
   * `finger` or `walked` where it is no mouse that is there.
   */
  constructor(element, marker, on) {
    Object.assign(this, { element, marker, on });
    // The pointer is heard before Plotly, whose drag layer swallows what it uses. Fingers are for touch.js.
    const listen = (target, name, act, capture) => target.addEventListener(name, (event) => event.pointerType !== "touch" && act(event), capture);
    listen(element, "pointermove", (event) => (event.buttons ? this.#leave() : this.look(event)));
    listen(element, "pointerrawupdate", (event) => {
      const at = event.buttons ? null : this.at(event);
      if (at) this.on.ahead(at);
    });
    listen(element, "pointerleave", () => this.#leave());
    listen(element, "pointerdown", (event) => this.#press(event), true);
    listen(window, "pointerup", (event) => this.#up(event), true);
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
    return !this.#classOf || this.element.data[this.#classOf[index]].visible !== "legendonly";
  }

  /** What a gallery image is called: its class, where the map is coloured by classes. */
  label(index) {
    return this.#classOf ? this.element.data[this.#classOf[index]].name : `image ${index}`;
  }

  /** Take a model's points and thumbnails. */
  open({ description: { map, sprite, shape, images }, projection }, file) {
    this.method = map.method;
    this.sprite = new Sprite(file(sprite.file), sprite.columns, shape);
    this.points = projection.points;
    this.images = images;
    this.#classOf = null;
  }

  /** No map: a model without a gallery. */
  close() {
    if (this.drawn) window.Plotly.purge(this.element);
    this.points = new Float32Array();
    this.sprite = this.#place = null;
    this.followed = false;
    this.marker.hidden = true;
  }

  /** Draw the points in these colours: {classes, codes} or {values}. */
  async colour(by, name) {
    this.#classOf = by.classes ? by.codes : null;
    this.data = by.classes ? this.#classTraces(by) : [this.#amountTrace(by.values, name)];
    this.names = by.classes?.length > FEW && by.classes.length <= MANY ? this.data.map((trace) => this.#name(trace)) : [];
    this.legend = by.classes?.length > 1 && by.classes.length <= FEW;
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
    this.element.dataset.show = what;
  }

  /** Where the axes lie in the map's box, in CSS pixels, their upper left corner on the map, and pixels per unit. */
  view() {
    if (!this.drawn) return null;
    const { xaxis, yaxis } = this.element._fullLayout;
    const [left, top, width, height] = [xaxis._offset, yaxis._offset, xaxis._length, yaxis._length];
    return { left, top, width, height, x: xaxis.p2d(0), y: yaxis.p2d(0), scale: width / (xaxis.p2d(width) - xaxis.p2d(0)), ratio: window.devicePixelRatio };
  }

  /** Put the marker of the current point. */
  place(x, y) {
    this.#place = [x, y];
    this.#mark();
  }

  #trace(index, extra) {
    const x = new Float32Array(index.length);
    const y = new Float32Array(index.length);
    index.forEach((point, i) => {
      x[i] = this.points[2 * point];
      y[i] = this.points[2 * point + 1];
    });
    const size = Math.max(3, Math.min(9, 340 / Math.sqrt(this.images)));
    return { type: "scattergl", mode: "markers", x, y, hoverinfo: "skip", ...extra, marker: { size, opacity: 0.75, line: { width: 0 }, ...extra.marker } };
  }

  #classTraces({ classes, codes }) {
    const members = classes.map(() => []);
    codes.forEach((code, i) => members[code].push(i));
    // Classes that are colours are drawn in them.
    const colours = classes.every((name) => COLOUR.test(name)) ? classes : CLASSES;
    return classes.map((name, code) => this.#trace(members[code], { name, marker: { color: colours[code % colours.length] } }));
  }

  /** A class's name, at its member nearest to its median place: over the points, and in the way of none of them. */
  #name({ name, x, y }) {
    const middle = (values) => values.toSorted()[values.length >> 1];
    const [a, b] = [middle(x), middle(y)];
    let nearest = 0;
    const far = (i) => (x[i] - a) ** 2 + (y[i] - b) ** 2;
    for (let i = 1; i < x.length; i++) if (far(i) < far(nearest)) nearest = i;
    return { x: x[nearest], y: y[nearest], text: name.replaceAll("<", "&lt;"), showarrow: false, yshift: 10, font: { size: 14, weight: 700, shadow: "auto" } };
  }

  #amountTrace(values, name) {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
    const colorbar = { title: { text: name, side: "right" }, thickness: 10, outlinewidth: 0, len: 0.6 };
    const index = values.map((_, i) => i);
    // The outer percent on each side shares the end colours, so that a few odd images do not use up the scale.
    return this.#trace(index, { showlegend: false, marker: { color: values, cmin: at(0.01), cmax: at(0.99), colorscale: "Viridis", showscale: true, colorbar } });
  }

  #layout() {
    const style = getComputedStyle(this.element);
    const colour = (name) => style.getPropertyValue(name).trim();
    const ink = colour("--body-text-color");
    const [first, second] = AXES[this.method];
    const axis = (text) => ({ title: { text, standoff: 4, font: { size: 11 } }, showticklabels: this.method !== "umap", zeroline: false, showgrid: this.method !== "umap", gridcolor: colour("--border-color-primary"), tickfont: { size: 10 } });
    return {
      uirevision: `${this.method} ${this.images}`,
      margin: { l: 34, r: 8, t: 4, b: 30 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: style.fontFamily, color: ink, size: 11 },
      dragmode: "pan",
      hovermode: false,
      showlegend: this.legend,
      annotations: this.names,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemsizing: "constant", font: { size: 11 } },
      xaxis: axis(first),
      // One unit is as long on both axes: distances on the map mean the same in every direction.
      yaxis: { ...axis(second), scaleanchor: "x" },
    };
  }

  #restyle() {
    if (this.drawn) window.Plotly.react(this.element, this.data, { ...this.element.layout, ...this.#layout(), xaxis: { ...this.element.layout.xaxis, ...this.#layout().xaxis }, yaxis: { ...this.element.layout.yaxis, ...this.#layout().yaxis } });
  }

  /** Where on the map a pointer is; null outside the axes. */
  at(event) {
    if (!this.drawn) return null;
    const { xaxis, yaxis } = this.element._fullLayout;
    const box = this.element.getBoundingClientRect();
    const px = event.clientX - box.left - xaxis._offset;
    const py = event.clientY - box.top - yaxis._offset;
    if (px < 0 || py < 0 || px > xaxis._length || py > yaxis._length) return null;
    const x = xaxis.p2d(px);
    const y = yaxis.p2d(py);
    const index = this.#pointsShown ? this.#nearest(x, y, NEAR / Math.abs(xaxis.d2p(1) - xaxis.d2p(0))) : -1;
    return { x, y, index, left: event.clientX - box.left, top: event.clientY - box.top };
  }

  /** The visible point nearest to a place, if it is within reach. */
  #nearest(x, y, reach) {
    let best = reach * reach;
    let found = -1;
    for (let i = 0, n = this.points.length / 2; i < n; i++) {
      const dx = this.points[2 * i] - x;
      const dy = this.points[2 * i + 1] - y;
      const d = dx * dx + dy * dy;
      if (d < best && this.visible(i)) {
        best = d;
        found = i;
      }
    }
    return found;
  }

  /** Look at what is under a pointer, which may be a finger. */
  look(pointer, finger = false) {
    const at = this.at(pointer);
    if (!at) return this.#leave();
    this.element.classList.toggle("ls-on-point", at.index >= 0);
    this.on.hover({ ...at, finger });
  }

  #leave() {
    this.element.classList.remove("ls-on-point");
    this.on.leave();
  }

  #press(event) {
    // Only on the plot itself: the legend has its own meaning. While a button is down Plotly covers the page, so this is
    // known at the press alone.
    if (event.button !== 0 || !event.target.closest(".draglayer")) return;
    this.#down = [event.clientX, event.clientY];
    // Plotly keeps the press from giving focus; with it, the keys go on from the mouse.
    this.element.focus({ preventScroll: true });
  }

  #up(event) {
    const down = this.#down;
    this.#down = null;
    if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > STILL) return;
    const at = this.at(event);
    if (at) this.on.click(at, event.shiftKey);
  }

  #follow() {
    if (!this.drawn) return;
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
