"""From the hand to the picture: how long after a slider's input event its picture is painted, in a real Chromium.

Run by hand on an otherwise idle machine:  python tests/bench/latency.py [BUNDLE] [--json]

Method: the explorer runs as a process of its own. The mouse is pressed on the first slider and moved to and fro in steps, by
real browser input (DevTools protocol), each step after the picture of the one before has been painted. In the page, a
listener notes the time of each `input` event, and the first animation frame after the next drawing on #decoded ends the
measurement: that is when the browser paints it. `drag` repeats this with a move every 16 ms, whatever has been painted, and
counts the pictures shown per second.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import time

from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
WATCH = """
window.shown = []; window.asked = 0;
document.addEventListener('input', (event) => {
  if (event.target.closest('#sliders')) window.asked = performance.now();
}, true);
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...a) {
  put.apply(this, a);
  if (this.canvas.id !== 'decoded') return;
  const asked = window.asked;
  requestAnimationFrame(() => window.shown.push([asked, performance.now()]));
};
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="fashion-mnist")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "explorer", "explore", arguments.bundle, "--no-browser"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        address = next(m.group() for line in server.stdout if (m := re.search(r"http://[\d.]+:\d+", line)))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.add_init_script(WATCH)
            page.goto(address)
            page.wait_for_selector("#map .nsewdrag", state="attached")
            page.wait_for_timeout(3000)
            box = page.locator("#sliders input[type=range]").first.bounding_box()
            assert box is not None
            y = box["y"] + box["height"] / 2
            page.mouse.move(box["x"] + box["width"] / 2, y)
            page.mouse.down()
            steps = []
            for i in range(80):
                count = page.evaluate("window.shown.length")
                page.mouse.move(box["x"] + box["width"] * (0.2 + 0.6 * (i % 40) / 40), y)
                page.wait_for_function("(n) => window.shown.length > n", arg=count)
                asked, painted = page.evaluate("window.shown.at(-1)")
                steps.append(painted - asked)
            page.evaluate("window.shown.length = 0")
            start = time.perf_counter()
            for i in range(180):
                page.mouse.move(box["x"] + box["width"] * (0.2 + 0.6 * abs(i % 60 - 30) / 30), y)
                time.sleep(max(0.0, start + (i + 1) / 60 - time.perf_counter()))
            seconds = time.perf_counter() - start
            pictures = page.evaluate("window.shown.length")
            page.mouse.up()
            browser.close()
    finally:
        server.terminate()
    steps = sorted(steps[10:])
    result = {
        "median_ms": statistics.median(steps),
        "p95_ms": steps[int(0.95 * len(steps))],
        "steps": len(steps),
        "pictures_per_second_at_60_hz": pictures / seconds,
    }
    print(json.dumps(result) if arguments.json else "\n".join(f"{key}: {value:.4g}" for key, value in result.items()))


if __name__ == "__main__":
    main()
