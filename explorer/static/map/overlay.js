// An SVG layer above the map's points: the pin, the path of a morph, the lasso's loop, and the ring of keyboard navigation.

import { setAttribute } from "../shared/dom.js";

const SVG = "http://www.w3.org/2000/svg";
const PIN_SHAPE = "M0 0C-3-8-9-12-9-19a9 9 0 1 1 18 0c0 7-6 11-9 19Z"; // an SVG path in CSS pixels, with its tip at (0, 0)

export class Overlay {
  #path = []; // all positions are [x, y] in units of the map
  #pin = null;
  #ring = null;
  #loop = [];

  constructor(svg, map) {
    this.map = map;
    const [clip, clipped] = [make("clipPath", { id: "map-window" }), make("g", { "clip-path": "url(#map-window)" })];
    this.clipRect = make("rect");
    this.path = [make("path", { class: "ls-trail-halo" }), make("path", { class: "ls-trail" }), make("path", { class: "ls-trail-dots" })];
    this.pin = make("g", { class: "ls-pin" });
    this.pin.append(make("path", { d: PIN_SHAPE }), make("circle", { cy: -19, r: 3.5 }));
    this.loop = make("path", { class: "ls-loop" });
    this.ring = make("circle", { class: "ls-walker", r: 10 });
    clip.append(this.clipRect);
    clipped.append(this.loop, ...this.path);
    svg.replaceChildren(clip, clipped, this.ring, this.pin);
    this.draw();
  }

  /** The positions of a path, from its start to its end; an empty array removes it. */
  setPath(positions) {
    this.#path = positions;
    this.draw();
  }

  /** The corners of a loop, or null. */
  setLoop(corners) {
    this.#loop = corners ?? [];
    this.draw();
  }

  /** The pin's position, or null. */
  setPin(position) {
    this.#pin = position;
    this.draw();
  }

  /** The position of keyboard navigation, or null. */
  setRing(position) {
    this.#ring = position;
    this.draw();
  }

  /** Draw everything again, after a change or when the axes have moved. */
  draw() {
    const box = this.map.view();
    if (box) for (const [name, value] of [["x", box.left], ["y", box.top], ["width", box.width], ["height", box.height]]) setAttribute(this.clipRect, name, value);
    const points = box ? this.#path.map((position) => this.map.screen(...position)) : [];
    const line = polyline(points);
    setAttribute(this.loop, "d", box && this.#loop.length ? `${polyline(this.#loop.map((position) => this.map.screen(...position)))}Z` : "");
    setAttribute(this.path[0], "d", line);
    setAttribute(this.path[1], "d", line);
    // The dots are equal steps in latent space, so their spacing shows how fast the position on the map changes.
    setAttribute(this.path[2], "d", points.map(({ left, top }) => `M${left.toFixed(1)} ${top.toFixed(1)}h0`).join(""));
    this.#move(this.pin, box && this.#pin);
    this.#move(this.ring, box && this.#ring);
  }

  /** Move a part to a position, and hide it outside the axes. */
  #move(part, position) {
    const point = position && this.map.screen(...position);
    setAttribute(part, "display", point?.inside ? "inline" : "none");
    if (point?.inside) setAttribute(part, "transform", `translate(${point.left} ${point.top})`);
  }
}

function polyline(points) {
  return points.map(({ left, top }, i) => `${i ? "L" : "M"}${left.toFixed(1)} ${top.toFixed(1)}`).join("");
}

function make(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
