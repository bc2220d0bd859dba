// The Train tab: uploads pictures, has the server read them and train a model, and shows the progress.

import { batches, chosenFiles, collectionName, droppedFiles } from "./upload.js";
import { Curves } from "./curves.js";
import { decodeBase64 } from "../pixels/picture.js";
import { loadPlotly } from "../shared/load_plotly.js";
import { session } from "../shared/session.js";
import { setText } from "../shared/dom.js";

const POLL_INTERVAL = 700; // ms between two requests for the state of a run
const STORAGE_KEY = "latentscape run"; // of the run's token in sessionStorage, so that a reloaded page finds its run
const BUSY = ["looking", "training"]; // phases in which the server computes

export function mount({ element, props, server, upload }) {
  new Train(element, props, server, upload);
}

class Train {
  #watching = 0; // counts calls of #watch, so that earlier ones stop
  #received = 0; // reports received
  #phase = null; // the phase that is shown

  constructor(element, { bounds }, server, upload) {
    Object.assign(this, { bounds, server, upload });
    this.root = element.querySelector(".ls-train");
    this.ui = Object.fromEntries([...element.querySelectorAll("[id]")].map((part) => [part.id, part]));
    this.curves = new Curves(this.ui["run-curves"], this.ui["run-latents-kl"]);
    this.ui["run-minutes"].max = bounds.minutes;
    for (const name of ["size", "latents"]) [this.ui[`run-${name}`].min, this.ui[`run-${name}`].max] = bounds[name];
    this.#listen();
    this.run = sessionStorage.getItem(STORAGE_KEY);
    if (this.run) this.#watch();
    this.root.setAttribute("aria-busy", "false");
  }

