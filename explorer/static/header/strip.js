// The models as a strip of pictures, one of each gallery: a click opens its model.

import { choice } from "../shared/choice.js";
import { address, bytes } from "../pixels/picture.js";

const MOST = 12; // pictures; where there are more models, the list beside them has the rest

export class Strip {
  #asked = false;

  /** `open(model)` is called with the name of the chosen one. */
  constructor(element, models, server, open) {
    Object.assign(this, { element, server, open });
    this.#fill(models.slice(0, MOST));
  }

  /** One more model, or one that was made anew. */
  add(model) {
    const others = this.buttons.map(({ dataset }) => dataset.model).filter((name) => name !== model);
    this.#fill([...others.slice(0, MOST - 1), model]);
    this.#asked = false;
    this.fill();
  }

  #fill(models) {
    this.element.hidden = models.length < 2;
    this.buttons = models.map((model) => {
      const button = Object.assign(document.createElement("button"), { type: "button", title: model });
      button.setAttribute("role", "radio");
      button.setAttribute("aria-label", model);
      button.dataset.model = model;
      button.append(Object.assign(new Image(), { alt: "" }));
      return button;
    });
    this.element.replaceChildren(...this.buttons);
    this.mark = choice(this.element, "model", this.open);
  }

  /** Ask for the pictures, one after another and once: each makes the server open a model, which then opens at once. */
  async fill() {
    if (this.#asked || this.element.hidden) return;
    this.#asked = true;
    for (const button of this.buttons) {
      const cover = await this.server.cover({ model: button.dataset.model });
      if (cover?.pixels) button.firstChild.src = address(bytes(cover.pixels), cover.shape);
      button.classList.add(cover?.pixels ? "ls-there" : "ls-gone");
    }
  }
}
