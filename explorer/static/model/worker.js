// The worker that decodes, and encodes where there is no server. It handles one request after another, in order of arrival.

import { loadBytes, Network, startRuntime, toBytes } from "./runtime.js";

let network = null;
let encoder = null;

const actions = {
  async open({ files, decoder, provider }) {
    const runtime = files.map(({ url, integrity }) => loadBytes(url, integrity));
    const [script, wasm, model] = await Promise.all([...runtime, loadBytes(decoder)]);
    network = await Network.open(await startRuntime(script, wasm), model, provider);
    return {};
  },
  async decode({ z, n }) {
    const started = performance.now();
    const { data, dims } = await network.mean(z, n);
    return { pixels: toBytes(data, dims), ms: performance.now() - started };
  },
  async mean({ z, n }) {
    return network.mean(z, n);
  },
  /** The encoder is loaded with the first picture. */
  async encode({ files, ...request }) {
    if (!encoder) {
      const { Encoder } = await import("./encoder.js");
      encoder = await Encoder.open(network, files);
    }
    return encoder.encode(request);
  },
};

let last = Promise.resolve();
addEventListener("message", ({ data: { id, action, ...request } }) => {
  last = last.then(async () => {
    try {
      postMessage({ id, ...(await actions[action](request)) });
    } catch (error) {
      postMessage({ id, error: error.message ?? String(error) });
    }
  });
});
