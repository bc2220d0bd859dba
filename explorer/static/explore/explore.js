// The Explore tab: map, current picture, latents and morph, and the visitor's current point.

import { WORKER } from "../map/cells.js";
import { startWorker } from "../shared/one_shot_worker.js";
import { Chart } from "../map/chart.js";
import { choice } from "../shared/choice.js";
import { CurrentPoint } from "./current.js";
import { Filmstrips } from "./filmstrips.js";
import { frame } from "../shared/frame.js";
import { copyLink, savePng } from "./save_share.js";
import { Latest } from "../shared/latest.js";
import { Model, pageFactories, pointKey } from "../model/model.js";
import { Morph } from "./morph.js";
import { Pad } from "./pad.js";
import { priorTexts, samplePrior } from "../model/prior.js";
import { Samples } from "./samples.js";
import { loadPlotly } from "../shared/load_plotly.js";
import { addressedPoint, pageAddress, session } from "../shared/session.js";
import { Sliders } from "./sliders.js";
import { Announcer } from "./announcer.js";
import { useArrowSteps } from "./key_steps.js";
import { setText } from "../shared/dom.js";

const NO_ANSWER = "The server did not answer.";
const MAX_UNDO = 100; // points that Undo can return to

/** Texts about what decodes: `server` while the browser does not yet, `never` if it cannot; `page` ends the tooltip once it does. */
const DECODER_TEXTS = { server: "decoded by the server", never: "decoded by the server", page: "dragging sends no requests to the server" };

/** `factories` opens the decoder and the map in the page; `texts` replace DECODER_TEXTS. Both are given where there is no server. */
export function mount({ element, props, server, file, factories = pageFactories(props.runtime, file), texts = DECODER_TEXTS }) {
  const page = new Explore(element, props, server, file, texts);
  // Starting Plotly blocks drawing for a second. The points of a large map are drawn first, so Plotly is loaded later.
  if (props.encoded) startWorker(WORKER);
  else loadPlotly().catch(() => {});
  page.runtime = props.runtime;
  page.factories = factories;
  session.on("model", (name) => page.open(name));
  session.on("go", (z) => page.go({ z }));
}

class Explore {
  #history = []; // points for Undo
  #opening = 0; // counts calls of `open`, so that answers for an earlier model are dropped
  #pending = 0; // requests under way

