// The pad: two latents under one hand, over the cloud of the gallery's posterior means.

import { CLASSES } from "../map/colours.js";
import { range } from "./sliders.js";
import { stride } from "./key_steps.js";

export class Pad {
  #z = [];
  #held = false;

  /** `on.move(z)` while the hand moves, `on.rest()` when it stops, `on.values(latent)` gives the gallery's posterior means. */
  constructor(ui, on) {
    Object.assign(this, { ui, on, pad: ui.pad, dot: ui["pad-dot"] });
    this.selects = [ui["pad-across"], ui["pad-up"]];
    for (const select of this.selects) select.addEventListener("change", () => this.#choose());
    this.pad.addEventListener("pointerdown", (event) => this.#press(event));
    this.pad.addEventListener("pointermove", (event) => this.#held && this.#to(event));
    for (const name of ["pointerup", "pointercancel"]) this.pad.addEventListener(name, () => this.#release());
    this.pad.addEventListener("keydown", (event) => this.#key(event));
    new MutationObserver(() => this.#paint()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    new ResizeObserver(() => this.#paint()).observe(this.pad);
  }

  /** Another model's latents, the most informative first. */
  open({ latents, reach }) {
    this.reach = reach;
    this.#z = [];
    this.labels = null;
    this.ranges = new Map(latents.map((latent) => [latent.index, range(latent, reach)]));
    for (const [i, select] of this.selects.entries()) {
      select.replaceChildren(...latents.map((latent) => new Option(`z${latent.index}`, latent.index)));
      select.selectedIndex = Math.min(i, latents.length - 1);
    }
  }

  /** Colour the cloud by {classes, codes}, or not at all. */
  colour(labels) {
    this.labels = labels;
    this.#paint();
  }

  /** The pad has come into view. */
  shown() {
    this.#paint();
  }

  /** Show a point, without telling anybody. */
  set(z) {
    this.#z = [...z];
    const [x, y] = this.#pair.map((latent) => within(this.#share(latent, z[latent]), [0, 1]));
    this.dot.style.left = `${100 * x}%`;
    this.dot.style.top = `${100 * (1 - y)}%`;
    const text = this.#pair.map((latent) => `z${latent} ${z[latent].toFixed(2).replace("-", "−")}`);
    const [across] = this.#pair;
    const [min, max] = this.ranges.get(across);
    for (const [name, value] of [["min", min], ["max", max], ["now", within(z[across], [min, max])]]) this.pad.setAttribute(`aria-value${name}`, value.toFixed(2));
    this.pad.setAttribute("aria-valuetext", `across ${text[0]}, up ${text[1]}`);
    this.ui["pad-values"].textContent = text.join("\n");
  }

  get #pair() {
    return this.selects.map((select) => Number(select.value));
  }

  /** A latent's value as a share of the way from its lower to its upper end. */
  #share(latent, value) {
    const [min, max] = this.ranges.get(latent);
    return (value - min) / (max - min);
  }

  #choose() {
    if (this.#z.length) this.set(this.#z);
    this.#paint();
  }

  #press(event) {
    if (event.button !== 0) return;
    this.#held = true;
    this.pad.setPointerCapture(event.pointerId);
    this.#to(event);
  }

  #release() {
    if (!this.#held) return;
    this.#held = false;
    this.on.rest();
  }

  #to(event) {
    const box = this.pad.getBoundingClientRect();
    const shares = [(event.clientX - box.left) / box.width, (box.bottom - event.clientY) / box.height];
    const [x, y] = this.#pair.map((latent, i) => {
      const [min, max] = this.ranges.get(latent);
      return min + within(shares[i], [0, 1]) * (max - min);
    });
    this.#move(x, y);
  }

  #key(event) {
    const step = stride(event);
    if (!step) return;
    event.preventDefault();
    const [x, y] = this.#pair.map((latent, i) => within(this.#z[latent] + step[i], this.ranges.get(latent)));
    this.#move(x, y);
    this.on.rest();
  }

  #move(x, y) {
    const z = [...this.#z];
    const [across, up] = this.#pair;
    z[up] = y;
    z[across] = x;
    this.set(z);
    this.on.move([...z]);
  }

  /** Draw the cloud once; while the hand moves, only the dot does. */
  #paint() {
    const size = this.pad.clientWidth;
    if (!size || !this.#z.length) return;
    const canvas = this.ui["pad-cloud"];
    const sharp = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(size * sharp);
    const context = canvas.getContext("2d");
    context.scale(sharp, sharp);
    const ink = getComputedStyle(this.pad).color;
    const [x, y] = this.#pair.map((latent) => this.on.values(latent).map((value) => size * this.#share(latent, value)));
    const grain = Math.max(1.4, Math.min(4, 150 / Math.sqrt(x.length)));
    const coloured = this.labels?.classes;
    context.globalAlpha = coloured ? 0.45 : 0.22;
    for (let i = 0; i < x.length; i++) {
      context.fillStyle = coloured ? CLASSES[this.labels.codes[i] % CLASSES.length] : ink;
      context.fillRect(x[i] - grain / 2, size - y[i] - grain / 2, grain, grain);
    }
    rings(context, ink, size, this.reach);
  }
}

/** The axes through the middle of the images' posteriors, and one, two and three of their standard deviations. */
function rings(context, ink, size, reach) {
  const middle = size / 2;
  context.strokeStyle = ink;
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

function within(value, [low, high]) {
  return Math.max(low, Math.min(high, value));
}
