// The map in the page, with the same results as core/latent/projection.py: latents to positions, and positions to latents.

import { fetchBytes } from "../shared/fetch.js";

/** Little-endian float16 numbers as float32. */
export function float16ToFloat32(buffer) {
  const view = new DataView(buffer);
  return Float32Array.from({ length: buffer.byteLength / 2 }, (_, i) => float16(view.getUint16(2 * i, true)));
}

function float16(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}

/** Distances to, and indices of, the k nearest of the points (m, d) in one array, nearest first. Exact. */
export function neighbours(query, points, k) {
  const d = query.length;
  const m = points.length / d;
  const square = new Float64Array(k).fill(Infinity);
  const index = new Int32Array(k).fill(-1);
  for (let i = 0, o = 0; i < m; i++, o += d) {
    let sum = 0;
    const worst = square[k - 1];
    for (let j = 0; j < d && sum < worst; j++) {
      const difference = points[o + j] - query[j];
      sum += difference * difference;
    }
    if (!(sum < worst)) continue;
    let at = k - 1;
    for (; at > 0 && square[at - 1] > sum; at--) {
      square[at] = square[at - 1];
      index[at] = index[at - 1];
    }
    square[at] = sum;
    index[at] = i;
  }
  return { distance: square.map(Math.sqrt), index };
}

/** The mean of the k nearest points' values (m, size), weighted by (1 - distance / R)² / distance^sharpness. R is the distance
 * of neighbour k + 1. */
export function neighbourMean({ distance, index }, values, size, k, sharpness) {
  const radius = Math.max(distance[k], 1e-12);
  const weigh = (d) => Math.max(0, 1 - d / radius) ** 2 / Math.max(d, 1e-12) ** sharpness;
  const weight = Float64Array.from(distance.slice(0, k), weigh);
  let total = weight.reduce((a, b) => a + b, 0);
  // Where all distances are equal, all weights are 0: take the nearest point.
  if (total === 0) total = weight[0] = 1;
  const out = new Float32Array(size);
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < size; j++) out[j] += (weight[i] / total) * values[size * index[i] + j];
  }
  return out;
}

/** A model's map: the positions (m, 2) and posterior means (m, latents) of its gallery. */
export class Projection {
  /** Load the map that a model's description names. */
  static async open({ map, points, means }, file) {
    const [positions, latents] = await Promise.all([points, means].map((path) => fetchBytes(file(path))));
    return new Projection(map, new Float32Array(positions), float16ToFloat32(latents));
  }

  constructor(map, points, means) {
    Object.assign(this, { map, points, means, size: points.length / 2, latents: means.length / (points.length / 2) });
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < points.length; i += 2) {
      [left, right] = [Math.min(left, points[i]), Math.max(right, points[i])];
      [low, high] = [Math.min(low, points[i + 1]), Math.max(high, points[i + 1])];
    }
    /** The bounding box of the points, and its longer side. */
    Object.assign(this, { left, right, low, high, width: Math.max(right - left, high - low, 1e-12) });
  }

  /** The posterior mean of a gallery image. */
  mean(index) {
    return this.means.slice(index * this.latents, (index + 1) * this.latents);
  }

  /** One latent of all gallery images. */
  values(latent) {
    return Float32Array.from({ length: this.size }, (_, i) => this.means[i * this.latents + latent]);
  }

  /** The latents z at a position, and the distance `gap` to the position of the nearest image. */
  lift(x, y) {
    const { method, centre, axes, lift } = this.map;
    const k = Math.min(lift.k, this.size - 1);
    const near = neighbours([x, y], this.points, k + 1);
    const gap = near.distance[0];
    if (method === "umap") return { z: neighbourMean(near, this.means, this.latents, k, lift.sharpness), gap };
    return { z: Float32Array.from(centre, (c, i) => c + x * axes[0][i] + y * axes[1][i]), gap };
  }

  /** The position (x, y) of latents, and the image whose posterior mean is nearest to them. */
  place(z) {
    const { method, centre, axes, place } = this.map;
    const k = Math.min(place.k, this.size - 1);
    const near = neighbours(z, this.means, k + 1);
    const nearest = { index: near.index[0], distance: near.distance[0] };
    if (method === "umap") {
      const [x, y] = neighbourMean(near, this.points, 2, k, place.sharpness);
      return { x, y, nearest };
    }
    const [x, y] = axes.map((axis) => axis.reduce((sum, a, i) => sum + a * (z[i] - centre[i]), 0));
    return { x, y, nearest };
  }

  /** The confidence in an image decoded at distance `gap` from the nearest real one: 1 close to it, falling to 0 far away. */
  confidence(gap) {
    // About the distance between neighbouring images, which is smaller the more images there are.
    const near = this.width * Math.max(0.015, 0.6 / Math.sqrt(this.size));
    return Math.max(0, Math.min(1, 1 - (gap - near) / (3 * near)));
  }
}
