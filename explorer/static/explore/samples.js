// The Samples view: a grid of draws from the prior; a click on one makes it the current point.

import { decodeBase64, imageData } from "../pixels/picture.js";
import { priorTexts } from "../model/prior.js";

const COLUMNS = 8; // of the grid

export class Samples {
  #seed = 0;
  #stale = true;
  #request = 0;

  /** `count`: samples in the grid. */
  constructor(ui, server, count, onPick) {
    Object.assign(this, { ui, server, count, onPick });
    ui["more-samples"].addEventListener("click", () => {
      this.#seed += 1;
      this.#draw();
    });
    ui.temperature.addEventListener("input", () => {
      ui["temperature-value"].textContent = Number(ui.temperature.value).toFixed(2);
      this.#draw();
    });
  }

  open(model) {
    this.model = model;
    this.#stale = true;
    this.ui["samples-note"].textContent = priorTexts(model).sheet;
    if (!this.ui.samples.hidden) this.#draw();
  }

  /** The view became visible: draw the grid if it is out of date. */
  show() {
    if (this.#stale) this.#draw();
  }

  async #draw() {
    this.#stale = false;
    const options = { model: this.model.model, seed: this.#seed, temperature: Number(this.ui.temperature.value), count: this.count };
    const request = ++this.#request;
    const answer = await this.server.draw_samples(options);
    if (request !== this.#request) return;
    if (!answer || answer.error) return void (this.ui.status.textContent = answer?.error ?? "The server did not answer.");
    const [channels, height, width] = this.model.shape;
    const all = decodeBase64(answer.pixels);
    const size = channels * height * width;
    this.ui.samples.style.setProperty("--columns", COLUMNS);
    this.ui.samples.replaceChildren(
      ...answer.z.map((z, i) => {
        const button = Object.assign(document.createElement("button"), { type: "button", title: "Go to this point" });
        button.setAttribute("aria-label", `Sample ${i + 1}`);
        const canvas = Object.assign(document.createElement("canvas"), { width, height });
        canvas.getContext("2d").putImageData(imageData(all.subarray(i * size, (i + 1) * size), this.model.shape), 0, 0);
        button.append(canvas);
        button.addEventListener("click", () => this.onPick(z));
        return button;
      }),
    );
  }
}
