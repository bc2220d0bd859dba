// The models as a strip of images, one from each gallery. A click opens the model.

import { choice } from "../shared/choice.js";
import { dataUrl, decodeBase64 } from "../pixels/picture.js";

const MAX_IMAGES = 12; // further models are only in the list

export class Strip {
  #loaded = false;

  /** `open(model)` is called with the name of the selected model. */
  constructor(element, models, server, open) {
    Object.assign(this, { element, server, open });
    this.#build(models.slice(0, MAX_IMAGES));
  }

  /** Add a model, or one that was trained again. */
  add(model) {
    const others = this.buttons.map(({ dataset }) => dataset.model).filter((name) => name !== model);
    this.#build([...others.slice(0, MAX_IMAGES - 1), model]);
    this.#loaded = false;
    this.load();
  }

  #build(models) {
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

  /** Load the images, one after another: the server opens a model for each, so that a click shows it at once. */
  async load() {
    if (this.#loaded || this.element.hidden) return;
    this.#loaded = true;
    for (const button of this.buttons) {
      const cover = await this.server.cover({ model: button.dataset.model });
      if (cover?.pixels) button.firstChild.src = dataUrl(decodeBase64(cover.pixels), cover.shape);
      button.classList.add(cover?.pixels ? "ls-there" : "ls-gone");
    }
  }
}
