"""Size of an exported static page, and time to its first image, to an image that a slider can change, and to decoding.

Run by hand on an otherwise idle machine:
python tests/bench/standalone.py --runtime DIR [BUNDLE] [--rounds 5] [--mbit 20] [--json]

Method: the folder is exported and served by Python's `http.server`, without compression. Each round is a new browser context
with an empty cache. Times are measured by the page's clock. `--mbit` limits the network speed, with 40 ms of delay.

total_mb, parts_mb   size of the folder and of its parts, MB
baked_s              first contentful paint, with the image that is part of the HTML; median in seconds
first_picture_s      first task after the frame in which the scripts drew the image and the sliders exist; median in seconds
page_decodes_s       time until the page decodes itself; median in seconds
visit_mb             data fetched until then, MB
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

from first_picture import FIRST
from measure import SIZE, chromium, serve, show
from playwright.sync_api import Browser

from explorer.publish.static_site import export

READ = """[performance.getEntriesByName("first-contentful-paint")[0].startTime, window.first, window.own]
  .map((time) => time / 1000)"""


def once(browser: Browser, address: str, mbit: float) -> list[float]:
    """Seconds to the image in the HTML, to the first drawn image and until the page decodes; megabytes fetched."""
    context = browser.new_context(viewport=SIZE)  # pyright: ignore[reportArgumentType]
    page = context.new_page()
    page.set_default_timeout(180_000)
    page.add_init_script(FIRST)
    fetched: list[float] = []
    if mbit:
        speed = {"offline": False, "latency": 40, "downloadThroughput": mbit * 125_000, "uploadThroughput": mbit * 125_000}
        context.new_cdp_session(page).send("Network.emulateNetworkConditions", speed)
    page.on("requestfinished", lambda request: fetched.append(request.sizes()["responseBodySize"] / 1e6))
    page.goto(address)
    page.wait_for_selector("#engine[data-at=page][title]")
    baked, first, own = page.evaluate(READ)
    context.close()
    return [baked, first, own, sum(fetched)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="fashion-mnist")
    parser.add_argument("--runtime", default=os.environ.get("LATENTSCAPE_RUNTIME"), help="folder with onnxruntime-web")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mbit", type=float, default=0, help="megabits per second; unlimited if not given")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        parts = {name: size / 1e6 for name, size in export(arguments.bundle, site, arguments.runtime).items()}
        command = ["-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(site)]
        with serve(*command) as server, chromium() as browser:
            once(browser, server.address, arguments.mbit)  # the first visit reads from disk
            rounds = [once(browser, server.address, arguments.mbit) for _ in range(arguments.rounds)]
    names = ("baked_s", "first_picture_s", "page_decodes_s", "visit_mb")
    medians = dict(zip(names, (statistics.median(column) for column in zip(*rounds, strict=True)), strict=True))
    result = {"total_mb": sum(parts.values()), "parts_mb": parts, **medians}
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
