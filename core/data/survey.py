"""The survey: what a look at some of a source's pictures shows, and the shape that is chosen from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.data.pictures import PictureError, is_colour, opaque, open_image
from core.data.preprocessing import Fit, Preprocessing
from core.data.sources import Entry, fetch

SURVEYED = 400
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
    seen: list[PictureInfo]

    @property
    def colour(self) -> int:
        """How many have colour."""
        return sum(sight.colour for sight in self.seen)

    @property
    def shared(self) -> tuple[int, int] | None:
        """The size that all have."""
        sizes = {sight.size for sight in self.seen}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def shorter_side(self) -> int:
        """The median of the shorter sides, in pixels."""
        return int(np.median([min(sight.size) for sight in self.seen])) if self.seen else 0

    def shape(
        self, largest: int = 64, fit: Fit = "crop", size: int | None = None, channels: int | None = None
    ) -> Preprocessing:
        """The shape to fit the pictures to: colour if any has it; their own size if they share one of 8 to `largest` pixels
        a side; else a square of their shorter side, within these bounds. What is given is kept."""
        channels = channels or (3 if self.colour else 1)
        if size is not None:
            return Preprocessing(channels, size, size, fit)
        if self.shared and min(self.shared) >= 8 and max(self.shared) <= largest:
            width, height = self.shared
            return Preprocessing(channels, height, width, fit)
        side = min(max(self.shorter_side, 8), largest)
        return Preprocessing(channels, side, side, fit)


def inspect(entries: Iterable[Entry]) -> list[PictureInfo]:
    """What can be seen of the entries that are pictures."""
    seen = []
    for name, content, *_ in entries:
        try:
            picture, size = open_image(fetch(content, name), (32, 32))
        except PictureError:
            continue
        picture = opaque(picture, None, (32, 32))
        seen.append(PictureInfo(name, size, picture.mode == "RGB" and is_colour(picture)))
    return seen
