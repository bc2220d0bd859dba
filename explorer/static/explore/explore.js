// The Explore tab: map, current picture, latents and morph, and the state of one visitor.

import { WORKER } from "../map/cells.js";
import { start } from "../shared/one_shot_worker.js";
import { Chart } from "../map/chart.js";
import { choice } from "../shared/choice.js";
import { Current } from "./current.js";
import { Film } from "./film.js";
import { frame } from "../shared/frame.js";
import { copyLink, savePng } from "./save_share.js";
import { Latest } from "../shared/latest.js";
import { Model, name, opened } from "../model/model.js";
import { Morph } from "./morph.js";
import { Pad } from "./pad.js";
import { sample, words } from "../model/prior.js";
import { Samples } from "./samples.js";
import { loadPlotly } from "../shared/load_plotly.js";
import { link, linked, session } from "../shared/session.js";
import { Sliders } from "./sliders.js";
import { Spoken } from "./announcer.js";
import { strides } from "./key_steps.js";
import { write } from "../shared/dom.js";

/** Who decodes, while it is not the page, and why not for good. */
const WORDS = { server: "decoded by the server", never: "decoded by the server", page: "dragging asks nothing of the server" };

/** `own` opens what the page computes with, `words` say who decodes: both are given where there is no server. */
export function mount({ element, props, server, file, own = opened(props.runtime, file), words = WORDS }) {
  const page = new Explore(element, props, server, file, words);
  // Starting Plotly takes a second, in which nothing else is drawn: the points of a large map are there before.
  if (props.encoded) start(WORKER);
  else loadPlotly().catch(() => {});
  page.runtime = props.runtime;
  page.own = own;
  session.on("model", (name) => page.open(name));
  session.on("go", (z) => page.go({ z }));
}

class Explore {
  #history = [];
  #opening = 0;
  #underWay = 0;

