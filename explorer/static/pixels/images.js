// Prepares any picture for a model with the same result as core/data/preprocessing.py, level by level.
//
// A picture is {width, height, channels, data}: interleaved channels of 8 bits (1: grey, 3: colour, 4: colour and alpha). With
// `sixteenBit` it is grey of 16 bits.

import { resize } from "./resampler.js";

const TOLERANCE = 24; // levels that a background may differ from its median
const MIN_PLAIN = 0.6; // share of the border that must be background

/** An 8-bit picture without alpha, in one channel if it is grey. `matte` is the colour under transparent pixels: by default
 * white, or black under a light picture. */
export function flatten(picture, matte = null) {
  if (picture.sixteenBit) {
    const data = Uint8ClampedArray.from(picture.data, (value) => roundHalfEven((value / 65535) * 255));
    return { ...picture, sixteenBit: false, data };
  }
  const flat = picture.channels === 4 ? compose(picture, matte ?? contrasting(picture)) : picture;
  return flat.channels === 3 && isGrey(flat.data) ? toGrey(flat) : flat;
}

/** Put a picture with alpha on a matte colour. */
function compose({ width, height, data }, matte) {
  const size = width * height;
  const out = new Uint8ClampedArray(3 * size);
  for (let i = 0, p = 0, o = 0; i < size; i++, p += 4) {
    // Pillow's rounding: seven binary places, and a division by 255 by two shifts.
    const [front, back] = [data[p + 3] * 128, (255 - data[p + 3]) * 128];
    for (let c = 0; c < 3; c++) {
      const value = data[p + c] * front + matte[c] * back + (128 << 7);
      out[o++] = data[p + 3] ? (((value >> 8) + value) >> 8) >> 7 : matte[c];
    }
  }
  return { width, height, channels: 3, data: out };
}

/** White, or black under a picture whose opaque part is light. */
function contrasting({ data }) {
  let [sum, opaque] = [0, 0];
  for (let p = 0; p < data.length; p += 4) {
    if (data[p + 3] <= 127) continue;
    sum += luma(data[p], data[p + 1], data[p + 2]);
    opaque += 1;
  }
  return opaque && sum / opaque > 127 ? [0, 0, 0] : [255, 255, 255];
}

function isGrey(data) {
  for (let p = 0; p < data.length; p += 3) if (data[p] !== data[p + 1] || data[p] !== data[p + 2]) return false;
  return true;
}

/** ITU-R 601-2 luma with Pillow's rounding. */
function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

function toGrey({ width, height, channels, data }) {
  if (channels === 1) return { width, height, channels, data };
  const grey = new Uint8ClampedArray(width * height);
  for (let i = 0, p = 0; i < grey.length; i++, p += 3) grey[i] = luma(data[p], data[p + 1], data[p + 2]);
  return { width, height, channels: 1, data: grey };
}

function toColour({ width, height, channels, data }) {
  if (channels === 3) return { width, height, channels, data };
  const colour = new Uint8ClampedArray(3 * width * height);
  for (let i = 0; i < data.length; i++) colour.fill(data[i], 3 * i, 3 * i + 3);
  return { width, height, channels: 3, data: colour };
}

/** Crop a picture to [left, top, right, bottom], shares of its sides from 0 to 1. */
export function crop(picture, shares) {
  const [left, top, right, bottom] = shares;
  if (!(0 <= left && left < right && right <= 1 && 0 <= top && top < bottom && bottom <= 1)) {
    throw new Error(`crop must be left, top, right, bottom as increasing shares from 0 to 1; got ${shares}.`);
  }
  const { width, height } = picture;
  const [x, y] = [Math.min(Math.trunc(left * width), width - 1), Math.min(Math.trunc(top * height), height - 1)];
  const end = [Math.max(roundHalfEven(right * width), x + 1), Math.max(roundHalfEven(bottom * height), y + 1)];
  return cropPixels(picture, [x, y, ...end]);
}

function cropPixels({ width, channels, data, ...rest }, [left, top, right, bottom]) {
  const size = (right - left) * channels;
  const part = new data.constructor(size * (bottom - top));
  for (let y = top, o = 0; y < bottom; y++, o += size) {
    const from = (y * width + left) * channels;
    part.set(data.subarray(from, from + size), o);
  }
  return { ...rest, width: right - left, height: bottom - top, channels, data: part };
}

