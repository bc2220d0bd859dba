// Any picture → what a model was trained on, as core/data/preprocessing.py does it: the same steps, the same levels.
//
// A picture is {width, height, channels, data}: channels interleaved, 8 bits each (1: grey, 3: colour, 4: with opacity); one
// with `deep` is grey in 16 bits.

import { resize } from "./resampler.js";

const NEAR = 24; // levels that a background may vary by
const PLAIN = 0.6; // share of the rim that makes it a background

/** The picture without opacity or depth: on white, or on black if it is light; grey where it is grey. */
export function flatten(picture) {
  if (picture.deep) {
    return { ...picture, deep: false, data: Uint8ClampedArray.from(picture.data, (value) => even((value / 65535) * 255)) };
  }
  const flat = picture.channels === 4 ? onPaper(picture) : picture;
  return flat.channels === 3 && isGrey(flat.data) ? toGrey(flat) : flat;
}

function onPaper({ width, height, data }) {
  const size = width * height;
  let [sum, opaque] = [0, 0];
  for (let i = 0, p = 0; i < size; i++, p += 4) {
    if (data[p + 3] <= 127) continue;
    sum += luma(data[p], data[p + 1], data[p + 2]);
    opaque += 1;
  }
  const paper = opaque && sum / opaque > 127 ? 0 : 255;
  const out = new Uint8ClampedArray(3 * size);
  for (let i = 0, p = 0, o = 0; i < size; i++, p += 4) {
    // Pillow's rounding: seven binary places, and a division by 255 that is two shifts.
    const [front, back] = [data[p + 3] * 128, (255 - data[p + 3]) * 128];
    for (let c = 0; c < 3; c++) {
      const value = data[p + c] * front + paper * back + (128 << 7);
      out[o++] = data[p + 3] ? (((value >> 8) + value) >> 8) >> 7 : paper;
    }
  }
  return { width, height, channels: 3, data: out };
}

function isGrey(data) {
  for (let p = 0; p < data.length; p += 3) if (data[p] !== data[p + 1] || data[p] !== data[p + 2]) return false;
  return true;
}

/** ITU-R 601-2 luma, rounded as Pillow rounds it. */
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

/** The part of a picture between [left, top, right, bottom], shares of its sides that rise from 0 to 1. */
export function crop(picture, shares) {
  const [left, top, right, bottom] = shares;
  if (!(0 <= left && left < right && right <= 1 && 0 <= top && top < bottom && bottom <= 1)) {
    throw new Error(`crop must be left, top, right, bottom as rising shares from 0 to 1; got ${shares}.`);
  }
  const { width, height } = picture;
  const [x, y] = [Math.min(Math.trunc(left * width), width - 1), Math.min(Math.trunc(top * height), height - 1)];
  return cut(picture, [x, y, Math.max(even(right * width), x + 1), Math.max(even(bottom * height), y + 1)]);
}

function cut({ width, channels, data, ...rest }, [left, top, right, bottom]) {
  const size = (right - left) * channels;
  const part = new data.constructor(size * (bottom - top));
  for (let y = top, o = 0; y < bottom; y++, o += size) {
    const from = (y * width + left) * channels;
    part.set(data.subarray(from, from + size), o);
  }
  return { ...rest, width: right - left, height: bottom - top, channels, data: part };
}

/**
 * What a model sees of a flat picture, {image, steps}: `model` is its preprocessing as in config.json; `threshold` gives the
 * levels above which a pixel is white, for a model of black and white.
 */
export function prepare(given, model, polarity = "auto", trim = true, threshold = null, maxFramedPixels = Infinity) {
  const { width, height } = model;
  const exact = given.width === width && given.height === height && given.channels === model.channels;
  let picture = model.channels === 1 ? toGrey(given) : toColour(given);
  let steps = [];
  if (polarity === "invert" || (polarity === "auto" && !exact && isNegative(picture, model))) {
    picture = { ...picture, data: picture.data.map((value) => 255 - value) };
    steps = ["inverted"];
  }
  if (!exact) {
    const plain = model.background !== null && isPlain(picture);
    if (plain && model.channels === 1 && (model.background[0] === 0 || model.background[0] === 255)) {
      picture = level(picture, medians(border(picture))[0], model.background[0]);
      steps.push("background levelled");
    }
    let fitted = fit(picture, model);
    if (plain && trim && !isUsual(fitted, model)) {
      const [alike, more] = framed(picture, model, maxFramedPixels);
      fitted = fit(alike, model);
      steps.push(...more);
    }
    picture = fitted;
    steps.push(`${model.fit} to ${width}x${height}`);
  }
  if (threshold) picture = { ...picture, data: picture.data.map((value, i) => (threshold[i] < value ? 255 : 0)) };
  return { image: picture, steps };
}

/** Whether a plain rim is nearer to the opposite of the training background than to it. */
function isNegative(picture, { channels, background }) {
  if (channels !== 1 || background === null || !isPlain(picture)) return false;
  const [rim] = medians(border(picture));
  return Math.abs(rim - background[0]) > Math.abs(255 - rim - background[0]);
}

/** Whether a fitted picture's content lies within what training images show, to a pixel. */
function isUsual(fitted, { width, height, background, usual }) {
  const found = lie(fitted, background);
  const slack = 1 / Math.min(width, height);
  return Boolean(found && usual) && usual.every(([low, high], i) => low - slack <= found[i] && found[i] <= high + slack);
}

