"""How large an exported page is, and how soon after navigation it shows a picture, moves one, and decodes by itself.

Run by hand on an otherwise idle machine:  python tests/bench/standalone.py --runtime DIR [BUNDLE] [--mbit 20] [--json]

Method: the folder is exported and handed out by Python's plain file server, which packs nothing. Each round is a fresh browser
context with an empty cache. `baked_s` is the first contentful paint, which has the baked picture in it; `first_picture_s` the
first task after the frame in which the page's scripts drew it with the sliders in place; `page_decodes_s` when the decoder had
taken over; all by the page's own clock, medians. `visit_mb` is what a visit has fetched by then. `--mbit` narrows the network,
with 40 ms of delay.
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
    """Seconds to the baked picture, to the first one that can be moved, and until the page decodes; megabytes fetched."""
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
    parser.add_argument("--mbit", type=float, default=0, help="megabits a second; as fast as it goes if not given")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        parts = {name: size / 1e6 for name, size in export(arguments.bundle, site, arguments.runtime).items()}
        command = ["-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(site)]
        with serve(*command) as server, chromium() as browser:
            once(browser, server.address, arguments.mbit)  # the first reads the disk
            rounds = [once(browser, server.address, arguments.mbit) for _ in range(arguments.rounds)]
    names = ("baked_s", "first_picture_s", "page_decodes_s", "visit_mb")
    medians = dict(zip(names, (statistics.median(column) for column in zip(*rounds, strict=True)), strict=True))
    result = {"total_mb": sum(parts.values()), "parts_mb": parts, **medians}
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
