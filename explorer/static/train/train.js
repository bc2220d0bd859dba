// The Train tab: pictures are brought, looked at, and a model is trained of them, by one run on the server that is watched here.

import { chosen, dropped, parcels, title } from "./upload.js";
import { Curves } from "./curves.js";
import { bytes } from "../pixels/picture.js";
import { loadPlotly } from "../shared/load_plotly.js";
import { session } from "../shared/session.js";
import { write } from "../shared/dom.js";

const PERIOD = 700; // ms between two looks at a run
const KEY = "latentscape run"; // where a reloaded page finds the run it was watching
const BUSY = ["looking", "training"];

export function mount({ element, props, server, upload }) {
  new Train(element, props, server, upload);
}

class Train {
  #watching = 0;
  #seen = 0;
  #shown = null;

  constructor(element, { bounds }, server, upload) {
    Object.assign(this, { bounds, server, upload });
    this.root = element.querySelector(".ls-train");
    this.ui = Object.fromEntries([...element.querySelectorAll("[id]")].map((part) => [part.id, part]));
    this.curves = new Curves(this.ui["run-curves"], this.ui["run-latents-kl"]);
    this.ui["run-minutes"].max = bounds.minutes;
    for (const name of ["size", "latents"]) [this.ui[`run-${name}`].min, this.ui[`run-${name}`].max] = bounds[name];
    this.#wire();
    this.run = sessionStorage.getItem(KEY);
    if (this.run) this.#watch();
    this.root.setAttribute("aria-busy", "false");
  }

  #wire() {
    const { ui } = this;
    for (const name of ["dragover", "dragleave", "drop"]) {
      ui.pictures.addEventListener(name, async (event) => {
        event.preventDefault();
        ui.pictures.classList.toggle("ls-over", name === "dragover");
        if (name !== "drop") return;
        const called = title([...event.dataTransfer.files].map((file) => [file.name, file]), event.dataTransfer);
        this.#bring(await dropped(event.dataTransfer), called);
      });
    }
    for (const [button, input] of [["choose-folder", "folder-input"], ["choose-files", "files-input"]]) {
      ui[button].addEventListener("click", () => ui[input].click());
      const take = () => {
        const files = chosen(ui[input]);
        const called = title(files);
        ui[input].value = "";
        this.#bring(files, called);
      };
      ui[input].addEventListener("change", take);
      if (ui[input].files.length) take(); // a quick hand may have been before us
    }
    ui.options.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask("train_run", { options: this.#options() });
    });
    ui["go-on"].addEventListener("click", () => this.#ask("train_run", {}));
    ui.stop.addEventListener("click", () => {
      this.#say("Stopping: the best weights so far are being made into a model…");
      this.#ask("stop_run", {});
    });
    ui["open-model"].addEventListener("click", () => {
      session.emit("offer", this.model);
      session.open(this.model);
      document.querySelector("#tabs [role=tab]").click();
    });
    ui.other.addEventListener("click", async () => {
      await this.server.discard_run({ run: this.run });
      this.#forget("");
    });
  }

