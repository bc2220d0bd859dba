// Geometry of the latent space and of the map, as core/latent/geometry.py has it: the same numbers without asking the server.

/** The point a share `t` of the way from start to end: "linear", or "spherical" along the great circle (White, 2016). */
export function interpolate(start, end, t, method = "linear") {
  const [lengthA, lengthB] = [norm(start), norm(end)];
  if (method === "linear" || !lengthA || !lengthB) return lerp(start, end, t);
  const a = start.map((value) => value / lengthA);
  const b = end.map((value) => value / lengthB);
  // Kahan's angle: the arc cosine loses half the digits near 0 and pi, which are the cases to be told apart here.
  const angle = 2 * Math.atan2(norm(a.map((value, i) => value - b[i])), norm(a.map((value, i) => value + b[i])));
  // On one line with the origin the great circle is not defined.
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
 * The point nearest to (x, y) among those that lie ahead, -1 if there is none: at least `reach` away, and within 45° of the
 * direction (dx, dy), one of the four along the axes. `points` are x, y pairs; `visible(i)` says which count.
 */
export function ahead(points, [x, y], [dx, dy], reach, visible = () => true) {
  let best = Infinity;
  let found = -1;
  for (let i = 0, n = points.length / 2; i < n; i++) {
    const [px, py] = [points[2 * i] - x, points[2 * i + 1] - y];
    const along = px * dx + py * dy;
    const aside = Math.abs(px * dy - py * dx);
    const d = px * px + py * py;
    // Straight ahead is preferred: a dot aside counts as farther than it is.
    const cost = d + 3 * aside * aside;
    if (along > 0 && aside <= along && d >= reach * reach && cost < best && visible(i)) {
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
