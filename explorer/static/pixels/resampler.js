// Resizes pictures with the same result as Pillow's Image.resize (LANCZOS, 8 bits), bit for bit.
//
// Output pixel i of n, along one side of the source from `start` to `end`, is centred at c = start + (i + 0.5) s, where
// s = (end - start) / n. It is the weighted mean of the source pixels from round(c - 3f) to round(c + 3f), f = max(s, 1),
// inside the source. Pixel j has the weight L((j + 0.5 - c) / f), where L(x) = sinc(x) sinc(x / 3). Weights are divided by
// their sum and rounded to 22 binary places. Each weighted sum is rounded to 8 bits. Columns are combined first, then rows; for
// a source that is more than a hundred times as tall as wide, rows come first. A side of unchanged length is copied. `start`
// and `end` are single-precision numbers.

const WEIGHT_BITS = 22;
const RADIUS = 3; // lobes of the Lanczos kernel

/** Resize a picture {width, height, channels, data}, or the box [left, top, right, bottom] of it. */
export function resize(picture, width, height, box = [0, 0, picture.width, picture.height]) {
  const [left, top, right, bottom] = box.map(Math.fround);
  const columns = (from) => resizeSide(from, width, left, right, true);
  const rows = (from) => resizeSide(from, height, top, bottom, false);
  const tall = picture.height > 100 * picture.width && height < picture.height;
  return tall ? columns(rows(picture)) : rows(columns(picture));
}

/** Resize one side of a picture, from `start` to `end`, to `size` pixels. `across`: the width, else the height. */
function resizeSide(picture, size, start, end, across) {
  const { width, height, channels, data } = picture;
  const source = across ? width : height;
  if (size === source && start === 0 && end === source) return picture;
  const out = across ? { width: size, height, channels } : { width, height: size, channels };
  out.data = new Uint8ClampedArray(out.width * out.height * channels);
  const step = across ? channels : width * channels;
  const sums = weights(source, size, start, end);
  const [outer, inner] = across ? [height, 1] : [1, width];
  for (let i = 0; i < size; i++) {
    const { first, factors } = sums[i];
    for (let line = 0; line < outer * inner; line++) {
      const base = across ? line * width * channels : line * channels;
      const target = across ? (line * size + i) * channels : (i * width + line) * channels;
      for (let c = 0; c < channels; c++) {
        let sum = 1 << (WEIGHT_BITS - 1);
        for (let j = 0, at = base + first * step + c; j < factors.length; j++, at += step) sum += data[at] * factors[j];
        out.data[target + c] = sum >> WEIGHT_BITS;
      }
    }
  }
  return out;
}

/** For each output pixel, the first source pixel of its sum, and the factors of that one and the following ones. */
function weights(source, size, start, end) {
  const scale = Math.fround(end - start) / size;
  const filter = Math.max(scale, 1);
  const support = RADIUS * filter;
  return Array.from({ length: size }, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(source, Math.trunc(centre + support + 0.5));
    const shares = Array.from({ length: last - first }, (_, j) => lanczos((j + first - centre + 0.5) * (1 / filter)));
    const total = shares.reduce((sum, share) => sum + share, 0);
    const factors = Int32Array.from(shares, (share) => {
      const weight = (total ? share / total : share) * 2 ** WEIGHT_BITS;
      return Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    });
    return { first, factors };
  });
}

function lanczos(x) {
  return -RADIUS <= x && x < RADIUS ? sinc(x) * sinc(x / RADIUS) : 0;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}
