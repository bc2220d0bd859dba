// The map by keyboard: arrows look from dot to dot, Enter goes there.

import { ahead } from "../model/geometry.js";
import { move, whole } from "./viewport.js";

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const STRIDE = 14; // pixels: a step is as long on the screen whatever the zoom
const LEAP = 90; // with Shift
const ZOOM = 1.5;

export class Walk {
  #at = null; // the dot that is looked at, as the map tells of it

  constructor(map, overlay) {
    Object.assign(this, { map, overlay });
    map.element.addEventListener("keydown", (event) => this.#key(event));
    map.element.addEventListener("focusout", () => this.stop());
  }

  get walking() {
    return this.#at !== null;
  }

  /** Back to the point that is set; nothing has changed. */
  stop() {
    if (!this.#at) return;
    this.#end();
    this.map.on.leave();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.map.drawn) return;
    const { key } = event;
    if (WAYS[key]) this.#step(WAYS[key], event.shiftKey ? LEAP : STRIDE);
    else if (key === "+" || key === "=") this.#zoom(ZOOM);
    else if (key === "-") this.#zoom(1 / ZOOM);
    else if (key === "0") whole(this.map.element);
    else if ((key === "Enter" || key === " ") && this.#at) this.#set();
    else if (key === "Escape" && this.#at) this.stop();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #step(way, pixels) {
    const { map } = this;
    const from = this.#at ? [this.#at.x, this.#at.y] : map.marked;
    if (!from) return;
    const { order, places } = map.cells;
    const next = ahead(places, from, way, pixels / map.view().scale, (i) => map.visible(order[i]));
    if (next < 0) return;
    const [x, y] = [places[2 * next], places[2 * next + 1]];
    this.#reveal(x, y);
    this.overlay.walker([x, y]);
    this.#at = { x, y, index: order[next], ...map.screen(x, y), walked: true };
    map.on.hover(this.#at);
  }

  #set() {
    const at = this.#at;
    this.#end();
    this.map.on.click(at, false);
  }

  #end() {
    this.#at = null;
    this.overlay.walker(null);
  }

  #zoom(factor) {
    const place = this.#at ? [this.#at.x, this.#at.y] : this.map.marked;
    if (place) move(this.map.element, { factor, ...this.map.screen(...place) });
  }

  /** Bring a place that is out of view to the middle. */
  #reveal(x, y) {
    const { left, top, inside } = this.map.screen(x, y);
    const view = this.map.view();
    if (!inside) move(this.map.element, { dx: view.left + view.width / 2 - left, dy: view.top + view.height / 2 - top });
  }
}
