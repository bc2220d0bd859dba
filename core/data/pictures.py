"""Pictures: any file Pillow can read → upright, 8-bit, without palette or transparency, in mode L or RGB."""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

MAX_PIXELS = 50_000_000
"""Larger pictures are refused before they are unpacked: a few kilobytes can hold gigabytes of one colour."""

MAX_BYTES = 256 * 2**20
"""Larger files are refused before they are read."""

FORMATS = "PNG JPEG WEBP GIF BMP DIB TIFF PPM ICO ICNS AVIF JPEG2000 PCX QOI SGI DDS XBM XPM PSD"
"""What is opened. Pillow knows more, some of it by starting other programs (EPS), some without a mark by which to know
them from noise (TGA)."""

COMMON_FORMATS = "PNG, JPEG, WebP, GIF, BMP, TIFF…"
"""Those that a person knows, for messages."""

SUFFIXES = (
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .pfm .ico .icns .avif .jp2 "
    ".j2k .jpx .pcx .qoi .sgi .rgb .dds .xbm .xpm .psd"
)
EXTENSIONS = frozenset(SUFFIXES.split())
"""How the names of pictures end. A file of another name is a picture if its content is one."""

ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""

Colour = tuple[int, int, int]
"""The colour (red, green, blue) under a transparent picture."""

Reason = Literal[
    "empty", "not an image", "broken", "too large", "unreadable", "duplicate", "link loop", "hidden", "unsafe name", "no split"
]
"""Why a file is left out. `no split`: it placements beside the folders `train` and `test`, in neither."""


class PictureError(ValueError):
    """A picture that cannot be had, and why."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@cache
def supported_formats() -> list[str]:
    """Those of `FORMATS` that this Pillow was built with."""
    Image.init()
    return [name for name in FORMATS.split() if name in Image.OPEN]


def read_image(source: Path | str | bytes, min_size: tuple[int, int] | None = None) -> Image.Image:
    """Open a picture of any kind Pillow knows, upright (EXIF), its first frame.

    With `min_size` (width, height) a large picture may come out smaller, but with at least twice as many pixels each way,
    which is much faster. Raises PictureError, a ValueError, when it cannot be read as a picture or is larger than 50 million
    pixels.
    """
    return open_image(source, min_size)[0]


def open_image(source: Path | str | bytes, min_size: tuple[int, int] | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """As `read_image`, with the width and height that the picture has when it is upright and not made smaller."""
    name = "this file" if isinstance(source, bytes) else str(source)
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=supported_formats())
        size = image.size
        if size[0] * size[1] > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{size[0]}x{size[1]}")
        if min_size is not None and image.format in ("JPEG", "MPO"):
            image.draft(None, (2 * max(min_size), 2 * max(min_size)))  # the decoder's own shrinking, by powers of two
        image.load()
        if image.getexif().get(ORIENTATION, 1) != 1:
            size = (size[1], size[0]) if image.getexif()[ORIENTATION] in (5, 6, 7, 8) else size
            image = ImageOps.exif_transpose(image)
        return shrink(image, min_size), size
    except (FileNotFoundError, IsADirectoryError) as error:
        raise PictureError("unreadable", f"no image file at {name}.") from error
    except PermissionError as error:
        raise PictureError("unreadable", f"{name} cannot be opened: {error}.") from error
    except Image.DecompressionBombError as error:
        raise PictureError(
            "too large", f"images may have up to {MAX_PIXELS:,} pixels; {name} has more: {error}. Make it smaller first."
        ) from error
    except UnidentifiedImageError as error:
        raise PictureError("not an image", f"{name} is not an image that can be read ({COMMON_FORMATS}).") from error
    except Exception as error:  # a damaged file can raise nearly anything in a decoder
        raise PictureError("broken", f"{name} is not an image that can be read ({COMMON_FORMATS}): {error}.") from error


def shrink(image: Image.Image, min_size: tuple[int, int] | None) -> Image.Image:
    """A picture far larger than `min_size`, by a whole factor smaller, still at least twice as large each way."""
    if min_size is None or image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK") or "transparency" in image.info:
        return image
    factor = min(image.width // (2 * min_size[0]), image.height // (2 * min_size[1]))
    return image.reduce(factor) if factor > 1 else image


def flatten(image: Image.Image, paper: Sequence[int] | None = None) -> Image.Image:
    """The picture in mode L or RGB: 8-bit, without palette or transparency; in L if it is grey.

    16-bit and float pictures are scaled by their own range; transparent ones go on the paper, or, if none is given, on
    white, or on black if they are light.
    """
    image = to_8bit(image, paper)
    if image.mode == "L" or is_colour(image):
        return image
    return image.getchannel(0)


def to_8bit(image: Image.Image, paper: Sequence[int] | None = None, min_size: tuple[int, int] | None = None) -> Image.Image:
    """As `flatten`, but a grey picture in mode RGB stays there. A very large one may be shrunk, as by `read_image`."""
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _rescale_to_8bit(image)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image.info.pop("transparency", None)
        image = shrink(image, min_size)
        colour = tuple(paper) if paper is not None else _default_matte(image)
        return Image.alpha_composite(Image.new("RGBA", image.size, (*colour, 255)), image).convert("RGB")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "LAB":  # which Pillow converts by profiles alone
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None
        return converted
    return image.convert("RGB")


def is_colour(image: Image.Image) -> bool:
    """Whether any pixel of a picture in mode RGB is not grey."""
    red, green, blue = image.split()
    return not red.tobytes() == green.tobytes() == blue.tobytes()


def _rescale_to_8bit(image: Image.Image) -> Image.Image:
    """A 16-bit picture by its full range, a 32-bit one by the range of its finite values, as 8 bits."""
    values = np.asarray(image, dtype=np.float64)
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    else:
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
        values = np.clip(np.nan_to_num(values, nan=low), low, high)
    return Image.fromarray(((values - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8))


def _default_matte(image: Image.Image) -> Colour:
    """White, or black under a picture (RGBA) whose opaque part is light."""
    solid = np.asarray(image.getchannel("A")) > 127
    light = solid.any() and np.asarray(image.convert("L"))[solid].mean() > 127
    return (0, 0, 0) if light else (255, 255, 255)
