// A tablist or a radiogroup: a row of buttons of which one is selected, by a click or the arrow keys.

/**
 * Set up a row. `select(name)` is called with the selected button's `data-<key>`. Returns a function that marks a button as
 * selected without that call.
 */
export function choice(list, key, select) {
  const [role, attribute] = list.getAttribute("role") === "radiogroup" ? ["radio", "aria-checked"] : ["tab", "aria-selected"];
  const buttons = [...list.querySelectorAll(`[role=${role}]`)];
  const mark = (name) => {
    for (const button of buttons) {
      const selected = button.dataset[key] === name;
      button.setAttribute(attribute, selected);
      button.tabIndex = selected ? 0 : -1;
    }
  };
  const choose = (name) => {
    mark(name);
    select(name);
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
    button.tabIndex = button.getAttribute(attribute) === "true" ? 0 : -1;
  });
  return mark;
}
