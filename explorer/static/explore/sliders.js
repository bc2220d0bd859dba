// One slider per latent, sorted by KL, the eight most informative first, inactive ones folded away.

import { STEPS } from "./film.js";
import { crisp } from "../pixels/picture.js";
import { write } from "../shared/dom.js";

const FIRST = 8;
const THUMB = 16; // CSS pixels, as in style.css
const FRAME = 30; // CSS pixels of a filmstrip's picture

export class Sliders {
  #inputs = new Map();
  /** One row per slider: {index, centre, sd, line, images}, for its filmstrip. */
  rows = [];

  /**
   * `on.input(z)` at every move of a hand, `on.ahead(z)` earlier, where the browser lets the move be seen before the next frame;
   * `on.change(z)` when the hand rests, `on.unfold()` when more sliders come into view.
   */
  constructor(element, on) {
    Object.assign(this, { element, on, z: [] });
  }

  /** Lay out the latents of a model with pictures of this shape, as the catalogue describes them. */
  build({ latents, shape, reach }) {
    this.z = new Array(latents.length).fill(0);
    Object.assign(this, { shape, reach });
    this.rows = [];
    this.#inputs.clear();
    const active = latents.filter((latent) => latent.active);
    const inactive = latents.filter((latent) => !latent.active);
    const first = document.createElement("div");
    const head = row("ls-slider ls-slider-head");
    head.append(cell("latent"), cell("what dragging would show, over where real images lie"), cell("value"), cell("KL, nats"));
    head.children[1].title = `From ${reach} standard deviations below to ${reach} above the middle of the images' posteriors; pictures at −3…3, all else as it is now`;
    head.lastChild.title = "How much this latent tells about an image: the divergence KL(q(z|x) ‖ N(0, 1)), averaged over the gallery";
    first.append(head, ...active.slice(0, FIRST).map((latent) => this.#row(latent)));
    this.element.replaceChildren(first);
    if (active.length > FIRST) this.#fold(`${active.length - FIRST} more latents`, active.slice(FIRST));
    if (inactive.length) {
      this.#fold(`${inactive.length} inactive latent${inactive.length > 1 ? "s" : ""} (they hardly vary with the image: dragging changes nothing)`, inactive);
    }
  }

  /** Show a point, without telling anybody. */
  set(z) {
    this.z = [...z];
    for (const [index, { input, output }] of this.#inputs) show(input, output, z[index]);
  }

  #fold(title, latents) {
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = title;
    details.addEventListener("toggle", () => {
      if (details.open) details.scrollIntoView({ block: "nearest" });
      this.on.unfold();
    });
    details.append(summary, ...latents.map((latent) => this.#row(latent)));
    this.element.append(details);
  }

  #row({ index, kl, centre, sd, histogram }) {
    const line = row("ls-slider");
    const name = document.createElement("label");
    name.textContent = `z${index}`;
    name.htmlFor = `slider-${index}`;
    const input = document.createElement("input");
    const [min, max] = range({ centre, sd }, this.reach);
    Object.assign(input, { type: "range", min, max, step: 0.01, id: `slider-${index}` });
    input.dataset.latent = index;
    const output = document.createElement("output");
    output.htmlFor = input.id;
    const track = row("ls-track");
    const images = STEPS.map((step) => {
      const image = Object.assign(new Image(), { alt: "", hidden: true });
      image.style.setProperty("--at", (step + this.reach) / (2 * this.reach));
      crisp(image, this.shape, FRAME);
      return image;
    });
    const film = row("ls-film");
    film.setAttribute("aria-hidden", "true");
    film.append(...images);
    track.append(mountains(histogram), film, input);
    this.rows.push({ index, centre, sd, line, images });
    line.append(name, track, output, cell(kl.toFixed(2)));
    input.addEventListener("input", () => {
      this.z[index] = Number(input.value);
      show(input, output, this.z[index]);
      this.on.input([...this.z]);
    });
    input.addEventListener("change", () => this.on.change([...this.z]));
    input.addEventListener("pointerrawupdate", (event) => {
      if (event.buttons & 1) this.on.ahead(Object.assign([...this.z], { [index]: valueAt(input, event.clientX) }));
    });
    this.#inputs.set(index, { input, output });
    return line;
  }
}

/** From where to where a latent can be moved. On whole hundredths: a slider's values are counted from its lower end. */
export function range({ centre, sd }, reach) {
  return [-reach, reach].map((deviations) => Math.round(100 * (centre + deviations * sd)) / 100);
}

/** The value that a slider is about to take from a pointer, which its thumb follows by the middle. */
function valueAt(input, x) {
  const box = input.getBoundingClientRect();
  const share = Math.max(0, Math.min(1, (x - box.left - THUMB / 2) / (box.width - THUMB)));
  const [min, max] = [Number(input.min), Number(input.max)];
  return Number((min + Math.round(100 * share * (max - min)) / 100).toFixed(2));
}

function show(input, output, value) {
  input.value = value;
  const words = value.toFixed(2).replace("-", "−");
  write(output, words);
  input.setAttribute("aria-valuetext", words);
}

function row(className) {
  return Object.assign(document.createElement("div"), { className });
}

function cell(text) {
  return Object.assign(document.createElement("span"), { textContent: text });
}

/** The distribution of real images along a latent, as a small silhouette behind its slider. */
function mountains(histogram) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${Math.max(histogram.length, 1)} 1`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const top = Math.max(...histogram, 1);
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", `M0 1${histogram.map((n, i) => `L${i} ${1 - n / top}L${i + 1} ${1 - n / top}`).join("")}L${histogram.length} 1Z`);
  svg.append(path);
  return svg;
}
