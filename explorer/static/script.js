// Scripts that are no modules.

let plotly = null;

/** Load plotly.js, once. */
export function loadPlotly(url) {
  plotly ??= new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: url, async: true });
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => {
      plotly = null;
      reject(new Error("plotly.js did not arrive"));
    });
    document.head.append(script);
  });
  return plotly;
}