  #listen() {
    const { ui } = this;
    for (const name of ["dragover", "dragleave", "drop"]) {
      ui.pictures.addEventListener(name, async (event) => {
        event.preventDefault();
        ui.pictures.classList.toggle("ls-over", name === "dragover");
        if (name !== "drop") return;
        const name = collectionName([...event.dataTransfer.files].map((file) => [file.name, file]), event.dataTransfer);
        this.#uploadFiles(await droppedFiles(event.dataTransfer), name);
      });
    }
    for (const [button, input] of [["choose-folder", "folder-input"], ["choose-files", "files-input"]]) {
      ui[button].addEventListener("click", () => ui[input].click());
      const take = () => {
        const files = chosenFiles(ui[input]);
        const name = collectionName(files);
        ui[input].value = "";
        this.#uploadFiles(files, name);
      };
      ui[input].addEventListener("change", take);
      if (ui[input].files.length) take(); // files may have been chosen before this script ran
    }
    ui.options.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#request("train_run", { options: this.#options() });
    });
    ui["go-on"].addEventListener("click", () => this.#request("train_run", {}));
    ui.stop.addEventListener("click", () => {
      this.#setStatus("Stopping and saving the best model so far…");
      this.#request("stop_run", {});
    });
    ui["open-model"].addEventListener("click", () => {
      session.emit("offer", this.model);
      session.open(this.model);
      document.querySelector("#tabs [role=tab]").click();
    });
    ui.other.addEventListener("click", async () => {
      await this.server.discard_run({ run: this.run });
      this.#reset("");
    });
  }

  /** Upload files to a new run, and have the server read them. */
  async #uploadFiles(files, name) {
    const { ui } = this;
    if (!files.length) return this.#setStatus("No files found. Choose a folder or a .zip file with pictures.");
    const total = files.reduce((sum, [, file]) => sum + file.size, 0);
    if (files.length > this.bounds.files) return this.#setStatus(`A run may have at most ${this.bounds.files.toLocaleString("en")} files; these are ${files.length.toLocaleString("en")}. Choose fewer.`);
    if (total > this.bounds.bytes) return this.#setStatus(`A run may have at most ${megabytes(this.bounds.bytes)} of pictures; these are ${megabytes(total)}. Choose fewer.`);
    ui["run-name"].value = name.slice(0, ui["run-name"].maxLength);
    this.#setStatus("");
    this.#showPhase("sending");
    setText(ui["sending-title"], `Uploading ${name}`);
    try {
      const begun = await this.#call("begin_run", {});
      this.run = begun.run;
      sessionStorage.setItem(STORAGE_KEY, this.run);
      let [count, bytes] = [0, 0];
      for (const batch of batches(files, this.bounds.request)) {
        const paths = await this.upload(batch.map(([, piece], i) => new File([piece], `${i}.part`)));
        await this.#call("add_pictures", { run: this.run, pieces: batch.map(([name], i) => [name, paths[i]]) });
        count += batch.length;
        bytes += batch.reduce((sum, [, piece]) => sum + piece.size, 0);
        ui["sending-bar"].value = total ? bytes / total : 1;
        setText(ui["sending-note"], `${Math.min(count, files.length).toLocaleString("en")} of ${files.length.toLocaleString("en")} files, ${megabytes(bytes)} of ${megabytes(total)}`);
      }
      await this.#request("look_at_pictures", { options: this.#options() });
    } catch (error) {
      this.#reset(error.message);
    }
  }

  #options() {
    const { ui } = this;
    const number = (id) => (ui[id].value === "" ? null : Number(ui[id].value));
    return { name: ui["run-name"].value.trim() || "pictures", minutes: number("run-minutes"), size: number("run-size"), latents: number("run-latents") };
  }

  /** Call a server function for the run, and watch the run. */
  async #request(what, request) {
    try {
      await this.#call(what, { run: this.run, ...request });
    } catch (error) {
      this.#setStatus(error.message);
    }
    this.#watch();
  }

  async #call(what, request) {
    const answer = await this.server[what](request);
    if (!answer) throw new Error("The server did not answer.");
    if (answer.error) throw new Error(answer.error[0].toUpperCase() + answer.error.slice(1));
    return answer;
  }

  /** Poll the state of the run and show it, until the server no longer computes. */
  async #watch() {
    const watch = ++this.#watching;
    for (;;) {
      let status;
      try {
        status = await this.#call("watch_run", { run: this.run, after: this.#received });
      } catch (error) {
        if (watch === this.#watching) this.#reset(error.message);
        return;
      }
      if (watch !== this.#watching) return;
      await this.#show(status);
      if (!BUSY.includes(status.phase)) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
      if (watch !== this.#watching) return;
    }
  }

  /** Show the state of the run: the answer to `watch_run`. */
  async #show(status) {
    const { ui } = this;
    this.model = status.model;
    if (status.name && !ui["run-name"].value) ui["run-name"].value = status.name;
    const changed = status.phase !== this.#phase;
    this.#showPhase(status.phase);
    this.#showLog(status);
    if (status.from < this.#received) this.curves.truncate(status.from);
    this.#received = status.from + status.reports.length;
    if (this.#received && !ui["train-body"].hidden) {
      await loadPlotly();
      this.curves.add(status.reports);
      const last = this.curves.last;
      ui["run-bar"].value = last.fraction;
      showNumbers(ui["run-numbers"], last);
    }
    if (status.preview) {
      await drawPreview(ui.preview, status.preview);
      ui["preview-figure"].hidden = false;
    }
    const text = statusText(status, this.#received);
    if (changed || BUSY.includes(status.phase)) this.#setStatus(text);
  }

  /** List what the command printed: the pictures read, and each setting with its reason. */
  #showLog({ console, phase }) {
    const lines = console.filter((line) => line.trim() && !/^\s*\d+%/.test(line));
    const shown = phase === "failed" ? lines.slice(0, -1) : lines;
    this.ui.account.hidden = !shown.length;
    const items = shown.map((line) => Object.assign(document.createElement("li"), { textContent: line.trim(), className: /^\s+\d/.test(line) ? "ls-inner" : "" }));
    if (items.length !== this.ui["account-lines"].children.length) this.ui["account-lines"].replaceChildren(...items);
  }

  /** Show the parts of the page that belong to a phase. */
  #showPhase(phase) {
    const { ui } = this;
    this.#phase = phase;
    this.root.dataset.phase = phase;
    const during = (...phases) => !phases.includes(phase);
    ui.bring.hidden = during("gathering");
    ui.sending.hidden = during("sending");
    ui.options.hidden = during("looked");
    ui["open-model"].hidden = during("stopped", "done") || !this.model;
    ui["go-on"].hidden = during("stopped");
    ui.stop.hidden = during("training", "looking");
    ui.stop.textContent = phase === "looking" ? "Cancel" : "Stop and save the best model";
    ui.other.hidden = during("looked", "stopped", "done", "failed");
    const idle = ["gathering", "sending", "looking", "looked"].includes(phase);
    ui["train-empty"].hidden = !idle;
    ui["train-body"].hidden = idle;
  }

  /** Forget the run, and show a text in the status line. */
  #reset(text) {
    this.#watching += 1;
    this.#received = 0;
    this.run = this.model = null;
    sessionStorage.removeItem(STORAGE_KEY);
    this.ui["account-lines"].replaceChildren();
    this.ui.account.hidden = true;
    this.ui["preview-figure"].hidden = true;
    this.curves.truncate(0);
    this.#showPhase("gathering");
    this.#setStatus(text);
  }

  #setStatus(text) {
    setText(this.ui["train-status"], text);
  }
}

