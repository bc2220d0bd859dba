// One frame at a time: of everything that wants to be painted under one name, the newest is, when the screen is drawn next.

export class Frame {
  #paint = new Map();
  #after = [];
  #asked = false;

  /** The page's own frames, unless others are given. */
  constructor(request = (draw) => requestAnimationFrame(draw)) {
    this.request = request;
  }

  /** Call `draw` in the next frame, in place of an earlier one of that name. */
  paint(name, draw) {
    this.#paint.set(name, draw);
    this.#ask();
  }

  /** Drop what was to be painted under a name. */
  drop(name) {
    this.#paint.delete(name);
  }

  /** Call `then` when everything asked for so far has been painted. */
  after(then) {
    this.#after.push(then);
    this.#ask();
  }

  #ask() {
    if (this.#asked) return;
    this.#asked = true;
    this.request(() => {
      this.#asked = false;
      const [paint, after] = [[...this.#paint.values()], this.#after];
      this.#paint.clear();
      this.#after = [];
      for (const draw of paint) draw();
      for (const then of after) then();
    });
  }
}

export const frame = new Frame();
