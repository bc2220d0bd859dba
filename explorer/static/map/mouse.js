// The map by mouse, or pen: what it is on is looked at, a click goes there. Plotly moves and zooms; fingers are for touch.js.

const STILL = 5; // pixels a click may travel

export class Mouse {
  #down = null;

  constructor(map) {
    this.map = map;
    // Heard before Plotly, whose drag layer swallows what it uses.
    const listen = (target, name, act, capture) => target.addEventListener(name, (event) => event.pointerType !== "touch" && act(event), capture);
    listen(map.element, "pointermove", (event) => (event.buttons ? map.leave() : map.look(event)));
    listen(map.element, "pointerrawupdate", (event) => {
      const at = event.buttons ? null : map.at(event);
      if (at) map.on.ahead(at);
    });
    listen(map.element, "pointerleave", () => map.leave());
    listen(map.element, "pointerdown", (event) => this.#press(event), true);
    listen(window, "pointermove", (event) => this.#stray(event), true);
    listen(window, "pointerup", (event) => this.#up(event), true);
  }

  #press(event) {
    // Only on the plot itself: the legend has its own meaning. While a button is down Plotly covers the page, so this is
    // known at the press alone.
    if (event.button !== 0 || !event.target.closest(".draglayer")) return;
    this.#down = [event.clientX, event.clientY];
    // Plotly keeps the press from giving focus; with it, the keys go on from the mouse.
    this.map.element.focus({ preventScroll: true });
  }

  /** A click stays where it began: what comes back to there, from a pan or a loop, is none. */
  #stray(event) {
    if (this.#down && Math.hypot(event.clientX - this.#down[0], event.clientY - this.#down[1]) > STILL) this.#down = null;
  }

  #up(event) {
    this.#stray(event);
    const down = this.#down;
    this.#down = null;
    if (!down) return;
    const at = this.map.at(event);
    if (at) this.map.on.click(at, event.shiftKey);
  }
}
