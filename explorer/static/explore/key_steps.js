// Larger arrow-key steps: a range input's own step of 0.01 does not change the picture visibly.

const STEP = 0.1; // change of a latent per key press
const LARGE_STEP = 0.5; // the same with Shift
const SIGNS = { ArrowLeft: [-1, 0], ArrowDown: [0, -1], ArrowRight: [1, 0], ArrowUp: [0, 1] };

/** The step of an arrow key, [across, up]; null for other keys. */
export function arrowStep(event) {
  const signs = !event.ctrlKey && !event.metaKey && !event.altKey && SIGNS[event.key];
  return signs ? signs.map((sign) => sign * (event.shiftKey ? LARGE_STEP : STEP)) : null;
}

/** Use these steps for all range inputs inside an element. */
export function useArrowSteps(element) {
  element.addEventListener("keydown", (event) => {
    const step = event.target.type === "range" && arrowStep(event);
    if (!step) return;
    event.preventDefault();
    event.target.value = Number(event.target.value) + step[0] + step[1];
    for (const name of ["input", "change"]) event.target.dispatchEvent(new Event(name, { bubbles: true }));
  });
}
