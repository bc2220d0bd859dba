"""The survey: what a look at some of a source's pictures shows, and the shape that is chosen from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.data.pictures import PictureError, is_colour, open_image, to_8bit
from core.data.preprocessing import Fit, Preprocessing
from core.data.sources import Entry, read_content

SURVEY_SIZE = 400
"""Pictures looked at; all of a smaller source."""


class PictureInfo(NamedTuple):
    """A picture's name, its size (width, height), and whether it has colour."""

    name: str
    size: tuple[int, int]
    colour: bool


@dataclass(frozen=True)
class Survey:
    """The pictures looked at, of so many entries of the source, as far as their number is known."""

    entries: int
    pictures: list[PictureInfo]

    @property
    def colour_count(self) -> int:
        """How many have colour."""
        return sum(info.colour for info in self.pictures)

    @property
    def common_size(self) -> tuple[int, int] | None:
        """The size that all have."""
        sizes = {info.size for info in self.pictures}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def median_side(self) -> int:
        """The median of the shorter sides, in pixels."""
        return int(np.median([min(info.size) for info in self.pictures])) if self.pictures else 0

    def choose_shape(
        self, max_size: int = 64, fit: Fit = "crop", size: int | None = None, channels: int | None = None
    ) -> Preprocessing:
        """The shape to fit the pictures to: colour if any has it; their own size if they share one of 8 to `max_size` pixels
        a side; else a square of their shorter side, within these bounds. What is given is kept."""
        channels = channels or (3 if self.colour_count else 1)
        if size is not None:
            return Preprocessing(channels, size, size, fit)
        if self.common_size and min(self.common_size) >= 8 and max(self.common_size) <= max_size:
            width, height = self.common_size
            return Preprocessing(channels, height, width, fit)
        side = min(max(self.median_side, 8), max_size)
        return Preprocessing(channels, side, side, fit)


def inspect(entries: Iterable[Entry]) -> list[PictureInfo]:
    """What can be pictures of the entries that are pictures."""
    pictures = []
    for name, content, *_ in entries:
        try:
            picture, size = open_image(read_content(content, name), (32, 32))
        except PictureError:
            continue
        picture = to_8bit(picture, None, (32, 32))
        pictures.append(PictureInfo(name, size, picture.mode == "RGB" and is_colour(picture)))
    return pictures
