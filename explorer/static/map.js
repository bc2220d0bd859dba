// The map: Plotly draws points, axes and legend; pointer, nearest point, marker and thumbnail are ours.

import { Sprite } from "./picture.js";

// Petroff, 2021, arXiv 2107.02270: ten colours told apart with any colour vision, on light and dark.
const CLASSES = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];
const NEAR = 9; // pixels within which the pointer is on a point
const STILL = 5; // pixels a click may travel
const AXES = { umap: ["UMAP 1", "UMAP 2"], pca: ["first principal direction", "second principal direction"], latents: ["first latent", "second latent"] };

export class LatentMap {
  #points = new Float32Array();
  #classOf = null;
  #down = null;
  #place = null;
  #current = -1;

  /** `on.hover({x, y, index, far})`, `on.leave()`, `on.click({x, y, index})`; index is -1 off the points. */
  constructor(element, marker, tip, on) {
    Object.assign(this, { element, marker, tip, on });
    // The pointer is heard before Plotly, whose drag layer swallows what it uses.
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerleave", () => this.#leave());
    element.addEventListener("pointerdown", (event) => this.#press(event), true);
    window.addEventListener("pointerup", (event) => this.#up(event), true);
    new MutationObserver(() => this.#restyle()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    new ResizeObserver(() => this.#drawn && window.Plotly.Plots.resize(element)).observe(element);
  }

  get #drawn() {
    return this.element._fullLayout?.xaxis !== undefined;
  }

  /** Fetch a model's points and thumbnails. */
  async open({ map, points, sprite, shape, images }, file) {
    this.method = map.method;
    this.sprite = new Sprite(file(sprite.file), sprite.columns, shape);
    const answer = await fetch(file(points));
    if (!answer.ok) throw new Error(`the points did not arrive (${answer.status})`);
    this.#points = new Float32Array(await answer.arrayBuffer());
    this.images = images;
    this.#classOf = null;
  }

  /** Draw the points in these colours: {classes, codes} or {values}. */
  async colour(by, name) {
    this.#classOf = by.classes ? by.codes : null;
    this.data = by.classes ? this.#classTraces(by) : [this.#amountTrace(by.values, name)];
    await window.Plotly.react(this.element, this.data, this.#layout(), {
      responsive: false,
      scrollZoom: true,
      displayModeBar: false,
      doubleClick: "reset",
    });
    this.element.on?.("plotly_relayouting", () => this.#follow());
    this.element.on?.("plotly_afterplot", () => this.#follow());
    this.#follow();
  }

  /** Put the marker of the current point. */
  place(x, y) {
    this.#place = [x, y];
    this.#follow();
  }

  #trace(index, extra) {
    const x = new Float32Array(index.length);
    const y = new Float32Array(index.length);
    index.forEach((point, i) => {
      x[i] = this.#points[2 * point];
      y[i] = this.#points[2 * point + 1];
    });
    const size = Math.max(3, Math.min(9, 340 / Math.sqrt(this.images)));
    return { type: "scattergl", mode: "markers", x, y, hoverinfo: "skip", ...extra, marker: { size, opacity: 0.75, line: { width: 0 }, ...extra.marker } };
  }

  #classTraces({ classes, codes }) {
    const members = classes.map(() => []);
    codes.forEach((code, i) => members[code].push(i));
    return classes.map((name, code) => this.#trace(members[code], { name, marker: { color: CLASSES[code % CLASSES.length] } }));
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
      showlegend: this.data.length > 1,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemsizing: "constant", font: { size: 11 } },
      xaxis: axis(first),
      // One unit is as long on both axes: distances on the map mean the same in every direction.
      yaxis: { ...axis(second), scaleanchor: "x" },
    };
  }

  #restyle() {
    if (this.#drawn) window.Plotly.react(this.element, this.data, { ...this.element.layout, ...this.#layout(), xaxis: { ...this.element.layout.xaxis, ...this.#layout().xaxis }, yaxis: { ...this.element.layout.yaxis, ...this.#layout().yaxis } });
  }

  /** Where on the map a pointer is; null outside the axes. */
  #at(event) {
    if (!this.#drawn) return null;
    const { xaxis, yaxis } = this.element._fullLayout;
    const box = this.element.getBoundingClientRect();
    const px = event.clientX - box.left - xaxis._offset;
    const py = event.clientY - box.top - yaxis._offset;
    if (px < 0 || py < 0 || px > xaxis._length || py > yaxis._length) return null;
    const x = xaxis.p2d(px);
    const y = yaxis.p2d(py);
    return { x, y, index: this.#nearest(x, y, NEAR / Math.abs(xaxis.d2p(1) - xaxis.d2p(0))) };
  }

  /** The visible point nearest to a place, if it is within reach. */
  #nearest(x, y, reach) {
    const hidden = this.#classOf && this.element.data.map((trace) => trace.visible === "legendonly");
    let best = reach * reach;
    let found = -1;
    for (let i = 0, n = this.#points.length / 2; i < n; i++) {
      const dx = this.#points[2 * i] - x;
      const dy = this.#points[2 * i + 1] - y;
      const d = dx * dx + dy * dy;
      if (d < best && !(hidden && hidden[this.#classOf[i]])) {
        best = d;
        found = i;
      }
    }
    return found;
  }

  #move(event) {
    if (event.buttons) return this.#hideTip();
    const at = this.#at(event);
    if (!at) return this.#leave();
    this.#current = at.index;
    this.element.classList.toggle("ls-on-point", at.index >= 0);
    if (at.index >= 0) this.#showTip(event, at.index);
    else this.#hideTip();
    this.on.hover(at);
  }

  #leave() {
    this.#hideTip();
    this.on.leave();
  }

  #press(event) {
    // Only on the plot itself: the legend has its own meaning. While a button is down Plotly covers the page, so this is
    // known at the press alone.
    if (event.button === 0 && event.target.closest(".draglayer")) this.#down = [event.clientX, event.clientY];
  }

  #up(event) {
    const down = this.#down;
    this.#down = null;
    if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > STILL) return;
    const at = this.#at(event);
    if (at) this.on.click(at);
  }

  #showTip(event, index) {
    const canvas = this.tip.querySelector("canvas");
    this.sprite.draw(canvas, index);
    const trace = this.#classOf ? this.element.data[this.#classOf[index]].name : `image ${index}`;
    this.tip.querySelector("figcaption").textContent = trace;
    const box = this.element.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const right = x + 110 > box.width;
    this.tip.style.transform = `translate(${x + (right ? -14 : 14)}px, ${Math.max(70, y) - 60}px)${right ? " translateX(-100%)" : ""}`;
    this.tip.hidden = false;
  }

  #hideTip() {
    this.tip.hidden = true;
    this.element.classList.remove("ls-on-point");
  }

  #follow() {
    if (!this.#place || !this.#drawn) return;
    const { xaxis, yaxis } = this.element._fullLayout;
    const [px, py] = [xaxis.d2p(this.#place[0]), yaxis.d2p(this.#place[1])];
    this.marker.hidden = px < 0 || py < 0 || px > xaxis._length || py > yaxis._length;
    this.marker.style.transform = `translate(${px + xaxis._offset}px, ${py + yaxis._offset}px)`;
  }
}
