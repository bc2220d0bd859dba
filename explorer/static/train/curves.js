// Plots of a training run, drawn by Plotly: log-likelihood, ELBO and KL by epoch, and the KL of each latent.

import { CLASSES } from "../map/colours.js";

const [TRAINING, VALIDATION, , GREY] = CLASSES;

export class Curves {
  reports = [];
  #kl = []; // the newest KL of each latent, in nats

  constructor(curves, latents) {
    Object.assign(this, { curves, latents });
    new MutationObserver(() => this.#draw()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    new ResizeObserver(() => this.#draw()).observe(curves);
  }

  get last() {
    return this.reports.at(-1);
  }

  /** Drop all reports after the first `count`. */
  truncate(count) {
    this.reports.length = Math.min(count, this.reports.length);
    if (!count) this.#kl = [];
  }

  add(reports) {
    this.reports.push(...reports);
    this.#kl = reports.findLast(({ kl_per_latent }) => kl_per_latent.length)?.kl_per_latent ?? this.#kl;
    if (reports.length) this.#draw();
  }

  #draw() {
    if (!window.Plotly || !this.reports.length || !this.curves.clientWidth) return;
    const x = this.reports.map(({ epoch }) => epoch);
    const line = (name, y, color, extra = {}) => ({ type: "scatter", mode: "lines", name, x, y, line: { color, width: 1.5 }, hovertemplate: "%{y:.1f} nats", ...extra });
    const elbo = this.reports.map(({ log_likelihood, kl }) => log_likelihood - kl);
    const likelihood = this.reports.map((report) => report.log_likelihood);
    const scored = this.reports.filter((report, i) => report.validation_elbo !== null && report.validation_elbo !== this.reports[i - 1]?.validation_elbo);
    const validation = scored.map((report) => report.validation_elbo);
    const traces = [
      line("log-likelihood", likelihood, GREY),
      line("ELBO", elbo, TRAINING),
      line("validation ELBO", validation, VALIDATION, { mode: "lines+markers", x: scored.map(({ epoch }) => epoch) }),
      line("KL", this.reports.map(({ kl }) => kl), TRAINING, { yaxis: "y2", showlegend: false }),
    ];
    const axis = this.#axis();
    window.Plotly.react(
      this.curves,
      traces,
      {
        ...this.#layout(this.curves),
        hovermode: "x unified",
        legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
        xaxis: { ...axis, title: { text: "epoch", standoff: 4 }, anchor: "y2" },
        yaxis: { ...axis, title: { text: "nats per picture" }, domain: [0.36, 1], range: yRange(elbo, likelihood, validation) },
        yaxis2: { ...axis, title: { text: "KL, nats" }, domain: [0, 0.27], rangemode: "tozero" },
      },
      { displayModeBar: false, responsive: false },
    );
    const order = this.#kl.map((_, i) => i).sort((a, b) => this.#kl[b] - this.#kl[a]);
    const bars = { type: "bar", x: order.map((i) => `z${i}`), y: order.map((i) => this.#kl[i]), marker: { color: TRAINING }, hovertemplate: "%{x}: %{y:.2f} nats<extra></extra>" };
    window.Plotly.react(
      this.latents,
      [bars],
      { ...this.#layout(this.latents), xaxis: { ...axis, title: { text: "latents by decreasing KL", standoff: 4 }, type: "category" }, yaxis: { ...axis, title: { text: "KL, nats" }, rangemode: "tozero" } },
      { displayModeBar: false, responsive: false },
    );
  }

  #axis() {
    const line = getComputedStyle(this.curves).getPropertyValue("--border-color-primary").trim();
    return { gridcolor: line, zerolinecolor: line, automargin: true, tickfont: { size: 10 }, fixedrange: true };
  }

  #layout(element) {
    const style = getComputedStyle(element);
    return {
      width: element.clientWidth,
      height: element.clientHeight,
      margin: { l: 56, r: 8, t: 26, b: 34 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: style.fontFamily, color: style.getPropertyValue("--body-text-color").trim(), size: 11 },
    };
  }
}

/** A range of the y axis that fits the later reports. The first steps and a few outliers may be outside it. */
function yRange(elbo, likelihood, validation) {
  const later = elbo.slice(Math.floor(elbo.length / 4)).sort((a, b) => a - b);
  const [low, high] = [Math.min(later[Math.floor(later.length / 10)], ...validation.slice(-10)), Math.max(...likelihood, ...validation)];
  const margin = 0.06 * (high - low || 1);
  return [low - margin, high + margin];
}
