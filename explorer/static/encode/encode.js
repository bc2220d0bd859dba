// The Encode tab: encodes a picture and shows its posterior, reconstruction, position on the map and nearest images.

import { Camera, Crop, Pen } from "./sources.js";
import { Latest } from "../shared/latest.js";
import { fetchBytes } from "../shared/fetch.js";
import { decodeBase64, draw, thumbnails } from "../pixels/picture.js";
import { session } from "../shared/session.js";

export function mount({ element, props, server, upload, file }) {
  new Encode(element, props, server, upload, file);
}

class Encode {
  #uploads = 0;

  constructor(root, { max_upload }, server, upload, file) {
    Object.assign(this, { root, max_upload, server, upload, file, uploaded: null, encoded: null, result: null, seed: 0 });
    this.ui = Object.fromEntries([...root.querySelectorAll("[id]")].map((part) => [part.id, part]));
    this.frame = root.querySelector(".ls-encode");
    this.requests = new Latest((request) => server.encode_upload(request), (answer, request) => this.#showAnswer(answer, request), () => 1);
    this.crop = new Crop(this.ui, () => this.#encode());
    this.pen = new Pen(this.ui, (blob) => this.#upload(blob, "drawing.png", false));
    this.camera = new Camera(this.ui, (blob) => {
      this.#chooseSource("file");
      this.#upload(blob, "camera.png");
    });
    this.#listen();
    session.on("open", (model) => this.#open(model));
    this.frame.setAttribute("aria-busy", "false");
  }

  #open(model) {
    this.model = model;
    this.sprite = null;
    this.#clear();
    if (this.uploaded) this.#encode();
  }

  #listen() {
    const { ui } = this;
    const input = ui.upload.querySelector("input[type=file]");
    const choose = () => {
      if (input.files[0]) this.#upload(input.files[0], input.files[0].name);
      input.value = "";
    };
    input.addEventListener("change", choose);
    choose(); // a file may have been chosen before this script ran
    for (const name of ["dragover", "dragleave", "drop"]) {
      ui.upload.addEventListener(name, (event) => {
        event.preventDefault();
        ui.drop.classList.toggle("ls-over", name === "dragover");
        const dropped = name === "drop" && event.dataTransfer.files[0];
        if (dropped) this.#upload(dropped, dropped.name);
      });
    }
    document.addEventListener("paste", (event) => {
      const item = [...(event.clipboardData?.items ?? [])].find((entry) => entry.type.startsWith("image/"));
      if (!item || this.root.offsetParent === null) return;
      this.#chooseSource("file");
      this.#upload(item.getAsFile(), "pasted.png");
    });
    ui.another.addEventListener("click", () => input.click());
    for (const option of [ui.polarity, ui.trim]) option.addEventListener("change", () => this.#encode());
    for (const tab of this.root.querySelectorAll("[data-source]")) tab.addEventListener("click", () => this.#chooseSource(tab.dataset.source));
    ui["draw-again"].addEventListener("click", () => this.#drawAgain());
    ui["take-me"].addEventListener("click", () => {
      session.go(this.result.mean);
      document.querySelector("#tabs [role=tab]").click();
    });
  }

  #chooseSource(name) {
    for (const tab of this.root.querySelectorAll("[data-source]")) tab.setAttribute("aria-selected", tab.dataset.source === name);
    for (const pane of this.root.querySelectorAll("[data-pane]")) pane.hidden = pane.dataset.pane !== name;
    if (name === "camera") this.camera.start();
    else this.camera.stop();
  }

  /** Upload a picture and encode it. An earlier upload that is still under way is dropped. */
  async #upload(blob, name, show = true) {
    const upload = ++this.#uploads;
    if (show) this.crop.show(blob);
    this.#setStatus("Reading the picture…");
    this.frame.setAttribute("aria-busy", "true");
    try {
      const [path] = await this.upload([new File([blob], name, { type: blob.type })]);
      if (upload !== this.#uploads) return;
      this.uploaded = { path, blob, show };
      this.#encode();
    } catch {
      if (upload !== this.#uploads) return;
      this.#reject(`The picture could not be uploaded. It may be larger than ${Math.round(this.max_upload / 2 ** 20)} MB.`, { path: null });
      this.frame.setAttribute("aria-busy", "false");
    }
  }

  #encode() {
    if (!this.uploaded || !this.model) return;
    this.#setStatus("Encoding…");
    this.frame.setAttribute("aria-busy", "true");
    const { polarity, trim } = this.ui;
    const { path, show } = this.uploaded;
    this.requests.request({ model: this.model.model, path, crop: show ? this.crop.fractions : null, polarity: polarity.value, trim: trim.checked });
  }

  #clear() {
    this.ui["encode-body"].hidden = true;
    this.ui["encode-empty"].hidden = false;
  }

  async #showAnswer(answer, request) {
    if (answer.error) this.#reject(answer.error, request);
    else await this.#showResult(answer, request).catch((error) => this.#setStatus(`The map and the neighbours cannot be shown: ${error.message}.`));
    this.frame.setAttribute("aria-busy", "false");
  }

  /** Report an error. If another picture was encoded before, it becomes current again. */
  #reject(error, { path }) {
    if (!this.encoded || this.encoded.path === path) {
      this.#clear();
      return this.#setStatus(error);
    }
    this.uploaded = this.encoded;
    if (this.encoded.show) this.crop.show(this.encoded.blob, this.encoded.crop);
    this.#setStatus(`${error} The previous picture is still shown.`);
  }

  async #showResult(answer, { path, crop }) {
    this.#setStatus("");
    this.result = answer;
    if (path === this.uploaded.path) this.encoded = { ...this.uploaded, crop };
    const { ui } = this;
    const { shape } = this.model;
    ui["encode-empty"].hidden = true;
    ui["encode-body"].hidden = false;
    draw(ui.seen, decodeBase64(answer.seen), shape);
    draw(ui.reconstruction, decodeBase64(answer.reconstruction), shape);
    draw(ui["error-map"], decodeBase64(answer.error_map), [1, ...shape.slice(1)]);
    ui.steps.textContent = answer.steps.join(", ") || "unchanged";
    ui.rmse.textContent = `RMS ${(100 * answer.rmse).toFixed(1)} % of the range`;
    ui.oddity.textContent = answer.verdict ?? "";
    ui.oddity.dataset.odd = answer.p_value !== null && answer.p_value < this.model.verdict.odd;
    this.#showNumbers(answer);
    ui.posterior.replaceChildren(...this.model.latents.filter((latent) => latent.active).map((latent) => posteriorRow(latent, answer, this.model.reach)));
    await Promise.all([this.#drawAgain(), this.#showNeighbours(answer)]);
  }

  #showNumbers({ log_likelihood, kl, elbo, rank }) {
    const better = rank === undefined ? "" : ` (higher than ${Math.round(100 * rank)} % of the gallery)`;
    const entries = [
      ["log-likelihood", `${nats(log_likelihood)}${better}`, "How well the decoder explains the pixels, given the latents"],
      ["KL", nats(kl), "KL divergence of the posterior from the prior: how much information the latents hold about the image"],
      ["ELBO", nats(elbo), "Log-likelihood minus KL: a lower bound on log p(x)"],
    ];
    this.ui.numbers.replaceChildren(
      ...entries.map(([name, value, title]) => {
        const group = Object.assign(document.createElement("div"), { title });
        group.append(element("dt", name), element("dd", value));
        return group;
      }),
    );
  }

  async #drawAgain() {
    const { mean, log_variance } = this.result;
    const answer = await this.server.draw_again({ model: this.model.model, mean, log_variance, seed: this.seed++ });
    if (answer && !answer.error) draw(this.ui.again, decodeBase64(answer.pixels), this.model.shape);
  }

