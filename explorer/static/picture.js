// Pictures on canvases at the model's own size; CSS enlarges them without blurring.

/** The bytes behind base64 text, as servers send them; bytes stay as they are. */
export function bytes(base64) {
  if (typeof base64 !== "string") return base64;
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

const STRIPS = 8; // rows of thumbnails that are taken over in one turn

/** A sheet of thumbnails, all of one size, row by row. Of it only the channels that the pictures have are kept: as an image the
 * browser would hold it several times over. */
export class Sprite {
  #bytes = null;
  ready;

  constructor(url, columns, shape) {
    Object.assign(this, { columns, shape });
    this.ready = this.#unpack(url);
    this.ready.catch(() => {}); // whoever waits for it hears of it, too
  }

  async #unpack(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`the thumbnails did not arrive (${answer.status})`);
    const sheet = await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none" });
    const [channels, height, width] = this.shape;
    const rows = sheet.height / height;
    const out = new Uint8Array(rows * this.columns * channels * height * width);
    const strip = Object.assign(document.createElement("canvas"), { width: sheet.width, height }).getContext("2d", { willReadFrequently: true });
    for (let row = 0, o = 0; row < rows; row++) {
      strip.drawImage(sheet, 0, -row * height);
      const { data } = strip.getImageData(0, 0, sheet.width, height);
      for (let column = 0; column < this.columns; column++) {
        for (let y = 0; y < height; y++) {
          let i = 4 * (y * sheet.width + column * width);
          for (const end = i + 4 * width; i < end; i += 4) for (let channel = 0; channel < channels; channel++) out[o++] = data[i + channel];
        }
      }
      // In between, the hand is answered.
      if (row % STRIPS === STRIPS - 1) await new Promise((then) => setTimeout(then));
    }
    sheet.close();
    this.#bytes = out;
  }

  /** Draw thumbnail `index`; nothing happens before the sheet has arrived. */
  draw(canvas, index) {
    resize(canvas, this.shape);
    if (!this.#bytes) return;
    const size = this.shape.reduce((product, side) => product * side);
    canvas.getContext("2d").putImageData(imageData(this.#bytes.subarray(index * size, (index + 1) * size), this.shape), 0, 0);
  }
}
