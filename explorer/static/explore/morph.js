// A pin, and the morph between the current point and the pin: a scrubber, two thumbnails, the path on the map.

import { distance, interpolate, path } from "../model/geometry.js";
import { draw } from "../pixels/picture.js";

const STEPS = 33; // points of the path that the map shows
const STILL = 150; // ms without a new point after which the path is placed anew

export class Morph {
  #start = null; // where the scrubber's 0 is: the point that was set last by anything but the scrubber
  #pinned = null;
  #scrubbing = false;
  #timer = 0;

  /** `on.move(z)` at every move of the scrubber, `on.rest()` when it stops, `on.place(points)` gives their places on the map. */
  constructor(ui, overlay, on) {
    Object.assign(this, { ui, overlay, on });
    ui.scrub.addEventListener("input", () => this.#scrub(Number(ui.scrub.value)));
    ui.scrub.addEventListener("change", () => on.rest());
    ui["morph-method"].addEventListener("change", () => {
      this.trace();
      if (this.#scrubbing) this.#jump(Number(ui.scrub.value));
    });
    ui["morph-start"].addEventListener("click", () => this.#jump(0));
    ui["morph-end"].addEventListener("click", () => this.#jump(1));
    ui.unpin.addEventListener("click", () => this.unpin());
  }

  get pinned() {
    return this.#pinned !== null;
  }

  /** Another model: its pictures have another shape, and a pin of the old one means nothing. */
  open(shape) {
    this.shape = shape;
    this.#start = null;
    this.unpin();
  }

  /** Pin a decoded point; the morph starts at the current one. */
  pin(answer, current) {
    this.#pinned = answer;
    this.#scrubbing = false;
    draw(this.ui["morph-end"].querySelector("canvas"), answer.pixels, this.shape);
    this.overlay.pin(answer.x === undefined ? null : [answer.x, answer.y]);
    this.shown(current);
  }

  unpin() {
    this.#pinned = null;
    if (this.ui.morph.contains(document.activeElement)) this.ui.pin.focus();
    this.ui.morph.hidden = true;
    clearTimeout(this.#timer);
    this.overlay.pin(null);
    this.overlay.trail([]);
  }

  /** Something else than the scrubber sets the point: the next one shown is where the morph starts. */
  away() {
    this.#scrubbing = false;
  }

  /** A point was set and its picture shown. */
  shown(answer) {
    if (this.#scrubbing) return;
    this.#start = answer;
    if (!this.#pinned) return;
    draw(this.ui["morph-start"].querySelector("canvas"), answer.pixels, this.shape);
    this.ui.scrub.value = 0;
    const apart = distance(answer.z, this.#pinned.z) > 1e-6;
    this.ui.morph.classList.toggle("ls-same", !apart);
    for (const part of [this.ui.scrub, this.ui["morph-start"], this.ui["morph-end"]]) part.disabled = !apart;
    this.ui.morph.hidden = false;
    this.#note(0);
    this.overlay.trail([]);
    this.trace();
  }

  #jump(t) {
    this.ui.scrub.value = t;
    this.#scrub(t);
    this.on.rest();
  }

  #scrub(t) {
    this.#scrubbing = true;
    this.#note(t);
    this.on.move(interpolate(this.#start.z, this.#pinned.z, t, this.ui["morph-method"].value));
  }

  #note(t) {
    const percent = `${Math.round(100 * t)} %`;
    this.ui.scrub.setAttribute("aria-valuetext", `${percent} of the way to the pin`);
    this.ui["morph-note"].textContent = this.ui.scrub.disabled
      ? "Pinned. Now go anywhere else and morph between the two."
      : `${percent} of the way · ${distance(this.#start.z, this.#pinned.z).toFixed(2)} apart`;
  }

  /** Place the path on the map, once the hand is still: that takes longer than a frame where the gallery is large. */
  trace() {
    clearTimeout(this.#timer);
    if (this.#pinned?.x === undefined || this.ui.scrub.disabled) return;
    this.#timer = setTimeout(() => {
      const places = this.on.place(path(this.#start.z, this.#pinned.z, STEPS, this.ui["morph-method"].value));
      // The ends are where they are shown: a place between the images is not quite where its latent is placed.
      if (places.length) for (const [at, end] of [[0, this.#start], [STEPS - 1, this.#pinned]]) places[at] = [end.x, end.y];
      this.overlay.trail(places);
    }, STILL);
  }
}
