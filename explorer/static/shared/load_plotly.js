// Scripts that are no modules.

let plotly = null;

/** Load plotly.js, which lies beside the modules, once. */
export function loadPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: new URL("../plotly.min.js", import.meta.url).href, async: true });
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => {
      plotly = null;
      reject(new Error("plotly.js did not arrive"));
    });
    document.head.append(script);
  });
  return plotly;
}
