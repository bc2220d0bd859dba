// Batches painting into animation frames. Of several paints with the same key, only the newest runs.

export class Frame {
  #paints = new Map();
  #callbacks = [];
  #requested = false;

  /** `request(callback)` requests a frame; requestAnimationFrame by default. */
  constructor(request = (callback) => requestAnimationFrame(callback)) {
    this.request = request;
  }

  /** Call `draw` in the next frame. It replaces an earlier one with the same key. */
  paint(key, draw) {
    this.#paints.set(key, draw);
    this.#requestFrame();
  }

  /** Call `callback` in the next frame, after all paints that were requested until then. */
  afterPaint(callback) {
    this.#callbacks.push(callback);
    this.#requestFrame();
  }

  #requestFrame() {
    if (this.#requested) return;
    this.#requested = true;
    this.request(() => {
      this.#requested = false;
      const [paints, callbacks] = [[...this.#paints.values()], this.#callbacks];
      this.#paints.clear();
      this.#callbacks = [];
      for (const draw of paints) draw();
      for (const callback of callbacks) callback();
    });
  }
}

export const frame = new Frame();
