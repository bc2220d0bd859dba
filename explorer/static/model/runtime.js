// ONNX Runtime Web: fetched, checked and asked for pictures. Runs in a worker of the page, and in Node for its tests.

import { request } from "../shared/fetch.js";

/** Import the runtime from the bytes of its two files: of a single thread, which needs no special headers. */
export async function start(script, wasm) {
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  try {
    const ort = await import(url);
    Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: wasm });
    return ort;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** The bytes of a file. The browser refuses what does not have the given hash. */
export async function load(url, integrity) {
  return (await request(url, integrity ? { integrity } : {})).arrayBuffer();
}

/** A network, open. */
export class Network {
  /** `provider` is who computes: "wasm", or "webgpu" with the runtime that is made for it. */
  static async open(ort, model, provider = "wasm") {
    const network = new Network();
    Object.assign(network, { ort, session: await ort.InferenceSession.create(new Uint8Array(model), { executionProviders: [provider] }) });
    ort.env.wasm.wasmBinary = undefined; // it has been compiled: 14 MB that nobody reads again
    return network;
  }

  /** The mean pictures (n, C, H, W), in [0, 1], as float32, and their dimensions, at latents (n, latents). */
  async mean(z, n) {
    const { mean } = await this.run({ z: [z, [n, z.length / n]] });
    return { data: mean.data, dims: mean.dims };
  }

  /** What it gives for these float32 inputs, {name: [data, dimensions]}, by name. */
  run(inputs) {
    const feeds = Object.entries(inputs).map(([name, [data, dims]]) => [name, new this.ort.Tensor("float32", data, dims)]);
    return this.session.run(Object.fromEntries(feeds));
  }
}

/** Pictures (N, C, H, W) in [0, 1] as the nearest 8-bit levels, channels last: what a canvas wants. */
export function levels(data, [n, channels, height, width]) {
  const out = new Uint8ClampedArray(data.length);
  const plane = height * width;
  for (let i = 0, o = 0; i < n; i++) {
    for (let p = 0; p < plane; p++) {
      // Storing in a clamped array rounds to the nearest level, and ties to even, as torch does.
      for (let c = 0; c < channels; c++) out[o++] = 255 * data[(i * channels + c) * plane + p];
    }
  }
  return out;
}
