"""Time to the first image that a slider can change, with decoding in the page and on the server.

Run by hand on an otherwise idle machine:  python tests/bench/first_picture.py --runtime DIR [BUNDLE] [--rounds 5] [--json]

Method: two explorers run. The page of one decodes itself, with the runtime from a local folder; the other decodes on the
server and loads no runtime. Each round visits both in new browser contexts with empty caches. The time is the page's clock,
from the start of navigation to the first task after the frame in which #decoded has its first image and the sliders exist.

first_picture_s   decoding in the page, median in seconds
without_s         decoding on the server, median in seconds
ratio             first_picture_s / without_s
page_decodes_s    time until the page decodes itself, median in seconds
"""

import argparse
import json
import os
import statistics

from measure import SIZE, chromium, explorer, serve, show
from playwright.sync_api import Browser

FIRST = """
const { port1, port2 } = new MessageChannel();
port1.onmessage = () => { window.first ??= performance.now(); };
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...image) {
  put.apply(this, image);
  if (this.canvas.id === "decoded" && document.querySelector("#sliders input")) port2.postMessage(0);
};
new MutationObserver(() => {
  if (document.querySelector("#engine[data-at=page]")) window.own ??= performance.now();
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-at"] });
"""


def once(browser: Browser, address: str, decodes: str) -> tuple[float, float | None]:
    """Seconds to the first image, and until the page decodes (None if it does not)."""
    context = browser.new_context(viewport=SIZE)  # pyright: ignore[reportArgumentType]
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(FIRST)
    page.goto(address)
    page.wait_for_selector(f"#engine[data-at={decodes}][title]")
    page.wait_for_function("window.first")
    first, own = page.evaluate("[window.first, window.own ?? null]")
    context.close()
    return first / 1000, own and own / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="fashion-mnist")
    parser.add_argument("--runtime", default=os.environ.get("LATENTSCAPE_RUNTIME"), help="folder with onnxruntime-web")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.runtime:
        parser.error("--runtime must name a folder with onnxruntime-web; see README.md.")
    with (
        serve(*explorer(arguments.bundle, arguments.runtime)) as page_server,
        serve(*explorer(arguments.bundle, "none")) as server,
        chromium() as browser,
    ):
        once(browser, page_server.address, "page")  # the first visit of each reads from disk
        once(browser, server.address, "server")
        rounds = [
            (once(browser, page_server.address, "page"), once(browser, server.address, "server"))
            for _ in range(arguments.rounds)
        ]
    in_page, on_server = (statistics.median(pair[i][0] for pair in rounds) for i in (0, 1))
    result = {
        "first_picture_s": in_page,
        "without_s": on_server,
        "ratio": in_page / on_server,
        "page_decodes_s": statistics.median(pair[0][1] or 0.0 for pair in rounds),
    }
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
