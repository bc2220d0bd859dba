"""Read picture files as upright 8-bit Pillow images in mode L or RGB, without palette or transparency."""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

MAX_PIXELS = 50_000_000
"""Pictures with more pixels are refused before they are decoded: a file of a few kilobytes can decode to gigabytes."""

MAX_BYTES = 256 * 2**20
"""Files with more bytes are refused before they are read."""

FORMATS = "PNG JPEG WEBP GIF BMP DIB TIFF PPM ICO ICNS AVIF JPEG2000 PCX QOI SGI DDS XBM XPM PSD"
"""The formats that are read. Others that Pillow supports are left out: some start other programs (EPS), some have no
signature to recognise them by (TGA)."""

COMMON_FORMATS = "PNG, JPEG, WebP, GIF, BMP, TIFF…"
"""The best-known formats, for messages."""

SUFFIXES = (
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .pfm .ico .icns .avif .jp2 "
    ".j2k .jpx .pcx .qoi .sgi .rgb .dds .xbm .xpm .psd"
)
EXTENSIONS = frozenset(SUFFIXES.split())
"""File extensions of pictures. A file with another extension is read, too, if its content is a picture."""

ORIENTATION = 0x0112
"""The EXIF tag for the orientation of the camera."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

Reason = Literal[
    "empty", "not an image", "broken", "too large", "unreadable", "duplicate", "link loop", "hidden", "unsafe name", "no split"
]
"""Why a file is left out. `no split`: there are folders `train` and `test`, but the file is in neither."""


class PictureError(ValueError):
    """A picture cannot be read; `reason` is why."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@cache
def supported_formats() -> list[str]:
    """Those of `FORMATS` that the installed Pillow supports."""
    Image.init()
    return [name for name in FORMATS.split() if name in Image.OPEN]


def read_image(source: Path | str | bytes, min_size: tuple[int, int] | None = None) -> Image.Image:
    """Read the first frame of a picture file, rotated upright (EXIF).

    With `min_size` (width, height), a large picture may be read at a smaller size of at least twice that width and height,
    which is much faster. Raises PictureError, a ValueError, if the file cannot be read as a picture or has more than 50 million
    pixels.
    """
    return open_image(source, min_size)[0]


def open_image(source: Path | str | bytes, min_size: tuple[int, int] | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """As `read_image`, together with the full width and height of the upright picture."""
    name = "this file" if isinstance(source, bytes) else str(source)
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=supported_formats())
        size = image.size
        if size[0] * size[1] > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{size[0]}x{size[1]}")
        if min_size is not None and image.format in ("JPEG", "MPO"):
            image.draft(None, (2 * max(min_size), 2 * max(min_size)))  # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size
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
    except Exception as error:  # decoders raise many kinds of exception for a damaged file
        raise PictureError("broken", f"{name} is not an image that can be read ({COMMON_FORMATS}): {error}.") from error


def shrink(image: Image.Image, min_size: tuple[int, int] | None) -> Image.Image:
    """Reduce a picture by a whole factor to at least twice `min_size`, if it is that large."""
    if min_size is None or image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK") or "transparency" in image.info:
        return image
    factor = min(image.width // (2 * min_size[0]), image.height // (2 * min_size[1]))
    return image.reduce(factor) if factor > 1 else image


def flatten(image: Image.Image, matte: Sequence[int] | None = None) -> Image.Image:
    """Convert a picture to 8 bits without palette or transparency: to mode L if it is grey, else to RGB.

    16-bit pictures are scaled by their full range, 32-bit integers and floats by their own. A transparent picture is put on
    the colour `matte`; the default is white, or black if the picture is light.
    """
    image = to_8bit(image, matte)
    if image.mode == "L" or is_colour(image):
        return image
    return image.getchannel(0)


def to_8bit(image: Image.Image, matte: Sequence[int] | None = None, min_size: tuple[int, int] | None = None) -> Image.Image:
    """As `flatten`, but a grey picture in mode RGB stays in RGB. `min_size` is as in `read_image`."""
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _rescale_to_8bit(image)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image.info.pop("transparency", None)
        image = shrink(image, min_size)
        colour = tuple(matte) if matte is not None else _default_matte(image)
        return Image.alpha_composite(Image.new("RGBA", image.size, (*colour, 255)), image).convert("RGB")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "LAB":  # Pillow converts this mode only with colour profiles
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
    """Scale a 16-bit picture by its full range, or a 32-bit one by the range of its finite values, to 8 bits."""
    values = np.asarray(image, dtype=np.float64)
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    else:
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
        values = np.clip(np.nan_to_num(values, nan=low), low, high)
    return Image.fromarray(((values - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8))


def _default_matte(image: Image.Image) -> Colour:
    """The matte colour of an RGBA picture: black if its opaque part is light, else white."""
    opaque = np.asarray(image.getchannel("A")) > 127
    light = opaque.any() and np.asarray(image.convert("L"))[opaque].mean() > 127
    return (0, 0, 0) if light else (255, 255, 255)
