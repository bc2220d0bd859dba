// A group of points, chosen with the lasso or by a search: it is highlighted, and its size and labels are shown.

import { Lasso } from "./lasso.js";
import { decodeBase64 } from "../pixels/picture.js";
import { setText } from "../shared/dom.js";

const SEARCH_DELAY = 250; // ms after the last key press before the search starts
const MAX_NAMED = 4; // classes listed by name; the others are counted

export class Group {
  #timer = 0;
  #change = 0; // counts changes, so that answers to earlier searches are dropped

  /** `find(text)` resolves with {found}: one bit per point, set where its label or file name contains the text. */
  constructor(ui, map, overlay, find) {
    Object.assign(this, { ui, map, overlay, find, mask: null });
    this.lasso = new Lasso(ui.lasso, map, overlay, (corners) => this.#selectLoop(corners));
    ui.find.addEventListener("input", () => this.#onType());
    ui.ungroup.addEventListener("click", () => this.clear());
    ui.map.addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() === "l" && !event.ctrlKey && !event.metaKey && !event.altKey) this.lasso.activate(!map.lassoing);
      else if (event.key === "Escape" && !ui.group.hidden) this.clear();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** The points are coloured by another column: {classes, codes} or {values}, with this name. */
  colour(by, name) {
    Object.assign(this, { by, name });
    if (this.mask) this.#describe();
  }

  /** Remove the group and switch the lasso off. */
  clear() {
    this.#change += 1;
    this.mask = null;
    this.word = "";
    this.ui.find.value = "";
    this.ui.group.hidden = true;
    this.overlay.setLoop(null);
    this.lasso.activate(false);
    this.map.select(null);
  }

  #selectLoop(corners) {
    this.#change += 1;
    this.word = this.ui.find.value = "";
    this.#set(this.map.inside(corners));
  }

  #onType() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#search(this.ui.find.value.trim()), SEARCH_DELAY);
  }

  async #search(word) {
    if (!word) return this.clear();
    const change = ++this.#change;
    const answer = await this.find(word).catch(() => null);
    if (change !== this.#change) return;
    this.overlay.setLoop(null);
    this.word = word;
    if (answer?.found === undefined) {
      this.mask = null;
      this.map.select(null);
      this.ui.group.hidden = false;
      setText(this.ui["group-count"], answer?.error ?? "The server did not answer.");
      setText(this.ui["group-parts"], "");
      return;
    }
    const bits = decodeBase64(answer.found);
    const mask = new Uint8Array(this.map.cells.size);
    for (let i = 0; i < mask.length; i++) mask[i] = (bits[i >> 3] >> (i & 7)) & 1;
    this.#set(mask);
  }

  #set(mask) {
    this.mask = mask;
    this.count = mask.reduce((sum, one) => sum + one, 0);
    this.map.select(this.count ? mask : null);
    this.#describe();
  }

  #describe() {
    const { ui, count, mask } = this;
    const all = mask.length.toLocaleString("en");
    ui.group.hidden = false;
    ui.group.dataset.count = count;
    if (!count) {
      setText(ui["group-count"], this.word ? `No label or name contains “${this.word}”` : "No image inside the loop");
      return setText(ui["group-parts"], "");
    }
    setText(ui["group-count"], `${count.toLocaleString("en")} of ${all} images`);
    setText(ui["group-parts"], this.by.classes ? classShares(mask, count, this.by) : meanText(mask, this.by.values, this.name));
  }
}

/** The shares of a group's classes in percent, the largest first. */
function classShares(mask, count, { classes, codes }) {
  const counts = new Float64Array(classes.length);
  for (let i = 0; i < mask.length; i++) counts[codes[i]] += mask[i];
  const order = [...counts.keys()].filter((code) => counts[code]).sort((a, b) => counts[b] - counts[a]);
  const share = (code) => {
    const percent = (100 * counts[code]) / count;
    return `${classes[code]} ${percent < 1 ? "<1" : percent > 99 && percent < 100 ? ">99" : percent.toFixed(0)} %`;
  };
  const more = order.length - MAX_NAMED;
  return [...order.slice(0, MAX_NAMED).map(share), ...(more > 0 ? [`${more} more`] : [])].join(" · ");
}

/** The mean of a column over a group and over all points. */
function meanText(mask, values, name) {
  let [groupSum, groupCount, sum, count] = [0, 0, 0, 0];
  for (let i = 0; i < mask.length; i++) {
    if (!Number.isFinite(values[i])) continue;
    sum += values[i];
    count += 1;
    if (mask[i]) {
      groupSum += values[i];
      groupCount += 1;
    }
  }
  return groupCount ? `mean ${name} ${(groupSum / groupCount).toFixed(2)} (all: ${(sum / count).toFixed(2)})` : `no values of ${name} here`;
}
