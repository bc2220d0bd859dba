// Pictures on canvases at the model's own size; CSS enlarges them without blurring.

/** The bytes behind base64 text. */
export function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
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

/** Draw base64 pixels on a canvas, which takes the picture's size. */
export function draw(canvas, base64, shape) {
  resize(canvas, shape);
  canvas.getContext("2d").putImageData(imageData(bytes(base64), shape), 0, 0);
}

/** Give a canvas the size of a picture; an unchanged size leaves it as it is. */
export function resize(canvas, [, height, width]) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  canvas.style.aspectRatio = `${width} / ${height}`;
}

/** A sheet of thumbnails, all of one size, row by row. */
export class Sprite {
  #image = new Image();
  ready;

  constructor(url, columns, [, height, width]) {
    Object.assign(this, { columns, height, width });
    this.#image.src = url;
    this.ready = this.#image.decode();
  }

  /** Draw thumbnail `index`; nothing happens before the sheet has arrived. */
  draw(canvas, index) {
    resize(canvas, [0, this.height, this.width]);
    if (!this.#image.complete || !this.#image.naturalWidth) return;
    const x = (index % this.columns) * this.width;
    const y = Math.floor(index / this.columns) * this.height;
    canvas
      .getContext("2d")
      .drawImage(this.#image, x, y, this.width, this.height, 0, 0, this.width, this.height);
  }
}
