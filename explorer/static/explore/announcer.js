// Announcements for screen readers: one sentence about the current point, once it stops changing.

const DELAY = 600; // ms without a change, after which the newest text is announced

export class Announcer {
  #timer = 0;
  #text = null; // the text to announce next

  constructor(element) {
    this.element = element;
  }

  say(text) {
    this.#text = text;
    this.postpone();
  }

  /** Restart the delay. A drag calls this, also while its next picture is being decoded. */
  postpone() {
    clearTimeout(this.#timer);
    if (this.#text === null) return;
    this.#timer = setTimeout(() => {
      this.element.textContent = this.#text;
      this.#text = null;
    }, DELAY);
  }
}

/** Whether a point is a real image's posterior mean. The page has the means in half precision, hence the tolerance. */
export function isReal({ distance }) {
  return distance < 0.005;
}

/** Describe the nearest real image of a decoded point. `labels`: the gallery's {classes, codes}; `names`: its file names. Both may be
 * null. */
export function describe({ nearest }, labels, names = null) {
  if (!nearest) return "no real image to compare with";
  const name = labels?.classes ? labels.classes[labels.codes[nearest.index]] : (names?.[nearest.index] ?? `image ${nearest.index}`);
  return isReal(nearest) ? `real image: ${name}` : `nearest real image: ${name}, ${nearest.distance.toFixed(2)} away`;
}