  constructor(element, props, server, file, decoderTexts) {
    Object.assign(this, { server, file, decoderTexts });
    this.ui = Object.fromEntries([...element.querySelectorAll("[id]")].map((part) => [part.id, part]));
    this.root = element.querySelector(".ls-explore");
    this.announcer = new Announcer(this.ui.spoken);
    this.ui.find.maxLength = props.max_search;
    this.samples = new Samples(this.ui, server, props.sheet, (z) => this.go({ z }));
    const [view, show, control] = this.root.querySelectorAll(".ls-switch");
    const decode = (at) => this.#whileBusy(this.model.decodeAt(at));
    const maxRequests = () => this.model.decoder.maxRequests;
    this.chart = new Chart(this.ui, show, {
      decode,
      maxRequests,
      preview: (answer, caption, at) => this.#preview(answer, caption, at),
      leave: () => this.current.endPreview(),
      error: (text) => this.#setStatus(text),
      click: (at, pin) => (pin ? this.#pin(at) : this.go(at)),
    });
    this.current = new CurrentPoint(this.ui, this.chart.map, props.side);
    this.drags = new Latest(decode, (answer) => this.#show(answer), maxRequests);
    this.#createControls();
    this.#listen();
    choice(view, "view", (chosen) => this.#chooseView(chosen));
    choice(control, "hands", (chosen) => this.#chooseControl(chosen));
  }

  /** Sliders, pad and morph: they move the current point by its latents. */
  #createControls() {
    const { ui } = this;
    const on = { input: (z) => this.#dragLatents(z), change: () => this.#endMove() };
    this.sliders = new Sliders(ui.sliders, {
      ...on,
      early: (z) => {
        this.morph.leavePath();
        this.drags.request({ z }, pointKey({ z }));
      },
      expand: () => this.filmstrips.update(),
    });
    this.filmstrips = new Filmstrips();
    this.pad = new Pad(ui, { ...on, values: (latent) => this.model.projection?.values(latent) ?? [] });
    this.morph = new Morph(ui, this.chart.overlay, { ...on, input: (z) => this.#drag(z), place: (points) => this.model.positions(points) });
  }

  /** Open a model by name, at the point in the page's address if it fits the model, else at its first image. */
  async open(model) {
    const opening = ++this.#opening;
    this.#setStatus("Loading the model…");
    this.#countRequests(1);
    const description = await this.server.open_model({ model });
    this.#countRequests(-1);
    if (opening !== this.#opening) return;
    if (!description || description.error) return this.#setStatus(description?.error ?? NO_ANSWER);
    const { shape } = description;
    this.model?.close();
    this.model = new Model(description, this.server, this.factories);
    this.#history = [];
    this.#showDecoder("server", this.decoderTexts.server, "");
    this.ui.sample.title = priorTexts(description).sample;
    this.ui.reset.title = priorTexts(description).reset;
    this.current.open(shape);
    this.sliders.build(description);
    this.filmstrips.open(this.model, this.sliders.rows);
    this.pad.open(description);
    this.morph.open(shape);
    this.samples.open(description);
    session.emit("open", description);
    const map = this.#openMap(this.model);
    await this.go({ z: addressedPoint(description) ?? description.start });
    session.emit("shown", model);
    const error = await map;
    if (opening !== this.#opening) return;
    // Showing the first point clears the status line, so the error is written after that.
    if (error) frame.afterPaint(() => this.#setStatus(error));
    // The 14 MB runtime is loaded once the page is usable. A large map needs the memory, so there it waits for the first drag.
    if (!this.chart.map.large) return this.#openDecoder();
    this.#showDecoder("server", this.decoderTexts.server, "Your browser decodes once you move a latent. Until then its memory is used for the map.");
  }

  /** Decode in the browser from now on, if it can, and say next to the sliders what decodes. */
  async #openDecoder(model = this.model) {
    if (model.decoderRequested) return;
    model.decoderRequested = true;
    const reason = await model.openDecoder();
    if (model !== this.model) return;
    if (reason !== null) return this.#showDecoder("server", this.decoderTexts.never, `Not in your browser: ${reason}.`);
    const show = (backend) => this.#showDecoder("page", "decoded in your browser", `ONNX Runtime Web ${this.runtime.version}, ${backend}: ${this.decoderTexts.page}`);
    show("WebAssembly");
    if ((await model.switchToWebGpu()) && model === this.model) show("WebGPU");
  }

  #showDecoder(at, text, title) {
    const { engine } = this.ui;
    engine.dataset.at = at;
    engine.textContent = text;
    engine.title = title;
  }

  /** Open a model's map, thumbnails and file names. Resolves with an error message for the status line, or null. */
  async #openMap(model) {
    try {
      const labels = await this.chart.open(model, this.server, this.file);
      if (model.closed) return null;
      this.current.labels = labels;
      if (!model.projection) return null;
      this.pad.colour(this.current.labels);
      this.morph.placePath();
      this.#placeMarker();
    } catch (error) {
      return `The map could not be drawn: ${error.message}.`;
    }
    try {
      await Promise.all([this.chart.map.sprite.ready, model.openNames(this.file)]);
      if (model.closed) return null;
      this.current.names = model.names;
      this.current.redrawNearest();
      return null;
    } catch (error) {
      return `The real images cannot be shown: ${error.message}.`;
    }
  }

  /** Make a point current: {z}, a gallery image {index}, or a position {x, y}. The server computes z for the last two, because the
   * page has the gallery's posterior means only in half precision. */
  async go(where, remember = true) {
    this.chart.cancel();
    this.drags.cancel();
    this.current.previewed = null;
    const answer = await this.#whileBusy("z" in where ? this.model.decodeAt(where) : this.model.askServer(where));
    if (!answer || answer.error) return this.#setStatus(answer?.error ?? NO_ANSWER);
    if (remember) this.#remember();
    this.morph.leavePath();
    this.#setControls(answer.z);
    this.#show(answer);
    this.#endMove(false);
  }

  /** Pin the point at a position, or else the previewed point, or else the current one. */
  async #pin(where = null) {
    const opening = this.#opening;
    const { current } = this;
    const answer = where ? await this.#whileBusy(this.model.askServer(where)) : (current.previewed ?? current.point);
    if (opening !== this.#opening || !current.point) return;
    if (!answer || answer.error) return this.#setStatus(answer?.error ?? NO_ANSWER);
    this.morph.pin(answer, current.point);
    this.announcer.say(`Pinned, ${current.describe(answer)}.`);
  }

  /** Await an answer; the page counts as busy until the answer has been painted. */
  async #whileBusy(answer) {
    this.#countRequests(1);
    try {
      return await answer;
    } finally {
      // The caller requests its frame in a microtask after this one; the timeout waits for that.
      setTimeout(() => frame.afterPaint(() => this.#countRequests(-1)));
    }
  }

  /** While requests are pending, aria-busy makes screen readers wait with announcements. */
  #countRequests(change) {
    this.#pending += change;
    this.root.setAttribute("aria-busy", String(this.#pending > 0));
  }

  #setControls(z) {
    this.sliders.set(z);
    this.pad.set(z);
  }

  /** Sliders or pad move z, away from the morph's path. */
  #dragLatents(z) {
    this.morph.leavePath();
    this.#drag(z);
  }

  #drag(z) {
    if (this.chart.map.large) this.#openDecoder();
    this.model.idleQueue.noteActivity();
    this.announcer.postpone();
    this.drags.request({ z }, pointKey({ z }));
    this.#setControls(z);
    if (!this.dragging) {
      this.dragging = true;
      this.#remember();
    }
  }

  /** A move is complete: update Undo and the page's address. */
  #endMove(endDrag = true) {
    if (endDrag) this.dragging = false;
    this.ui.undo.disabled = this.#history.length === 0;
    if (window.top === window) history.replaceState(history.state, "", pageAddress(this.model.name, this.sliders.z));
  }

  #remember() {
    if (this.current.point) this.#history = [...this.#history.slice(1 - MAX_UNDO), this.current.point.z];
  }

  #show(answer) {
    if (answer.error) return this.#setStatus(answer.error);
    this.current.show(answer);
    this.filmstrips.update(answer.z);
    frame.paint("set", () => {
      this.#placeMarker();
      this.morph.pointShown(answer);
      this.#setStatus("");
    });
    this.announcer.say(`Current point, ${this.current.describe(answer)}.`);
  }

  #placeMarker() {
    const { point } = this.current;
    if (point?.x !== undefined) this.chart.map.placeMarker(point.x, point.y);
  }

  #preview(answer, caption, at) {
    this.current.preview(answer, caption);
    if (at.keyboard) this.announcer.say(`Preview, ${this.current.describe(answer)}. Press Enter to go there.`);
  }

