"""dSprites, redrawn: 737,280 images of a sprite, one for each combination of five factors.

The factors and their order follow Matthey et al., 2017 (github.com/deepmind/dsprites-dataset), without their first factor, the
colour, which has only one value. The images are drawn by this module, not read from the original file, so scores on the two
data sets are not exactly comparable.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

SIDE, SPRITE_SIDE = 64, 33
"""Side lengths in pixels: of an image, and of the square that contains a sprite at any orientation."""

FACTORS: dict[str, np.ndarray] = {
    "shape": np.array(["square", "ellipse", "heart"]),
    "scale": np.linspace(0.5, 1, 6),
    "orientation": np.linspace(0, 2 * math.pi, 40),
    "posX": np.linspace(0, 1, 32),
    "posY": np.linspace(0, 1, 32),
}
"""The values of each factor. Orientation is in radians, counter-clockwise; its first and last values are the same angle, as in
the original. Positions go from left to right and from top to bottom."""

SIZES = tuple(len(values) for values in FACTORS.values())
COUNT = math.prod(SIZES)
TEST_IMAGES = 10_000
"""Images in the test split, a fixed random subset."""


def sprites() -> Bool[Tensor, "3 6 40 33 33"]:
    """Every shape at every scale and orientation: the pixels whose centres are inside the shape.

    At scale 1 the square is 22 pixels wide, the ellipse 31 by 15.5, the heart 27 by 27. The centre of rotation is neither a
    pixel's centre nor on a diagonal; otherwise small squares 2.3 degrees apart would cover the same pixels.
    """
    row, column = torch.meshgrid(*[torch.arange(SPRITE_SIDE, dtype=torch.float64) - SPRITE_SIDE // 2] * 2, indexing="ij")
    right, up = column - 0.25, 0.35 - row
    scale = torch.from_numpy(FACTORS["scale"]).reshape(-1, 1, 1, 1)
    # The remainder makes the last orientation bitwise equal to the first.
    angle = (torch.arange(SIZES[2]) % (SIZES[2] - 1)).double().mul(2 * math.pi / (SIZES[2] - 1)).reshape(-1, 1, 1)
    u = (right * angle.cos() + up * angle.sin()) / scale
    v = (up * angle.cos() - right * angle.sin()) / scale
    square = torch.maximum(u.abs(), v.abs()) <= 11
    ellipse = (u / 15.5).square() + (v / 7.75).square() <= 1
    a, b = u / 12, v / 12 + 0.1
    heart = (a.square() + b.square() - 1) ** 3 <= a.square() * b**3
    return torch.stack([square, ellipse, heart])


class DSprites:
    """The dSprites images at the given indices (default: all), drawn when they are indexed.

    Indexed like a uint8 tensor (N, 1, 64, 64) with values 0 and 255: with a tensor of indices, a slice or an integer. The last
    factor varies fastest. Only the 720 sprites are in memory; all images would take 3 GB. Each of the 32 positions moves a
    sprite by one pixel, so all images differ, except those of the first and last orientation.

    >>> images = DSprites()
    >>> len(images), images[torch.tensor([0, 700_000])].shape, images.factors()[700_000].tolist()
    (737280, torch.Size([2, 1, 64, 64]), [2, 5, 3, 19, 0])
    """

    def __init__(self, indices: Int[Tensor, " n"] | None = None) -> None:
        self.indices = torch.arange(COUNT) if indices is None else indices
        # Each image is a 64x64 crop of a canvas with the sprite in its middle.
        margin = SIDE - SPRITE_SIDE
        canvases = torch.nn.functional.pad(sprites().to(torch.uint8) * 255, [margin] * 4)
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
        """The factors of the images at these indices, as indices into the values of `FACTORS`."""
        return torch.stack(torch.unravel_index(self.indices[index], SIZES), dim=1)

    def labels(self) -> dict[str, np.ndarray]:
        """The value of each factor, by name, for every image."""
        return {name: values[column] for (name, values), column in zip(FACTORS.items(), self.factors().T.numpy(), strict=True)}


def dsprites_split() -> tuple[Int[Tensor, " train"], Int[Tensor, " test"]]:
    """Indices (training, test) of the fixed split: the test set is a fixed random sample of 10,000 images.

    Both splits have all values of every factor, so a test image has near neighbours in the training set. One test image in
    twenty has the first or last orientation, and nearly always an identical image in the training set.
    """
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))
    return order[TEST_IMAGES:], order[:TEST_IMAGES]
