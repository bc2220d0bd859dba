"""Encoder and decoder networks between images (N, C, H, W) and vectors, for sides from 8 to 256 pixels.

An encoder maps images in [0, 1] to (N, outputs); a decoder maps latents (N, latents) to (N, C, H, W), unbounded.
No network has batch normalization, so an image's result does not depend on the other images of its batch.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

Shape = tuple[int, int, int]
"""Channels, height and width of one image."""


def pyramid(height: int, width: int) -> list[tuple[int, int]]:
    """Return the image's size and its successive halves (rounded up), until the shorter side is 7 or less.

    >>> pyramid(28, 28)
    [(28, 28), (14, 14), (7, 7)]
    """
    sizes = [(height, width)]
    while min(sizes[-1]) > 7:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


class GatedLinear(nn.Module):
    """A gated linear layer, (W x + b) * sigmoid(V x + c) (Dauphin et al., 2016, arXiv 1612.08083)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 2 * outputs)

    def forward(self, h: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        return nn.functional.glu(self.linear(h), dim=-1)


class MLPEncoder(nn.Module):
    """Two gated linear layers of `width` units, then a linear one."""

    def __init__(self, shape: Shape, outputs: int, width: int = 300) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), GatedLinear(math.prod(shape), width), GatedLinear(width, width), nn.Linear(width, outputs)
        )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n outputs"]:
        return self.layers(x)


class MLPDecoder(nn.Module):
    """Two gated linear layers of `width` units, then a linear one."""

    def __init__(self, shape: Shape, latents: int, width: int = 300) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            GatedLinear(latents, width),
            GatedLinear(width, width),
            nn.Linear(width, math.prod(shape)),
            nn.Unflatten(1, shape),
        )

    def forward(self, z: Float[Tensor, "n latents"]) -> Float[Tensor, "n c h w"]:
        return self.layers(z)


class ResidualBlock(nn.Module):
    """h + two 3x3 convolutions of h. The second starts at zero, so a new block is the identity, up to a bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, h: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return h + self.second(nn.functional.silu(self.first(nn.functional.silu(h))))


class TransposedConv(nn.Module):
    """A transposed convolution that doubles height and width; its output is cropped to `size` (height, width)."""

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.convolution = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)

    def forward(self, h: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d height width"]:
        return self.convolution(h)[..., : self.size[0], : self.size[1]]


class SubpixelConv(nn.Module):
    """A 3x3 convolution followed by a pixel shuffle (Shi et al., 2016, arXiv 1609.05158): doubles height and width.

    The output is cropped to `size` (height, width). The convolution runs at half the resolution, at a quarter of the cost.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.convolution = nn.Conv2d(inputs, 4 * outputs, 3, padding=1)

    def forward(self, h: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d height width"]:
        return nn.functional.pixel_shuffle(self.convolution(h), 2)[..., : self.size[0], : self.size[1]]


class ConvEncoder(nn.Module):
    """Strided 4x4 convolutions down the sizes of `pyramid`, each with `blocks` residual blocks, and one hidden dense layer."""

    def __init__(self, shape: Shape, outputs: int, width: int = 32, blocks: int = 0) -> None:
        super().__init__()
        sizes, channels = pyramid(*shape[1:]), shape[0]
        layers: list[nn.Module] = []
        for level, (h, w) in enumerate(sizes[:-1]):
            if h % 2 or w % 2:  # pad an odd side, so that the output has ceil(side / 2) rows or columns
                layers.append(nn.ZeroPad2d((0, w % 2, 0, h % 2)))
            layers.append(nn.Conv2d(channels, width * min(2**level, 4), 4, stride=2, padding=1))
            channels = width * min(2**level, 4)
            layers += [*(ResidualBlock(channels) for _ in range(blocks)), nn.SiLU()]
        hidden = 16 * width
        layers += [nn.Flatten(), nn.Linear(channels * math.prod(sizes[-1]), hidden), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, outputs))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n outputs"]:
        return self.layers(x)


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder`: one hidden dense layer, then transposed convolutions up the sizes of `pyramid`."""

    def __init__(self, shape: Shape, latents: int, width: int = 32, blocks: int = 0) -> None:
        super().__init__()
        sizes = pyramid(*shape[1:])
        levels = len(sizes) - 1
        channels = width * min(2 ** (levels - 1), 4)
        hidden = 16 * width
        layers: list[nn.Module] = [
            nn.Linear(latents, hidden),
            nn.SiLU(),
            nn.Linear(hidden, channels * math.prod(sizes[-1])),
            nn.Unflatten(1, (channels, *sizes[-1])),
        ]
        for level in reversed(range(1, levels)):
            outputs = width * min(2 ** (level - 1), 4)
            layers += [*(ResidualBlock(channels) for _ in range(blocks)), nn.SiLU()]
            layers += [TransposedConv(channels, outputs, sizes[level])]
            channels = outputs
        layers += [*(ResidualBlock(channels) for _ in range(blocks)), nn.SiLU()]
        self.layers = nn.Sequential(*layers, SubpixelConv(channels, shape[0], sizes[0]))

    def forward(self, z: Float[Tensor, "n latents"]) -> Float[Tensor, "n c h w"]:
        return self.layers(z)
