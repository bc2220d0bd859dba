// The picture of the current point, or of the point that is previewed, next to the nearest real image.

import { frame } from "../shared/frame.js";
import { draw, setDisplaySize } from "../pixels/picture.js";
import { describe, isReal } from "./announcer.js";
import { setText } from "../shared/dom.js";

const PHONE = matchMedia("(max-width: 480px)");
const PHONE_SIDE = 200; // longer side of the decoded picture on a phone in CSS pixels, at most
const NEAREST_SIDE = 96; // longer side of the nearest real image in CSS pixels, at most
const CAPTION = "decoded from the current z";

export class CurrentPoint {
  point = null; // the answer for the current point: {z, pixels, x, y, nearest}
  previewed = null; // the answer for the previewed point, or null
  labels = null; // the gallery's {classes, codes}, or null
  names = null; // the gallery's file names, or null

  /** `side`: longer side of the decoded picture on other screens in CSS pixels, at most. */
  constructor(ui, map, side) {
    Object.assign(this, { ui, map, side });
    PHONE.addEventListener("change", () => this.shape && this.#resize());
  }

  /** Another model, with images of this shape. */
  open(shape) {
    Object.assign(this, { shape, point: null, previewed: null, labels: null, names: null });
    this.#resize();
  }

  #resize() {
    setDisplaySize(this.ui.decoded, this.shape, PHONE.matches ? PHONE_SIDE : this.side);
    setDisplaySize(this.ui.nearest, this.shape, NEAREST_SIDE);
  }

  /** Show an answer as the current point. */
  show(answer) {
    this.point = answer;
    this.#paint(answer, CAPTION);
  }

  /** Show an answer until `endPreview`. */
  preview(answer, caption) {
    this.previewed = answer;
    this.#paint(answer, caption, true);
  }

  endPreview() {
    this.previewed = null;
    if (this.point) this.#paint(this.point, CAPTION);
  }

  /** Draw the nearest real image again: its thumbnail was loaded after the picture was shown. */
  redrawNearest() {
    if (this.point) this.#drawNearest((this.previewed ?? this.point).nearest);
  }

  /** An answer's nearest real image as text. */
  describe(answer) {
    return describe(answer, this.labels, this.names);
  }

  #paint(answer, caption, preview = false) {
    frame.paint("decoded", () => {
      const { ui } = this;
      draw(ui.decoded, answer.pixels, this.shape);
      ui.decoded.classList.toggle("ls-preview", preview);
      setText(ui["decoded-caption"], caption);
      ui.decoded.setAttribute("aria-label", `Picture ${caption}; ${this.describe(answer)}`);
      this.#drawNearest(answer.nearest);
    });
  }

  #drawNearest(nearest) {
    const { ui } = this;
    ui.nearest.parentElement.hidden = !nearest;
    if (!nearest) return;
    this.map.sprite?.draw(ui.nearest, nearest.index);
    setText(ui["nearest-caption"], isReal(nearest) ? "the real image" : `nearest real image, ${nearest.distance.toFixed(2)} away in z`);
    const file = this.names?.[nearest.index] ?? "";
    setText(ui["nearest-file"], file);
    ui["nearest-file"].title = file;
  }
}
