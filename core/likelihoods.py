"""Likelihoods p(x | z): what turns the numbers a decoder emits into a distribution over images."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal


class Likelihood(nn.Module):
    """A family of distributions over images in [0, 1], indexed by the decoder's output.

    Calling it with parameters (N, channels_out(C), H, W) gives a distribution with batch shape (N,)
    and event shape (C, H, W): `log_prob(x)` is one number per image, in nats, summed over pixels.
    """

    name: ClassVar[str]

    def channels_out(self, channels: int) -> int:
        """Channels the decoder must emit for images of this many channels."""
        return channels

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        raise NotImplementedError

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        """Whether `log_prob` at these images is the logarithm of a probability (not of a density or a score)."""
        raise NotImplementedError

    def kind_on(self, x_is_mass: bool) -> str:
        """What `log_prob` is, in words; printed beside every figure."""
        raise NotImplementedError


class BernoulliLikelihood(Likelihood):
    """Each pixel is a coin. A probability mass on black-and-white images only.

    On grey images the pixel is read as a probability and `log_prob` is minus the cross-entropy, x log p + (1 - x) log(1 - p):
    what most demonstrations train, useful to compare models, and not a likelihood (Loaiza-Ganem & Cunningham, 2019,
    arXiv 1907.06845).
    """

    name = "bernoulli"

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        return Independent(Bernoulli(logits=parameters, validate_args=False), 3, validate_args=False)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return bool(((x == 0) | (x == 1)).all())

    def kind_on(self, x_is_mass: bool) -> str:
        if x_is_mass:
            return "Bernoulli probability mass on binary pixels"
        return "Bernoulli cross-entropy, pixels read as probabilities (not a likelihood of the pixels)"


class GaussianLikelihood(Likelihood):
    """Each pixel is normal around the decoder's picture, with one standard deviation shared by all pixels and learned.

    A density over [0, 1]-valued pixels. The shared scale is learned with the weights ("sigma-VAE", Rybkin et al., 2021,
    arXiv 2006.13202); the mean passes through a sigmoid so that pictures stay in [0, 1].
    """

    name = "gaussian"

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-1.5))

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        # Below 1/512, half a grey level, a density on 8-bit pixels grows without bound and means nothing.
        scale = self.log_scale.exp().clamp_min(1 / 512)
        return Independent(Normal(parameters.sigmoid(), scale, validate_args=False), 3, validate_args=False)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return False

    def kind_on(self, x_is_mass: bool) -> str:
        return "Gaussian density of pixels in [0, 1]"


LIKELIHOODS: dict[str, type[Likelihood]] = {kind.name: kind for kind in (BernoulliLikelihood, GaussianLikelihood)}
