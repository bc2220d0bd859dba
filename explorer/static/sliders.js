// One slider per latent, sorted by KL, the eight most informative first, dead ones folded away.

const FIRST = 8;
const RANGE = 4;

export class Sliders {
  #inputs = new Map();

  /** `onInput(z)` at every move of a hand, `onChange(z)` when it rests. */
  constructor(element, onInput, onChange) {
    Object.assign(this, { element, onInput, onChange, z: [] });
  }

  /** Lay out the latents of a model, as the catalogue describes them. */
  build(latents) {
    this.z = new Array(latents.length).fill(0);
    this.#inputs.clear();
    const alive = latents.filter((latent) => !latent.dead);
    const dead = latents.filter((latent) => latent.dead);
    const first = document.createElement("div");
    const head = row("ls-slider ls-slider-head");
    head.append(cell("latent"), cell(`−${RANGE}…${RANGE}, over where real images lie`), cell("value"), cell("KL, nats"));
    head.lastChild.title = "How much this latent tells about an image: the divergence KL(q(z|x) ‖ p(z)), averaged over the gallery";
    first.append(head, ...alive.slice(0, FIRST).map((latent) => this.#row(latent)));
    this.element.replaceChildren(first);
    if (alive.length > FIRST) this.#fold(`${alive.length - FIRST} more latents`, alive.slice(FIRST));
    if (dead.length) {
      this.#fold(`${dead.length} dead latent${dead.length > 1 ? "s" : ""} (KL below 0.01 nats: dragging changes nothing)`, dead);
    }
  }

  /** Show a point, without telling anybody. */
  set(z) {
    this.z = [...z];
    for (const [index, { input, output }] of this.#inputs) show(input, output, z[index]);
  }

  #fold(title, latents) {
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = title;
    details.append(summary, ...latents.map((latent) => this.#row(latent)));
    this.element.append(details);
  }

  #row({ index, kl, histogram }) {
    const line = row("ls-slider");
    const name = document.createElement("label");
    name.textContent = `z${index}`;
    name.htmlFor = `slider-${index}`;
    const input = document.createElement("input");
    Object.assign(input, { type: "range", min: -RANGE, max: RANGE, step: 0.01, id: `slider-${index}` });
    input.dataset.latent = index;
    const output = document.createElement("output");
    output.htmlFor = input.id;
    const track = row("ls-track");
    track.append(mountains(histogram), input);
    line.append(name, track, output, cell(kl.toFixed(2)));
    input.addEventListener("input", () => {
      this.z[index] = Number(input.value);
      show(input, output, this.z[index]);
      this.onInput([...this.z]);
    });
    input.addEventListener("change", () => this.onChange([...this.z]));
    this.#inputs.set(index, { input, output });
    return line;
  }
}

function show(input, output, value) {
  input.value = value;
  output.textContent = value.toFixed(2).replace("-", "−");
}

function row(className) {
  return Object.assign(document.createElement("div"), { className });
}

function cell(text) {
  return Object.assign(document.createElement("span"), { textContent: text });
}

/** The distribution of real images along a latent, as a small silhouette behind its slider. */
function mountains(histogram) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${Math.max(histogram.length, 1)} 1`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const top = Math.max(...histogram, 1);
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", `M0 1${histogram.map((n, i) => `L${i} ${1 - n / top}L${i + 1} ${1 - n / top}`).join("")}L${histogram.length} 1Z`);
  svg.append(path);
  return svg;
}
