// ONNX Runtime Web: loading it, and running networks. Used in a worker of the page, and in Node by the tests.

import { readBytes } from "../shared/fetch.js";

/** Import the runtime from the bytes of its two files. It uses a single thread, which needs no special HTTP headers. */
export async function startRuntime(script, wasm) {
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  try {
    const ort = await import(url);
    Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: wasm });
    return ort;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** The bytes of a file. With `integrity`, the browser rejects a file that does not have this hash. */
export async function loadBytes(url, integrity) {
  return readBytes(url, integrity ? { integrity } : {});
}

/** An open network. */
export class Network {
  /** `provider` is "wasm", or "webgpu" with the runtime that supports it. */
  static async open(ort, model, provider = "wasm") {
    const options = { executionProviders: [provider] };
    const session = await ort.InferenceSession.create(new Uint8Array(model), options);
    const network = Object.assign(new Network(), { ort, session });
    ort.env.wasm.wasmBinary = undefined; // It is compiled now: free 14 MB.
    return network;
  }

  /** The decoder's mean images at latents (n, latents): {data, dims}, float32 (n, C, H, W) in [0, 1]. */
  async mean(z, n) {
    const { mean } = await this.run({ z: [z, [n, z.length / n]] });
    return { data: mean.data, dims: mean.dims };
  }

  /** The outputs by name for float32 inputs {name: [data, dims]}. */
  run(inputs) {
    const feeds = Object.entries(inputs).map(([name, [data, dims]]) => [name, new this.ort.Tensor("float32", data, dims)]);
    return this.session.run(Object.fromEntries(feeds));
  }
}

/** Images (N, C, H, W) in [0, 1] as bytes (N, H, W, C): the nearest 8-bit levels. */
export function toBytes(data, [n, channels, height, width]) {
  const out = new Uint8ClampedArray(data.length);
  const plane = height * width;
  for (let i = 0, o = 0; i < n; i++) {
    for (let p = 0; p < plane; p++) {
      // A clamped array rounds to the nearest level, and a half to the even one, as torch does.
      for (let c = 0; c < channels; c++) out[o++] = 255 * data[(i * channels + c) * plane + p];
    }
  }
  return out;
}
