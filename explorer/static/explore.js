// The Explore tab: map, current picture and sliders, and the state of one visitor.

import { Latest } from "./latest.js";
import { LatentMap } from "./map.js";
import { draw } from "./picture.js";
import { Samples } from "./samples.js";
import { link, linked, session } from "./session.js";
import { Sliders } from "./sliders.js";

export function mount({ element, props, server, file }) {
  const page = new Explore(element, server, file);
  page.plotly = loadScript(file(props.plotly));
  session.on("model", (name) => page.open(name));
  session.on("go", (z) => page.go({ z }));
}

class Explore {
  #history = [];
  #opening = 0;
  #underWay = 0;
  current = null; // the answer that is set: z, pixels, x, y, nearest

  constructor(element, server, file) {
    Object.assign(this, { server, file });
    this.ui = Object.fromEntries([...element.querySelectorAll("[id]")].map((part) => [part.id, part]));
    this.root = element.querySelector(".ls-explore");
    this.sliders = new Sliders(this.ui.sliders, (z) => this.#drag(z), () => this.#rest());
    this.map = new LatentMap(this.ui.map, this.ui["map-marker"], this.ui["map-tip"], {
      hover: (at) => this.previews.ask(at),
      leave: () => this.#restore(),
      click: (at) => this.go(at.index >= 0 ? { index: at.index } : { x: at.x, y: at.y }),
    });
    this.samples = new Samples(this.ui, server, (z) => this.go({ z }));
    this.drags = new Latest((z) => this.#ask({ z }), (answer) => this.#show(answer));
    this.previews = new Latest((at) => this.#ask(at.index >= 0 ? { index: at.index } : { x: at.x, y: at.y }), (answer, at) => this.#preview(answer, at), 2);
    this.#wire();
  }

  /** Open a model by name, at the point in the address if it fits, else at its first image. */
  async open(model) {
    const turn = ++this.#opening;
    this.#say("Opening the model…");
    this.#busy(1);
    const description = await this.server.open_model({ model });
    this.#busy(-1);
    if (turn !== this.#opening) return;
    if (!description || description.error) return this.#say(description?.error ?? "The server did not answer.");
    this.model = description;
    this.#history = [];
    this.current = null;
    this.sliders.build(description.latents);
    this.samples.open(description);
    session.emit("open", description);
    await this.go({ z: linked(description.latents.length) ?? description.start });
    await this.#openMap(turn);
  }

  async #openMap(turn) {
    const { map, labels, latents } = this.model;
    this.ui["map-empty"].hidden = map !== null;
    if (!map) return void (this.ui["map-empty"].textContent = "This model has no gallery, so it has no map. The sliders work.");
    this.ui["map-note"].textContent = `trustworthiness ${map.trustworthiness.toFixed(2)} · round trip ${(100 * map.round_trip).toFixed(1)} % of the width`;
    this.ui["map-note"].title =
      "Trustworthiness: how far neighbours on the map are neighbours in the latent space (1 is best). Round trip: how far a place moves when it is lifted to a latent and placed again.";
    const select = this.ui["colour-by"];
    select.replaceChildren();
    const names = [...Object.keys(labels), "posterior width", ...latents.filter((l) => !l.dead).map((l) => `z${l.index}`)];
    for (const name of names) select.add(new Option(name.replaceAll("_", " "), name));
    try {
      const [values] = await Promise.all([this.server.colour({ model: this.model.model, by: names[0] }), this.map.open(this.model, this.file), this.plotly]);
      if (turn !== this.#opening) return;
      await this.map.colour(values, names[0]);
      if (this.current) this.#mark(this.current);
      await this.map.sprite.ready;
      this.#mark(this.current);
    } catch (error) {
      this.#say(`The map could not be drawn: ${error.message}.`);
    }
  }

  /** Make a point current: {z}, a gallery image {index}, or a place {x, y}. */
  async go(where) {
    this.previews.cancel();
    this.drags.cancel();
    const answer = await this.#ask(where);
    if (!answer || answer.error) return this.#say(answer?.error ?? "The server did not answer.");
    this.#remember();
    this.sliders.set(answer.z);
    this.#show(answer);
    this.#rest(false);
  }

  async #ask(where) {
    const request = { model: this.model.model, ...where };
    const ask = "index" in where ? this.server.decode_image : "z" in where ? this.server.decode_point : this.server.decode_place;
    this.#busy(1);
    try {
      return await ask(request);
    } finally {
      // After the answer has been shown, which happens in the microtasks of whoever awaits it.
      setTimeout(() => this.#busy(-1));
    }
  }

  /** Assistive technology waits with its announcement until nothing is under way. */
  #busy(change) {
    this.#underWay += change;
    this.root.setAttribute("aria-busy", String(this.#underWay > 0));
  }

  #drag(z) {
    this.drags.ask(z);
    if (!this.dragging) {
      this.dragging = true;
      this.#remember();
    }
  }

  /** A hand came to rest: the address follows. */
  #rest(keep = true) {
    if (keep) this.dragging = false;
    this.ui.undo.disabled = this.#history.length === 0;
    if (window.top === window) history.replaceState(history.state, "", link(this.model.model, this.sliders.z));
  }

  #remember() {
    if (this.current) this.#history = [...this.#history.slice(-99), this.current.z];
  }

  #show(answer) {
    if (answer.error) return this.#say(answer.error);
    this.current = answer;
    this.#paint(answer, "decoded from the sliders' z");
    this.#mark(answer);
    this.#say("");
  }

  #preview(answer, at) {
    if (answer.error) return;
    const far = at.index < 0 && answer.gap !== undefined ? `, nearest dot ${answer.gap.toFixed(2)} away` : "";
    this.#paint(answer, at.index >= 0 ? "preview: this dot, decoded" : `preview: this place, decoded${far}`, true);
  }

