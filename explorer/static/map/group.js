// A group of the map's points, drawn around with the lasso or found by a word: it stands out, and what it is made of is said.

import { Lasso } from "./lasso.js";
import { bytes } from "../pixels/picture.js";
import { write } from "../shared/dom.js";

const PAUSE = 250; // ms after the last key before a word is looked for
const NAMED = 4; // classes that are named; the others are counted

export class Group {
  #timer = 0;
  #turn = 0;

  /** `find(text)` gives {found}: a bit for each point, of those that a word stands for. */
  constructor(ui, map, overlay, find) {
    Object.assign(this, { ui, map, overlay, find, mask: null });
    this.lasso = new Lasso(ui.lasso, map, overlay, (corners) => this.#loop(corners));
    ui.find.addEventListener("input", () => this.#typed());
    ui.ungroup.addEventListener("click", () => this.clear());
    ui.map.addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() === "l" && !event.ctrlKey && !event.metaKey && !event.altKey) this.lasso.take(!map.lassoing);
      else if (event.key === "Escape" && !ui.group.hidden) this.clear();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** The points have other colours: {classes, codes} or {values}, by this name. */
  colour(by, name) {
    Object.assign(this, { by, name });
    if (this.mask) this.#say();
  }

  /** No group any more, and the lasso laid aside. */
  clear() {
    this.#turn += 1;
    this.mask = null;
    this.word = "";
    this.ui.find.value = "";
    this.ui.group.hidden = true;
    this.overlay.loop(null);
    this.lasso.take(false);
    this.map.select(null);
  }

  #loop(corners) {
    this.#turn += 1;
    this.word = this.ui.find.value = "";
    this.#set(this.map.inside(corners));
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(this.ui.find.value.trim()), PAUSE);
  }

  async #look(word) {
    if (!word) return this.clear();
    const turn = ++this.#turn;
    const answer = await this.find(word).catch(() => null);
    if (turn !== this.#turn) return;
    this.overlay.loop(null);
    this.word = word;
    if (answer?.found === undefined) {
      this.mask = null;
      this.map.select(null);
      this.ui.group.hidden = false;
      write(this.ui["group-count"], answer?.error ?? "The server did not answer.");
      write(this.ui["group-parts"], "");
      return;
    }
    const bits = bytes(answer.found);
    const mask = new Uint8Array(this.map.cells.size);
    for (let i = 0; i < mask.length; i++) mask[i] = (bits[i >> 3] >> (i & 7)) & 1;
    this.#set(mask);
  }

  #set(mask) {
    this.mask = mask;
    this.count = mask.reduce((sum, one) => sum + one, 0);
    this.map.select(this.count ? mask : null);
    this.#say();
  }

  #say() {
    const { ui, count, mask } = this;
    const all = mask.length.toLocaleString("en");
    ui.group.hidden = false;
    ui.group.dataset.count = count;
    if (!count) {
      write(ui["group-count"], this.word ? `No image here is called “${this.word}”` : "No image in there");
      return write(ui["group-parts"], "");
    }
    write(ui["group-count"], `${count.toLocaleString("en")} of ${all} images`);
    write(ui["group-parts"], this.by.classes ? parts(mask, count, this.by) : means(mask, this.by.values, this.name));
  }
}

/** The classes of a group by their shares, the largest first. */
function parts(mask, count, { classes, codes }) {
  const counts = new Float64Array(classes.length);
  for (let i = 0; i < mask.length; i++) counts[codes[i]] += mask[i];
  const order = [...counts.keys()].filter((code) => counts[code]).sort((a, b) => counts[b] - counts[a]);
  const share = (code) => {
    const percent = (100 * counts[code]) / count;
    return `${classes[code]} ${percent < 1 ? "<1" : percent > 99 && percent < 100 ? ">99" : percent.toFixed(0)} %`;
  };
  const more = order.length - NAMED;
  return [...order.slice(0, NAMED).map(share), ...(more > 0 ? [`${more} more`] : [])].join(" · ");
}

/** The mean of an amount over a group, beside that over all. */
function means(mask, values, name) {
  let [here, within, all, known] = [0, 0, 0, 0];
  for (let i = 0; i < mask.length; i++) {
    if (!Number.isFinite(values[i])) continue;
    all += values[i];
    known += 1;
    if (mask[i]) {
      here += values[i];
      within += 1;
    }
  }
  return within ? `mean ${name} ${(here / within).toFixed(2)} (all: ${(all / known).toFixed(2)})` : `no ${name} known here`;
}
