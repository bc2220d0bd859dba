// The part of the map in view: moved and zoomed in CSS pixels, so that keyboard and touch input need no units of the map.

/** Move the map by (dx, dy) pixels, then magnify it by `factor` around the pixel (left, top) of its element. */
export function moveView(element, { dx = 0, dy = 0, factor = 1, left = 0, top = 0 }) {
  const { xaxis, yaxis } = element._fullLayout;
  const range = (axis, point, shift) => {
    const focus = point - axis._offset;
    return [0, axis._length].map((edge) => axis.p2l(focus + (edge - focus) / factor - shift));
  };
  const [x, y] = [range(xaxis, left, dx), range(yaxis, top, dy)];
  // Pixel rows count from the top, but the range of the y axis starts at the bottom.
  return window.Plotly.relayout(element, { "xaxis.range": x, "yaxis.range": [y[1], y[0]] });
}

/** Show the whole map. */
export function showAll(element) {
  return window.Plotly.relayout(element, { "xaxis.autorange": true, "yaxis.autorange": true });
}