  #restore() {
    this.previews.cancel();
    if (this.current) this.#paint(this.current, "decoded from the sliders' z");
  }

  #paint(answer, caption, preview = false) {
    draw(this.ui.decoded, answer.pixels, this.model.shape);
    this.ui.decoded.classList.toggle("ls-preview", preview);
    this.ui["decoded-caption"].textContent = caption;
    const { nearest } = answer;
    this.ui.nearest.parentElement.hidden = !nearest;
    if (!nearest) return;
    this.map.sprite?.draw(this.ui.nearest, nearest.index);
    this.ui["nearest-caption"].textContent = nearest.distance < 1e-6 ? "its real image" : `nearest real image, ${nearest.distance.toFixed(2)} away`;
    this.ui["nearest-caption"].title = "Euclidean distance from z to the image's posterior mean; 1 is one standard deviation of the prior";
  }

  #mark(answer) {
    if (answer?.x !== undefined) this.map.place(answer.x, answer.y);
    if (answer?.nearest) this.map.sprite?.draw(this.ui.nearest, answer.nearest.index);
  }

  #say(text) {
    this.ui.status.textContent = text;
  }

  #wire() {
    const { ui } = this;
    ui.reset.addEventListener("click", () => this.go({ z: this.sliders.z.map(() => 0) }));
    ui.sample.addEventListener("click", () => this.go({ z: this.sliders.z.map(normal) }));
    ui.undo.addEventListener("click", async () => {
      const z = this.#history.pop();
      if (!z) return;
      const rest = this.#history;
      await this.go({ z });
      this.#history = rest;
      ui.undo.disabled = rest.length === 0;
    });
    ui.save.addEventListener("click", () => {
      const a = document.createElement("a");
      a.download = `${this.model.model}.png`;
      a.href = ui.decoded.toDataURL("image/png");
      a.click();
    });
    ui.copy.addEventListener("click", () => this.#copy());
    ui["colour-by"].addEventListener("change", async () => {
      const values = await this.server.colour({ model: this.model.model, by: ui["colour-by"].value });
      if (values && !values.error) await this.map.colour(values, ui["colour-by"].selectedOptions[0].textContent);
    });
    for (const tab of this.root.querySelectorAll("[data-view]")) tab.addEventListener("click", () => this.#view(tab.dataset.view));
  }

  #view(view) {
    for (const tab of this.root.querySelectorAll("[data-view]")) tab.setAttribute("aria-selected", tab.dataset.view === view);
    for (const name of ["map", "samples"]) {
      for (const part of this.root.querySelectorAll(`.ls-only-${name}`)) part.hidden = name !== view;
    }
    if (view === "samples") this.samples.shown();
  }

  async #copy() {
    const address = String(link(this.model.model, this.sliders.z));
    try {
      await navigator.clipboard.writeText(address);
      this.#say("Link copied: it opens this model at this point.");
    } catch {
      // No clipboard without https or a grant: the link is shown instead, ready to be copied by hand.
      this.#say(address);
    }
  }
}

/** A draw from N(0, 1) (Box and Muller, 1958). */
function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

function loadScript(url) {
  return new Promise((resolve, reject) => {
    if (window.Plotly) return resolve();
    const script = Object.assign(document.createElement("script"), { src: url, async: true });
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("plotly.js did not arrive")));
    document.head.append(script);
  });
}
