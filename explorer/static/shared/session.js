// The state that the tabs of one page share: the open model, and events. One visitor, one session.

class Session {
  #listeners = new Map();
  #last = new Map();
  model = null;

  /** Call `listener` at every event of this name, and at once with the last one if there was any. */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, []);
    this.#listeners.get(name).push(listener);
    if (this.#last.has(name)) listener(this.#last.get(name));
  }

  emit(name, value) {
    this.#last.set(name, value);
    for (const listener of this.#listeners.get(name) ?? []) listener(value);
  }

  /** Open a model by name. The event "open" follows with its description. */
  open(name) {
    this.model = name;
    this.emit("model", name);
  }

  /** Make `z` the current point and show it. */
  go(z) {
    this.emit("go", z);
  }
}

export const session = new Session();

/** The page's address with a model and a point in its query. */
export function pageAddress(model, z) {
  const address = new URL(location.href);
  address.searchParams.set("model", model);
  address.searchParams.set("z", z.map((value) => +value.toFixed(4)).join(","));
  address.hash = "";
  return address;
}

/** The point in the page's address; null unless it has one finite number per latent of this model, and names no other model. */
export function addressedPoint({ model, latents }) {
  const query = new URLSearchParams(location.search);
  const z = (query.get("z") ?? "").split(",").map(Number);
  return (query.get("model") ?? model) === model && z.length === latents.length && z.every(Number.isFinite) ? z : null;
}
