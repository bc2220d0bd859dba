// Filmstrips: under each slider, what it would show from here (feed-forward, after GANSlider, Dang et al., CHI 2022).

import { frame } from "../shared/frame.js";
import { address } from "../pixels/picture.js";

/** Where the pictures lie, in standard deviations of the aggregated posterior. */
export const STEPS = [-3, -2, -1, 0, 1, 2, 3];
const REST = 250; // ms without a new point before anything is drawn: who steps by the keys does not wait behind it

export class Film {
  #turn = 0;
  #timer = 0;
  #z = null;
  rows = [];

  /** `rows`: {index, centre, sd, line, images}, one per slider. */
  open(model, rows) {
    Object.assign(this, { model, rows });
    this.#turn += 1;
    this.#z = null;
  }

  /** The current point is z: draw what has changed, once the hand rests. */
  ask(z = this.#z) {
    this.#z = z;
    this.#turn += 1;
    clearTimeout(this.#timer);
    if (z) this.#timer = setTimeout(() => this.#draw().catch(() => {}), REST);
  }

  async #draw() {
    const turn = this.#turn;
    const [z, model] = [this.#z, this.model];
    const stale = this.rows.filter((row) => row.line.offsetParent !== null && row.from !== others(z, row.index));
    const points = stale.flatMap((row) => STEPS.map((step) => Object.assign([...z], { [row.index]: row.centre + step * row.sd })));
    for await (const [i, pixels] of model.patiently(points, 0, () => turn === this.#turn)) {
      const row = stale[Math.floor(i / STEPS.length)];
      const step = i % STEPS.length;
      const image = row.images[step];
      frame.paint(image, () => Object.assign(image, { src: address(pixels, model.description.shape), hidden: false }));
      if (step === STEPS.length - 1) row.from = others(z, row.index);
    }
  }
}

/** All of a point but one latent: a filmstrip does not depend on its own slider. */
function others(z, index) {
  return z.filter((_, i) => i !== index).join();
}
