// The self-check of the static page: tests each browser feature that the page uses, and names the consequence of a failure.

import { wasmFactory } from "../model/decoder.js";
import { decodeBase64 } from "../pixels/picture.js";

const MAX_ERROR = 1e-4; // allowed difference between the browser's encodings and core's
const file = (path) => new URL(path, location.href.split(/[?#]/)[0]).href;
const part = (id) => document.querySelector(`#${id}`);
const baked = JSON.parse(part("baked").textContent);

/** [feature, test, consequence if it fails, whether the page needs it]. A test returns a text or throws. */
const CHECKS = [
  ["WebAssembly with SIMD", simd, "The decoder cannot run; only the map and the real images work.", true],
  ["Module workers", worker, "The decoder cannot run and real images are not shown; only the map works.", true],
  ["Decoding", decode, "Decoded images are missing or wrong.", true],
  ["Encoding", encode, "Your own pictures cannot be encoded.", false],
  ["WebGL, for the map", webgl, "The map cannot be drawn; sliders and encoding work.", false],
  [
    "Exact PNG files", () => need("DecompressionStream" in window),
    "PNG files with transparency or 16 bits may be off by one grey level.", false,
  ],
  [
    "JPEG, WebP and GIF files", () => need("createImageBitmap" in window && "OffscreenCanvas" in window),
    "Only PNG files can be encoded, and real images are not shown.", false,
  ],
  [
    "Camera", () => need(navigator.mediaDevices?.getUserMedia),
    "Browsers allow the camera on https pages only. Files and drawing work.", false,
  ],
  [
    "Clipboard", () => need(navigator.clipboard?.writeText),
    "Browsers allow copying on https pages only. Links are shown as text.", false,
  ],
];

let decoder = null;
let failures = 0;
let fatal = false;
for (const [feature, test, consequence, needed] of CHECKS) {
  const line = document.createElement("li");
  const result = document.createElement("span");
  line.append(Object.assign(document.createElement("b"), { textContent: feature }), result);
  part("checks").append(line);
  try {
    result.textContent = (await test()) ?? "Supported.";
    line.dataset.state = "yes";
  } catch (error) {
    result.textContent = `${consequence} (${error.message})`;
    line.dataset.state = needed ? "no" : "less";
    failures += 1;
    fatal ||= needed;
  }
}
decoder?.close();
part("verdict").textContent = fatal
  ? "The page does not work in this browser."
  : failures
    ? "The page works in this browser, except for the marked features."
    : "Everything works in this browser.";
document.body.dataset.checked = fatal ? "no" : failures ? "less" : "yes";

function need(supported) {
  if (!supported) throw new Error("not supported by this browser on this page");
}

/** Validate the smallest module with a SIMD instruction: a function that makes a vector and drops it. */
async function simd() {
  const code = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
  need(WebAssembly.validate(Uint8Array.from(code)));
}

async function worker() {
  const source = URL.createObjectURL(new Blob(["postMessage(typeof importScripts)"], { type: "text/javascript" }));
  const started = new Worker(source, { type: "module" });
  try {
    await new Promise((resolve, reject) => {
      started.onmessage = resolve;
      started.onerror = () => reject(new Error("it could not start"));
      setTimeout(() => reject(new Error("it did not answer")), 10_000);
    });
  } finally {
    started.terminate();
    URL.revokeObjectURL(source);
  }
}

async function decode() {
  const opening = performance.now();
  decoder = await wasmFactory(baked.runtime, file)(baked.description);
  const seconds = (performance.now() - opening) / 1000;
  const pixels = await decoder.decode([baked.start.z]);
  const error = Math.max(...decodeBase64(baked.start.pixels).map((level, i) => Math.abs(level - pixels[i])));
  if (error > 1) throw new Error(`an image is ${error} of 255 levels off`);
  const started = performance.now();
  for (let i = 0; i < 20; i++) await decoder.decode([baked.start.z]);
  const ms = (performance.now() - started) / 20;
  return `Loaded in ${seconds.toFixed(1)} s, then ${ms.toFixed(1)} ms per image; at most ${error} of 255 levels off.`;
}

async function encode() {
  const { encoder, score, preprocessing, example, max_pixels, max_framed_pixels } = baked.encoding;
  const picture = new Blob([decodeBase64(example.png)], { type: "image/png" });
  const files = { encoder: file(encoder), score: file(score) };
  const limits = { max_pixels, max_framed_pixels };
  const options = { shares: null, model: preprocessing, polarity: "auto", trim: true, threshold: null, ...limits };
  const { mean, log_variance } = await decoder.encode({ files, file: picture, ...options });
  const difference = (found, expected) => Math.max(...found.map((value, i) => Math.abs(value - expected[i])));
  const error = Math.max(difference(mean, example.mean), difference(log_variance, example.log_variance));
  if (!(error <= MAX_ERROR)) throw new Error(`its encodings are off by ${error.toExponential(1)}`);
  return `Encodings differ from the model's by at most ${error.toExponential(1)}.`;
}

function webgl() {
  const context = document.createElement("canvas").getContext("webgl");
  need(context);
  context.getExtension("WEBGL_lose_context")?.loseContext();
}
