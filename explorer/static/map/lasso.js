// The lasso: while it is in hand, dragging on the map draws a loop around a group of points.

import { frame } from "../shared/frame.js";

const STEP = 2; // pixels between two corners
const STILL = 5; // pixels that a click may travel: it goes there, as ever

export class Lasso {
  #corners = null; // of the loop being drawn, in the map's units
  #last = null;
  #travelled = 0;

  /** `button` takes it and lays it aside; `done(corners)` when a loop is closed, [x, y] each. */
  constructor(button, map, overlay, done) {
    Object.assign(this, { button, map, overlay, done });
    button.addEventListener("click", () => this.take(!map.lassoing));
    const listen = (target, name, act) => target.addEventListener(name, (event) => map.lassoing && act(event), { capture: true, passive: false });
    listen(map.element, "pointerdown", (event) => this.#press(event));
    listen(window, "pointermove", (event) => this.#move(event));
    listen(window, "pointerup", (event) => event.pointerId === this.#last?.pointerId && this.#close());
    listen(window, "pointercancel", () => this.#drop());
    // Plotly hears these; it would pan.
    for (const name of ["mousedown", "touchstart"]) listen(map.element, name, (event) => event.target.closest(".draglayer") && event.stopPropagation());
  }

  take(taken) {
    this.map.lassoing = taken;
    this.button.setAttribute("aria-pressed", String(taken));
    this.map.element.classList.toggle("ls-lassoing", taken);
    if (!taken) this.#drop();
  }

  #press(event) {
    if (event.button !== 0 || !event.isPrimary || !event.target.closest(".draglayer") || !this.map.drawn) return;
    this.#corners = [this.map.where(event)];
    this.#last = event;
    this.#travelled = 0;
  }

  #move(event) {
    if (!this.#corners || event.pointerId !== this.#last.pointerId) return;
    // All that the hand did since the last frame: a fast one would cut corners.
    const all = event.getCoalescedEvents?.() ?? [];
    for (const each of all.length ? all : [event]) {
      const far = Math.hypot(each.clientX - this.#last.clientX, each.clientY - this.#last.clientY);
      if (far < STEP) continue;
      this.#travelled += far;
      this.#corners.push(this.map.where(each));
      this.#last = each;
    }
    frame.paint(this, () => this.#corners && this.overlay.loop(this.#corners));
  }

  #close() {
    const corners = this.#corners;
    this.#corners = null;
    if (!corners) return;
    if (corners.length < 3 || this.#travelled <= STILL) return this.overlay.loop(null);
    this.overlay.loop(corners);
    this.done(corners);
  }

  #drop() {
    if (!this.#corners) return;
    this.#corners = null;
    this.overlay.loop(null);
  }
}
