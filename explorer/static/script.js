// Scripts that are no modules.

/** Load plotly.js, once. */
export function loadPlotly(url) {
  return new Promise((resolve, reject) => {
    if (window.Plotly) return resolve();
    const script = Object.assign(document.createElement("script"), { src: url, async: true });
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("plotly.js did not arrive")));
    document.head.append(script);
  });
}