/**
 * Prepare a flat picture for a model: {image, steps}. `model` is the model's preprocessing as in config.json. `threshold` has,
 * for a black-and-white model, the level above which each pixel is white. Throws an Error if the frame around the content has
 * more than `maxFramedPixels`.
 */
export function prepare(given, model, polarity = "auto", trim = true, threshold = null, maxFramedPixels = Infinity) {
  const { width, height } = model;
  const hasShape = given.width === width && given.height === height && given.channels === model.channels;
  let picture = model.channels === 1 ? toGrey(given) : toColour(given);
  let steps = [];
  if (polarity === "invert" || (polarity === "auto" && !hasShape && isNegative(picture, model))) {
    picture = { ...picture, data: picture.data.map((value) => 255 - value) };
    steps = ["inverted"];
  }
  if (!hasShape) {
    const plain = model.background !== null && isPlain(picture);
    if (plain && model.channels === 1 && (model.background[0] === 0 || model.background[0] === 255)) {
      picture = levelBackground(picture, medians(border(picture))[0], model.background[0]);
      steps.push("background levelled");
    }
    let fitted = fit(picture, model);
    if (plain && trim && !isUsual(fitted, model)) {
      const [framed, more] = frameContent(picture, model, maxFramedPixels);
      fitted = fit(framed, model);
      steps.push(...more);
    }
    picture = fitted;
    steps.push(`${model.fit} to ${width}x${height}`);
  }
  if (threshold) picture = { ...picture, data: picture.data.map((value, i) => (threshold[i] < value ? 255 : 0)) };
  return { image: picture, steps };
}

/** Whether a plain border is nearer to the inverse of the training background than to the background itself. */
function isNegative(picture, { channels, background }) {
  if (channels !== 1 || background === null || !isPlain(picture)) return false;
  const [rim] = medians(border(picture));
  return Math.abs(rim - background[0]) > Math.abs(255 - rim - background[0]);
}

/** Whether the content of a fitted picture is placed as in training images, to one pixel. */
function isUsual(fitted, { width, height, background, usual }) {
  const found = placement(fitted, background);
  const slack = 1 / Math.min(width, height);
  return Boolean(found && usual) && usual.every(([low, high], i) => low - slack <= found[i] && found[i] <= high + slack);
}

/** The placement of a picture's content: its longer side as a share of the frame, and its centre as shares of width and height.
 * Null if there is no content. */
function placement(picture, background) {
  const { width, height } = picture;
  const box = contentBox(picture, background);
  if (box === null) return null;
  const [left, top, right, bottom] = box;
  return [Math.max((right - left) / width, (bottom - top) / height), (left + right) / 2 / width, (top + bottom) / 2 / height];
}

/** Place the content of a picture on a plain background as in the median training image: the framed picture, and the steps. */
function frameContent(picture, { width, height, extent, centre }, maxFramedPixels) {
  const rim = medians(border(picture));
  const box = contentBox(picture, rim);
  if (box === null) return [picture, []];
  const content = cropPixels(picture, box);
  const scale = Math.max(content.width / width, content.height / height) / extent;
  const atLeast = (side, inner) => Math.max(roundHalfEven(side * scale), inner);
  const outer = [atLeast(width, content.width), atLeast(height, content.height)];
  if (outer[0] * outer[1] > maxFramedPixels) {
    throw new Error(`the image is too large for this model: framed, it has ${outer[0]}x${outer[1]} pixels. Make it smaller.`);
  }
  const canvas = blank(...outer, rim.map(roundHalfEven));
  const offset = (frame, inner, share) => Math.min(Math.max(Math.trunc(frame * share - inner / 2), 0), frame - inner);
  paste(canvas, content, offset(canvas.width, content.width, centre[0]), offset(canvas.height, content.height, centre[1]));
  return [canvas, [`cut to its ${content.width}x${content.height} content`]];
}

