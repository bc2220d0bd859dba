// The map's colours: of classes, and of amounts.

import { ends } from "./columns.js";

// Petroff, 2021, arXiv 2107.02270: ten colours told apart with any colour vision, on light and dark.
export const CLASSES = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const UNKNOWN = "#94a4a2"; // where there is no amount
const SHADES = 256; // of an amount
const COLOUR = /^#[0-9a-f]{6}$/i;

/** A colour for each class: its own, where classes are colours. */
export function palette(classes) {
  const colours = classes.every((name) => COLOUR.test(name)) ? classes : CLASSES;
  return classes.map((_, code) => colours[code % colours.length]);
}

/** How Plotly shows an amount's colours. */
export function scale(values, name) {
  const [cmin, cmax] = ends(values);
  const colorbar = { title: { text: name, side: "right" }, thickness: 10, outlinewidth: 0, len: 0.6 };
  return { cmin, cmax, colorscale: VIRIDIS.map((colour, i) => [i / (VIRIDIS.length - 1), colour]), showscale: true, colorbar };
}

/** Each amount's shade between the ends of a scale, and what colours the shades are: the last one is for what is no number. */
export function shades(values, { cmin, cmax }) {
  const step = (SHADES - 1) / Math.max(cmax - cmin, 1e-12);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    out[i] = Number.isFinite(values[i]) ? Math.max(0, Math.min(SHADES - 1, Math.round((values[i] - cmin) * step))) : SHADES;
  }
  return [out, [...ramp(), rgb(UNKNOWN)]];
}

/** The same colours, in so many shades. */
function ramp() {
  const stops = VIRIDIS.map(rgb);
  return Array.from({ length: SHADES }, (_, i) => {
    const at = (i / (SHADES - 1)) * (stops.length - 1);
    const below = Math.min(stops.length - 2, Math.floor(at));
    return stops[below].map((level, channel) => level + (at - below) * (stops[below + 1][channel] - level));
  });
}

/** Red, green and blue, up to 255 each, of #rrggbb. */
export function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}
