// The pad: moves two latents at once, over a scatter plot of the gallery's posterior means.

import { CLASSES } from "../map/colours.js";
import { sliderRange } from "./sliders.js";
import { arrowStep } from "./key_steps.js";

export class Pad {
  #z = [];
  #dragging = false;

  /** `on.input(z)` at every move, `on.change()` at release, `on.values(latent)` returns the gallery's posterior means. */
  constructor(ui, on) {
    Object.assign(this, { ui, on, pad: ui.pad, dot: ui["pad-dot"] });
    this.selects = [ui["pad-across"], ui["pad-up"]];
    for (const select of this.selects) select.addEventListener("change", () => this.#chooseLatents());
    this.pad.addEventListener("pointerdown", (event) => this.#press(event));
    this.pad.addEventListener("pointermove", (event) => this.#dragging && this.#moveTo(event));
    for (const name of ["pointerup", "pointercancel"]) this.pad.addEventListener(name, () => this.#release());
    this.pad.addEventListener("keydown", (event) => this.#onKey(event));
    new MutationObserver(() => this.redraw()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    new ResizeObserver(() => this.redraw()).observe(this.pad);
  }

  /** Another model's latents, by decreasing KL: the first two are chosen. */
  open({ latents, reach }) {
    this.reach = reach;
    this.#z = [];
    this.labels = null;
    this.ranges = new Map(latents.map((latent) => [latent.index, sliderRange(latent, reach)]));
    for (const [i, select] of this.selects.entries()) {
      select.replaceChildren(...latents.map((latent) => new Option(`z${latent.index}`, latent.index)));
      select.selectedIndex = Math.min(i, latents.length - 1);
    }
  }

  /** Colour the points by {classes, codes}, or not at all. */
  colour(labels) {
    this.labels = labels;
    this.redraw();
  }

  /** Show a point; calls nothing of `on`. */
  set(z) {
    this.#z = [...z];
    const [x, y] = this.#pair.map((latent) => clamp(this.#fraction(latent, z[latent]), [0, 1]));
    this.dot.style.left = `${100 * x}%`;
    this.dot.style.top = `${100 * (1 - y)}%`;
    const text = this.#pair.map((latent) => `z${latent} ${z[latent].toFixed(2).replace("-", "−")}`);
    const [across] = this.#pair;
    const [min, max] = this.ranges.get(across);
    for (const [name, value] of [["min", min], ["max", max], ["now", clamp(z[across], [min, max])]]) this.pad.setAttribute(`aria-value${name}`, value.toFixed(2));
    this.pad.setAttribute("aria-valuetext", `across ${text[0]}, up ${text[1]}`);
    this.ui["pad-values"].textContent = text.join("\n");
  }

  /** The indices of the two latents, [across, up]. */
  get #pair() {
    return this.selects.map((select) => Number(select.value));
  }

  /** A latent's value as a fraction of its range: 0 at the lower end, 1 at the upper. */
  #fraction(latent, value) {
    const [min, max] = this.ranges.get(latent);
    return (value - min) / (max - min);
  }

  #chooseLatents() {
    if (this.#z.length) this.set(this.#z);
    this.redraw();
  }

  #press(event) {
    if (event.button !== 0) return;
    this.#dragging = true;
    this.pad.setPointerCapture(event.pointerId);
    this.#moveTo(event);
  }

  #release() {
    if (!this.#dragging) return;
    this.#dragging = false;
    this.on.change();
  }

  #moveTo(event) {
    const box = this.pad.getBoundingClientRect();
    const fractions = [(event.clientX - box.left) / box.width, (box.bottom - event.clientY) / box.height];
    const [x, y] = this.#pair.map((latent, i) => {
      const [min, max] = this.ranges.get(latent);
      return min + clamp(fractions[i], [0, 1]) * (max - min);
    });
    this.#setPair(x, y);
  }

  #onKey(event) {
    const step = arrowStep(event);
    if (!step) return;
    event.preventDefault();
    const [x, y] = this.#pair.map((latent, i) => clamp(this.#z[latent] + step[i], this.ranges.get(latent)));
    this.#setPair(x, y);
    this.on.change();
  }

  #setPair(x, y) {
    const z = [...this.#z];
    const [across, up] = this.#pair;
    z[up] = y;
    z[across] = x;
    this.set(z);
    this.on.input([...z]);
  }

  /** Draw the scatter plot. A drag moves only the dot and does not call this. */
  redraw() {
    const size = this.pad.clientWidth;
    if (!size || !this.#z.length) return;
    const canvas = this.ui["pad-cloud"];
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(size * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const textColour = getComputedStyle(this.pad).color;
    const [x, y] = this.#pair.map((latent) => this.on.values(latent).map((value) => size * this.#fraction(latent, value)));
    const dotSize = Math.max(1.4, Math.min(4, 150 / Math.sqrt(x.length)));
    const coloured = this.labels?.classes;
    context.globalAlpha = coloured ? 0.45 : 0.22;
    for (let i = 0; i < x.length; i++) {
      context.fillStyle = coloured ? CLASSES[this.labels.codes[i] % CLASSES.length] : textColour;
      context.fillRect(x[i] - dotSize / 2, size - y[i] - dotSize / 2, dotSize, dotSize);
    }
    drawAxes(context, textColour, size, this.reach);
  }
}

/** Axes through the mean of the aggregated posterior, and rings at one, two and three standard deviations. */
function drawAxes(context, colour, size, reach) {
  const middle = size / 2;
  context.strokeStyle = colour;
  context.globalAlpha = 0.3;
  context.lineWidth = 1;
  context.beginPath();
  for (const deviations of [1, 2, 3]) {
    const radius = (deviations * middle) / reach;
    context.moveTo(middle + radius, middle);
    context.arc(middle, middle, radius, 0, 2 * Math.PI);
  }
  context.moveTo(0, middle);
  context.lineTo(size, middle);
  context.moveTo(middle, 0);
  context.lineTo(middle, size);
  context.stroke();
}

function clamp(value, [low, high]) {
  return Math.max(low, Math.min(high, value));
}
