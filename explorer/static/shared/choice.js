// A row of buttons of which one is chosen (a tablist or a radiogroup): a click or the arrows choose; Tab stops at the chosen one.

/** `show(name)` is called with the chosen button's `data-<key>`. Gives a function that marks one as chosen and calls nothing. */
export function choice(list, key, show) {
  const [role, chosenness] = list.getAttribute("role") === "radiogroup" ? ["radio", "aria-checked"] : ["tab", "aria-selected"];
  const buttons = [...list.querySelectorAll(`[role=${role}]`)];
  const mark = (name) => {
    for (const button of buttons) {
      const chosen = button.dataset[key] === name;
      button.setAttribute(chosenness, chosen);
      button.tabIndex = chosen ? 0 : -1;
    }
  };
  const choose = (name) => {
    mark(name);
    show(name);
  };
  buttons.forEach((button, i) => {
    button.addEventListener("click", () => choose(button.dataset[key]));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = buttons[(i + step + buttons.length) % buttons.length];
      choose(next.dataset[key]);
      next.focus();
    });
    button.tabIndex = button.getAttribute(chosenness) === "true" ? 0 : -1;
  });
  return mark;
}
