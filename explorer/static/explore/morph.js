// The morph from the current point to a pinned one: a slider, two thumbnails, the path on the map.

import { distance, interpolate, path } from "../model/geometry.js";
import { draw } from "../pixels/picture.js";

const PATH_POINTS = 33; // points of the path on the map
const DELAY = 150; // ms without a new point after which the path is placed on the map again

export class Morph {
  #start = null; // the answer at the slider's 0: the last point that the morph slider itself did not set
  #pinned = null; // the answer for the pinned point, or null
  #scrubbing = false; // whether the current point is on the path
  #timer = 0;

  /** `on.input(z)` at every move of the slider, `on.change()` at release, `on.place(points)` returns positions on the map. */
  constructor(ui, overlay, on) {
    Object.assign(this, { ui, overlay, on });
    ui.scrub.addEventListener("input", () => this.#scrub(Number(ui.scrub.value)));
    ui.scrub.addEventListener("change", () => on.change());
    ui["morph-method"].addEventListener("change", () => {
      this.placePath();
      if (this.#scrubbing) this.#jump(Number(ui.scrub.value));
    });
    ui["morph-start"].addEventListener("click", () => this.#jump(0));
    ui["morph-end"].addEventListener("click", () => this.#jump(1));
    ui.unpin.addEventListener("click", () => this.unpin());
  }

  /** Another model, with images of this shape: remove the pin. */
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
    this.overlay.setPin(answer.x === undefined ? null : [answer.x, answer.y]);
    this.pointShown(current);
  }

  unpin() {
    this.#pinned = null;
    if (this.ui.morph.contains(document.activeElement)) this.ui.pin.focus();
    this.ui.morph.hidden = true;
    clearTimeout(this.#timer);
    this.overlay.setPin(null);
    this.overlay.setPath([]);
  }

  /** Another control sets the point: the next point that is shown becomes the start of the morph. */
  leavePath() {
    this.#scrubbing = false;
  }

  /** A new current point is shown: the morph starts there, unless it is on the path. */
  pointShown(answer) {
    if (this.#scrubbing) return;
    this.#start = answer;
    if (!this.#pinned) return;
    draw(this.ui["morph-start"].querySelector("canvas"), answer.pixels, this.shape);
    this.ui.scrub.value = 0;
    const apart = distance(answer.z, this.#pinned.z) > 1e-6;
    this.ui.morph.classList.toggle("ls-same", !apart);
    for (const part of [this.ui.scrub, this.ui["morph-start"], this.ui["morph-end"]]) part.disabled = !apart;
    this.ui.morph.hidden = false;
    this.#showProgress(0);
    this.overlay.setPath([]);
    this.placePath();
  }

  #jump(t) {
    this.ui.scrub.value = t;
    this.#scrub(t);
    this.on.change();
  }

  #scrub(t) {
    this.#scrubbing = true;
    this.#showProgress(t);
    this.on.input(interpolate(this.#start.z, this.#pinned.z, t, this.ui["morph-method"].value));
  }

  #showProgress(t) {
    const percent = `${Math.round(100 * t)} %`;
    this.ui.scrub.setAttribute("aria-valuetext", `${percent} of the way to the pin`);
    this.ui["morph-note"].textContent = this.ui.scrub.disabled
      ? "Pinned. Go to another point to morph between the two."
      : `${percent} of the way · distance ${distance(this.#start.z, this.#pinned.z).toFixed(2)}`;
  }

  /** Draw the path on the map after a delay: with a large gallery, placing its points takes longer than a frame. */
  placePath() {
    clearTimeout(this.#timer);
    if (this.#pinned?.x === undefined || this.ui.scrub.disabled) return;
    this.#timer = setTimeout(() => {
      const positions = this.on.place(path(this.#start.z, this.#pinned.z, PATH_POINTS, this.ui["morph-method"].value));
      // Both ends are drawn where the map shows them: lifting a position and placing it again moves it slightly.
      if (positions.length) for (const [at, end] of [[0, this.#start], [PATH_POINTS - 1, this.#pinned]]) positions[at] = [end.x, end.y];
      this.overlay.setPath(positions);
    }, DELAY);
  }
}
