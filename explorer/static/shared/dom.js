// Cheap updates of text and attributes that may change in every frame.

/** Set an element's text. The text node is reused, because a new one would force a layout in each frame. */
export function setText(element, text) {
  const [node] = element.childNodes;
  if (!node) element.textContent = text;
  else if (node.data !== text) node.data = text;
}

/** Set an attribute if its value changes. Setting an equal value would force a layout and a repaint. */
export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}
