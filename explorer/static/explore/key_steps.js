// Steps by keyboard that can be seen: a range input's own 0.01 changes no picture visibly.

const STEP = 0.1;
const LEAP = 0.5; // with Shift
const SIGNS = { ArrowLeft: [-1, 0], ArrowDown: [0, -1], ArrowRight: [1, 0], ArrowUp: [0, 1] };

/** How far an arrow key goes, (across, up); null for other keys. */
export function stride(event) {
  const signs = !event.ctrlKey && !event.metaKey && !event.altKey && SIGNS[event.key];
  return signs ? signs.map((sign) => sign * (event.shiftKey ? LEAP : STEP)) : null;
}

/** Give the range inputs inside an element these steps. */
export function strides(element) {
  element.addEventListener("keydown", (event) => {
    const step = event.target.type === "range" && stride(event);
    if (!step) return;
    event.preventDefault();
    event.target.value = Number(event.target.value) + step[0] + step[1];
    for (const name of ["input", "change"]) event.target.dispatchEvent(new Event(name, { bubbles: true }));
  });
}