  #setStatus(text) {
    setText(this.ui.status, text);
  }

  #listen() {
    const { ui } = this;
    ui.reset.addEventListener("click", () => this.go({ z: this.model.description.middle }));
    ui.sample.addEventListener("click", async () => {
      const z = await this.#whileBusy(samplePrior(this.model));
      if (z) this.go({ z });
      else this.#setStatus(NO_ANSWER);
    });
    ui.undo.addEventListener("click", () => {
      const z = this.#history.pop();
      if (z) this.go({ z }, false);
    });
    ui.pin.addEventListener("click", () => this.#pin());
    this.root.addEventListener("keydown", (event) => this.#onKey(event));
    useArrowSteps(ui.sliders);
    ui.save.addEventListener("click", () => savePng(ui.decoded, this.model.name));
    ui.copy.addEventListener("click", async () => this.#setStatus(await copyLink(pageAddress(this.model.name, this.sliders.z))));
  }

  /** Show the sliders or the pad. */
  #chooseControl(chosen) {
    for (const part of this.root.querySelectorAll("[data-hand]")) part.hidden = part.dataset.hand !== chosen;
    if (chosen === "pad") this.pad.redraw();
    else this.filmstrips.update();
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input[type=search]")) return;
    if (event.key.toLowerCase() === "p") this.#pin();
    else if (event.key === "Escape") this.morph.unpin();
  }

  #chooseView(view) {
    for (const name of ["map", "samples"]) {
      for (const part of this.root.querySelectorAll(`.ls-only-${name}`)) part.hidden = name !== view;
    }
    if (view === "samples") this.samples.show();
  }
}
