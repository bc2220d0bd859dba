// Geometry of the latent space and of the map, with the same results as core/latent/geometry.py.

/** The point at fraction `t` from start to end: "linear", or "spherical" along the great circle (White, 2016). */
export function interpolate(start, end, t, method = "linear") {
  const [lengthA, lengthB] = [norm(start), norm(end)];
  if (method === "linear" || !lengthA || !lengthB) return lerp(start, end, t);
  const a = start.map((value) => value / lengthA);
  const b = end.map((value) => value / lengthB);
  // Kahan's formula for the angle: the arc cosine loses half the digits near 0 and pi.
  const angle = 2 * Math.atan2(norm(a.map((value, i) => value - b[i])), norm(a.map((value, i) => value + b[i])));
  // The great circle is not defined for points on one line with the origin.
  if (Math.abs(Math.sin(angle)) < 1e-4) return lerp(start, end, t);
  const first = Math.sin((1 - t) * angle) / Math.sin(angle);
  const second = Math.sin(t * angle) / Math.sin(angle);
  return start.map((value, i) => first * value + second * end[i]);
}

/** `steps` points from start to end, both included. */
export function path(start, end, steps, method) {
  return Array.from({ length: steps }, (_, i) => interpolate(start, end, i / (steps - 1), method));
}

/** Euclidean distance. */
export function distance(a, b) {
  return norm(a.map((value, i) => value - b[i]));
}

/**
 * The index of the point nearest to (x, y) in a direction, -1 if there is none. (dx, dy) is one of the four directions along
 * the axes. A point counts if it is at least `minDistance` away, within 45° of the direction, and `visible(i)`. `points` are
 * x, y pairs.
 */
export function nearestInDirection(points, [x, y], [dx, dy], minDistance, visible = () => true) {
  let best = Infinity;
  let found = -1;
  for (let i = 0, n = points.length / 2; i < n; i++) {
    const [px, py] = [points[2 * i] - x, points[2 * i + 1] - y];
    const forward = px * dx + py * dy;
    const sideways = Math.abs(px * dy - py * dx);
    const square = px * px + py * py;
    // Points straight ahead are preferred: sideways distance costs more.
    const cost = square + 3 * sideways * sideways;
    if (forward > 0 && sideways <= forward && square >= minDistance * minDistance && cost < best && visible(i)) {
      best = cost;
      found = i;
    }
  }
  return found;
}

// Exact at both ends, as torch.lerp is.
function lerp(start, end, t) {
  return start.map((value, i) => (t < 0.5 ? value + t * (end[i] - value) : end[i] - (end[i] - value) * (1 - t)));
}

function norm(point) {
  return Math.hypot(...point);
}
