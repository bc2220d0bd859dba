// Images on canvases. A canvas has the image's own size; CSS enlarges it without blurring.

import { runInWorker } from "../shared/one_shot_worker.js";

/** The bytes of base64 text, as the server sends them. Bytes are returned unchanged. */
export function decodeBase64(base64) {
  if (typeof base64 !== "string") return base64;
  const text = atob(base64);
  const out = new Uint8Array(text.length);
  for (let i = 0; i < out.length; i++) out[i] = text.charCodeAt(i);
  return out;
}

/** Bytes (H, W, C) as ImageData. */
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

/** Draw bytes (H, W, C) on a canvas, which gets the image's size. */
export function draw(canvas, pixels, shape) {
  resize(canvas, shape);
  canvas.getContext("2d").putImageData(imageData(pixels, shape), 0, 0);
}

/** Bytes (H, W, C) as the data URL of a PNG, for an <img>: cheaper to composite than a canvas, which is a layer of its own. */
export function dataUrl(pixels, shape) {
  const canvas = document.createElement("canvas");
  draw(canvas, pixels, shape);
  return canvas.toDataURL();
}

/** Display an image at most `side` CSS pixels long. An enlarged pixel has a whole number of CSS pixels. */
export function setDisplaySize(element, [, height, width], side) {
  const longest = Math.max(height, width);
  const scale = longest > side ? side / longest : Math.floor(side / longest);
  element.style.width = `${Math.round(width * scale)}px`;
  element.style.height = `${Math.round(height * scale)}px`;
  element.style.imageRendering = scale < 1 ? "auto" : "pixelated";
}

/** Set a canvas's size. Setting an equal size would clear the canvas. */
function resize(canvas, [, height, width]) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  canvas.style.aspectRatio = `${width} / ${height}`;
}

let latest = null; // WeakRef of the newest sprite

/** The thumbnails of a sprite file. The tabs share one Sprite while it is in use; after a failure the file is fetched again. */
export function thumbnails(url, columns, shape) {
  const open = latest?.deref();
  if (open?.url === url && !open.failed) return open;
  const sprite = new Sprite(url, columns, shape);
  latest = new WeakRef(sprite);
  return sprite;
}

/** Thumbnails of one size, from a file that has them row by row. Only the model's channels stay in memory: a decoded image would
 * take several times as much. */
class Sprite {
  #bytes = null;
  ready;

  constructor(url, columns, shape) {
    Object.assign(this, { url, shape });
    const worker = new URL("./thumbnails_worker.js", import.meta.url).href;
    const request = { url: new URL(url, document.baseURI).href, columns, shape };
    this.ready = runInWorker(worker, request).then((out) => void (this.#bytes = out));
    this.ready.catch(() => (this.failed = true));
  }

  /** Draw thumbnail `index`. Only sets the canvas's size before the file is there. */
  draw(canvas, index) {
    resize(canvas, this.shape);
    if (!this.#bytes) return;
    const size = this.shape.reduce((product, side) => product * side);
    canvas.getContext("2d").putImageData(imageData(this.#bytes.subarray(index * size, (index + 1) * size), this.shape), 0, 0);
  }
}
