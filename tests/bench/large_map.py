"""A map of many points in a browser without a GPU: time until visible, frame times, lasso, search and memory.

Run by hand on an otherwise idle machine:

    latentscape encode fashion-mnist --data DATA --no-scores --out points.parquet      (or: million.py --keep points.parquet)
    python tests/bench/large_map.py points.parquet [--bundle fashion-mnist] --runtime DIR [--rounds 3] [--json]

Method: one explorer, and a new browser of 1440x900 for each round. Figures are medians over rounds.

visible_s     from navigation to the first task after the frame in which the raster has points, by the page's clock
zoom, pan     three seconds of input at 60 Hz: the wheel in and out at the centre, or a drag in circles. Time between frames
              (median_ms, p95_ms), rasters drawn per second, and backlog_ms: time from the last input to the last raster; it
              includes the raster of all points that is drawn 120 ms after the input ends
lasso         a polygon of 60 corners around about half of the points: time from releasing the button to the count on the page
              (ms), the count, and NumPy's count for the same corners and the file's positions (exact)
search_ms     from the last key to the count on the page, for a word that a tenth of the points match
browser_mb    sum of the proportional set sizes (PSS) of all browser processes at the end, MB
decoding_mb   the same after a latent was changed and the page has decoded an image
"""

import argparse
import itertools
import json
import math
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from measure import chromium, move, percentile, serve, show
from playwright.sync_api import Browser, Page

CLOCK = """
window.seen = { rasters: [], frames: [], first: null, count: null };
const { port1, port2 } = new MessageChannel();
port1.onmessage = () => { seen.first ??= performance.now(); };
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (image, ...rest) {
  put.call(this, image, ...rest);
  if (this.canvas.id !== "raster") return;
  seen.rasters.push(performance.now());
  if (seen.first === null && image.data.some((value) => value)) port2.postMessage(0);
};
const tick = (now) => { seen.frames.push(now); requestAnimationFrame(tick); };
requestAnimationFrame(tick);
addEventListener("pointerup", () => { seen.up = performance.now(); seen.count = null; }, true);
addEventListener("keydown", () => { seen.up = performance.now(); seen.count = null; }, true);
new MutationObserver(() => {
  const group = document.querySelector("#group");
  if (!group || group.hidden || seen.count !== null) return;
  Object.assign(seen, { count: Number(group.dataset.count), counted: performance.now() });
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-count", "hidden"] });
"""
SECONDS = 3.0


def frames_during(page: Page, act: Any) -> dict[str, float]:
    """The frames and rasters that the page draws during `act` and for two seconds after it."""
    page.evaluate("Object.assign(seen, { rasters: [], frames: [] })")
    act()
    ended = page.evaluate("performance.now()")
    page.wait_for_timeout(2000)
    rasters, frames = page.evaluate("[seen.rasters, seen.frames]")
    during = [time for time in frames if time <= ended]
    gaps = [b - a for a, b in itertools.pairwise(during)]
    return {
        "median_ms": statistics.median(gaps),
        "p95_ms": percentile(gaps, 95),
        "rasters_per_second": sum(time <= ended for time in rasters) / SECONDS,
        "backlog_ms": max(0.0, max(rasters, default=ended) - ended),
    }


def wheel(page: Page, x: float, y: float) -> None:
    """Zoom in for half of the time, then out."""
    session = page.context.new_cdp_session(page)
    start = sent = 0
    start = time.perf_counter()
    while (now := time.perf_counter() - start) < SECONDS:
        delta = -40 if now < SECONDS / 2 else 40
        session.send("Input.dispatchMouseEvent", {"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": delta})
        sent += 1
        time.sleep(max(0.0, start + sent / 60 - time.perf_counter()))


def drag(page: Page, x: float, y: float) -> None:
    page.mouse.move(x, y)
    page.mouse.down()
    move(page, lambda now: (x + 120 * math.sin(3 * now), y + 90 * math.sin(4 * now)), SECONDS, pressed=True)
    page.mouse.up()


