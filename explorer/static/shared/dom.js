// Words and attributes that may change with every picture.

/** Make an element say something: one text node, whose data changes. New nodes would cost a new layout for each frame. */
export function write(element, text) {
  const [node] = element.childNodes;
  if (!node) element.textContent = text;
  else if (node.data !== text) node.data = text;
}

/** Give an element an attribute. One that it has already is left alone: set anew, it would be laid out and painted again. */
export function set(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}