  /** Send files to a new run, and have them looked at. */
  async #bring(files, called) {
    const { ui } = this;
    if (!files.length) return this.#say("There is nothing in it.");
    const total = files.reduce((sum, [, file]) => sum + file.size, 0);
    if (files.length > this.bounds.files) return this.#say(`These are ${files.length.toLocaleString("en")} files; a run may have ${this.bounds.files.toLocaleString("en")} here.`);
    if (total > this.bounds.bytes) return this.#say(`These are ${megabytes(total)}; a run may have ${megabytes(this.bounds.bytes)} here.`);
    ui["run-name"].value = called.slice(0, ui["run-name"].maxLength);
    this.#say("");
    this.#phase("sending");
    write(ui["sending-title"], `Sending ${called}`);
    try {
      const begun = await this.#call("begin_run", {});
      this.run = begun.run;
      sessionStorage.setItem(KEY, this.run);
      let [count, bytes] = [0, 0];
      for (const parcel of parcels(files, this.bounds.request)) {
        const paths = await this.upload(parcel.map(([, piece], i) => new File([piece], `${i}.part`)));
        await this.#call("add_pictures", { run: this.run, pieces: parcel.map(([name], i) => [name, paths[i]]) });
        count += parcel.length;
        bytes += parcel.reduce((sum, [, piece]) => sum + piece.size, 0);
        ui["sending-bar"].value = total ? bytes / total : 1;
        write(ui["sending-note"], `${Math.min(count, files.length).toLocaleString("en")} of ${files.length.toLocaleString("en")} files, ${megabytes(bytes)} of ${megabytes(total)}`);
      }
      await this.#ask("look_at_pictures", { options: this.#options() });
    } catch (error) {
      this.#forget(error.message);
    }
  }

  #options() {
    const { ui } = this;
    const number = (id) => (ui[id].value === "" ? null : Number(ui[id].value));
    return { name: ui["run-name"].value.trim() || "pictures", minutes: number("run-minutes"), size: number("run-size"), latents: number("run-latents") };
  }

  /** Ask something of the run, and watch what comes of it. */
  async #ask(what, request) {
    try {
      await this.#call(what, { run: this.run, ...request });
    } catch (error) {
      this.#say(error.message);
    }
    this.#watch();
  }

  async #call(what, request) {
    const answer = await this.server[what](request);
    if (!answer) throw new Error("The server did not answer.");
    if (answer.error) throw new Error(answer.error[0].toUpperCase() + answer.error.slice(1));
    return answer;
  }

  /** Follow the run until nothing moves any more. */
  async #watch() {
    const turn = ++this.#watching;
    for (;;) {
      let status;
      try {
        status = await this.#call("watch_run", { run: this.run, after: this.#seen });
      } catch (error) {
        if (turn === this.#watching) this.#forget(error.message);
        return;
      }
      if (turn !== this.#watching) return;
      await this.#show(status);
      if (!BUSY.includes(status.phase)) return;
      await new Promise((resolve) => setTimeout(resolve, PERIOD));
      if (turn !== this.#watching) return;
    }
  }

  /** What the server says of the run. */
  async #show(status) {
    const { ui } = this;
    this.model = status.model;
    if (status.name && !ui["run-name"].value) ui["run-name"].value = status.name;
    const fresh = status.phase !== this.#shown;
    this.#phase(status.phase);
    this.#account(status);
    if (status.from < this.#seen) this.curves.clear(status.from);
    this.#seen = status.from + status.reports.length;
    if (this.#seen && !ui["train-body"].hidden) {
      await loadPlotly();
      this.curves.add(status.reports);
      const last = this.curves.last;
      ui["run-bar"].value = last.fraction;
      numbers(ui["run-numbers"], last);
    }
    if (status.preview) {
      await spread(ui.preview, status.preview);
      ui["preview-figure"].hidden = false;
    }
    const words = said(status, this.#seen);
    if (fresh || BUSY.includes(status.phase)) this.#say(words);
  }

  /** What the command printed: what was read, and each choice with its reason. */
  #account({ console, phase }) {
    const lines = console.filter((line) => line.trim() && !/^\s*\d+%/.test(line));
    const shown = phase === "failed" ? lines.slice(0, -1) : lines;
    this.ui.account.hidden = !shown.length;
    const items = shown.map((line) => Object.assign(document.createElement("li"), { textContent: line.trim(), className: /^\s+\d/.test(line) ? "ls-inner" : "" }));
    if (items.length !== this.ui["account-lines"].children.length) this.ui["account-lines"].replaceChildren(...items);
  }

  /** Show what belongs to a phase. */
  #phase(phase) {
    const { ui } = this;
    this.#shown = phase;
    this.root.dataset.phase = phase;
    const during = (...phases) => !phases.includes(phase);
    ui.bring.hidden = during("gathering");
    ui.sending.hidden = during("sending");
    ui.options.hidden = during("looked");
    ui["open-model"].hidden = during("stopped", "done") || !this.model;
    ui["go-on"].hidden = during("stopped");
    ui.stop.hidden = during("training", "looking");
    ui.stop.textContent = phase === "looking" ? "Cancel" : "Stop, keep the best so far";
    ui.other.hidden = during("looked", "stopped", "done", "failed");
    const idle = ["gathering", "sending", "looking", "looked"].includes(phase);
    ui["train-empty"].hidden = !idle;
    ui["train-body"].hidden = idle;
  }

  /** Begin again with no run. */
  #forget(words) {
    this.#watching += 1;
    this.#seen = 0;
    this.run = this.model = null;
    sessionStorage.removeItem(KEY);
    this.ui["account-lines"].replaceChildren();
    this.ui.account.hidden = true;
    this.ui["preview-figure"].hidden = true;
    this.curves.clear(0);
    this.#phase("gathering");
    this.#say(words);
  }

  #say(text) {
    write(this.ui["train-status"], text);
  }
}

