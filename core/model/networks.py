"""Encoder and decoder networks: plain modules between images (N, C, H, W) and vectors, for sides from 8 to 256 pixels.

An encoder maps images in [0, 1] to (N, outputs); a decoder maps latents (N, latents) to (N, C, H, W), unbounded.
None keeps batch statistics, so an image's result never depends on its neighbours in the batch.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

Shape = tuple[int, int, int]
"""Channels, height and width of one image."""


def pyramid(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes from the image down, each half the one before (rounded up), until the shorter side is 7 or less.

    >>> pyramid(28, 28)
    [(28, 28), (14, 14), (7, 7)]
    """
    sizes = [(height, width)]
    while min(sizes[-1]) > 7:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


class Gated(nn.Module):
    """A gated linear layer, (W x + b) * sigmoid(V x + c) (Dauphin et al., 2016, arXiv 1612.08083)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 2 * outputs)

    def forward(self, h: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        return nn.functional.glu(self.linear(h), dim=-1)


class MLPEncoder(nn.Module):
    """Two gated layers of `width` units."""

    def __init__(self, shape: Shape, outputs: int, width: int = 300) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), Gated(math.prod(shape), width), Gated(width, width), nn.Linear(width, outputs)
        )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n outputs"]:
        return self.layers(x)


class MLPDecoder(nn.Module):
    """Two gated layers of `width` units."""

    def __init__(self, shape: Shape, latents: int, width: int = 300) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Gated(latents, width), Gated(width, width), nn.Linear(width, math.prod(shape)), nn.Unflatten(1, shape)
        )

    def forward(self, z: Float[Tensor, "n latents"]) -> Float[Tensor, "n c h w"]:
        return self.layers(z)


class Residual(nn.Module):
    """h + two 3x3 convolutions of h; the last one starts at zero, so that a new block is the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, h: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return h + self.second(nn.functional.silu(self.first(nn.functional.silu(h))))


class Enlarge(nn.Module):
    """A transposed convolution that doubles the sides, cut to the given size when that is odd."""

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.convolution = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)

    def forward(self, h: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d height width"]:
        return self.convolution(h)[..., : self.size[0], : self.size[1]]


class Shuffle(nn.Module):
    """A 3x3 convolution that emits each 2x2 block of pixels at once (Shi et al., 2016, arXiv 1609.05158), cut to size.

    All the work stays at half the resolution, where a convolution costs a quarter.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.convolution = nn.Conv2d(inputs, 4 * outputs, 3, padding=1)

    def forward(self, h: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d height width"]:
        return nn.functional.pixel_shuffle(self.convolution(h), 2)[..., : self.size[0], : self.size[1]]


class ConvEncoder(nn.Module):
    """Strided 4x4 convolutions down the pyramid, `blocks` residual blocks after each, and one hidden dense layer."""

    def __init__(self, shape: Shape, outputs: int, width: int = 32, blocks: int = 0) -> None:
        super().__init__()
        channels, height, side = shape
        sizes = pyramid(height, side)
        layers: list[nn.Module] = []
        for level, (h, w) in enumerate(sizes[:-1]):
            if h % 2 or w % 2:  # one more row or column, for ceil(side / 2) outputs
                layers.append(nn.ZeroPad2d((0, w % 2, 0, h % 2)))
            layers.append(nn.Conv2d(channels, width * min(2**level, 4), 4, stride=2, padding=1))
            channels = width * min(2**level, 4)
            layers += [*(Residual(channels) for _ in range(blocks)), nn.SiLU()]
        hidden = 16 * width
        layers += [nn.Flatten(), nn.Linear(channels * math.prod(sizes[-1]), hidden), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, outputs))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n outputs"]:
        return self.layers(x)


class ConvDecoder(nn.Module):
    """The encoder's mirror: one hidden dense layer, then transposed convolutions up the pyramid."""

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
            layers += [*(Residual(channels) for _ in range(blocks)), nn.SiLU()]
            layers += [Enlarge(channels, outputs, sizes[level])]
            channels = outputs
        layers += [*(Residual(channels) for _ in range(blocks)), nn.SiLU()]
        self.layers = nn.Sequential(*layers, Shuffle(channels, shape[0], sizes[0]))

    def forward(self, z: Float[Tensor, "n latents"]) -> Float[Tensor, "n c h w"]:
        return self.layers(z)
