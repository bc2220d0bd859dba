"""Time to open each pretrained model on the page, and decoding time of one image of each in the browser.

Run by hand on an otherwise idle machine:  python tests/bench/gallery.py --runtime DIR [--rounds 3] [--json]

Method: one explorer with all pretrained models, one Chromium without a GPU. At first every model is loaded once, as the strip
of models does by itself. Then each model is opened by a click on its thumbnail while the previous model is shown. Times are
measured by the page's clock; figures are medians over rounds.

picture_ms   from the click to the first task after the frame in which #decoded shows the new model's image
map_ms       from the click until Plotly has drawn the new model's map with all its points
decode_ms    decoding time of one image in the page's worker: ONNX Runtime Web (WebAssembly, one thread) and the conversion to
             8 bits; median while the first slider is dragged for three seconds
"""

import argparse
import json
import os
import statistics
from collections import defaultdict

from measure import SIZE, chromium, move, serve, show
from playwright.sync_api import Page

CLOCK = """
(() => {
  const clock = (window.clock = { click: 0, picture: 0, map: 0, decodes: [] });
  addEventListener("click", (event) => {
    if (event.target.closest("#strip")) Object.assign(clock, { click: event.timeStamp, picture: 0, map: 0 });
  }, true);
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { clock.picture ||= performance.now(); };
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...image) {
    put.apply(this, image);
    if (this.canvas.id === "decoded" && clock.click) port2.postMessage(0);
  };
  const Plain = window.Worker;
  window.Worker = class extends Plain {
    #single = new Set();
    constructor(...options) {
      super(...options);
      this.addEventListener("message", ({ data }) => {
        if (this.#single.delete(data?.id) && data.ms) clock.decodes.push(data.ms);
      });
    }
    postMessage(request, ...rest) {
      if (request?.ask === "decode" && request.n === 1) this.#single.add(request.id);
      super.postMessage(request, ...rest);
    }
  };
})();
"""
WATCH = """
document.querySelector("#map").on("plotly_afterplot", () => { if (clock.click) clock.map ||= performance.now(); })
"""


def switch(page: Page, model: str) -> tuple[float, float]:
    """Milliseconds from the click on a model's thumbnail to its image, and to its map."""
    page.locator(f"#strip [data-model='{model}']").click()
    page.wait_for_function("clock.picture && clock.map")
    page.wait_for_selector("#engine[data-at=page]")
    click, picture, drawn = page.evaluate("[clock.click, clock.picture, clock.map]")
    return picture - click, drawn - click


def decode(page: Page, seconds: float = 3.0) -> float:
    """Milliseconds that the worker takes for an image while the first slider is dragged."""
    box = page.locator("#sliders input[type=range]").first.bounding_box()
    assert box is not None
    page.evaluate("clock.decodes = []")
    middle, left = box["y"] + box["height"] / 2, box["x"]
    page.mouse.move(left + 0.5 * box["width"], middle)
    page.mouse.down()
    move(page, lambda t: (left + box["width"] * (0.5 + 0.4 * ((t % 1) - 0.5)), middle), seconds, pressed=True)
    page.mouse.up()
    return statistics.median(page.evaluate("clock.decodes"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", default=os.environ.get("LATENTSCAPE_RUNTIME"), help="folder with onnxruntime-web")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.runtime:
        parser.error("--runtime must name a folder with onnxruntime-web; see README.md.")
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    command = ["-m", "explorer", "explore", "--no-browser", "--runtime", arguments.runtime]
    with serve(*command) as server, chromium() as browser:
        page = browser.new_context(viewport=SIZE).new_page()  # pyright: ignore[reportArgumentType]
        page.set_default_timeout(120_000)
        page.add_init_script(CLOCK)
        page.goto(server.address)
        page.wait_for_selector("#map .nsewdrag", state="attached")
        page.wait_for_selector("#engine[data-at=page]")
        page.wait_for_function("[...document.querySelectorAll('#strip button')].every((b) => b.matches('.ls-there'))")
        page.evaluate(WATCH)
        models: list[str] = page.locator("#strip button").evaluate_all("(all) => all.map((button) => button.dataset.model)")
        for _ in range(arguments.rounds):
            for model in [*models[1:], models[0]]:
                picture, drawn = switch(page, model)
                times[model]["picture_ms"].append(picture)
                times[model]["map_ms"].append(drawn)
                times[model]["decode_ms"].append(decode(page))
    result = {model: {name: statistics.median(values) for name, values in of.items()} for model, of in times.items()}
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
