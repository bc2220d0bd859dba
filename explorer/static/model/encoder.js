// Encoding without a server: prepares a picture file as core/data/preprocessing.py does, and computes its posterior, ELBO and
// reconstruction. Runs in the worker of the decoder.

import { crop, flatten, prepare } from "../pixels/images.js";
import { isPng, pngSize, readPng } from "../pixels/png.js";
import { loadBytes, Network, toBytes } from "./runtime.js";

/** An open encoder.onnx and score.onnx. */
export class Encoder {
  /** `decoder` is the open decoder; {encoder, score} are URLs. */
  static async open(decoder, { encoder, score }) {
    const open = async (url) => Network.open(decoder.ort, await loadBytes(url));
    const [posterior, terms] = await Promise.all([encoder, score].map(open));
    return new Encoder(decoder, posterior, terms);
  }

  constructor(decoder, posterior, terms) {
    Object.assign(this, { decoder, posterior, terms });
  }

  /**
   * Encode a picture file: {steps, seen, …} with the results of `evaluate`. `shares` crops it; `model` is the preprocessing of
   * config.json; the other options are those of `prepare`. Throws an Error for a file that is no picture or too large.
   */
  async encode({ file, shares, model, polarity, trim, threshold, max_pixels, max_framed_pixels }) {
    const picture = await readPicture(file, max_pixels);
    const flat = flatten(shares ? crop(picture, shares) : picture, model.paper);
    const { image, steps } = prepare(flat, model, polarity, trim, threshold, max_framed_pixels);
    return { steps, seen: image.data, ...(await this.evaluate(image)) };
  }

  /** A prepared image's posterior, the terms of its ELBO, its anomaly score (null without a detector) and reconstruction. */
  async evaluate(image) {
    const x = [planes(image), [1, image.channels, image.height, image.width]];
    const { mean, log_variance } = await this.posterior.run({ x });
    const [latents, dims] = [mean.data, mean.dims];
    const inputs = { x, mean: [latents, dims], log_variance: [log_variance.data, dims] };
    const { log_likelihood, kl, score } = await this.terms.run(inputs);
    const decoded = await this.decoder.mean(latents, 1);
    return {
      mean: [...latents],
      log_variance: [...log_variance.data],
      log_likelihood: log_likelihood.data[0],
      kl: kl.data[0],
      score: score ? score.data[0] : null,
      reconstruction: toBytes(decoded.data, decoded.dims),
    };
  }
}

/** Interleaved 8-bit channels as float32 planes in [0, 1]. */
export function planes({ width, height, channels, data }) {
  const size = width * height;
  const x = new Float32Array(channels * size);
  for (let p = 0; p < size; p++) for (let c = 0; c < channels; c++) x[c * size + p] = data[p * channels + c] / 255;
  return x;
}

/** Read a picture file of any format that the browser knows: upright, its first frame. PNG files are read by png.js. */
async function readPicture(file, maxPixels) {
  const check = (width, height) => {
    if (width * height <= maxPixels) return;
    const rule = `images may have up to ${maxPixels.toLocaleString("en")} pixels`;
    throw new Error(`${rule}; this one has ${width}x${height}. Make it smaller first.`);
  };
  const start = new Uint8Array(await file.slice(0, 33).arrayBuffer());
  if (isPng(start) && start.length === 33) check(...pngSize(start));
  try {
    if (isPng(start) && "DecompressionStream" in globalThis) return await readPng(new Uint8Array(await file.arrayBuffer()));
    const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
    const bitmap = await createImageBitmap(file, options);
    check(bitmap.width, bitmap.height);
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const { width, height, data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return { width, height, channels: 4, data };
  } catch (error) {
    if (error.message.startsWith("images may")) throw error;
    throw new Error(`this is not an image that can be read here (PNG, JPEG, WebP, GIF, BMP): ${error.message}`);
  }
}
