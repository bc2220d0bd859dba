"""An exported Hugging Face Space in a new environment with only its requirements: size, start time, memory, correct images.

Run by hand:  python tests/bench/space.py [BUNDLE] --runtime DIR [--environment DIR] [--without-index] [--json]

Method: `latentscape export BUNDLE --space` writes the folder. A new virtual environment gets what Spaces would install: the
requirements, and Gradio at the card's sdk_version. An existing `--environment` is used as it is. `--without-index` omits the
index of torch's CPU wheels, for a machine without access to it. `python app.py` then runs in another folder without
PYTHONPATH. Chromium visits the page, and every image is compared with core's result; the first difference is an error.

size_mb       size of the folder, MB
install_s     time to create the environment, seconds
packages      number of installed packages
start_s       time to the first response, seconds
seen N        the checks that passed
resident_mb   resident memory of the server at the end, MiB
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from measure import SIZE, chromium, show
from playwright.sync_api import Page, expect

import core
from core.data.preprocessing import to_bytes, to_png
from explorer.describe import describe

READ = "(c) => [c.width, c.height, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"


def install(folder: Path, environment: Path, index: bool) -> float:
    """Create the Space's environment. Return the duration in seconds."""
    began = time.monotonic()
    card = (folder / "README.md").read_text(encoding="utf-8")
    found = re.search(r'^sdk_version: "(.+)"$', card, re.MULTILINE)
    assert found is not None
    lines = (folder / "requirements.txt").read_text().splitlines()
    wanted = environment.with_suffix(".txt")
    wanted.write_text("\n".join(line for line in lines if index or not line.startswith("--")) + "\n")
    venv.create(environment, with_pip=True)
    subprocess.run([environment / "bin" / "pip", "install", "-q", f"gradio=={found[1]}", "-r", wanted], check=True)
    return time.monotonic() - began


@contextmanager
def serve(folder: Path, environment: Path, runtime: str) -> Iterator[tuple[str, int]]:
    """Run the Space's app outside of its folder. Yield its address and process id."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    process = subprocess.Popen(
        [environment / "bin" / "python", folder / "app.py"],
        cwd=environment,
        env={**kept, "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "LATENTSCAPE_RUNTIME": runtime},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = next(m.group() for line in process.stdout if (m := re.search(r"http://[\d.]+:\d+", line)))
        urllib.request.urlopen(address, timeout=60).read()
        yield address, process.pid
    finally:
        process.terminate()
        assert process.wait(60) == 0, "SIGTERM must end the app with status 0"


def shown(page: Page, selector: str) -> np.ndarray:
    """The content of a canvas as grey levels (H, W)."""
    width, height, pixels = page.locator(selector).evaluate(READ)
    return np.array(pixels, dtype=np.uint8).reshape(height, width, 4)[..., 0]


def wait_until_idle(page: Page, part: str) -> None:
    page.wait_for_timeout(100)
    expect(page.locator(part)).to_have_attribute("aria-busy", "false", timeout=60_000)


def decoded(bundle: core.Bundle, z: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return to_bytes(bundle.vae.decode(z.reshape(1, -1)).mean)[0, 0].numpy()


def assert_same(actual: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(actual.astype(int) - expected).max() <= 1, "the page's image differs from core's"


def drive(page: Page, bundle: core.Bundle, decodes: str) -> list[str]:
    """Use the page like a visitor. Return the checks that passed."""
    done = []
    gallery = bundle.gallery
    assert gallery is not None
    page.wait_for_selector("#map .nsewdrag", state="attached")
    page.wait_for_selector(f"#engine[data-at={decodes}][title]")
    wait_until_idle(page, ".ls-explore")
    assert_same(shown(page, "#decoded"), decoded(bundle, gallery.mean[0]))
    done.append("the first image equals core's")
    slider = page.locator("#sliders input[type=range]").first
    latent = int(page.locator("#sliders [data-latent]").first.get_attribute("data-latent") or -1)
    before = shown(page, "#decoded")
    high = float(slider.get_attribute("max") or 0)
    slider.focus()
    slider.press("End")
    wait_until_idle(page, ".ls-explore")
    z = gallery.mean[0].clone()
    z[latent] = high
    assert_same(shown(page, "#decoded"), decoded(bundle, z))
    assert (shown(page, "#decoded") != before).any()
    done.append("the image after a slider movement equals core's")
    box = page.locator("#map .nsewdrag").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.move(5, 5)
    wait_until_idle(page, ".ls-explore")
    assert (shown(page, "#decoded") != decoded(bundle, z)).any()
    done.append("a click on the map changes the image")
    page.get_by_role("tab", name="Samples").click()
    expect(page.locator("#samples button")).to_have_count(64)
    done.append("64 samples of the prior are shown")
    page.get_by_role("tab", name="Encode").click()
    expect(page.locator(".ls-encode")).to_have_attribute("aria-busy", "false", timeout=60_000)
    picture = {"name": "image.png", "mimeType": "image/png", "buffer": to_png(gallery.images[7])}
    page.locator("#upload input[type=file]").set_input_files(files=[picture])  # pyright: ignore[reportArgumentType]
    expect(page.locator("#encode-body")).to_be_visible(timeout=60_000)
    wait_until_idle(page, ".ls-encode")
    record = describe(bundle, gallery.images[7:8])[0]
    expect(page.locator("#numbers")).to_contain_text(f"{abs(record['elbo']):.1f} nats")
    assert_same(shown(page, "#reconstruction"), decoded(bundle, torch.tensor(record["mean"])))
    done.append("the encoding of an upload equals core's")
    return done


def resident(pid: int) -> float:
    """Resident memory of a process, MiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="fashion-mnist")
    parser.add_argument(
        "--runtime",
        default=os.environ.get("LATENTSCAPE_RUNTIME", "none"),
        type=lambda named: named if named == "none" else str(Path(named).resolve()),  # the app runs in another folder
    )
    parser.add_argument("--environment", type=Path, help="a virtual environment; created if it does not exist")
    parser.add_argument("--without-index", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    bundle, result = core.load(arguments.bundle), {}
    with tempfile.TemporaryDirectory() as scratch:
        folder, environment = Path(scratch) / "space", arguments.environment or Path(scratch) / "environment"
        subprocess.run([sys.executable, "-m", "explorer", "export", arguments.bundle, folder, "--space"], check=True)
        result["size_mb"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
        if not environment.exists():
            result["install_s"] = install(folder, environment, not arguments.without_index)
        listed = subprocess.run([environment / "bin" / "pip", "list", "--format=json"], capture_output=True, check=True).stdout
        result["packages"] = len(json.loads(listed))
        began = time.monotonic()
        with serve(folder, environment, arguments.runtime) as (address, pid), chromium() as browser:
            result["start_s"] = time.monotonic() - began
            context = browser.new_context(viewport=SIZE)  # pyright: ignore[reportArgumentType]
            page, errors = context.new_page(), []
            page.set_default_timeout(120_000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.goto(address)
            for i, done in enumerate(drive(page, bundle, "server" if arguments.runtime == "none" else "page")):
                result[f"seen {i + 1}"] = done
            assert errors == [], errors
            result["resident_mb"] = resident(pid)
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
