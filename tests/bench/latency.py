"""Latency from an input to its image, and images per second, for the map and the sliders.

Run by hand on an otherwise idle machine:  python tests/bench/latency.py --runtime DIR [BUNDLE] [--json]

Method (measure.py describes input and clock). All of it runs in one browser:
- `lens` and `slider`: the mouse moves at 60 Hz for five seconds, over the map on a Lissajous curve, or back and forth on the
  first slider with the button pressed. The screen is drawn at 60 Hz too, so the phase between the two shifts every figure by
  up to a frame. The five seconds therefore have five different phases.
- Each is measured with decoding in the page and on the server, without and with 200 ms of network delay (DevTools emulation).
- `steps`: one slider movement at a time, each sent after the previous image and a fifth of a frame later than the last. The
  explorer is compared with a plain Gradio app (slider.input → gr.Image with Gradio's defaults) with the same bundle.

pictures_per_second             changed images per second
median_ms, p95_ms               time from the browser's time stamp of the input to the first task after the frame with its image
handler_p95_ms, handler_max_ms  duration of the page's event handlers
events_per_second, requests     inputs sent per second, requests of the page during the measurement
last_value_lost                 whether the final image differs from torch's by more than one level
server_cpu                      processor time of the server per second, in cores
ratio                           median_ms of the plain Gradio app divided by the explorer's
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from measure import chromium, explorer, free_port, move, percentile, read, reset, serve, show, visit
from playwright.sync_api import Browser, Page

import core
from core.data.preprocessing import to_bytes

SECONDS = 5.0
REST = 150  # ms between steps: Gradio drops events that arrive before the previous one is done
PHASES = 5
DELAY = 200

PLAIN = """
import gradio as gr, torch, core
from core.data.preprocessing import to_pil
from explorer.describe import decode
bundle = core.load({bundle!r})
def draw(value):
    z = torch.zeros(1, bundle.vae.prior.latents)
    z[0, bundle.gallery.mean.var(0).argmax()] = value
    return to_pil(decode(bundle, z)[0])
with gr.Blocks(analytics_enabled=False) as page:
    slider, image = gr.Slider(-4, 4, 0, step=0.01), gr.Image()
    slider.input(draw, slider, image)
