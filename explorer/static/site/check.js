// The self-check: what a page without a server needs of a browser, tried out, and what is lost where it is missing.

import { opener } from "../model/decoder.js";
import { bytes } from "../pixels/picture.js";

const NEAR = 1e-4; // how far the browser's numbers may be from core's
const file = (path) => new URL(path, location.href.split(/[?#]/)[0]).href;
const part = (id) => document.querySelector(`#${id}`);
const baked = JSON.parse(part("baked").textContent);

/** [what, how it is tried, what is lost without it, whether the page is of no use without it]. A trial gives words or throws. */
const CHECKS = [
  ["WebAssembly, with its vector instructions", simd, "The decoder cannot run: the map and the real images are all there is.", true],
  ["A worker that is a module", worker, "The decoder cannot run, and no real image is shown: the map is all there is.", true],
  ["The decoder draws what the model draws", decode, "Pictures are missing or wrong.", true],
  ["The encoder sees what the model sees", encode, "Your own pictures cannot be encoded.", false],
  ["WebGL, for the map", webgl, "The map cannot be drawn; sliders and encoding work.", false],
  ["PNG files to the last bit", () => need("DecompressionStream" in window), "PNG files with transparency or 16 bits are read to the nearest level only.", false],
  ["JPEG, WebP and GIF files", () => need("createImageBitmap" in window && "OffscreenCanvas" in window), "Only PNG files can be encoded, and no real image is shown.", false],
  ["A camera", () => need(navigator.mediaDevices?.getUserMedia), "No camera: browsers offer it to https pages alone. Files and drawing work.", false],
  ["Copying links", () => need(navigator.clipboard?.writeText), "Links are shown to be copied by hand: browsers offer more to https pages alone.", false],
];

let opened = null;
let missing = 0;
let fatal = false;
for (const [what, run, lost, needed] of CHECKS) {
  const line = document.createElement("li");
  const said = document.createElement("span");
  line.append(Object.assign(document.createElement("b"), { textContent: what }), said);
  part("checks").append(line);
  try {
    said.textContent = (await run()) ?? "There.";
    line.dataset.state = "yes";
  } catch (error) {
    said.textContent = `${lost} (${error.message})`;
    line.dataset.state = needed ? "no" : "less";
    missing += 1;
    fatal ||= needed;
  }
}
opened?.close();
const verdict = fatal ? "The page cannot do its work in this browser." : missing ? "The page works here, but for what is marked." : "Everything works here.";
Object.assign(part("verdict"), { textContent: verdict });
document.body.dataset.checked = fatal ? "no" : missing ? "less" : "yes";

function need(there) {
  if (!there) throw new Error("this browser does not offer it here");
}

/** The smallest module that uses a vector: a function that makes one and drops it. */
async function simd() {
  const code = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
  need(WebAssembly.validate(Uint8Array.from(code)));
}

async function worker() {
  const source = URL.createObjectURL(new Blob(["postMessage(typeof importScripts)"], { type: "text/javascript" }));
  const made = new Worker(source, { type: "module" });
  try {
    await new Promise((resolve, reject) => {
      made.onmessage = resolve;
      made.onerror = () => reject(new Error("it could not start"));
      setTimeout(() => reject(new Error("it did not answer")), 10_000);
    });
  } finally {
    made.terminate();
    URL.revokeObjectURL(source);
  }
}

async function decode() {
  const started = performance.now();
  opened = await opener(baked.runtime, file)(baked.description);
  const ready = performance.now() - started;
  const pixels = await opened.decode([baked.start.z]);
  const apart = Math.max(...bytes(baked.start.pixels).map((level, i) => Math.abs(level - pixels[i])));
  if (apart > 1) throw new Error(`a picture is ${apart} of 255 levels off`);
  const again = performance.now();
  for (let i = 0; i < 20; i++) await opened.decode([baked.start.z]);
  return `Ready after ${(ready / 1000).toFixed(1)} s, then ${((performance.now() - again) / 20).toFixed(1)} ms a picture; at most ${apart} of 255 levels off.`;
}

async function encode() {
  const { encoder, score, preprocessing, example, max_pixels, max_framed_pixels } = baked.encoding;
  const picture = new Blob([bytes(example.png)], { type: "image/png" });
  const files = { encoder: file(encoder), score: file(score) };
  const settings = { shares: null, model: preprocessing, polarity: "auto", trim: true, threshold: null, max_pixels, max_framed_pixels };
  const { mean, log_variance } = await opened.encode({ files, file: picture, ...settings });
  const off = (got, expected) => Math.max(...got.map((value, i) => Math.abs(value - expected[i])));
  const apart = Math.max(off(mean, example.mean), off(log_variance, example.log_variance));
  if (!(apart <= NEAR)) throw new Error(`its numbers are ${apart.toExponential(1)} off`);
  return `At most ${apart.toExponential(1)} off what core computes.`;
}

function webgl() {
  const context = document.createElement("canvas").getContext("webgl");
  need(context);
  context.getExtension("WEBGL_lose_context")?.loseContext();
}
