// The map with what lies over and under it, lens, manifold, pin and path; and how it is looked at: by mouse, keys or fingers.

import { Cells } from "./cells.js";
import { choice } from "../shared/choice.js";
import { column } from "./columns.js";
import { Group } from "./group.js";
import { Latest } from "../shared/latest.js";
import { Lens } from "./lens.js";
import { frame } from "../shared/frame.js";
import { Manifold } from "./manifold.js";
import { LatentMap } from "./map.js";
import { name } from "../model/model.js";
import { Mouse } from "./mouse.js";
import { Overlay } from "./overlay.js";
import { Touch } from "./touch.js";
import { Walk } from "./walk.js";

export class Chart {
  #turn = 0; // of colours that were asked for

  /**
   * `on.follow(at)` gives the answer at a place, `on.width()` says how many may be under way; `on.look(answer, caption, at)`
   * when one is looked at, `on.leave()` when none is any more, `on.click(at, pin)` when one is chosen, `on.say(text)` what failed.
   */
  constructor(ui, show, on) {
    Object.assign(this, { ui, on });
    this.map = new LatentMap(ui.map, ui["map-marker"], ui.raster, {
      hover: (at) => this.#hover(at),
      ahead: (at) => this.previews.ask(at, name(at)),
      leave: () => this.#leave(),
      click: (at, pin) => on.click(at, pin),
      view: () => {
        this.manifold.redraw();
        this.overlay.draw();
      },
    });
    new Mouse(this.map);
    this.lens = new Lens(ui["map-tip"]);
    this.manifold = new Manifold(ui.manifold, () => this.map.view());
    this.overlay = new Overlay(ui["map-overlay"], this.map);
    this.group = new Group(ui, this.map, this.overlay, (text) => this.server.find({ model: this.model.name, text }));
    this.walk = new Walk(this.map, this.overlay);
    new Touch(this.map);
    this.previews = new Latest((at) => on.follow(at), (answer, at) => this.#look(answer, at), on.width);
    choice(show, "show", (what) => {
      this.map.show(what);
      this.manifold.show(what !== "points");
    });
    ui["colour-by"].addEventListener("change", () => this.#recolour());
  }

  /** Draw a model's map. Gives the gallery's {classes, codes}, if its first label has classes. */
  async open(model, server, file) {
    const { ui } = this;
    const { map, labels, latents, shape, encoded } = model.description;
    Object.assign(this, { model, server, file });
    this.map.opening = true;
    this.group.clear();
    ui["map-empty"].hidden = map !== null;
    for (const tool of [ui["colour-by"], ui.lasso, ui.find]) tool.disabled = true;
    if (!map) {
      ui["map-note"].textContent = "";
      ui["map-empty"].textContent = "This model has no gallery, so it has no map. The sliders work.";
      this.map.close();
      return null;
    }
    ui["map-note"].textContent = `trust ${map.trustworthiness.toFixed(2)} · round trip ${(100 * map.round_trip).toFixed(1)} %`;
    ui["map-dots"].textContent = encoded ? "Each dot is an encoded image" : "Each dot is an image the model was not trained on";
    ui["map-note"].title =
      "Trustworthiness: how far neighbours on the map are neighbours in the latent space (1 is best). Round trip: how far a place moves, of the map's width, when it is lifted to a latent and placed again.";
    const names = [...Object.keys(encoded?.labels ?? labels), "posterior width", ...latents.filter((l) => l.active).map((l) => `z${l.index}`)];
    ui["colour-by"].replaceChildren(...names.map((by) => new Option(by.replaceAll("_", " "), by)));
    const own = encoded && Object.keys(labels)[0]; // the gallery's label, where the points of the map are others
    const rest = () => Promise.all([own ? this.#column(own, "gallery") : null, model.openProjection()]);
    // Encoded images are drawn before the gallery, by which the page places latents, is asked for.
    const [values, cells] = await Promise.all([this.#column(names[0]), encoded ? Cells.fetched(file(encoded.points)) : rest().then(() => new Cells(model.projection.points))]);
    if (model.closed) return null;
    this.map.open(model.description, cells, file);
    this.lens.open(shape, this.map.sprite);
    this.manifold.open(model);
    const [, [gallery]] = await Promise.all([this.#show(values, names[0]), encoded ? rest() : [null]]);
    if (model.closed) return null;
    this.manifold.redraw();
    for (const tool of [ui["colour-by"], ui.lasso, ui.find]) tool.disabled = false;
    const named = encoded ? gallery : values;
    return named?.classes ? named : null;
  }

  /** Look at nothing any more, and forget what was asked for. */
  cancel() {
    this.previews.cancel();
    this.lens.hide();
  }

  #column(by, of = "map") {
    return this.server.colour({ model: this.model.name, by, of }).then((answer) => column(answer, this.file));
  }

  #show(values, name) {
    this.group.colour(values, name);
    return this.map.colour(values, name);
  }

  async #recolour() {
    const { model, ui } = this;
    const turn = ++this.#turn;
    const { value, textContent } = ui["colour-by"].selectedOptions[0];
    const wanted = () => turn === this.#turn && !model.closed;
    try {
      const values = await this.#column(value);
      if (wanted()) await this.#show(values, textContent);
    } catch (error) {
      if (wanted()) this.on.say(`The map has no such colours: ${error.message}.`);
    }
  }

  #hover(at) {
    this.lens.move(at, this.ui.map.getBoundingClientRect());
    this.previews.ask(at, name(at));
  }

  #look(answer, at) {
    if (answer.error) return;
    const dot = at.index >= 0;
    const what = dot ? (this.map.label(at.index) ?? answer.file ?? `image ${at.index}`) : `nearest dot ${answer.gap.toFixed(2)} away on the map`;
    frame.paint("lens", () => this.lens.show(answer, what, dot ? 1 : (this.model.projection?.trust(answer.gap) ?? 1)));
    this.on.look(answer, dot ? `preview: this dot${answer.file ? `, ${answer.file}` : ""}` : `preview: this place, ${what}`, at);
  }

  #leave() {
    this.cancel();
    this.on.leave();
  }
}