  /** Show the map and the nearest images, from the gallery's files, which the Explore tab has fetched. */
  async #showNeighbours({ x, y, neighbours }) {
    const { model, ui } = this;
    ui.place.parentElement.hidden = x === null;
    if (!neighbours) return void ui.neighbours.replaceChildren();
    const sprite = (this.sprite = thumbnails(this.file(model.sprite.file), model.sprite.columns, model.shape));
    const points = x === null ? null : new Float32Array(await fetchBytes(this.file(model.points)));
    await sprite.ready;
    if (model !== this.model) return;
    if (x !== null) drawMiniMap(ui.place, points, x, y);
    ui.neighbours.replaceChildren(
      ...neighbours.map(({ index, distance }) => {
        const figure = document.createElement("figure");
        const canvas = Object.assign(document.createElement("canvas"), { className: "ls-pixels" });
        sprite.draw(canvas, index);
        figure.append(canvas, element("figcaption", distance.toFixed(2)));
        return figure;
      }),
    );
  }

  #setStatus(text) {
    this.ui["encode-status"].textContent = text;
  }
}

function element(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text });
}

function nats(value) {
  return `${value.toFixed(1).replace("-", "−")} nats`;
}

/** One latent's posterior as a bar. The track spans the images' mean ± `reach` standard deviations. */
function posteriorRow({ index, centre, sd }, { mean, log_variance }, reach) {
  const [m, sigma] = [mean[index], Math.exp(log_variance[index] / 2)];
  const line = Object.assign(document.createElement("div"), { className: "ls-posterior" });
  line.title = `z${index}: mean ${m.toFixed(3)}, σ ${sigma.toFixed(3)}`;
  const track = Object.assign(document.createElement("div"), { className: "ls-posterior-track" });
  const at = (value) => (50 / reach) * (Math.max(-reach, Math.min(reach, (value - centre) / sd)) + reach);
  const prior = Object.assign(document.createElement("i"), { className: "ls-prior" });
  const width = Object.assign(document.createElement("i"), { className: "ls-width" });
  const dot = Object.assign(document.createElement("i"), { className: "ls-mean" });
  Object.assign(width.style, { left: `${at(m - 2 * sigma)}%`, width: `${at(m + 2 * sigma) - at(m - 2 * sigma)}%` });
  dot.style.left = `${at(m)}%`;
  track.append(prior, width, dot);
  const numbers = `${m >= 0 ? "+" : "−"}${Math.abs(m).toFixed(2)} ± ${sigma.toFixed(2)}`;
  line.append(element("b", `z${index}`), track, element("span", numbers));
  return line;
}

/** A small map: the gallery's positions as faint dots, and a ring at (x, y). */
function drawMiniMap(canvas, points, x, y) {
  const size = 224;
  canvas.width = canvas.height = size;
  let [left, right, bottom, top] = [x, x, y, y];
  for (let i = 0; i < points.length; i += 2) {
    left = Math.min(left, points[i]);
    right = Math.max(right, points[i]);
    bottom = Math.min(bottom, points[i + 1]);
    top = Math.max(top, points[i + 1]);
  }
  const scale = (size - 28) / Math.max(right - left, top - bottom, 1e-9);
  const px = (value) => size / 2 + (value - (left + right) / 2) * scale;
  const py = (value) => size / 2 - (value - (bottom + top) / 2) * scale;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  context.clearRect(0, 0, size, size);
  context.fillStyle = style.color;
  context.globalAlpha = 0.35;
  for (let i = 0; i < points.length; i += 2) context.fillRect(px(points[i]) - 0.7, py(points[i + 1]) - 0.7, 1.4, 1.4);
  context.globalAlpha = 1;
  context.lineWidth = 4;
  context.strokeStyle = style.getPropertyValue("--color-accent");
  context.beginPath();
  context.arc(px(x), py(y), 9, 0, 7);
  context.stroke();
}
