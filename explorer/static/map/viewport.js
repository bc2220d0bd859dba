// Which part of the map is in view: moved and zoomed in pixels, so that keys and fingers need not know its units.

/** Move what is seen by (dx, dy) pixels, then magnify it by `factor` around the pixel (left, top) of the map's element. */
export function move(element, { dx = 0, dy = 0, factor = 1, left = 0, top = 0 }) {
  const { xaxis, yaxis } = element._fullLayout;
  const range = (axis, spot, shift) => {
    const focus = spot - axis._offset;
    return [0, axis._length].map((edge) => axis.p2l(focus + (edge - focus) / factor - shift));
  };
  const [x, y] = [range(xaxis, left, dx), range(yaxis, top, dy)];
  // A pixel row counts from the top, a range from the bottom.
  return window.Plotly.relayout(element, { "xaxis.range": x, "yaxis.range": [y[1], y[0]] });
}

/** Show the whole map. */
export function whole(element) {
  return window.Plotly.relayout(element, { "xaxis.autorange": true, "yaxis.autorange": true });
}
