// The worker that decodes, and encodes where there is no server: the page stays free for the hand. One request after another, in
// the order they come.

import { levels, load, Network, start } from "./runtime.js";

let network = null;
let encoder = null;

const answer = {
  async open({ files, decoder, provider }) {
    const [script, wasm, model] = await Promise.all([...files.map(({ url, integrity }) => load(url, integrity)), load(decoder)]);
    network = await Network.open(await start(script, wasm), model, provider);
    return {};
  },
  async decode({ z, n }) {
    const started = performance.now();
    const { data, dims } = await network.mean(z, n);
    return { pixels: levels(data, dims), ms: performance.now() - started };
  },
  async mean({ z, n }) {
    return network.mean(z, n);
  },
  /** What encoding it takes is fetched with the first picture. */
  async encode({ files, ...request }) {
    if (!encoder) {
      const { Encoder } = await import("./encoder.js");
      encoder = await Encoder.open(network, files);
    }
    return encoder.encode(request);
  },
};

let last = Promise.resolve();
addEventListener("message", ({ data: { id, ask, ...request } }) => {
  last = last.then(async () => {
    try {
      postMessage({ id, ...(await answer[ask](request)) });
    } catch (error) {
      postMessage({ id, error: error.message ?? String(error) });
    }
  });
});