def map_positions(page: Page, spots: list[tuple[float, float]]) -> np.ndarray:
    """The map positions of points on the screen."""
    script = """(spots) => { const m = document.querySelector('#map'), b = m.getBoundingClientRect();
    const { xaxis, yaxis } = m._fullLayout;
    return spots.map(([x, y]) => [xaxis.p2d(x - b.left - xaxis._offset), yaxis.p2d(y - b.top - yaxis._offset)]); }"""
    return np.array(page.evaluate(script, spots))


def within(corners: np.ndarray, points: np.ndarray) -> int:
    """The number of points in a polygon, by the even-odd rule."""
    inside = np.zeros(len(points), bool)
    x, y = points.astype(float).T
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, 1, 0), strict=True):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return int(inside.sum())


def lasso(page: Page, box: Any, points: np.ndarray) -> dict[str, float]:
    page.click("#lasso")
    x, y, side = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, min(box["width"], box["height"]) / 2 - 10
    turns = [2 * math.pi * i / 60 for i in range(60)]
    spots = [(round(x + side * math.cos(t)), round(y + side * math.sin(t) * (0.8 + 0.2 * math.cos(5 * t)))) for t in turns]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot)
    page.mouse.up()
    page.wait_for_function("seen.count !== null")
    count, took = page.evaluate("[seen.count, seen.counted - seen.up]")
    exact = within(map_positions(page, spots), points)
    page.click("#ungroup")
    return {"ms": took, "count": count, "exact": exact}


def search(page: Page, word: str) -> float:
    page.fill("#find", word[:-1])
    page.wait_for_timeout(2000)
    page.press("#find", word[-1])
    page.wait_for_function("seen.count !== null")
    took = page.evaluate("seen.counted - seen.up")
    page.fill("#find", "")
    return took


def memory(pattern: str) -> float:
    """Memory (PSS, MB) of all processes whose command line contains `pattern`."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if pattern in (folder / "cmdline").read_text().replace("\0", " "):
                line = next(line for line in (folder / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
                total += int(line.split()[1]) * 1024
        except (OSError, StopIteration):
            continue
    return total / 1e6


def once(browser: Browser, address: str, points: np.ndarray, word: str) -> dict[str, Any]:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(CLOCK)
    page.goto(address)
    page.wait_for_function("seen.first !== null")
    visible = page.evaluate("seen.first") / 1000
    page.wait_for_selector("#engine[title]")
    page.wait_for_timeout(4000)
    box = page.locator("#map .nsewdrag").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    figures = {
        "visible_s": visible,
        "zoom": frames_during(page, lambda: wheel(page, *middle)),
        "pan": frames_during(page, lambda: drag(page, *middle)),
    }
    page.mouse.dblclick(*middle)
    page.wait_for_timeout(1500)
    figures |= {"lasso": lasso(page, box, points), "search_ms": search(page, word), "browser_mb": memory("chromium")}
    page.locator("#sliders input[type=range]").first.press("ArrowRight")
    page.wait_for_selector("#engine[data-at=page][title]")
    page.wait_for_timeout(2000)
    return {**figures, "decoding_mb": memory("chromium")}


def median(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over rounds."""
    return {
        key: median([one[key] for one in rounds])
        if isinstance(value, dict)
        else statistics.median([one[key] for one in rounds])
        for key, value in rounds[0].items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encodings", type=Path)
    parser.add_argument("--bundle", default="fashion-mnist")
    parser.add_argument("--runtime", default=os.environ.get("LATENTSCAPE_RUNTIME"), help="folder with onnxruntime-web")
    parser.add_argument("--word", default="sandal", help="to search for")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.runtime:
        parser.error("--runtime must name a folder with onnxruntime-web; see README.md.")
    table = pq.read_table(arguments.encodings, columns=["x", "y"])
    points = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], 1)
    command = ["-m", "explorer", "explore", arguments.bundle, "--encodings", str(arguments.encodings), "--no-browser"]
    rounds = []
    with serve(*command, "--runtime", arguments.runtime) as server:
        time.sleep(5)  # the server reads the labels in the background
        for _ in range(arguments.rounds):
            with chromium() as browser:
                rounds.append(once(browser, server.address, points, arguments.word))
    result = {"points": len(points), **median(rounds)}
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
