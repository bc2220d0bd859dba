// Words that change with every picture.

/** Make an element say something: one text node, whose data changes. New nodes would cost a new layout for each frame. */
export function write(element, text) {
  const [node] = element.childNodes;
  if (!node) element.textContent = text;
  else if (node.data !== text) node.data = text;
}
