// The map's colours: of classes and of numbers.

import { colourRange } from "./columns.js";

// Petroff, 2021, arXiv 2107.02270: ten colours that can be distinguished with any colour vision, on light and dark backgrounds.
export const CLASSES = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const UNKNOWN = "#94a4a2"; // of values that are not finite
const SHADES = 256; // colours of a number's scale
const COLOUR = /^#[0-9a-f]{6}$/i;

/** A colour for each class. If all classes are named #rrggbb, these are their colours. */
export function palette(classes) {
  const colours = classes.every((name) => COLOUR.test(name)) ? classes : CLASSES;
  return classes.map((_, code) => colours[code % colours.length]);
}

/** The colour scale of a column of numbers, as attributes of a Plotly marker. */
export function colourScale(values, name) {
  const [cmin, cmax] = colourRange(values);
  const colorbar = { title: { text: name, side: "right" }, thickness: 10, outlinewidth: 0, len: 0.6 };
  return { cmin, cmax, colorscale: VIRIDIS.map((colour, i) => [i / (VIRIDIS.length - 1), colour]), showscale: true, colorbar };
}

/** Each value's shade, and the colours that shades are indices of; the last colour is for values that are not finite. */
export function shades(values, { cmin, cmax }) {
  const step = (SHADES - 1) / Math.max(cmax - cmin, 1e-12);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    out[i] = Number.isFinite(values[i]) ? Math.max(0, Math.min(SHADES - 1, Math.round((values[i] - cmin) * step))) : SHADES;
  }
  return [out, [...shadeColours(), rgb(UNKNOWN)]];
}

/** Viridis interpolated to SHADES colours. */
function shadeColours() {
  const stops = VIRIDIS.map(rgb);
  return Array.from({ length: SHADES }, (_, i) => {
    const at = (i / (SHADES - 1)) * (stops.length - 1);
    const below = Math.min(stops.length - 2, Math.floor(at));
    return stops[below].map((level, channel) => level + (at - below) * (stops[below + 1][channel] - level));
  });
}

/** The red, green and blue of #rrggbb, 0 to 255. */
export function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}
