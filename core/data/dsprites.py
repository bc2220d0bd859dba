"""dSprites, drawn by ourselves: 737,280 pictures of one sprite, one for each combination of five factors.

The factors and their order are those of Matthey et al., 2017 (github.com/deepmind/dsprites-dataset), whose first factor, the
colour, has one value and is left out. The drawing is ours, not their file: figures compare with theirs as those of two data
sets of one design do.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

SIDE, SPRITE_SIDE = 64, 33
"""Pixels on a side of the images, and of the window in which a sprite turns."""

FACTORS: dict[str, np.ndarray] = {
    "shape": np.array(["square", "ellipse", "heart"]),
    "scale": np.linspace(0.5, 1, 6),
    "orientation": np.linspace(0, 2 * math.pi, 40),
    "posX": np.linspace(0, 1, 32),
    "posY": np.linspace(0, 1, 32),
}
"""The values of each factor: orientation in radians, counter-clockwise, both ends being one angle, as in the original;
positions from left to right and from top to bottom."""

SIZES = tuple(len(values) for values in FACTORS.values())
COUNT = math.prod(SIZES)
TEST_IMAGES = 10_000
"""Images of the test split, a random subset that is always the same."""


def sprites() -> Bool[Tensor, "3 6 40 33 33"]:
    """Every shape at every scale and orientation: the pixels whose centres lie inside it.

    The scale-1 square is 22 pixels wide, the ellipse 31 by 15.5, the heart 27 by 27. Shapes turn about a point that is not
    a pixel's centre, nor on a diagonal: about one that is, small squares 2.3 degrees apart fall on the same pixels.
    """
    row, column = torch.meshgrid(*[torch.arange(SPRITE_SIDE, dtype=torch.float64) - SPRITE_SIDE // 2] * 2, indexing="ij")
    right, up = column - 0.25, 0.35 - row
    scale = torch.from_numpy(FACTORS["scale"]).reshape(-1, 1, 1, 1)
    # Whole turns first, so that the last orientation is the first to the bit.
    angle = (torch.arange(SIZES[2]) % (SIZES[2] - 1)).double().mul(2 * math.pi / (SIZES[2] - 1)).reshape(-1, 1, 1)
    u = (right * angle.cos() + up * angle.sin()) / scale
    v = (up * angle.cos() - right * angle.sin()) / scale
    square = torch.maximum(u.abs(), v.abs()) <= 11
    ellipse = (u / 15.5).square() + (v / 7.75).square() <= 1
    a, b = u / 12, v / 12 + 0.1
    heart = (a.square() + b.square() - 1) ** 3 <= a.square() * b**3
    return torch.stack([square, ellipse, heart])


class DSprites:
    """The images of dSprites at the given positions (all of them by default), drawn when they are asked for.

    Indexed as a tensor (N, 1, 64, 64) of bytes, 0 or 255: with a tensor of positions, a slice or a number. The last factor
    varies fastest. It holds no images, which would be 3 GB, but the 720 sprites: a position moves a sprite by whole pixels,
    one for each of its 32 values, so all images differ, but for the turn from the first to the last orientation.

    >>> images = DSprites()
    >>> len(images), images[torch.tensor([0, 700_000])].shape, images.factors()[700_000].tolist()
    (737280, torch.Size([2, 1, 64, 64]), [2, 5, 3, 19, 0])
    """

    def __init__(self, indices: Int[Tensor, " n"] | None = None) -> None:
        self.indices = torch.arange(COUNT) if indices is None else indices
        # A sprite in the middle of a sheet: each image is the part of it that a window of 64x64 shows.
        room = SIDE - SPRITE_SIDE
        canvases = torch.nn.functional.pad(sprites().to(torch.uint8) * 255, [room] * 4)
        self._crops = canvases.unfold(-2, SIDE, 1).unfold(-2, SIDE, 1)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def shape(self) -> torch.Size:
        """(N, 1, 64, 64)."""
        return torch.Size((len(self), 1, SIDE, SIDE))

    def __getitem__(self, index: Tensor | slice | int) -> UInt8[Tensor, "*n 1 64 64"]:
        """Draw the images at these indices."""
        shape, scale, orientation, x, y = torch.unravel_index(self.indices[index], SIZES)
        return self._crops[shape, scale, orientation, SIZES[4] - 1 - y, SIZES[3] - 1 - x].unsqueeze(-3)

    def factors(self, index: Tensor | slice = slice(None)) -> Int[Tensor, "n 5"]:
        """The factors of these images, as indices into the values of `FACTORS`."""
        return torch.stack(torch.unravel_index(self.indices[index], SIZES), dim=1)

    def labels(self) -> dict[str, np.ndarray]:
        """The factors' values, by name, for every image."""
        return {name: values[column] for (name, values), column in zip(FACTORS.items(), self.factors().T.numpy(), strict=True)}


def dsprites_split() -> tuple[Int[Tensor, " train"], Int[Tensor, " test"]]:
    """Positions (training, test) of the fixed split: 10,000 of all images, drawn once and for all, are the test set.

    It splits the combinations, not the values of a factor: a test image has neighbours in the training set, and one in
    twenty, at the first or last orientation, nearly always its very picture.
    """
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))
    return order[TEST_IMAGES:], order[:TEST_IMAGES]