/** Pad, crop or stretch a picture to the model's size. */
function fit(picture, model) {
  const { width, height } = model;
  if (model.fit === "stretch") return resize(picture, width, height);
  if (model.fit === "crop") {
    const [ratio, modelRatio] = [picture.width / picture.height, width / height];
    const w = ratio > modelRatio ? modelRatio * picture.height : picture.width;
    const h = ratio < modelRatio ? picture.width / modelRatio : picture.height;
    const [left, top] = [0.5 * (picture.width - w), 0.5 * (picture.height - h)];
    return resize(picture, width, height, [left, top, left + w, top + h]);
  }
  const canvas = blank(width, height, model.background ?? medians(border(picture)).map(Math.trunc));
  const scale = Math.min(width / picture.width, height / picture.height);
  const scaled = (side) => Math.max(1, roundHalfEven(side * scale));
  const inner = resize(picture, scaled(picture.width), scaled(picture.height));
  paste(canvas, inner, Math.floor((width - inner.width) / 2), Math.floor((height - inner.height) / 2));
  return canvas;
}

function blank(width, height, colour) {
  const data = new Uint8ClampedArray(width * height * colour.length);
  for (let i = 0; i < data.length; i++) data[i] = colour[i % colour.length];
  return { width, height, channels: colour.length, data };
}

function paste(canvas, { width, height, channels, data }, left, top) {
  const size = width * channels;
  for (let y = 0; y < height; y++) {
    canvas.data.set(data.subarray(y * size, (y + 1) * size), ((top + y) * canvas.width + left) * channels);
  }
}

/** The values of each channel on the border of a picture. Each pixel is counted as often as in core/data/framing.py. */
function border({ width, height, channels, data }) {
  const at = [];
  for (let x = 0; x < width; x++) at.push(x, (height - 1) * width + x);
  for (let y = 1; y < height - 1; y++) at.push(y * width, (y + 1) * width - 1);
  return Array.from({ length: channels }, (_, c) => Uint8Array.from(at, (i) => data[i * channels + c]));
}

function medians(channels) {
  return channels.map((values) => {
    const sorted = values.slice().sort();
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  });
}

/** Whether most of the border is close to its median: a plain background. */
export function isPlain(picture) {
  const rim = border(picture);
  const middle = medians(rim);
  let near = 0;
  for (let i = 0; i < rim[0].length; i++) near += rim.every((values, c) => Math.abs(values[i] - middle[c]) <= TOLERANCE);
  return near / rim[0].length >= MIN_PLAIN;
}

/** [left, top, right, bottom] of the pixels that differ from the background; null if none does. */
export function contentBox({ width, height, channels, data }, background) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0, p = 0; y < height; y++) {
    for (let x = 0; x < width; x++, p += channels) {
      let differs = false;
      for (let c = 0; c < channels; c++) differs ||= Math.abs(data[p + c] - background[c]) > TOLERANCE;
      if (!differs) continue;
      [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), y + 1];
    }
  }
  return right ? [left, top, right, bottom] : null;
}

/** Stretch grey levels until the border, with its noise and shadows, equals the background (0 or 255). The far end stays. */
export function levelBackground(picture, rim, background) {
  const distance = (value) => Math.abs(value - rim);
  const noise = percentile(border(picture)[0], distance, 60);
  const furthest = percentile(picture.data, distance, 99.5);
  const levels = Uint8ClampedArray.from({ length: 256 }, (_, value) => {
    const share = Math.max(0, Math.min(1, (distance(value) - noise) / Math.max(furthest - noise, 24)));
    const strength = (share * Math.max(furthest, 1) * 255) / Math.max(255 - Math.abs(rim - background), 1);
    const clipped = Math.max(0, Math.min(255, strength));
    return roundHalfEven(background === 0 ? clipped : 255 - clipped);
  });
  return { ...picture, data: picture.data.map((value) => levels[value]) };
}

/** A percentile of `measure(level)` over 8-bit levels, interpolated as numpy does. */
function percentile(data, measure, percent) {
  const counts = new Uint32Array(256);
  for (const value of data) counts[value] += 1;
  const sorted = [...counts.keys()].filter((value) => counts[value]).sort((a, b) => measure(a) - measure(b));
  const ranked = (rank) => {
    let before = 0;
    return measure(sorted.find((value) => (before += counts[value]) > rank));
  };
  const position = (data.length - 1) * (percent / 100);
  const low = Math.floor(position);
  const [a, b] = [ranked(low), ranked(Math.min(low + 1, data.length - 1))];
  const share = position - low;
  return share >= 0.5 ? b - (b - a) * (1 - share) : a + (b - a) * share;
}

/** The nearest whole number; a half is rounded to the even one, as in Python. */
export function roundHalfEven(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}
