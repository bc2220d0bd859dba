// The map by fingers: a tap goes there; one finger sideways, or held still first, looks around, and lifting it goes there; two
// fingers move and zoom. One finger up or down stays the page's own, or a phone could not scroll past the map.

import { move, whole } from "./viewport.js";

const STILL = 10; // pixels a tap may travel
const HOLD = 350; // ms after which a resting finger looks around
const TWICE = 300; // ms between the taps of a double tap

export class Touch {
  #mode = null; // null, "down", "look" or "two"
  #timer = 0;
  #last = null; // of one finger: where it went down; of two: where they were
  #tapped = -Infinity;

  constructor(map) {
    this.map = map;
    // Heard before Plotly, which would take every touch and leave the page none.
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
      this.#mode = "two";
      this.#last = pair(event);
      return event.preventDefault();
    }
    if (event.touches.length !== 1) return this.#cancel();
    this.#mode = "down";
    this.#last = event.touches[0];
    this.#timer = setTimeout(() => this.#look(this.#last), HOLD);
  }

  #move(event) {
    if (!this.#mode) return;
    event.stopPropagation();
    const finger = event.touches[0];
    if (this.#mode === "two") this.#pinch(pair(event));
    else if (this.#mode === "look") this.#look(finger);
    else {
      const [dx, dy] = [Math.abs(finger.clientX - this.#last.clientX), Math.abs(finger.clientY - this.#last.clientY)];
      if (Math.max(dx, dy) <= STILL) return;
      if (dy >= dx) return this.#cancel();
      this.#look(finger);
    }
    event.preventDefault();
  }

  #end(event) {
    if (!this.#mode) return;
    event.stopPropagation();
    // Without this, Plotly would hear the mouse that browsers make of a touch.
    if (event.cancelable) event.preventDefault();
    const [mode, finger] = [this.#mode, event.changedTouches[0]];
    const at = this.map.at(finger);
    if (mode === "two" && event.touches.length) return;
    // What was looked at stays in view until it is set.
    if (mode === "look" && at) this.#mode = "down";
    this.#cancel();
    if (mode === "two" || !at) return;
    const twice = mode === "down" && event.timeStamp - this.#tapped < TWICE;
    this.#tapped = mode === "down" && !twice ? event.timeStamp : -Infinity;
    if (twice) whole(this.map.element);
    else this.map.on.click(at, false);
  }

  #look(finger) {
    clearTimeout(this.#timer);
    this.#mode = "look";
    this.map.look(finger, true);
  }

  #pinch(now) {
    const box = this.map.element.getBoundingClientRect();
    const { x, y, spread } = this.#last;
    move(this.map.element, { dx: now.x - x, dy: now.y - y, factor: now.spread / spread, left: now.x - box.left, top: now.y - box.top });
    this.#last = now;
  }

  #cancel() {
    clearTimeout(this.#timer);
    const looked = this.#mode === "look";
    this.#mode = null;
    if (looked) this.map.on.leave();
  }
}

/** Two fingers: their middle, and how far they are apart. */
function pair({ touches: [a, b] }) {
  return {
    x: (a.clientX + b.clientX) / 2,
    y: (a.clientY + b.clientY) / 2,
    spread: Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY)),
  };
}