/** The share of the frame that the content's longer side takes, and its middle, as shares of width and height; null where there is none. */
function lie(picture, background) {
  const { width, height } = picture;
  const box = contentBox(picture, background);
  if (box === null) return null;
  const [left, top, right, bottom] = box;
  return [Math.max((right - left) / width, (bottom - top) / height), (left + right) / 2 / width, (top + bottom) / 2 / height];
}

/** The content of a picture on a plain background, in a frame as the median training image has it. */
function framed(picture, { width, height, extent, centre }, maxFramedPixels) {
  const rim = medians(border(picture));
  const box = contentBox(picture, rim);
  if (box === null) return [picture, []];
  const content = cut(picture, box);
  const scale = Math.max(content.width / width, content.height / height) / extent;
  const outer = [Math.max(even(width * scale), content.width), Math.max(even(height * scale), content.height)];
  if (outer[0] * outer[1] > maxFramedPixels) {
    throw new Error(`the image is too large for this model: framed, it has ${outer[0]}x${outer[1]} pixels. Make it smaller.`);
  }
  const canvas = blank(...outer, rim.map(even));
  const place = (outer, inner, share) => Math.min(Math.max(Math.trunc(outer * share - inner / 2), 0), outer - inner);
  paste(canvas, content, place(canvas.width, content.width, centre[0]), place(canvas.height, content.height, centre[1]));
  return [canvas, [`cut to its ${content.width}x${content.height} content`]];
}

/** Padded, cropped or stretched to the model's size. */
function fit(picture, model) {
  const { width, height } = model;
  if (model.fit === "stretch") return resize(picture, width, height);
  if (model.fit === "crop") {
    const [own, wanted] = [picture.width / picture.height, width / height];
    const w = own > wanted ? wanted * picture.height : picture.width;
    const h = own < wanted ? picture.width / wanted : picture.height;
    const [left, top] = [0.5 * (picture.width - w), 0.5 * (picture.height - h)];
    return resize(picture, width, height, [left, top, left + w, top + h]);
  }
  const canvas = blank(width, height, model.background ?? medians(border(picture)).map(Math.trunc));
  const scale = Math.min(width / picture.width, height / picture.height);
  const inner = resize(picture, Math.max(1, even(picture.width * scale)), Math.max(1, even(picture.height * scale)));
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
  for (let y = 0; y < height; y++) canvas.data.set(data.subarray(y * size, (y + 1) * size), ((top + y) * canvas.width + left) * channels);
}

/** The values of each channel on the rim of a picture, every pixel of it as often as core counts it. */
function border({ width, height, channels, data }) {
  const at = [];
  for (let x = 0; x < width; x++) at.push(x, (height - 1) * width + x);
  for (let y = 1; y < height - 1; y++) at.push(y * width, (y + 1) * width - 1);
  return Array.from({ length: channels }, (_, c) => Uint8Array.from(at, (i) => data[i * channels + c]));
}

function medians(rim) {
  return rim.map((values) => {
    const sorted = values.slice().sort();
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  });
}

/** Whether most of the rim lies near its median: paper, a backdrop, a drawing's ground. */
export function isPlain(picture) {
  const rim = border(picture);
  const middle = medians(rim);
  let near = 0;
  for (let i = 0; i < rim[0].length; i++) near += rim.every((values, c) => Math.abs(values[i] - middle[c]) <= NEAR);
  return near / rim[0].length >= PLAIN;
}

/** [left, top, right, bottom] of what differs from the background; null where nothing does. */
export function contentBox({ width, height, channels, data }, background) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0, p = 0; y < height; y++) {
    for (let x = 0; x < width; x++, p += channels) {
      let differs = false;
      for (let c = 0; c < channels; c++) differs ||= Math.abs(data[p + c] - background[c]) > NEAR;
      if (!differs) continue;
      [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), y + 1];
    }
  }
  return right ? [left, top, right, bottom] : null;
}

/** Grey levels stretched until the rim, grain and shadow included, is the background (0 or 255); the far end stays. */
export function level(picture, rim, background) {
  const apart = (value) => Math.abs(value - rim);
  const grain = percentile(border(picture)[0], apart, 60);
  const reach = percentile(picture.data, apart, 99.5);
  const levels = Uint8ClampedArray.from({ length: 256 }, (_, value) => {
    const share = Math.max(0, Math.min(1, (apart(value) - grain) / Math.max(reach - grain, 24)));
    const strength = (share * Math.max(reach, 1) * 255) / Math.max(255 - Math.abs(rim - background), 1);
    const kept = Math.max(0, Math.min(255, strength));
    return even(background === 0 ? kept : 255 - kept);
  });
  return { ...picture, data: picture.data.map((value) => levels[value]) };
}

/** A percentile of `of(level)` over 8-bit levels, between ranks as numpy has it. */
function percentile(data, of, percent) {
  const counts = new Uint32Array(256);
  for (const value of data) counts[value] += 1;
  const sorted = [...counts.keys()].filter((value) => counts[value]).sort((a, b) => of(a) - of(b));
  const ranked = (rank) => {
    let before = 0;
    return of(sorted.find((value) => (before += counts[value]) > rank));
  };
  const place = (data.length - 1) * (percent / 100);
  const low = Math.floor(place);
  const [a, b] = [ranked(low), ranked(Math.min(low + 1, data.length - 1))];
  const share = place - low;
  return share >= 0.5 ? b - (b - a) * (1 - share) : a + (b - a) * share;
}

/** The nearest whole number, halves to the even one, as Python rounds. */
export function even(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}
