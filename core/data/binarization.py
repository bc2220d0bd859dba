"""Binarization: black-and-white views of grey images, each with its protocol, so that figures of two are never compared.

On binary pixels a Bernoulli decoder is a likelihood. A pixel of brightness b is white with probability b.
"""

from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

Binarization = Literal["none", "static", "dynamic"]
"""none: grey pixels as they are. static: one fixed sample of each image, in training and in test. dynamic: a new sample each
time an image is trained on, one fixed sample in test (Salakhutdinov & Murray, 2008; Burda et al., 2016, arXiv 1509.00519)."""

BLOCK = 256


def binarize(images: UInt8[Tensor, "n c h w"], seed: int = 0) -> UInt8[Tensor, "n c h w"]:
    """The fixed black-and-white (0 and 255) sample of 8-bit images that figures are quoted on.

    The sample of image i depends on the seed, i and the image alone, not on how many images follow.

    >>> binarize(torch.tensor([[[[0, 255]]]], dtype=torch.uint8))
    tensor([[[[  0, 255]]]], dtype=torch.uint8)
    """
    generator = torch.Generator().manual_seed(seed)
    view = torch.empty_like(images)
    for start in range(0, len(images), BLOCK):  # whole blocks are drawn, also for the last images
        block = images[start : start + BLOCK]
        threshold = torch.rand(BLOCK, *images.shape[1:], generator=generator)[: len(block)]
        view[start : start + BLOCK] = (255 * threshold.to(images.device) < block).to(torch.uint8) * 255
    return view


def resample(x: Float[Tensor, "n c h w"], uniform: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """A black-and-white sample (0 and 1) of images in [0, 1], from uniform draws from [0, 1)."""
    return (uniform.to(x.device) < x).to(x.dtype)
