// What lies over the map's points: the pin, the path of a morph, the lasso's loop, and the ring that walks by keyboard.

import { set } from "../shared/dom.js";

const SVG = "http://www.w3.org/2000/svg";
const PIN = "M0 0C-3-8-9-12-9-19a9 9 0 1 1 18 0c0 7-6 11-9 19Z";

export class Overlay {
  #trail = [];
  #pin = null;
  #walker = null;
  #loop = [];

  constructor(svg, map) {
    this.map = map;
    const [clip, trail] = [make("clipPath", { id: "map-window" }), make("g", { "clip-path": "url(#map-window)" })];
    this.window = make("rect");
    this.line = [make("path", { class: "ls-trail-halo" }), make("path", { class: "ls-trail" }), make("path", { class: "ls-trail-dots" })];
    this.pinned = make("g", { class: "ls-pin" });
    this.pinned.append(make("path", { d: PIN }), make("circle", { cy: -19, r: 3.5 }));
    this.lasso = make("path", { class: "ls-loop" });
    this.ring = make("circle", { class: "ls-walker", r: 10 });
    clip.append(this.window);
    trail.append(this.lasso, ...this.line);
    svg.replaceChildren(clip, trail, this.ring, this.pinned);
    this.draw();
  }

  /** Places [x, y] of a path, from its start to its end; none removes it. */
  trail(places) {
    this.#trail = places;
    this.draw();
  }

  /** The corners [x, y] of a loop, or null. */
  loop(corners) {
    this.#loop = corners ?? [];
    this.draw();
  }

  /** The pin's place, or null. */
  pin(place) {
    this.#pin = place;
    this.draw();
  }

  /** The walker's place, or null. */
  walker(place) {
    this.#walker = place;
    this.draw();
  }

  /** The map moved, or something on it. */
  draw() {
    const box = this.map.view();
    if (box) for (const [name, value] of [["x", box.left], ["y", box.top], ["width", box.width], ["height", box.height]]) set(this.window, name, value);
    const spots = box ? this.#trail.map((place) => this.map.screen(...place)) : [];
    const line = drawn(spots);
    set(this.lasso, "d", box && this.#loop.length ? `${drawn(this.#loop.map((place) => this.map.screen(...place)))}Z` : "");
    set(this.line[0], "d", line);
    set(this.line[1], "d", line);
    // Equal steps of the latents: dots crowd where the map stands still and spread where it leaps.
    set(this.line[2], "d", spots.map(({ left, top }) => `M${left.toFixed(1)} ${top.toFixed(1)}h0`).join(""));
    this.#put(this.pinned, box && this.#pin);
    this.#put(this.ring, box && this.#walker);
  }

  #put(part, place) {
    const spot = place && this.map.screen(...place);
    set(part, "display", spot?.inside ? "inline" : "none");
    if (spot?.inside) set(part, "transform", `translate(${spot.left} ${spot.top})`);
  }
}

function drawn(spots) {
  return spots.map(({ left, top }, i) => `${i ? "L" : "M"}${left.toFixed(1)} ${top.toFixed(1)}`).join("");
}

function make(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
