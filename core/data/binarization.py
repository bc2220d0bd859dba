"""Binarization of grey images: a pixel of brightness b in [0, 1] is white with probability b.

On binary pixels, a Bernoulli decoder defines a likelihood. Results of different protocols cannot be compared.
"""

from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

Binarization = Literal["none", "static", "dynamic"]
"""The protocol. none: pixels are not binarized. static: one fixed sample of each image, for training and test. dynamic: a new
sample of an image each time it is trained on, one fixed sample for test (Salakhutdinov & Murray, 2008; Burda et al., 2016,
arXiv 1509.00519)."""

BLOCK = 256
"""Images whose random numbers are drawn together. Another value would change every sample."""


def binarize(images: UInt8[Tensor, "n c h w"], seed: int = 0) -> UInt8[Tensor, "n c h w"]:
    """A fixed black-and-white sample (0 and 255) of 8-bit images, used for all reported scores.

    The sample of image i depends only on the seed, i and the image, not on the number of images.

    >>> binarize(torch.tensor([[[[0, 255]]]], dtype=torch.uint8))
    tensor([[[[  0, 255]]]], dtype=torch.uint8)
    """
    generator = torch.Generator().manual_seed(seed)
    samples = torch.empty_like(images)
    for start in range(0, len(images), BLOCK):  # the last block, too, draws BLOCK images
        block = images[start : start + BLOCK]
        threshold = torch.rand(BLOCK, *images.shape[1:], generator=generator)[: len(block)]
        samples[start : start + BLOCK] = (255 * threshold.to(images.device) < block).to(torch.uint8) * 255
    return samples


def resample(x: Float[Tensor, "n c h w"], uniform: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """A black-and-white sample (0 and 1) of images in [0, 1], from uniform draws from [0, 1)."""
    return (uniform.to(x.device) < x).to(x.dtype)
