// Pictures on canvases at the model's own size; CSS enlarges them without blurring.

import { aside } from "../shared/one_shot_worker.js";

/** The bytes behind base64 text, as servers send them; bytes stay as they are. */
export function bytes(base64) {
  if (typeof base64 !== "string") return base64;
  const text = atob(base64);
  const out = new Uint8Array(text.length);
  for (let i = 0; i < out.length; i++) out[i] = text.charCodeAt(i);
  return out;
}

/** Pixels (H, W, C) of bytes as ImageData. */
export function imageData(pixels, [channels, height, width]) {
  const data = new ImageData(width, height);
  for (let i = 0, o = 0; o < data.data.length; i += channels, o += 4) {
    data.data[o] = pixels[i];
    data.data[o + 1] = pixels[i + (channels > 1 ? 1 : 0)];
    data.data[o + 2] = pixels[i + (channels > 1 ? 2 : 0)];
    data.data[o + 3] = 255;
  }
  return data;
}

/** Draw pixels on a canvas, which takes the picture's size. */
export function draw(canvas, pixels, shape) {
  resize(canvas, shape);
  canvas.getContext("2d").putImageData(imageData(pixels, shape), 0, 0);
}

/** Pixels as the address of a PNG: for an <img>, which unlike a canvas is no layer of its own for the browser to blend. */
export function address(pixels, shape) {
  const canvas = document.createElement("canvas");
  draw(canvas, pixels, shape);
  return canvas.toDataURL();
}

/** Show a picture about `side` CSS pixels large: a whole number of them for each of its own, so that all are equally large. */
export function crisp(element, [, height, width], side) {
  const longest = Math.max(height, width);
  const scale = longest > side ? side / longest : Math.floor(side / longest);
  element.style.width = `${Math.round(width * scale)}px`;
  element.style.height = `${Math.round(height * scale)}px`;
  element.style.imageRendering = scale < 1 ? "auto" : "pixelated";
}

/** Give a canvas the size of a picture; an unchanged size leaves it as it is. */
export function resize(canvas, [, height, width]) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  canvas.style.aspectRatio = `${width} / ${height}`;
}

let latest = null; // WeakRef of the sprite that was opened last

/** The thumbnails at an address: the tabs share one Sprite as long as it is in use, unless it failed. */
export function thumbnails(url, columns, shape) {
  const open = latest?.deref();
  if (open?.url === url && !open.failed) return open;
  const sprite = new Sprite(url, columns, shape);
  latest = new WeakRef(sprite);
  return sprite;
}

/** A sheet of thumbnails, all of one size, row by row. Of it only the channels that the pictures have are kept: as an image the
 * browser would hold it several times over. */
class Sprite {
  #bytes = null;
  ready;

  constructor(url, columns, shape) {
    Object.assign(this, { url, shape });
    const sheet = { url: new URL(url, document.baseURI).href, columns, shape };
    this.ready = aside(new URL("./thumbnails_worker.js", import.meta.url).href, sheet).then((out) => void (this.#bytes = out));
    this.ready.catch(() => (this.failed = true));
  }

  /** Draw thumbnail `index`; nothing happens before the sheet has arrived. */
  draw(canvas, index) {
    resize(canvas, this.shape);
    if (!this.#bytes) return;
    const size = this.shape.reduce((product, side) => product * side);
    canvas.getContext("2d").putImageData(imageData(this.#bytes.subarray(index * size, (index + 1) * size), this.shape), 0, 0);
  }
}