/** A sentence for where a run is. */
function said({ phase, console, place, model }, reports) {
  const last = console.findLast((line) => line.trim()) ?? "";
  if (phase === "looking") return "Reading the pictures…";
  if (phase === "training") {
    if (last.startsWith("Scoring")) return "Scoring held-out pictures, drawing the map and learning what is normal. This takes a minute.";
    return reports ? "" : "Getting ready…";
  }
  if (phase === "looked") return "Nothing is trained yet: look over what was read, and start.";
  if (phase === "stopped") return model ? `Stopped. The model so far is saved in ${place}; it can be trained on.` : "Stopped before there was a model.";
  if (phase === "done") return `Done. The model is saved in ${place}.`;
  if (phase === "failed") return last.replace(/^latentscape: /, "") || "The run ended without a word.";
  return "";
}

function numbers(list, { log_likelihood, kl, validation_elbo, active_latents, images_per_second, seconds_left, epoch, fraction }) {
  const left = Math.round(seconds_left);
  const entries = [
    ["validation ELBO", validation_elbo === null ? "…" : nats(validation_elbo), "Of held-out pictures, by averaged weights; the best are kept"],
    ["ELBO", nats(log_likelihood - kl), "Log-likelihood minus KL, on the pictures being trained on"],
    ["log-likelihood", nats(log_likelihood), "How well pictures are explained, given their latents"],
    ["KL", nats(kl), "What it costs to tell a picture's latents from the prior"],
    ["active units", validation_elbo === null ? "…" : active_latents, "Latents that vary with the picture (Burda et al., 2016)"],
    ["epoch", epoch.toFixed(1), "Passes over the pictures"],
    ["speed", `${Math.round(images_per_second).toLocaleString("en")}/s`, "Pictures a second"],
    ["left", fraction >= 1 ? "–" : `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`, "Minutes and seconds of training"],
  ];
  if (list.children.length !== entries.length) {
    list.replaceChildren(
      ...entries.map(([name, , title]) => {
        const group = Object.assign(document.createElement("div"), { title });
        group.append(Object.assign(document.createElement("dt"), { textContent: name }), document.createElement("dd"));
        return group;
      }),
    );
  }
  entries.forEach(([, value], i) => write(list.children[i].lastChild, String(value)));
}

/** A sheet of three rows of square pictures, with room between them. */
async function spread(canvas, sheet) {
  const bitmap = await createImageBitmap(new Blob([bytes(sheet)], { type: "image/png" }));
  const [height, gap] = [bitmap.height / 3, Math.ceil(bitmap.height / 40)];
  const columns = Math.round(bitmap.width / height) || 1;
  const width = bitmap.width / columns;
  Object.assign(canvas, { width: bitmap.width + gap * (columns - 1), height: bitmap.height + 2 * gap });
  const context = canvas.getContext("2d");
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < columns; column++) {
      context.drawImage(bitmap, column * width, row * height, width, height, column * (width + gap), row * (height + gap), width, height);
    }
  }
}

function nats(value) {
  return value.toLocaleString("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 }).replace("-", "−");
}

function megabytes(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
