// The current point: its picture, or that of the place that is looked at, beside the nearest real image.

import { frame } from "../shared/frame.js";
import { crisp, draw } from "../pixels/picture.js";
import { describe, real } from "./announcer.js";
import { write } from "../shared/dom.js";

const PHONE = matchMedia("(max-width: 480px)");
const PHONE_SIDE = 200; // CSS pixels, at most
const NEAREST = 96;
const SET = "decoded from the sliders' z";

export class Current {
  set = null; // the answer that is set: z, pixels, x, y, nearest
  looked = null; // the answer that is previewed, if one is
  labels = null; // the gallery's {classes, codes}, by which images are called
  names = null; // their files' names, where these are known

  /** `side`: CSS pixels of the picture, at most, where the screen is no phone's. */
  constructor(ui, map, side) {
    Object.assign(this, { ui, map, side });
    PHONE.addEventListener("change", () => this.shape && this.#size());
  }

  /** Another model, with pictures of this shape. */
  open(shape) {
    Object.assign(this, { shape, set: null, looked: null, labels: null, names: null });
    this.#size();
  }

  #size() {
    crisp(this.ui.decoded, this.shape, PHONE.matches ? PHONE_SIDE : this.side);
    crisp(this.ui.nearest, this.shape, NEAREST);
  }

  /** Make an answer the current point. */
  show(answer) {
    this.set = answer;
    this.#paint(answer, SET);
  }

  /** Show what is looked at, until `restore`. */
  look(answer, caption) {
    this.looked = answer;
    this.#paint(answer, caption, true);
  }

  restore() {
    this.looked = null;
    if (this.set) this.#paint(this.set, SET);
  }

  /** The thumbnails have arrived. */
  redraw() {
    if (this.set) this.#beside((this.looked ?? this.set).nearest);
  }

  /** An answer in words. */
  words(answer) {
    return describe(answer, this.labels, this.names);
  }

  #paint(answer, caption, preview = false) {
    frame.paint("decoded", () => {
      const { ui } = this;
      draw(ui.decoded, answer.pixels, this.shape);
      ui.decoded.classList.toggle("ls-preview", preview);
      write(ui["decoded-caption"], caption);
      ui.decoded.setAttribute("aria-label", `Picture ${caption}; ${this.words(answer)}`);
      this.#beside(answer.nearest);
    });
  }

  #beside(nearest) {
    const { ui } = this;
    ui.nearest.parentElement.hidden = !nearest;
    if (!nearest) return;
    this.map.sprite?.draw(ui.nearest, nearest.index);
    write(ui["nearest-caption"], real(nearest) ? "its real image" : `nearest real image, ${nearest.distance.toFixed(2)} away in z`);
    const file = this.names?.[nearest.index] ?? "";
    write(ui["nearest-file"], file);
    ui["nearest-file"].title = file;
  }
}
