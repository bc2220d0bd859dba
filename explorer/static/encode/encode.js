// The Encode tab: where a picture comes from, and what the model makes of it.

import { Camera, Crop, Pen } from "./sources.js";
import { Latest } from "../shared/latest.js";
import { fetchBytes } from "../shared/fetch.js";
import { bytes, draw, thumbnails } from "../pixels/picture.js";
import { session } from "../shared/session.js";

export function mount({ element, props, server, upload, file }) {
  new Encode(element, props, server, upload, file);
}

class Encode {
  constructor(element, { max_upload }, server, upload, file) {
    Object.assign(this, { root: element, max_upload, server, upload, file, given: null, kept: null, result: null, seed: 0 });
    this.ui = Object.fromEntries([...element.querySelectorAll("[id]")].map((part) => [part.id, part]));
    this.frame = element.querySelector(".ls-encode");
    this.requests = new Latest((request) => server.encode_upload(request), (answer, request) => this.#show(answer, request), () => 1);
    this.crop = new Crop(this.ui, () => this.#encode());
    this.pen = new Pen(this.ui, (blob) => this.#take(blob, "drawing.png", false));
    this.camera = new Camera(this.ui, (blob) => {
      this.#source("file");
      this.#take(blob, "camera.png");
    });
    this.#wire();
    session.on("open", (model) => this.#open(model));
    this.frame.setAttribute("aria-busy", "false");
  }

  #open(model) {
    this.model = model;
    this.sprite = null;
    this.#clear();
    if (this.given) this.#encode();
  }

  #wire() {
    const { ui } = this;
    const input = ui.upload.querySelector("input[type=file]");
    const chosen = () => {
      if (input.files[0]) this.#take(input.files[0], input.files[0].name);
      input.value = "";
    };
    input.addEventListener("change", chosen);
    chosen(); // a quick hand may have been before us
    for (const name of ["dragover", "dragleave", "drop"]) {
      ui.upload.addEventListener(name, (event) => {
        event.preventDefault();
        ui.drop.classList.toggle("ls-over", name === "dragover");
        const dropped = name === "drop" && event.dataTransfer.files[0];
        if (dropped) this.#take(dropped, dropped.name);
      });
    }
    document.addEventListener("paste", (event) => {
      const item = [...(event.clipboardData?.items ?? [])].find((entry) => entry.type.startsWith("image/"));
      if (!item || this.root.offsetParent === null) return;
      this.#source("file");
      this.#take(item.getAsFile(), "pasted.png");
    });
    ui.another.addEventListener("click", () => input.click());
    for (const option of [ui.polarity, ui.trim]) option.addEventListener("change", () => this.#encode());
    for (const tab of this.root.querySelectorAll("[data-source]")) tab.addEventListener("click", () => this.#source(tab.dataset.source));
    ui["draw-again"].addEventListener("click", () => this.#again());
    ui["take-me"].addEventListener("click", () => {
      session.go(this.result.mean);
      document.querySelector("#tabs [role=tab]").click();
    });
  }

  #source(name) {
    for (const tab of this.root.querySelectorAll("[data-source]")) tab.setAttribute("aria-selected", tab.dataset.source === name);
    for (const pane of this.root.querySelectorAll("[data-pane]")) pane.hidden = pane.dataset.pane !== name;
    if (name === "camera") this.camera.start();
    else this.camera.stop();
  }

  /** Send a picture to the server and encode it; the newest one counts. */
  async #take(blob, name, show = true) {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    if (show) this.crop.show(blob);
    this.#say("Taking the picture in…");
    this.frame.setAttribute("aria-busy", "true");
    try {
      const [path] = await this.upload([new File([blob], name, { type: blob.type })]);
      if (turn !== this.turn) return;
      this.given = { path, blob, show };
      this.#encode();
    } catch {
      if (turn !== this.turn) return;
      this.#refuse(`The picture could not be sent. It may be larger than ${Math.round(this.max_upload / 2 ** 20)} MB.`, { path: null });
      this.frame.setAttribute("aria-busy", "false");
    }
  }

  #encode() {
    if (!this.given || !this.model) return;
    this.#say("Encoding…");
    this.frame.setAttribute("aria-busy", "true");
    const { polarity, trim } = this.ui;
    const { path, show } = this.given;
    this.requests.ask({ model: this.model.model, path, crop: show ? this.crop.shares : null, polarity: polarity.value, trim: trim.checked });
  }

  #clear() {
    this.ui["encode-body"].hidden = true;
    this.ui["encode-empty"].hidden = false;
  }

  async #show(answer, request) {
    if (answer.error) this.#refuse(answer.error, request);
    else await this.#fill(answer, request).catch((error) => this.#say(`The map and the neighbours cannot be shown: ${error.message}.`));
    this.frame.setAttribute("aria-busy", "false");
  }

