// The lasso: while it is active, dragging on the map draws a loop around a group of points.

import { frame } from "../shared/frame.js";

const CORNER_DISTANCE = 2; // CSS pixels between two corners of the loop, at least
const CLICK_TOLERANCE = 5; // CSS pixels that the pointer may travel in a click, which draws no loop

export class Lasso {
  #corners = null; // of the loop being drawn, in units of the map
  #last = null; // the last pointer event of the loop
  #travelled = 0; // CSS pixels

  /** `button` switches the lasso on and off; `done(corners)` is called when a loop is closed, with [x, y] for each corner. */
  constructor(button, map, overlay, done) {
    Object.assign(this, { button, map, overlay, done });
    button.addEventListener("click", () => this.activate(!map.lassoing));
    const listen = (target, name, act) => target.addEventListener(name, (event) => map.lassoing && act(event), { capture: true, passive: false });
    listen(map.element, "pointerdown", (event) => this.#press(event));
    listen(window, "pointermove", (event) => this.#move(event));
    listen(window, "pointerup", (event) => event.pointerId === this.#last?.pointerId && this.#close());
    listen(window, "pointercancel", () => this.#cancel());
    // Plotly pans on these events.
    for (const name of ["mousedown", "touchstart"]) listen(map.element, name, (event) => event.target.closest(".draglayer") && event.stopPropagation());
  }

  activate(active) {
    this.map.lassoing = active;
    this.button.setAttribute("aria-pressed", String(active));
    this.map.element.classList.toggle("ls-lassoing", active);
    if (!active) this.#cancel();
  }

  #press(event) {
    if (event.button !== 0 || !event.isPrimary || !event.target.closest(".draglayer") || !this.map.drawn) return;
    this.#corners = [this.map.position(event)];
    this.#last = event;
    this.#travelled = 0;
  }

  #move(event) {
    if (!this.#corners || event.pointerId !== this.#last.pointerId) return;
    // All pointer positions since the last frame: with only the newest, a fast loop would lose its corners.
    const all = event.getCoalescedEvents?.() ?? [];
    for (const each of all.length ? all : [event]) {
      const distance = Math.hypot(each.clientX - this.#last.clientX, each.clientY - this.#last.clientY);
      if (distance < CORNER_DISTANCE) continue;
      this.#travelled += distance;
      this.#corners.push(this.map.position(each));
      this.#last = each;
    }
    frame.paint(this, () => this.#corners && this.overlay.setLoop(this.#corners));
  }

  #close() {
    const corners = this.#corners;
    this.#corners = null;
    if (!corners) return;
    if (corners.length < 3 || this.#travelled <= CLICK_TOLERANCE) return this.overlay.setLoop(null);
    this.overlay.setLoop(corners);
    this.done(corners);
  }

  #cancel() {
    if (!this.#corners) return;
    this.#corners = null;
    this.overlay.setLoop(null);
  }
}
