"""Fixtures of the browser tests: a real `latentscape explore` process and Chromium.

Without Chromium the tests are skipped. In CI they fail.
"""

import os
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from sessions import serving

from explorer.app.catalogue import Catalogue

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
HERE = Path(__file__).parent
PRETRAINED = Catalogue.of([]).names

# The awaited changes take milliseconds. A busy machine may need longer, and this must not fail the test.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def pretrained_models() -> list[str]:
    """The names of the pretrained models, in the order of the page."""
    return PRETRAINED


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize tests that use `each_model` with the names of the pretrained models."""
    if "each_model" in metafunc.fixturenames:
        metafunc.parametrize("each_model", PRETRAINED)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.browser)
        if CHROMIUM is None and not os.environ.get("CI"):
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine"))


@contextmanager
def run_explorer(*arguments: str, runtime: str | None = None) -> Iterator[str]:
    """Run `latentscape explore` with these arguments on the pretrained models and yield its address."""
    if runtime is not None:
        arguments = (*arguments, "--runtime", runtime)
    with serving({"LATENTSCAPE_RUNTIME": ""}, Path.cwd(), "explore", *arguments) as address:
        wait_for(address)
        yield address


@pytest.fixture(scope="session")
def start_explorer() -> Callable[..., AbstractContextManager[str]]:
    """Return `run_explorer`, for tests that need a server of their own."""
    return run_explorer


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a server that decodes; the page has no runtime."""
    with run_explorer(runtime="none") as address:
        yield address


@pytest.fixture(scope="session")
def page_server(runtime: Path) -> Iterator[str]:
    """The address of a server whose page decodes with the runtime from a local folder."""
    with run_explorer(runtime=str(runtime)) as address:
        yield address


@pytest.fixture(scope="session")
def cdn_server() -> Iterator[str]:
    """The address of a server without the option --runtime: its page requests the runtime from the public CDN."""
    with run_explorer() as address:
        yield address


@pytest.fixture(scope="session")
def mcp_server() -> Iterator[str]:
    """The address of a server whose endpoints are also MCP tools."""
    with run_explorer("--mcp", runtime="none") as address:
        yield address


def wait_for(address: str, seconds: float = 60) -> None:
    """Wait until the address responds. Raises TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=5).read()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"{address} did not answer for {seconds} s")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "CI must have a Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def graphics_browser(browser: Browser) -> Iterator[Browser]:
    """A second Chromium with WebGPU on a software graphics processor (SwiftShader)."""
    flags = [flag for flag in FLAGS if flag != "--disable-gpu"] + ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    webgpu_browser = browser.browser_type.launch(executable_path=CHROMIUM, args=flags)
    yield webgpu_browser
    webgpu_browser.close()


class Visitor:
    """One visitor's page, which must have no console errors and send no requests except to its address and `allowed`."""

    def __init__(self, context: BrowserContext, address: str, allowed: tuple[str, ...] = ()) -> None:
        self.address = address
        self.allowed = (address, address.replace("http", "ws"), "data:", "blob:", *allowed)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(90_000)
        self.page.on("console", lambda m: self.errors.append(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.errors.append(f"page: {e}"))
        self.page.on("request", lambda r: self._check(r.url))

    def _check(self, url: str) -> None:
        self.requests.append(url)
        if not url.startswith(self.allowed):
            self.errors.append(f"left the machine: {url}")

    def open(self, query: str = "") -> Page:
        """Open the explorer and wait until the map and the first image are drawn."""
        self.page.goto(self.address + query)
        self.page.wait_for_function("document.querySelector('#decoded')?.width > 0 && document.querySelector('#sliders input')")
        self.page.wait_for_selector("#map .nsewdrag", state="attached")
        self.page.wait_for_function("!document.querySelector('#map-marker').hidden")
        return self.page


@pytest.fixture(scope="session")
def pixels() -> Callable[[Page, str], np.ndarray]:
    """Return a function that reads the pixels of a canvas or an image element as grey levels (H, W)."""

    def read(page: Page, selector: str) -> np.ndarray:
        width_height_rgba = page.locator(selector).evaluate(
            """(shown) => {
              let canvas = shown;
              if (shown.tagName === "IMG") {
                canvas = document.createElement("canvas");
                Object.assign(canvas, { width: shown.naturalWidth, height: shown.naturalHeight });
                canvas.getContext("2d").drawImage(shown, 0, 0);
              }
              const { width, height } = canvas;
              return [width, height, [...canvas.getContext("2d").getImageData(0, 0, width, height).data]];
            }"""
        )
        return np.array(width_height_rgba[2], dtype=np.uint8).reshape(width_height_rgba[1], width_height_rgba[0], 4)[..., 0]

    return read


@pytest.fixture
def visit(browser: Browser, server: str) -> Iterator:
    """Return a function that creates visitors, each with a separate browser context. Teardown checks that none had an error."""
    visitors: list[Visitor] = []
    contexts: list[BrowserContext] = []

    def make(
        width: int = 1440,
        height: int = 900,
        scheme: str = "light",
        touch: bool = False,
        address: str = server,
        allowed: tuple[str, ...] = (),
    ) -> Visitor:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # pyright: ignore[reportArgumentType]
            accept_downloads=True,
            has_touch=touch,
            is_mobile=touch,
            permissions=["clipboard-read", "clipboard-write", "camera"],
        )
        contexts.append(context)
        visitors.append(Visitor(context, address, allowed))
        return visitors[-1]

    yield make
    for context in contexts:
        context.close()
    assert [error for visitor in visitors for error in visitor.errors] == []
