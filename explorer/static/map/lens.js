// The lens: a small window at the pointer, with what the decoder draws there beside the nearest real image.

import { crisp, draw } from "../pixels/picture.js";
import { write } from "../shared/dom.js";

const SIDE = 96;
const ASIDE = 16; // CSS pixels from a mouse
const ABOVE = 40; // CSS pixels from a finger, which hides what is under it
const EDGE = 4;

export class Lens {
  /** `element`: a figure with two canvases, the decoded and the real one, and a caption. */
  constructor(element) {
    const [decoded, real] = element.querySelectorAll("canvas");
    Object.assign(this, { element, decoded, real, caption: element.querySelector("figcaption") });
  }

  open(shape, sprite) {
    Object.assign(this, { shape, sprite });
    this.decoded.width = this.decoded.height = 0;
    for (const canvas of [this.decoded, this.real]) crisp(canvas, shape, SIDE);
    this.hide();
    // Always as large, so that nothing jumps between dots and empty map, and no layout is asked for while the hand moves.
    this.size = { width: 2 * parseFloat(this.decoded.style.width) + 16, height: parseFloat(this.decoded.style.height) + 32 };
  }

  /** Follow the pointer, {left, top} in a box of {width, height}; the lens opens with its first picture. */
  move({ left, top, finger }, box) {
    if (!this.shape) return;
    this.active = true;
    const [x, y] = finger ? this.#over(left, top, box) : this.#beside(left, top, box);
    this.element.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  }

  /** Show what is decoded there, as strongly as it can be trusted (0 to 1), beside the real image nearest to it. */
  show({ pixels, nearest }, caption, trust) {
    if (!this.active) return;
    draw(this.decoded, pixels, this.shape);
    this.decoded.style.opacity = 0.2 + 0.8 * trust;
    this.sprite.draw(this.real, nearest.index);
    write(this.caption, caption);
    this.element.hidden = false;
  }

  hide() {
    this.active = false;
    this.element.hidden = true;
  }

  #beside(left, top, box) {
    const { width, height } = this.size;
    const flip = left + ASIDE + width + EDGE > box.width;
    return [flip ? left - ASIDE - width : left + ASIDE, within(top - height / 2, height, box.height)];
  }

  #over(left, top, box) {
    const { width, height } = this.size;
    const y = top - ABOVE - height;
    if (y >= EDGE) return [within(left - width / 2, width, box.width), y];
    return [within(left > box.width / 2 ? left - ABOVE - width : left + ABOVE, width, box.width), EDGE];
  }
}

function within(start, length, box) {
  return Math.max(EDGE, Math.min(box - length - EDGE, start));
}
