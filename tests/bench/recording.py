"""Record the README's animation of the page as a GIF: the pointer on the map, then a slider.

Run by hand:  python tests/bench/recording.py --runtime DIR --out explorer.gif [MODEL]

Method: the page has all pretrained models, as after `latentscape`; MODEL is shown. The mouse moves step by step, and a
screenshot is taken after each step. The animation is therefore smooth on any machine and does not show speed; latency.py
measures that.
"""

import argparse
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path

from measure import chromium, serve, visit
from PIL import Image, ImageDraw
from playwright.sync_api import Page

STEPS = 23
POINTER = [(0, 0), (0, 17), (4, 13), (7, 19), (10, 18), (7, 12), (12, 12)]


def screenshot(page: Page, x: float, y: float) -> Image.Image:
    """A screenshot of the page with a pointer drawn at (x, y), because screenshots do not show it."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    ImageDraw.Draw(image).polygon([(x + a, y + b) for a, b in POINTER], fill="white", outline="black")
    return image.resize((image.width * 5 // 8, image.height * 5 // 8), Image.Resampling.LANCZOS)


def frames_of(page: Page) -> Iterator[Image.Image]:
    box = page.locator("#map .nsewdrag").bounding_box()
    slider = page.locator("#sliders input[type=range]").first.bounding_box()
    assert box is not None
    assert slider is not None
    for i in range(STEPS):
        angle = 2 * math.pi * i / STEPS
        x = box["x"] + box["width"] * (0.45 + 0.32 * math.cos(angle))
        y = box["y"] + box["height"] * (0.5 + 0.34 * math.sin(angle))
        page.mouse.move(x, y)
        page.wait_for_timeout(120)
        yield screenshot(page, x, y)
    y = slider["y"] + slider["height"] / 2
    page.mouse.move(slider["x"] + slider["width"] / 2, y)
    page.mouse.down()
    for i in range(STEPS):
        x = slider["x"] + slider["width"] * (0.5 + 0.38 * math.sin(2 * math.pi * i / STEPS))
        page.mouse.move(x, y)
        page.wait_for_timeout(120)
        yield screenshot(page, x, y)
    page.mouse.up()


def quantized(frames: list[Image.Image]) -> list[Image.Image]:
    """Quantize all frames to the same 256 colours, so that unchanged areas compress well."""
    sampled = Image.new("RGB", (frames[0].width, 4 * frames[0].height))
    for i in range(4):
        sampled.paste(frames[i * len(frames) // 4], (0, i * frames[0].height))
    palette = sampled.quantize(256)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="fashion-mnist")
    parser.add_argument("--runtime", default=os.environ.get("LATENTSCAPE_RUNTIME"), help="folder with onnxruntime-web")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if not arguments.runtime:
        parser.error("--runtime must name a folder with onnxruntime-web; see README.md.")
    with (
        serve("-m", "explorer", "explore", "--no-browser", "--runtime", arguments.runtime) as server,
        chromium() as browser,
        visit(browser, f"{server.address}/?model={arguments.model}", "page") as page,
    ):
        frames = quantized(list(frames_of(page)))
    frames[0].save(arguments.out, save_all=True, append_images=frames[1:], duration=140, loop=0, optimize=True)
    print(f"{arguments.out}: {len(frames)} frames, {arguments.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
