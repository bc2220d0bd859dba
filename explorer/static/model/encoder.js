// Encoding without a server: a picture file → what core/data/preprocessing.py makes of it, its posterior, ELBO and reconstruction. Runs in the
// worker, beside the decoder.

import { crop, flatten, prepare } from "../pixels/images.js";
import { isPng, pngSize, readPng } from "../pixels/png.js";
import { levels, load, Network } from "./runtime.js";

/** An encoder.onnx and a score.onnx, open. */
export class Encoder {
  /** `decoder` is the open decoder; `files` are the addresses {encoder, score}. */
  static async open(decoder, { encoder, score }) {
    const open = async (url) => Network.open(decoder.ort, await load(url));
    const [posterior, terms] = await Promise.all([encoder, score].map(open));
    return new Encoder(decoder, posterior, terms);
  }

  constructor(decoder, posterior, terms) {
    Object.assign(this, { decoder, posterior, terms });
  }

  /** What core says of the picture in a file, cropped to `shares` of its sides and prepared as `model` and the rest say. */
  async encode({ file, shares, model, polarity, trim, threshold, max_pixels, max_framed_pixels }) {
    const read = await readPicture(file, max_pixels);
    const { image, steps } = prepare(flatten(shares ? crop(read, shares) : read), model, polarity, trim, threshold, max_framed_pixels);
    return { steps, seen: image.data, ...(await this.judge(image)) };
  }

  /** A prepared picture's posterior, the terms of its ELBO, its anomaly score (null without a detector) and reconstruction. */
  async judge(image) {
    const x = [planes(image), [1, image.channels, image.height, image.width]];
    const { mean, log_variance } = await this.posterior.run({ x });
    const [latents, dims] = [mean.data, mean.dims];
    const { log_likelihood, kl, score } = await this.terms.run({ x, mean: [latents, dims], log_variance: [log_variance.data, dims] });
    const drawn = await this.decoder.mean(latents, 1);
    return {
      mean: [...latents],
      log_variance: [...log_variance.data],
      log_likelihood: log_likelihood.data[0],
      kl: kl.data[0],
      score: score ? score.data[0] : null,
      reconstruction: levels(drawn.data, drawn.dims),
    };
  }
}

/** 8-bit channels, interleaved, as planes from 0 to 1. */
export function planes({ width, height, channels, data }) {
  const size = width * height;
  const x = new Float32Array(channels * size);
  for (let p = 0; p < size; p++) for (let c = 0; c < channels; c++) x[c * size + p] = data[p * channels + c] / 255;
  return x;
}

/** The picture in a file of any kind that the browser knows, upright, its first frame; PNG is read here, to the last bit. */
async function readPicture(file, max_pixels) {
  const check = (width, height) => {
    if (width * height <= max_pixels) return;
    throw new Error(`images may have up to ${max_pixels.toLocaleString("en")} pixels; this one has ${width}x${height}. Make it smaller first.`);
  };
  const start = new Uint8Array(await file.slice(0, 33).arrayBuffer());
  if (isPng(start) && start.length === 33) check(...pngSize(start));
  try {
    if (isPng(start) && "DecompressionStream" in globalThis) return await readPng(new Uint8Array(await file.arrayBuffer()));
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" });
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
