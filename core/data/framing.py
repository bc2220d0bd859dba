"""Framing: find a picture's background and the placement of its content. Pixels are 8-bit arrays (H, W, C)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from core.data.pictures import MAX_PIXELS

MAX_FRAMED_PIXELS = 4 * MAX_PIXELS
"""The largest framed picture, in pixels; checked before it is allocated."""


def border(pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "p c"]:
    """The pixels on a picture's border."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def is_plain(pixels: UInt8[np.ndarray, "h w c"]) -> bool:
    """Whether the background is plain: at least 60 % of the border is within 24 levels of the border's median colour."""
    edge = border(pixels).astype(int)
    return bool((np.abs(edge - np.median(edge, axis=0)) <= 24).all(1).mean() >= 0.6)


def content_box(pixels: UInt8[np.ndarray, "h w c"], background: np.ndarray) -> tuple[int, int, int, int] | None:
    """The box (left, top, right, bottom) of pixels more than 24 levels from the background; None if there are none."""
    rows, columns = np.nonzero((np.abs(pixels.astype(int) - background) > 24).any(-1))
    if len(rows) == 0:
        return None
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def placement(pixels: UInt8[np.ndarray, "h w c"], background: np.ndarray) -> tuple[float, float, float] | None:
    """The placement of a picture's content: its extent (the larger of its shares of width and height), and the x and y of its
    centre as shares of width and height. None if there is no content."""
    box, (height, width) = content_box(pixels, background), pixels.shape[:2]
    if box is None:
        return None
    left, top, right, bottom = box
    extent = max((right - left) / width, (bottom - top) / height)
    return extent, (left + right) / 2 / width, (top + bottom) / 2 / height


def frame_content(
    pixels: UInt8[np.ndarray, "h w c"], size: tuple[int, int], extent: float, centre: Sequence[float]
) -> tuple[UInt8[np.ndarray, "h2 w2 c"], list[str]]:
    """Cut a picture on a plain background to its content and place that in a new frame.

    The frame has the aspect ratio of `size` (width, height). The larger of the content's shares of its width and height is
    `extent`. The content's centre is at `centre` (shares of width and height), moved if the content would not fit otherwise.
    Returns the framed pixels and a description of what was done.
    Raises ValueError if the frame has more than `MAX_FRAMED_PIXELS`.
    """
    background = np.median(border(pixels), axis=0)
    box = content_box(pixels, background)
    if box is None:
        return pixels, []
    left, top, right, bottom = box
    inner = right - left, bottom - top
    scale = max(inner[0] / size[0], inner[1] / size[1]) / extent
    outer = max(round(size[0] * scale), inner[0]), max(round(size[1] * scale), inner[1])
    if outer[0] * outer[1] > MAX_FRAMED_PIXELS:
        raise ValueError(
            f"the image is too large for this model: framed, it has {outer[0]}x{outer[1]} pixels. Make it smaller."
        )
    x, y = (min(max(int(outer[i] * centre[i] - inner[i] / 2), 0), outer[i] - inner[i]) for i in (0, 1))
    canvas = np.empty((outer[1], outer[0], pixels.shape[2]), np.uint8)
    canvas[:] = np.rint(background)
    canvas[y : y + inner[1], x : x + inner[0]] = pixels[top:bottom, left:right]
    return canvas, [f"cut to its {inner[0]}x{inner[1]} content"]


def level_background(pixels: UInt8[np.ndarray, "h w 1"], found: float, background: int) -> UInt8[np.ndarray, "h w 1"]:
    """Stretch the grey levels of a picture so that its background becomes the model's.

    `found` is the picture's background level, `background` the model's (0 or 255). Noise and soft shadows become background,
    too.
    """
    distance = np.abs(pixels.astype(np.float64) - found)
    noise = np.percentile(np.abs(border(pixels).astype(np.float64) - found), 60)
    largest = np.percentile(distance, 99.5)
    contrast = np.clip((distance - noise) / max(largest - noise, 24.0), 0, 1) * max(largest, 1)
    # The content is not stretched to full contrast: a grey shirt stays grey.
    contrast = np.clip(contrast * 255 / max(255 - abs(found - background), 1), 0, 255)
    return np.rint(contrast if background == 0 else 255 - contrast).astype(np.uint8)
