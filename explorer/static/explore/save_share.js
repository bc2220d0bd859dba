// Save the picture as a PNG file; copy a link to the current point.

/** Save a canvas at its own size. */
export function savePng(canvas, name) {
  const a = document.createElement("a");
  a.download = `${name}.png`;
  a.href = canvas.toDataURL("image/png");
  a.click();
}

/** Copy an address to the clipboard. Returns the text for the status line. */
export async function copyLink(address) {
  try {
    await navigator.clipboard.writeText(String(address));
    return "Link copied: it opens this model at this point.";
  } catch {
    // The clipboard needs https and permission. Without them the link is shown, so that the user can copy it.
    return String(address);
  }
}
