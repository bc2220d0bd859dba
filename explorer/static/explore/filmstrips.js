// Filmstrips: pictures under each slider, decoded at values along it (feed-forward, after GANSlider, Dang et al., CHI 2022).

import { frame } from "../shared/frame.js";
import { dataUrl } from "../pixels/picture.js";

/** The pictures' positions on a slider, in standard deviations of the aggregated posterior from its mean. */
export const STEPS = [-3, -2, -1, 0, 1, 2, 3];
const DELAY = 250; // ms without a new point before the filmstrips are drawn, so that key presses do not wait for them

export class Filmstrips {
  #request = 0;
  #timer = 0;
  #z = null;
  rows = [];

  /** `rows`: {index, centre, sd, line, images}, one per slider. */
  open(model, rows) {
    Object.assign(this, { model, rows });
    this.#request += 1;
    this.#z = null;
  }

  /** Redraw the visible filmstrips that are out of date at the current point z, after a delay. */
  update(z = this.#z) {
    this.#z = z;
    this.#request += 1;
    clearTimeout(this.#timer);
    if (z) this.#timer = setTimeout(() => this.#draw().catch(() => {}), DELAY);
  }

  async #draw() {
    const request = this.#request;
    const [z, model] = [this.#z, this.model];
    const stale = this.rows.filter((row) => row.line.offsetParent !== null && row.drawnFor !== otherLatents(z, row.index));
    const points = stale.flatMap((row) => STEPS.map((step) => Object.assign([...z], { [row.index]: row.centre + step * row.sd })));
    for await (const [i, pixels] of model.decodeWhenIdle(points, 0, () => request === this.#request)) {
      const row = stale[Math.floor(i / STEPS.length)];
      const step = i % STEPS.length;
      const image = row.images[step];
      frame.paint(image, () => Object.assign(image, { src: dataUrl(pixels, model.description.shape), hidden: false }));
      if (step === STEPS.length - 1) row.drawnFor = otherLatents(z, row.index);
    }
  }
}

/** All latents of a point but one, as text: a filmstrip does not depend on its own slider. */
function otherLatents(z, index) {
  return z.filter((_, i) => i !== index).join();
}
