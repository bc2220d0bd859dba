"""Shared by the benchmarks: a server in a subprocess, Chromium, mouse input at a steady rate, and a clock in the page.

Input is sent by the DevTools protocol's `Input.dispatchMouseEvent`. The events take the browser's own input path: they are
merged and aligned with frames like a mouse's, and have the browser's time stamp.

The clock (`CLOCK`) runs before the page's scripts. It records the time stamp of each pointer event, and stores the newest one
with every request for an image, to a worker or to the server. When a changed image is put on #decoded, it takes the stamp of
the newest answered request. The measurement ends with the first task after the frame that shows the image; the page draws in
an animation frame. A handler's time runs from the event's capture phase at the window to the end of its bubbling phase.
"""

import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SIZE = {"width": 1440, "height": 900}

CLOCK = """
(() => {
  const clock = (window.clock = { painted: [], handlers: [], requests: 0, last: 0, answered: 0, picture: "" });
  const began = new Map();
  for (const name of ["pointerrawupdate", "pointermove", "mousemove", "input"]) {
    addEventListener(name, (event) => {
      began.set(name, performance.now());
      // The other events have the time at which the page created them, not that of the input.
      if (name.startsWith("pointer")) clock.last = event.timeStamp;
    }, true);
    addEventListener(name, () => clock.handlers.push(performance.now() - began.get(name)));
  }
  const answer = (stamp) => { clock.answered = Math.max(clock.answered, stamp); };
  const Plain = window.Worker;
  window.Worker = class extends Plain {
    #stamps = new Map();
    constructor(...options) {
      super(...options);
      this.addEventListener("message", ({ data }) => { if (this.#stamps.has(data?.id)) answer(this.#stamps.get(data.id)); });
    }
    postMessage(request, ...rest) {
      // Requests for several images are filmstrips or tiles of the manifold, not responses to input.
      if (request?.n === 1) this.#stamps.set(request.id, clock.last);
      super.postMessage(request, ...rest);
    }
  };
  const ask = window.fetch;
  window.fetch = async (...request) => {
    const stamp = clock.last;
    clock.requests += 1;
    const response = await ask(...request);
    const json = response.json.bind(response);
    response.json = async () => { const value = await json(); answer(stamp); return value; };
    return response;
  };
  const put = CanvasRenderingContext2D.prototype.putImageData;
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }) => clock.painted.push([data, performance.now()]);
  CanvasRenderingContext2D.prototype.putImageData = function (image, ...rest) {
    put.call(this, image, ...rest);
    if (this.canvas.id !== "decoded") return;
    const picture = image.data.join();
    if (picture === clock.picture) return;
    clock.picture = picture;
    const stamp = clock.answered;
    port2.postMessage(stamp);
  };
})();
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class Server:
    """A running server: its address and process id."""

    address: str
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time used so far."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def serve(*command: str) -> Iterator[Server]:
    """Run a program that prints its address. Wait until it responds."""
    process = subprocess.Popen([sys.executable, "-u", *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = next(m.group() for line in process.stdout if (m := re.search(r"http://[\d.]+:\d+", line)))
        urllib.request.urlopen(address, timeout=60).read()
        yield Server(address, process.pid)
    finally:
        process.terminate()
        process.wait()


def explorer(bundle: str, runtime: str) -> list[str]:
    """The command that opens the explorer; `runtime` is a folder, or "none" for decoding on the server."""
    return ["-m", "explorer", "explore", bundle, "--no-browser", "--runtime", runtime]


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visit(browser: Browser, address: str, decodes: str, delay: int = 0) -> Iterator[Page]:
    """Open a page with the clock and wait for its map. `decodes` is "page" or "server"; `delay` is in ms."""
    context = browser.new_context(viewport=SIZE)  # pyright: ignore[reportArgumentType]
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(CLOCK)
    page.goto(address)
    page.wait_for_selector("#map .nsewdrag", state="attached")
    page.wait_for_selector(f"#engine[data-at={decodes}][title]")
    page.wait_for_timeout(3000)
    if delay:
        network = {"offline": False, "latency": delay, "downloadThroughput": -1, "uploadThroughput": -1}
        context.new_cdp_session(page).send("Network.emulateNetworkConditions", network)
    yield page
    context.close()


def move(
    page: Page, path: Callable[[float], tuple[float, float]], seconds: float, rate: int = 60, pressed: bool = False
) -> float:
    """Move the mouse along a path at a steady rate. Return the events sent per second."""
    session = page.context.new_cdp_session(page)
    event = {"type": "mouseMoved", "button": "left" if pressed else "none", "buttons": int(pressed)}
    start, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - start) < seconds:
        x, y = path(now)
        session.send("Input.dispatchMouseEvent", {**event, "x": x, "y": y})
        sent += 1
        time.sleep(max(0.0, start + sent / rate - time.perf_counter()))
    return sent / (time.perf_counter() - start)


def reset(page: Page) -> None:
    page.evaluate("Object.assign(clock, { painted: [], handlers: [], requests: 0 })")


def read(page: Page, seconds: float) -> dict[str, float]:
    """The figures of the clock since `reset`."""
    painted, handlers, requests = page.evaluate("[clock.painted, clock.handlers, clock.requests]")
    times = [end - start for start, end in painted if start]
    return {
        "pictures_per_second": len(painted) / seconds,
        "median_ms": statistics.median(times),
        "p95_ms": percentile(times, 95),
        "handler_p95_ms": percentile(handlers, 95),
        "handler_max_ms": max(handlers),
        "requests": requests,
    }


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share / 100 * len(ordered)))]


def show(result: Any, indent: str = "") -> None:
    """Print nested figures, one per line."""
    for key, value in result.items():
        if isinstance(value, dict):
            print(f"{indent}{key}")
            show(value, indent + "  ")
        else:
            print(f"{indent}{key}: {value:.4g}" if isinstance(value, float) else f"{indent}{key}: {value}")
