// Touch input of the map. A tap chooses a point. Sliding one finger sideways, or after a long press, previews; lifting it chooses.
// Two fingers pan and zoom. Sliding one finger up or down scrolls the page, so that a phone can scroll past the map.

import { moveView, showAll } from "./viewport.js";

const TAP_TOLERANCE = 10; // CSS pixels that a finger may travel in a tap
const LONG_PRESS = 350; // ms after which a finger at rest starts to preview
const DOUBLE_TAP = 300; // ms between the taps of a double tap, at most

export class Touch {
  #mode = null; // null, "down", "preview" or "pinch"
  #timer = 0;
  #last = null; // one finger: where it touched down; two fingers: their last positions
  #tapped = -Infinity; // time of the last single tap

  constructor(map) {
    this.map = map;
    // In the capture phase, before Plotly, which would take every touch and block scrolling.
    const listen = (name, act) => map.element.addEventListener(name, (event) => act(event), { capture: true, passive: false });
    listen("touchstart", (event) => this.#start(event));
    listen("touchmove", (event) => this.#move(event));
    listen("touchend", (event) => this.#end(event));
    listen("touchcancel", () => this.#cancel());
    listen("contextmenu", (event) => this.#mode && event.preventDefault());
  }

  #start(event) {
    if (!event.target.closest(".draglayer") || !this.map.drawn || this.map.lassoing) return;
    event.stopPropagation();
    if (event.touches.length === 2) {
      this.#cancel();
      this.#mode = "pinch";
      this.#last = fingers(event);
      return event.preventDefault();
    }
    if (event.touches.length !== 1) return this.#cancel();
    this.#mode = "down";
    this.#last = event.touches[0];
    this.#timer = setTimeout(() => this.#preview(this.#last), LONG_PRESS);
  }

  #move(event) {
    if (!this.#mode) return;
    event.stopPropagation();
    const finger = event.touches[0];
    if (this.#mode === "pinch") this.#pinch(fingers(event));
    else if (this.#mode === "preview") this.#preview(finger);
    else {
      const [dx, dy] = [Math.abs(finger.clientX - this.#last.clientX), Math.abs(finger.clientY - this.#last.clientY)];
      if (Math.max(dx, dy) <= TAP_TOLERANCE) return;
      if (dy >= dx) return this.#cancel();
      this.#preview(finger);
    }
    event.preventDefault();
  }

  #end(event) {
    if (!this.#mode) return;
    event.stopPropagation();
    // Without this, Plotly would get the mouse events that browsers create from a touch.
    if (event.cancelable) event.preventDefault();
    const [mode, finger] = [this.#mode, event.changedTouches[0]];
    const at = this.map.locate(finger);
    if (mode === "pinch" && event.touches.length) return;
    // With mode "down", #cancel does not end the preview: it stays until the chosen point is shown.
    if (mode === "preview" && at) this.#mode = "down";
    this.#cancel();
    if (mode === "pinch" || !at) return;
    const double = mode === "down" && event.timeStamp - this.#tapped < DOUBLE_TAP;
    this.#tapped = mode === "down" && !double ? event.timeStamp : -Infinity;
    if (double) showAll(this.map.element);
    else this.map.on.click(at, false);
  }

  #preview(finger) {
    clearTimeout(this.#timer);
    this.#mode = "preview";
    this.map.hover(finger, true);
  }

  #pinch(now) {
    const box = this.map.element.getBoundingClientRect();
    const { x, y, spread } = this.#last;
    moveView(this.map.element, { dx: now.x - x, dy: now.y - y, factor: now.spread / spread, left: now.x - box.left, top: now.y - box.top });
    this.#last = now;
  }

  #cancel() {
    clearTimeout(this.#timer);
    const previewed = this.#mode === "preview";
    this.#mode = null;
    if (previewed) this.map.on.leave();
  }
}

/** The middle of two fingers and the distance between them, in CSS pixels. */
function fingers({ touches: [a, b] }) {
  return {
    x: (a.clientX + b.clientX) / 2,
    y: (a.clientY + b.clientY) / 2,
    spread: Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY)),
  };
}
