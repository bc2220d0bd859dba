// What a visitor takes along: the picture as a PNG, the point as a link.

/** Save a canvas at its own size. */
export function savePng(canvas, name) {
  const a = document.createElement("a");
  a.download = `${name}.png`;
  a.href = canvas.toDataURL("image/png");
  a.click();
}

/** Copy an address; gives what to tell the visitor. */
export async function copyLink(address) {
  try {
    await navigator.clipboard.writeText(String(address));
    return "Link copied: it opens this model at this point.";
  } catch {
    // No clipboard without https or a grant: the link is shown instead, ready to be copied by hand.
    return String(address);
  }
}