  constructor(element, props, server, file, who) {
    Object.assign(this, { server, file, who });
    this.ui = Object.fromEntries([...element.querySelectorAll("[id]")].map((part) => [part.id, part]));
    this.root = element.querySelector(".ls-explore");
    this.spoken = new Spoken(this.ui.spoken);
    this.ui.find.maxLength = props.max_search;
    this.samples = new Samples(this.ui, server, props.sheet, (z) => this.go({ z }));
    const [view, show, hand] = this.root.querySelectorAll(".ls-switch");
    const follow = (at) => this.#busily(this.model.follow(at));
    const width = () => this.model.decoder.width;
    this.chart = new Chart(this.ui, show, {
      follow,
      width,
      look: (answer, caption, at) => this.#look(answer, caption, at),
      leave: () => this.current.restore(),
      say: (text) => this.#say(text),
      click: (at, pin) => (pin ? this.#pin(at) : this.go(at)),
    });
    this.current = new Current(this.ui, this.chart.map, props.side);
    this.drags = new Latest(follow, (answer) => this.#show(answer), width);
    this.#hands();
    this.#wire();
    choice(view, "view", (shown) => this.#view(shown));
    choice(hand, "hands", (chosen) => this.#hand(chosen));
  }

  /** What moves the current point by its latents. */
  #hands() {
    const { ui } = this;
    const hand = { move: (z) => this.#steer(z), rest: () => this.#rest() };
    this.sliders = new Sliders(ui.sliders, {
      input: hand.move,
      ahead: (z) => {
        this.morph.away();
        this.drags.ask({ z }, name({ z }));
      },
      change: hand.rest,
      unfold: () => this.film.ask(),
    });
    this.film = new Film();
    this.pad = new Pad(ui, { ...hand, values: (latent) => this.model.projection?.values(latent) ?? [] });
    this.morph = new Morph(ui, this.chart.overlay, { ...hand, move: (z) => this.#drag(z), place: (points) => this.model.places(points) });
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
    const { shape } = description;
    this.model?.close();
    this.model = new Model(description, this.server, this.own);
    this.#history = [];
    this.#sayWho("server", this.who.server, "");
    this.ui.sample.title = words(description).sample;
    this.ui.reset.title = words(description).reset;
    this.current.open(shape);
    this.sliders.build(description);
    this.film.open(this.model, this.sliders.rows);
    this.pad.open(description);
    this.morph.open(shape);
    this.samples.open(description);
    session.emit("open", description);
    const map = this.#openMap(this.model);
    await this.go({ z: linked(description) ?? description.start });
    session.emit("shown", model);
    const missing = await map;
    if (turn !== this.#opening) return;
    // The first point that is shown clears what was said before.
    if (missing) frame.after(() => this.#say(missing));
    // 14 MB of runtime wait until the page is usable; beside a large map, whose points need the memory, until a hand moves a latent.
    if (!this.chart.map.large) return this.#openDecoder();
    this.#sayWho("server", this.who.server, "Your browser takes over once a latent is moved. Until then its memory is the map's.");
  }

  /** From here on the browser decodes, if it can; who does is said beside the sliders. */
  async #openDecoder(model = this.model) {
    if (model.asked) return;
    model.asked = true;
    const reason = await model.openDecoder();
    if (model !== this.model) return;
    if (reason !== null) return this.#sayWho("server", this.who.never, `Not in your browser: ${reason}.`);
    const say = (how) => this.#sayWho("page", "decoded in your browser", `ONNX Runtime Web ${this.runtime.version}, ${how}: ${this.who.page}`);
    say("WebAssembly");
    if ((await model.hasten()) && model === this.model) say("WebGPU");
  }

  #sayWho(at, who, why) {
    const { engine } = this.ui;
    engine.dataset.at = at;
    engine.textContent = who;
    engine.title = why;
  }

  /** Gives words for what could not be had, if something could not. */
  async #openMap(model) {
    try {
      const labels = await this.chart.open(model, this.server, this.file);
      if (model.closed) return null;
      this.current.labels = labels;
      if (!model.projection) return null;
      this.pad.colour(this.current.labels);
      this.morph.trace();
      this.#mark();
    } catch (error) {
      return `The map could not be drawn: ${error.message}.`;
    }
    try {
      await Promise.all([this.chart.map.sprite.ready, model.openNames(this.file)]);
      if (model.closed) return null;
      this.current.names = model.names;
      this.current.redraw();
      return null;
    } catch (error) {
      return `The real images cannot be shown: ${error.message}.`;
    }
  }

  /** Make a point current: {z}, a gallery image {index}, or a place {x, y}. The page's own map is in half precision, so that
   * the server says what exactly lies at a place. */
  async go(where, remember = true) {
    this.chart.cancel();
    this.drags.cancel();
    this.current.looked = null;
    const answer = await this.#busily("z" in where ? this.model.follow(where) : this.model.exact(where));
    if (!answer || answer.error) return this.#say(answer?.error ?? "The server did not answer.");
    if (remember) this.#remember();
    this.morph.away();
    this.#set(answer.z);
    this.#show(answer);
    this.#rest(false);
  }

  /** Pin the point at a place, or the one that is looked at, or the current one. */
  async #pin(where = null) {
    const turn = this.#opening;
    const { current } = this;
    const answer = where ? await this.#busily(this.model.exact(where)) : (current.looked ?? current.set);
    if (turn !== this.#opening || !current.set) return;
    if (!answer || answer.error) return this.#say(answer?.error ?? "The server did not answer.");
    this.morph.pin(answer, current.set);
    this.spoken.say(`Pinned: ${current.words(answer)}.`);
  }

  async #busily(answer) {
    this.#busy(1);
    try {
      return await answer;
    } finally {
      // After the answer has been shown: whoever awaits it asks for the frame in these microtasks.
      setTimeout(() => frame.after(() => this.#busy(-1)));
    }
  }

  /** Assistive technology waits with its announcement until nothing is under way. */
  #busy(change) {
    this.#underWay += change;
    this.root.setAttribute("aria-busy", String(this.#underWay > 0));
  }

  /** All controls show z. */
  #set(z) {
    this.sliders.set(z);
    this.pad.set(z);
  }

  /** A hand moves z itself: not along the morph's path. */
  #steer(z) {
    this.morph.away();
    this.#drag(z);
  }

  #drag(z) {
    if (this.chart.map.large) this.#openDecoder();
    this.model.turns.moved();
    this.spoken.wait();
    this.drags.ask({ z }, name({ z }));
    this.#set(z);
    if (!this.dragging) {
      this.dragging = true;
      this.#remember();
    }
  }

  /** A hand came to rest: the address follows. */
  #rest(keep = true) {
    if (keep) this.dragging = false;
    this.ui.undo.disabled = this.#history.length === 0;
    if (window.top === window) history.replaceState(history.state, "", link(this.model.name, this.sliders.z));
  }

  #remember() {
    if (this.current.set) this.#history = [...this.#history.slice(-99), this.current.set.z];
  }

  #show(answer) {
    if (answer.error) return this.#say(answer.error);
    this.current.show(answer);
    this.film.ask(answer.z);
    frame.paint("set", () => {
      this.#mark();
      this.morph.shown(answer);
      this.#say("");
    });
    this.spoken.say(`Current point, ${this.current.words(answer)}.`);
  }

  #mark() {
    const { set } = this.current;
    if (set?.x !== undefined) this.chart.map.place(set.x, set.y);
  }

  #look(answer, caption, at) {
    this.current.look(answer, caption);
    if (at.walked) this.spoken.say(`Looking ${this.current.words(answer)}. Enter goes there.`);
  }

  #say(text) {
    write(this.ui.status, text);
  }

  #wire() {
    const { ui } = this;
    ui.reset.addEventListener("click", () => this.go({ z: this.model.description.middle }));
    ui.sample.addEventListener("click", async () => {
      const z = await this.#busily(sample(this.model));
      if (z) this.go({ z });
      else this.#say("The server did not answer.");
    });
    ui.undo.addEventListener("click", () => {
      const z = this.#history.pop();
      if (z) this.go({ z }, false);
    });
    ui.pin.addEventListener("click", () => this.#pin());
    this.root.addEventListener("keydown", (event) => this.#key(event));
    strides(ui.sliders);
    ui.save.addEventListener("click", () => savePng(ui.decoded, this.model.name));
    ui.copy.addEventListener("click", async () => this.#say(await copyLink(link(this.model.name, this.sliders.z))));
  }

  /** Sliders or pad. */
  #hand(chosen) {
    for (const part of this.root.querySelectorAll("[data-hand]")) part.hidden = part.dataset.hand !== chosen;
    if (chosen === "pad") this.pad.shown();
    else this.film.ask();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input[type=search]")) return;
    if (event.key.toLowerCase() === "p") this.#pin();
    else if (event.key === "Escape") this.morph.unpin();
  }

  #view(view) {
    for (const name of ["map", "samples"]) {
      for (const part of this.root.querySelectorAll(`.ls-only-${name}`)) part.hidden = name !== view;
    }
    if (view === "samples") this.samples.shown();
  }
}