/** The status line of a run. */
function statusText({ phase, console, place, model }, reports) {
  const last = console.findLast((line) => line.trim()) ?? "";
  if (phase === "looking") return "Reading the pictures…";
  if (phase === "training") {
    if (last.startsWith("Scoring")) return "Scoring the held-out pictures, computing the map and fitting the anomaly test. This takes about a minute.";
    return reports ? "" : "Starting…";
  }
  if (phase === "looked") return "Check the pictures and settings, then start training.";
  if (phase === "stopped") return model ? `Stopped. The model is saved in ${place}. You can continue training it.` : "Stopped before a model was saved.";
  if (phase === "done") return `Done. The model is saved in ${place}.`;
  if (phase === "failed") return last.replace(/^latentscape: /, "") || "The run failed without an error message.";
  return "";
}

function showNumbers(list, { log_likelihood, kl, validation_elbo, active_latents, images_per_second, seconds_left, epoch, fraction }) {
  const left = Math.round(seconds_left);
  const entries = [
    ["validation ELBO", validation_elbo === null ? "…" : nats(validation_elbo), "ELBO of held-out pictures in nats per picture, with averaged weights. The best weights are saved."],
    ["ELBO", nats(log_likelihood - kl), "Log-likelihood minus KL, in nats per training picture"],
    ["log-likelihood", nats(log_likelihood), "How well the decoder explains the pixels, given the latents"],
    ["KL", nats(kl), "KL divergence of the posterior from the prior: how much information the latents hold about a picture"],
    ["active units", validation_elbo === null ? "…" : active_latents, "Number of latents that vary with the picture (Burda et al., 2016)"],
    ["epoch", epoch.toFixed(1), "Passes over the training pictures"],
    ["speed", `${Math.round(images_per_second).toLocaleString("en")}/s`, "Training pictures per second"],
    ["time left", fraction >= 1 ? "–" : `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`, "Minutes and seconds until training ends"],
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
  entries.forEach(([, value], i) => setText(list.children[i].lastChild, String(value)));
}

/** Draw the preview, a PNG of three rows of square pictures, with gaps between the pictures. */
async function drawPreview(canvas, png) {
  const bitmap = await createImageBitmap(new Blob([decodeBase64(png)], { type: "image/png" }));
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