page.launch(server_port={port}, ssr_mode=False)
"""
PLAIN_CLOCK = """
window.steps = []; let last = 0;
addEventListener("pointermove", (event) => { last = event.timeStamp; }, true);
const { port1, port2 } = new MessageChannel();
port1.onmessage = () => window.steps.push(performance.now() - last);
document.addEventListener("load", ({ target }) => {
  if (target.tagName === "IMG") requestAnimationFrame(() => port2.postMessage(0));
}, true);
"""


def box_of(page: Page, selector: str) -> tuple[float, float, float, float]:
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def sweep(page: Page, path: Callable[[float], tuple[float, float]], pressed: bool = False) -> float:
    """Move along a path for `SECONDS`, in parts of a second, each a fifth of a frame later than the previous one."""
    parts = round(SECONDS)
    rates = []
    for part in range(parts):
        time.sleep(part / parts / 60)
        rates.append(move(page, lambda t, part=part: path(t + part), SECONDS / parts, pressed=pressed))
    return statistics.mean(rates)


def lens(page: Page) -> dict[str, float]:
    """Move over the map."""
    x, y, width, height = box_of(page, "#map .nsewdrag")

    def path(t: float) -> tuple[float, float]:
        return x + width * (0.5 + 0.4 * math.sin(0.9 * t)), y + height * (0.5 + 0.4 * math.sin(1.3 * t + 1))

    move(page, path, 0.5)
    reset(page)
    sent = sweep(page, path)
    page.wait_for_timeout(600)
    return {"events_per_second": sent, **read(page, SECONDS)}


def slider(page: Page, bundle: core.Bundle) -> dict[str, float]:
    """Drag the first slider back and forth, and check that the image of its last value is shown."""
    x, y, width, height = box_of(page, "#sliders input[type=range]")
    page.mouse.move(x + 0.5 * width, y + height / 2)
    page.mouse.down()
    reset(page)
    sent = sweep(page, lambda t: (x + width * (0.5 + 0.4 * math.sin(1.7 * t)), y + height / 2), pressed=True)
    figures = read(page, SECONDS)
    page.mouse.up()
    page.wait_for_timeout(1500)
    z = page.evaluate("new URLSearchParams(location.search).get('z')").split(",")
    shown = page.evaluate(
        "(() => { const c = document.querySelector('#decoded');"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 < 3); })()"
    )
    with torch.no_grad():
        mean = to_bytes(bundle.vae.decode(torch.tensor([[float(value) for value in z]])).mean)[0]
    expected = mean.expand(3, -1, -1).permute(1, 2, 0).flatten().numpy().astype(int)
    return {"events_per_second": sent, **figures, "last_value_lost": bool(np.abs(np.array(shown) - expected).max() > 1)}


def steps(page: Page, selector: str, painted: str, times: str, count: int = 60) -> dict[str, float]:
    """Send one movement at a time. `painted` is the number of images so far, `times` their latencies."""
    x, y, width, height = box_of(page, selector)
    page.mouse.move(x + 0.5 * width, y + height / 2)
    page.mouse.down()
    for i in range(count):
        before = page.evaluate(painted)
        page.mouse.move(x + width * (0.2 + 0.6 * ((7 * i) % 40) / 40), y + height / 2)
        page.wait_for_function(f"(n) => {painted} > n", arg=before)
        page.wait_for_timeout(REST + i % PHASES / PHASES * 1000 / 60)
    page.mouse.up()
    taken = page.evaluate(times)[10:]
    return {"median_ms": statistics.median(taken), "p95_ms": percentile(taken, 95)}


def ours(browser: Browser, address: str, decodes: str) -> dict[str, float]:
    with visit(browser, address, decodes) as page:
        reset(page)
        return steps(
            page, "#sliders input[type=range]", "clock.painted.length", "clock.painted.map(([start, end]) => end - start)"
        )


def plain(browser: Browser, bundle: str) -> dict[str, float]:
    with serve("-c", PLAIN.format(bundle=bundle, port=free_port())) as server:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(PLAIN_CLOCK)
        page.goto(server.address)
        page.wait_for_selector("input[type=range]")
        page.wait_for_timeout(3000)
        return steps(page, "input[type=range]", "steps.length", "steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="fashion-mnist")
    parser.add_argument("--runtime", default=os.environ.get("LATENTSCAPE_RUNTIME"), help="folder with onnxruntime-web")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.runtime:
        parser.error("--runtime must name a folder with onnxruntime-web; see README.md.")
    bundle = core.load(arguments.bundle)
    result: dict[str, dict[str, Any]] = {}
    with chromium() as browser:
        for decodes, runtime in (("page", arguments.runtime), ("server", "none")):
            with serve(*explorer(arguments.bundle, runtime)) as server:
                for delay in (0, DELAY):
                    with visit(browser, server.address, decodes, delay) as page:
                        cpu = server.cpu_seconds()
                        figures: dict[str, Any] = {"lens": lens(page), "slider": slider(page, bundle)}
                        figures["server_cpu"] = (server.cpu_seconds() - cpu) / (2 * SECONDS)
                        result[f"{decodes}, {delay} ms"] = figures
                        print(f"{decodes}, {delay} ms: {json.dumps(figures)}", file=sys.stderr)
                result[f"steps, {decodes}"] = ours(browser, server.address, decodes)
                print(f"steps, {decodes}: {json.dumps(result[f'steps, {decodes}'])}", file=sys.stderr)
        result["steps, plain Gradio"] = plain(browser, arguments.bundle)
    medians = {name: figures["median_ms"] for name, figures in result.items() if name.startswith("steps")}
    result["ratio"] = {name: medians["steps, plain Gradio"] / median for name, median in medians.items()}
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
