// What a screen reader hears: one sentence about the current point, when the hand has come to rest.

const PAUSE = 600; // ms without news after which the last of it is said

export class Spoken {
  #timer = 0;
  #text = null; // to be said

  constructor(element) {
    this.element = element;
  }

  say(text) {
    this.#text = text;
    this.wait();
  }

  /** The hand moves: the pause begins anew, also while its next picture is under way. */
  wait() {
    clearTimeout(this.#timer);
    if (this.#text === null) return;
    this.#timer = setTimeout(() => {
      this.element.textContent = this.#text;
      this.#text = null;
    }, PAUSE);
  }
}

/** Whether a point is a real image's posterior mean. The page has those in half precision: nearer than this is there. */
export function real({ distance }) {
  return distance < 0.005;
}

/** What lies nearest to a decoded point, in words; `labels` are the gallery's {classes, codes}, `names` its files', if it has any. */
export function describe({ nearest }, labels, names = null) {
  if (!nearest) return "no real image to compare with";
  const name = labels?.classes ? labels.classes[labels.codes[nearest.index]] : (names?.[nearest.index] ?? `image ${nearest.index}`);
  return real(nearest) ? `at the real image of: ${name}` : `nearest real image: ${name}, ${nearest.distance.toFixed(2)} away`;
}
