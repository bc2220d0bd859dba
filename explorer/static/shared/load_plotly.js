// Loads plotly.js, which is a plain script and not a module.

let loading = null;

/** Load plotly.js once; it sets window.Plotly. Rejects if it cannot be loaded; the next call tries again. */
export function loadPlotly() {
  loading ??= new Promise((resolve, reject) => {
    const src = new URL("../plotly.min.js", import.meta.url).href;
    const script = Object.assign(document.createElement("script"), { src, async: true });
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => {
      loading = null;
      reject(new Error("plotly.js could not be loaded"));
    });
    document.head.append(script);
  });
  return loading;
}