  /** A picture that cannot be encoded gives its place back to the one before it. */
  #refuse(error, { path }) {
    if (!this.kept || this.kept.path === path) {
      this.#clear();
      return this.#say(error);
    }
    this.given = this.kept;
    if (this.kept.show) this.crop.show(this.kept.blob, this.kept.crop);
    this.#say(`${error} The picture before it is still here.`);
  }

  async #fill(answer, { path, crop }) {
    this.#say("");
    this.result = answer;
    if (path === this.given.path) this.kept = { ...this.given, crop };
    const { ui } = this;
    const { shape } = this.model;
    ui["encode-empty"].hidden = true;
    ui["encode-body"].hidden = false;
    draw(ui.seen, bytes(answer.seen), shape);
    draw(ui.reconstruction, bytes(answer.reconstruction), shape);
    draw(ui["error-map"], bytes(answer.error_map), [1, ...shape.slice(1)]);
    ui.steps.textContent = answer.steps.join(", ") || "as it came";
    ui.rmse.textContent = `root mean square ${(100 * answer.rmse).toFixed(1)} % of the range`;
    ui.oddity.textContent = answer.verdict ?? "";
    ui.oddity.dataset.odd = answer.p_value !== null && answer.p_value < this.model.verdict.odd;
    this.#numbers(answer);
    ui.posterior.replaceChildren(...this.model.latents.filter((latent) => latent.active).map((latent) => bar(latent, answer, this.model.reach)));
    await Promise.all([this.#again(), this.#surroundings(answer)]);
  }

  #numbers({ log_likelihood, kl, elbo, rank }) {
    const better = rank === undefined ? "" : ` (higher than ${Math.round(100 * rank)} % of the gallery)`;
    const entries = [
      ["log-likelihood", `${nats(log_likelihood)}${better}`, "How well the model explains the pixels, given its latents"],
      ["KL", nats(kl), "What it costs to tell this image's latents from the prior"],
      ["ELBO", nats(elbo), "Log-likelihood minus KL: a lower bound of log p(x)"],
    ];
    this.ui.numbers.replaceChildren(
      ...entries.map(([name, value, title]) => {
        const group = Object.assign(document.createElement("div"), { title });
        group.append(make("dt", name), make("dd", value));
        return group;
      }),
    );
  }

  async #again() {
    const { mean, log_variance } = this.result;
    const answer = await this.server.draw_again({ model: this.model.model, mean, log_variance, seed: this.seed++ });
    if (answer && !answer.error) draw(this.ui.again, bytes(answer.pixels), this.model.shape);
  }

  /** Map and neighbours, from the gallery's files, which the Explore tab has fetched. */
  async #surroundings({ x, y, neighbours }) {
    const { model, ui } = this;
    ui.place.parentElement.hidden = x === null;
    if (!neighbours) return void ui.neighbours.replaceChildren();
    const sprite = (this.sprite = thumbnails(this.file(model.sprite.file), model.sprite.columns, model.shape));
    const points = x === null ? null : new Float32Array(await fetchBytes(this.file(model.points)));
    await sprite.ready;
    if (model !== this.model) return;
    if (x !== null) sketch(ui.place, points, x, y);
    ui.neighbours.replaceChildren(
      ...neighbours.map(({ index, distance }) => {
        const figure = document.createElement("figure");
        const canvas = Object.assign(document.createElement("canvas"), { className: "ls-pixels" });
        sprite.draw(canvas, index);
        figure.append(canvas, make("figcaption", distance.toFixed(2)));
        return figure;
      }),
    );
  }

  #say(text) {
    this.ui["encode-status"].textContent = text;
  }
}

function make(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text });
}

function nats(value) {
  return `${value.toFixed(1).replace("-", "−")} nats`;
}

/** One latent's posterior as a bar over `reach` standard deviations of all images' on either side of their centre. */
function bar({ index, centre, sd }, { mean, log_variance }, reach) {
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
  line.append(make("b", `z${index}`), track, make("span", numbers));
  return line;
}

/** The gallery as faint dots with one place marked. */
function sketch(canvas, points, x, y) {
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
