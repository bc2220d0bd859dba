// The lens: a small window at the pointer with the decoded picture and the nearest real image.

import { draw, setDisplaySize } from "../pixels/picture.js";
import { setText } from "../shared/dom.js";

// All in CSS pixels.
const PICTURE_SIDE = 96; // longer side of each of the two pictures, at most
const MOUSE_OFFSET = 16; // between the mouse and the lens
const TOUCH_OFFSET = 40; // between a finger, which covers what is under it, and the lens
const MARGIN = 4; // between the lens and the edges of the map

export class Lens {
  /** `element`: a figure with two canvases, decoded and real, and a caption. */
  constructor(element) {
    const [decoded, real] = element.querySelectorAll("canvas");
    Object.assign(this, { element, decoded, real, caption: element.querySelector("figcaption") });
  }

  open(shape, sprite) {
    Object.assign(this, { shape, sprite });
    this.decoded.width = this.decoded.height = 0;
    for (const canvas of [this.decoded, this.real]) setDisplaySize(canvas, shape, PICTURE_SIDE);
    this.hide();
    // A fixed size, so that moving the pointer causes no layout and the lens does not jump.
    this.size = { width: 2 * parseFloat(this.decoded.style.width) + 16, height: parseFloat(this.decoded.style.height) + 32 };
  }

  /** Follow the pointer at {left, top} in a box of {width, height}. The lens becomes visible with its first picture. */
  move({ left, top, touch }, box) {
    if (!this.shape) return;
    this.active = true;
    const [x, y] = touch ? this.#aboveFinger(left, top, box) : this.#besidePointer(left, top, box);
    this.element.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  }

  /** Show a decoded picture and its nearest real image. `trust`, 0 to 1, sets the opacity of the decoded picture. */
  show({ pixels, nearest }, caption, trust) {
    if (!this.active) return;
    draw(this.decoded, pixels, this.shape);
    this.decoded.style.opacity = 0.2 + 0.8 * trust;
    this.sprite.draw(this.real, nearest.index);
    setText(this.caption, caption);
    this.element.hidden = false;
  }

  hide() {
    this.active = false;
    this.element.hidden = true;
  }

  #besidePointer(left, top, box) {
    const { width, height } = this.size;
    const flip = left + MOUSE_OFFSET + width + MARGIN > box.width;
    return [flip ? left - MOUSE_OFFSET - width : left + MOUSE_OFFSET, fit(top - height / 2, height, box.height)];
  }

  #aboveFinger(left, top, box) {
    const { width, height } = this.size;
    const y = top - TOUCH_OFFSET - height;
    if (y >= MARGIN) return [fit(left - width / 2, width, box.width), y];
    return [fit(left > box.width / 2 ? left - TOUCH_OFFSET - width : left + TOUCH_OFFSET, width, box.width), MARGIN];
  }
}

/** Shift an interval so that it is inside a box. */
function fit(start, length, box) {
  return Math.max(MARGIN, Math.min(box - length - MARGIN, start));
}
