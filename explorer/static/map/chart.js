// The map with its layers (decoded pictures, pin, path, group), the preview lens, and its input by mouse, keyboard and touch.

import { Cells } from "./cells.js";
import { choice } from "../shared/choice.js";
import { loadColumn } from "./columns.js";
import { Group } from "./group.js";
import { Latest } from "../shared/latest.js";
import { Lens } from "./lens.js";
import { frame } from "../shared/frame.js";
import { Manifold } from "./manifold.js";
import { LatentMap } from "./map.js";
import { pointKey } from "../model/model.js";
import { Mouse } from "./mouse.js";
import { Overlay } from "./overlay.js";
import { Touch } from "./touch.js";
import { Walk } from "./walk.js";

export class Chart {
  #colouring = 0; // counts colour requests, so that answers to earlier ones are dropped

  /**
   * `on.decode(at)` resolves with the answer at a position, `on.maxRequests()` limits how many run at once. `on.preview(answer,
   * caption, at)` shows an answer, `on.leave()` ends the preview. `on.click(at, pin)` chooses a point, `on.error(text)` reports a
   * failure.
   */
  constructor(ui, show, on) {
    Object.assign(this, { ui, on });
    this.map = new LatentMap(ui.map, ui["map-marker"], ui.raster, {
      hover: (at) => this.#hover(at),
      early: (at) => this.previews.request(at, pointKey(at)),
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
    this.previews = new Latest((at) => on.decode(at), (answer, at) => this.#preview(answer, at), on.maxRequests);
    choice(show, "show", (what) => {
      this.map.show(what);
      this.manifold.show(what !== "points");
    });
    ui["colour-by"].addEventListener("change", () => this.#recolour());
  }

  /** Draw a model's map. Resolves with the gallery's {classes, codes}, if its first label has classes, else null. */
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
    ui["map-dots"].textContent = encoded ? "Each dot is an encoded image" : "Each dot is an image that was not used for training";
    ui["map-note"].title =
      "Trustworthiness: how far neighbours on the map are also neighbours in the latent space (1 is best). Round trip: how far a position moves when it is lifted to latents and placed on the map again, in percent of the map's width.";
    const names = [...Object.keys(encoded?.labels ?? labels), "posterior width", ...latents.filter((l) => l.active).map((l) => `z${l.index}`)];
    ui["colour-by"].replaceChildren(...names.map((by) => new Option(by.replaceAll("_", " "), by)));
    const galleryLabel = encoded && Object.keys(labels)[0]; // loaded separately where the dots are not the gallery
    const openGallery = () => Promise.all([galleryLabel ? this.#loadColumn(galleryLabel, "gallery") : null, model.openProjection()]);
    // Encoded images are drawn before the gallery is loaded. Without them, the dots are the gallery.
    const [values, cells] = await Promise.all([this.#loadColumn(names[0]), encoded ? Cells.load(file(encoded.points)) : openGallery().then(() => new Cells(model.projection.points))]);
    if (model.closed) return null;
    this.map.open(model.description, cells, file);
    this.lens.open(shape, this.map.sprite);
    this.manifold.open(model);
    const [, [gallery]] = await Promise.all([this.#colour(values, names[0]), encoded ? openGallery() : [null]]);
    if (model.closed) return null;
    this.manifold.redraw();
    for (const tool of [ui["colour-by"], ui.lasso, ui.find]) tool.disabled = false;
    const classLabels = encoded ? gallery : values;
    return classLabels?.classes ? classLabels : null;
  }

  /** Hide the lens and drop all requested previews. */
  cancel() {
    this.previews.cancel();
    this.lens.hide();
  }

  #loadColumn(by, of = "map") {
    return this.server.colour({ model: this.model.name, by, of }).then((answer) => loadColumn(answer, this.file));
  }

  #colour(values, name) {
    this.group.colour(values, name);
    return this.map.colour(values, name);
  }

  async #recolour() {
    const { model, ui } = this;
    const colouring = ++this.#colouring;
    const { value, textContent } = ui["colour-by"].selectedOptions[0];
    const wanted = () => colouring === this.#colouring && !model.closed;
    try {
      const values = await this.#loadColumn(value);
      if (wanted()) await this.#colour(values, textContent);
    } catch (error) {
      if (wanted()) this.on.error(`The map could not be coloured: ${error.message}.`);
    }
  }

  #hover(at) {
    this.lens.move(at, this.ui.map.getBoundingClientRect());
    this.previews.request(at, pointKey(at));
  }

  #preview(answer, at) {
    if (answer.error) return;
    const dot = at.index >= 0;
    const what = dot ? (this.map.label(at.index) ?? answer.file ?? `image ${at.index}`) : `nearest dot ${answer.gap.toFixed(2)} away on the map`;
    frame.paint("lens", () => this.lens.show(answer, what, dot ? 1 : (this.model.projection?.confidence(answer.gap) ?? 1)));
    this.on.preview(answer, dot ? `preview of this dot${answer.file ? `: ${answer.file}` : ""}` : `preview of this position, ${what}`, at);
  }

  #leave() {
    this.cancel();
    this.on.leave();
  }
}
