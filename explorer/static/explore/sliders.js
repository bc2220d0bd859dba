// One slider per latent, by decreasing KL: the first eight active ones are visible, the others in a collapsed section.

import { STEPS } from "./filmstrips.js";
import { setDisplaySize } from "../pixels/picture.js";
import { setText } from "../shared/dom.js";

const VISIBLE = 8; // active latents above the collapsed sections
const THUMB_WIDTH = 16; // CSS pixels, as in style.css
const FRAME_SIDE = 30; // longer side of a filmstrip picture, in CSS pixels

export class Sliders {
  #inputs = new Map();
  /** One row per slider: {index, centre, sd, line, images}, for its filmstrip. */
  rows = [];

  /**
   * `on.input(z)` at every move of a slider; `on.early(z)`, the same before the next frame, where the browser reports raw pointer
   * positions; `on.change()` at release; `on.expand()` when a section opens or closes.
   */
  constructor(element, on) {
    Object.assign(this, { element, on, z: [] });
  }

  /** Create the sliders of a model with images of this shape. `latents`: as in the answer to open_model. */
  build({ latents, shape, reach }) {
    this.z = new Array(latents.length).fill(0);
    Object.assign(this, { shape, reach });
    this.rows = [];
    this.#inputs.clear();
    const active = latents.filter((latent) => latent.active);
    const inactive = latents.filter((latent) => !latent.active);
    const first = document.createElement("div");
    const head = div("ls-slider ls-slider-head");
    head.append(span("latent"), span("histogram of real images, decoded pictures"), span("value"), span("KL, nats"));
    head.children[1].title = `The slider's range is the images' mean ± ${reach} standard deviations. The pictures show −3 to 3, with the other latents unchanged.`;
    head.lastChild.title = "The divergence KL(q(z|x) ‖ N(0, 1)), averaged over the gallery: how much this latent depends on the image";
    first.append(head, ...active.slice(0, VISIBLE).map((latent) => this.#row(latent)));
    this.element.replaceChildren(first);
    if (active.length > VISIBLE) this.#addSection(`${active.length - VISIBLE} more latents`, active.slice(VISIBLE));
    if (inactive.length) {
      this.#addSection(`${inactive.length} inactive latent${inactive.length > 1 ? "s" : ""} (hardly used: moving them does not change the picture)`, inactive);
    }
  }

  /** Show a point; calls nothing of `on`. */
  set(z) {
    this.z = [...z];
    for (const [index, { input, output }] of this.#inputs) showValue(input, output, z[index]);
  }

  #addSection(title, latents) {
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = title;
    details.addEventListener("toggle", () => {
      if (details.open) details.scrollIntoView({ block: "nearest" });
      this.on.expand();
    });
    details.append(summary, ...latents.map((latent) => this.#row(latent)));
    this.element.append(details);
  }

  #row({ index, kl, centre, sd, histogram }) {
    const line = div("ls-slider");
    const name = document.createElement("label");
    name.textContent = `z${index}`;
    name.htmlFor = `slider-${index}`;
    const input = document.createElement("input");
    const [min, max] = sliderRange({ centre, sd }, this.reach);
    Object.assign(input, { type: "range", min, max, step: 0.01, id: `slider-${index}` });
    input.dataset.latent = index;
    const output = document.createElement("output");
    output.htmlFor = input.id;
    const track = div("ls-track");
    const images = STEPS.map((step) => {
      const image = Object.assign(new Image(), { alt: "", hidden: true });
      image.style.setProperty("--at", (step + this.reach) / (2 * this.reach));
      setDisplaySize(image, this.shape, FRAME_SIDE);
      return image;
    });
    const film = div("ls-film");
    film.setAttribute("aria-hidden", "true");
    film.append(...images);
    track.append(histogramShape(histogram), film, input);
    this.rows.push({ index, centre, sd, line, images });
    line.append(name, track, output, span(kl.toFixed(2)));
    input.addEventListener("input", () => {
      this.z[index] = Number(input.value);
      showValue(input, output, this.z[index]);
      this.on.input([...this.z]);
    });
    input.addEventListener("change", () => this.on.change());
    input.addEventListener("pointerrawupdate", (event) => {
      if (event.buttons & 1) this.on.early(Object.assign([...this.z], { [index]: valueAt(input, event.clientX) }));
    });
    this.#inputs.set(index, { input, output });
    return line;
  }
}

/** The lower and upper end of a latent's slider, rounded to hundredths, because a slider counts its steps from the lower end. */
export function sliderRange({ centre, sd }, reach) {
  return [-reach, reach].map((deviations) => Math.round(100 * (centre + deviations * sd)) / 100);
}

/** The value that a slider will have for a pointer at x: the middle of the thumb follows the pointer. */
function valueAt(input, x) {
  const box = input.getBoundingClientRect();
  const fraction = Math.max(0, Math.min(1, (x - box.left - THUMB_WIDTH / 2) / (box.width - THUMB_WIDTH)));
  const [min, max] = [Number(input.min), Number(input.max)];
  return Number((min + Math.round(100 * fraction * (max - min)) / 100).toFixed(2));
}

function showValue(input, output, value) {
  input.value = value;
  const text = value.toFixed(2).replace("-", "−");
  setText(output, text);
  input.setAttribute("aria-valuetext", text);
}

function div(className) {
  return Object.assign(document.createElement("div"), { className });
}

function span(text) {
  return Object.assign(document.createElement("span"), { textContent: text });
}

/** A histogram of the gallery's posterior means along a latent, as a filled shape above the filmstrip. */
function histogramShape(histogram) {
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
