"""Framing: a picture's background, and how its content lies before it. Pixels are 8-bit arrays (H, W, C)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from core.data.pictures import MAX_PIXELS


def border(pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "p c"]:
    """The pixels on the rim of a picture."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def is_plain(pixels: UInt8[np.ndarray, "h w c"]) -> bool:
    """Whether at least 60 % of the rim lies within 24 levels of its median: paper, a backdrop, a drawing's ground."""
    rim = border(pixels).astype(int)
    return bool((np.abs(rim - np.median(rim, axis=0)) <= 24).all(1).mean() >= 0.6)


def content_box(pixels: UInt8[np.ndarray, "h w c"], background: np.ndarray) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of what differs from the background by more than 24 levels; None when nothing does."""
    rows, columns = np.nonzero((np.abs(pixels.astype(int) - background) > 24).any(-1))
    if len(rows) == 0:
        return None
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def placement(pixels: UInt8[np.ndarray, "h w c"], background: np.ndarray) -> tuple[float, float, float] | None:
    """How a picture's content lies: the share of the frame that its longer side takes, and where its middle is, as shares of
    width and height; None where there is none."""
    box, (height, width) = content_box(pixels, background), pixels.shape[:2]
    if box is None:
        return None
    left, top, right, bottom = box
    extent = max((right - left) / width, (bottom - top) / height)
    return extent, (left + right) / 2 / width, (top + bottom) / 2 / height


def frame_content(
    pixels: UInt8[np.ndarray, "h w c"], size: tuple[int, int], extent: float, centre: Sequence[float]
) -> tuple[UInt8[np.ndarray, "h2 w2 c"], list[str]]:
    """The content of a picture on a plain background, in a frame of the proportions of `size` (width, height) that its longer
    side takes `extent` of and whose `centre` (shares of width and height) is its middle, as far as it then stays inside; and
    what was done, in words. ValueError where that takes more than 200 million pixels."""
    rim = np.median(border(pixels), axis=0)
    box = content_box(pixels, rim)
    if box is None:
        return pixels, []
    left, top, right, bottom = box
    inner = right - left, bottom - top
    scale = max(inner[0] / size[0], inner[1] / size[1]) / extent
    outer = max(round(size[0] * scale), inner[0]), max(round(size[1] * scale), inner[1])
    if outer[0] * outer[1] > 4 * MAX_PIXELS:
        raise ValueError(
            f"the image is too large for this model: framed, it has {outer[0]}x{outer[1]} pixels. Make it smaller."
        )
    x, y = (min(max(int(outer[i] * centre[i] - inner[i] / 2), 0), outer[i] - inner[i]) for i in (0, 1))
    canvas = np.empty((outer[1], outer[0], pixels.shape[2]), np.uint8)
    canvas[:] = np.rint(rim)
    canvas[y : y + inner[1], x : x + inner[0]] = pixels[top:bottom, left:right]
    return canvas, [f"cut to its {inner[0]}x{inner[1]} content"]


def level_background(pixels: UInt8[np.ndarray, "h w 1"], rim: float, background: int) -> UInt8[np.ndarray, "h w 1"]:
    """Stretch grey levels until the rim, grain and shadow included, is the background (0 or 255); the far end stays."""
    distance = np.abs(pixels.astype(np.float64) - rim)
    grain = np.percentile(np.abs(border(pixels).astype(np.float64) - rim), 60)
    reach = np.percentile(distance, 99.5)
    strength = np.clip((distance - grain) / max(reach - grain, 24.0), 0, 1) * max(reach, 1)
    # The far end keeps its own level rather than being pulled to full contrast: a grey shirt stays grey.
    strength = np.clip(strength * 255 / max(255 - abs(rim - background), 1), 0, 255)
    return np.rint(strength if background == 0 else 255 - strength).astype(np.uint8)
