"""Survey: inspect a sample of a source's pictures and choose the image shape from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.data.pictures import PictureError, is_colour, open_image, to_8bit
from core.data.preprocessing import Fit, Preprocessing
from core.data.sources import Entry, read_content

SURVEY_SIZE = 400
"""The number of entries in the sample."""


class PictureInfo(NamedTuple):
    """A picture's name, its size (width, height), and whether it is in colour."""

    name: str
    size: tuple[int, int]
    colour: bool


@dataclass(frozen=True)
class Survey:
    """The inspected pictures, and the number of entries in the source, as far as it is known."""

    entries: int
    pictures: list[PictureInfo]

    @property
    def colour_count(self) -> int:
        """The number of colour pictures."""
        return sum(info.colour for info in self.pictures)

    @property
    def common_size(self) -> tuple[int, int] | None:
        """The size (width, height) of all pictures; None if they differ."""
        sizes = {info.size for info in self.pictures}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def median_side(self) -> int:
        """The median of the pictures' shorter sides, in pixels."""
        return int(np.median([min(info.size) for info in self.pictures])) if self.pictures else 0

    def choose_shape(
        self, max_size: int = 64, fit: Fit = "crop", size: int | None = None, channels: int | None = None
    ) -> Preprocessing:
        """Choose the image shape; a given `size` (of a square) or number of `channels` is used as it is.

        Images have 3 channels if any picture is in colour. If all pictures have the same size, with sides of 8 to `max_size`
        pixels, images have that size. Otherwise they are squares of the median shorter side, within the same bounds.
        """
        channels = channels or (3 if self.colour_count else 1)
        if size is not None:
            return Preprocessing(channels, size, size, fit)
        if self.common_size and min(self.common_size) >= 8 and max(self.common_size) <= max_size:
            width, height = self.common_size
            return Preprocessing(channels, height, width, fit)
        side = min(max(self.median_side, 8), max_size)
        return Preprocessing(channels, side, side, fit)


def inspect(entries: Iterable[Entry]) -> list[PictureInfo]:
    """Name, size and colour of each entry that is a readable picture."""
    pictures = []
    for name, content, *_ in entries:
        try:
            picture, size = open_image(read_content(content, name), (32, 32))
        except PictureError:
            continue
        picture = to_8bit(picture, None, (32, 32))
        pictures.append(PictureInfo(name, size, picture.mode == "RGB" and is_colour(picture)))
    return pictures
