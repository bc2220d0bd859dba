// Mouse and pen input of the map: hovering previews, a click chooses. Plotly pans and zooms; touch.js handles fingers.

const CLICK_TOLERANCE = 5; // CSS pixels that the pointer may travel in a click

export class Mouse {
  #down = null; // where the button was pressed, or null

  constructor(map) {
    this.map = map;
    // In the capture phase, before Plotly, whose drag layer stops these events.
    const listen = (target, name, act, capture) => target.addEventListener(name, (event) => event.pointerType !== "touch" && act(event), capture);
    listen(map.element, "pointermove", (event) => (event.buttons ? map.leave() : map.hover(event)));
    listen(map.element, "pointerrawupdate", (event) => {
      const at = event.buttons ? null : map.locate(event);
      if (at) map.on.early(at);
    });
    listen(map.element, "pointerleave", () => map.leave());
    listen(map.element, "pointerdown", (event) => this.#press(event), true);
    listen(window, "pointermove", (event) => this.#cancelIfMoved(event), true);
    listen(window, "pointerup", (event) => this.#release(event), true);
  }

  #press(event) {
    // Only the plot counts: a click on the legend switches a class. This is checked at the press, because Plotly covers the page
    // while a button is down.
    if (event.button !== 0 || !event.target.closest(".draglayer")) return;
    this.#down = [event.clientX, event.clientY];
    // Plotly prevents the focus that a press gives. With the focus, arrow keys continue from the clicked point.
    this.map.element.focus({ preventScroll: true });
  }

  /** A pointer that moved and came back, after a pan or a loop, does not click. */
  #cancelIfMoved(event) {
    if (this.#down && Math.hypot(event.clientX - this.#down[0], event.clientY - this.#down[1]) > CLICK_TOLERANCE) this.#down = null;
  }

  #release(event) {
    this.#cancelIfMoved(event);
    const down = this.#down;
    this.#down = null;
    if (!down) return;
    const at = this.map.locate(event);
    if (at) this.map.on.click(at, event.shiftKey);
  }
}
