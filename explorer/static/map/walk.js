// Keyboard navigation of the map: arrow keys preview one dot after another, Enter makes the dot current.

import { nearestInDirection } from "../model/geometry.js";
import { moveView, showAll } from "./viewport.js";

const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const STEP = 14; // CSS pixels to the next dot, at least: the same on the screen at every zoom
const LARGE_STEP = 90; // the same with Shift
const ZOOM = 1.5; // magnification per key press

export class Walk {
  #at = null; // the dot that is previewed, as in the events of LatentMap

  constructor(map, overlay) {
    Object.assign(this, { map, overlay });
    map.element.addEventListener("keydown", (event) => this.#onKey(event));
    map.element.addEventListener("focusout", () => this.cancel());
  }

  /** End the preview; the current point has not changed. */
  cancel() {
    if (!this.#at) return;
    this.#end();
    this.map.on.leave();
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.map.drawn) return;
    const { key } = event;
    if (DIRECTIONS[key]) this.#step(DIRECTIONS[key], event.shiftKey ? LARGE_STEP : STEP);
    else if (key === "+" || key === "=") this.#zoom(ZOOM);
    else if (key === "-") this.#zoom(1 / ZOOM);
    else if (key === "0") showAll(this.map.element);
    else if ((key === "Enter" || key === " ") && this.#at) this.#choose();
    else if (key === "Escape" && this.#at) this.cancel();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #step(direction, pixels) {
    const { map } = this;
    const from = this.#at ? [this.#at.x, this.#at.y] : map.markerPosition;
    if (!from) return;
    const { order, positions } = map.cells;
    const next = nearestInDirection(positions, from, direction, pixels / map.view().scale, (i) => map.visible(order[i]));
    if (next < 0) return;
    const [x, y] = [positions[2 * next], positions[2 * next + 1]];
    this.#reveal(x, y);
    this.overlay.setRing([x, y]);
    this.#at = { x, y, index: order[next], ...map.screen(x, y), keyboard: true };
    map.on.hover(this.#at);
  }

  #choose() {
    const at = this.#at;
    this.#end();
    this.map.on.click(at, false);
  }

  #end() {
    this.#at = null;
    this.overlay.setRing(null);
  }

  #zoom(factor) {
    const centre = this.#at ? [this.#at.x, this.#at.y] : this.map.markerPosition;
    if (centre) moveView(this.map.element, { factor, ...this.map.screen(...centre) });
  }

  /** Centre the view on a position, if it is out of view. */
  #reveal(x, y) {
    const { left, top, inside } = this.map.screen(x, y);
    const view = this.map.view();
    if (!inside) moveView(this.map.element, { dx: view.left + view.width / 2 - left, dy: view.top + view.height / 2 - top });
  }
}
