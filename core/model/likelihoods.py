"""Likelihoods p(x | z): what turns the numbers a decoder emits into a distribution over images."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, MixtureSameFamily, Normal

from core.model.distributions import ContinuousBernoulli, DiscretizedLogistic, ProfileNormal

FINEST = 1 / 512
"""Smallest scale of a density over pixels: half a grey level. Below it, a density on 8-bit pixels grows without bound and
means nothing."""


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


class ContinuousBernoulliLikelihood(Likelihood):
    """Each pixel is continuous Bernoulli: the density over [0, 1] that goes as p^x (1 - p)^(1 - x), normalized.

    What the Bernoulli cross-entropy of grey pixels lacks to be a likelihood (Loaiza-Ganem & Cunningham, 2019,
    arXiv 1907.06845).
    """

    name = "continuous-bernoulli"

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        # The density at black or white is the logit's size: the bound is the same peak that the Gaussians have in mind.
        return Independent(ContinuousBernoulli(parameters.clamp(-1 / FINEST, 1 / FINEST)), 3, validate_args=False)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return False

    def kind_on(self, x_is_mass: bool) -> str:
        return "continuous Bernoulli density of pixels in [0, 1]"


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
        scale = self.log_scale.exp().clamp_min(FINEST)
        return Independent(Normal(parameters.sigmoid(), scale, validate_args=False), 3, validate_args=False)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return False

    def kind_on(self, x_is_mass: bool) -> str:
        return "Gaussian density of pixels in [0, 1]"


class FixedGaussianLikelihood(Likelihood):
    """Each pixel is normal around the decoder's picture with a given standard deviation, in units where white is 1.

    The ELBO is then a squared error with a KL of weight 2 scale² and a constant.
    """

    name = "gaussian-fixed"

    def __init__(self, scale: float = 0.1) -> None:
        super().__init__()
        if not scale >= FINEST:
            raise ValueError(f"scale must be at least 1/512, half a grey level; got {scale}.")
        self.scale = scale

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        mean = parameters.sigmoid()
        return Independent(Normal(mean, torch.full_like(mean, self.scale), validate_args=False), 3, validate_args=False)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return False

    def kind_on(self, x_is_mass: bool) -> str:
        return f"Gaussian density of pixels in [0, 1], standard deviation {self.scale:g}"


class OptimalGaussianLikelihood(Likelihood):
    """Each image is scored with the standard deviation that suits it best: the root mean square of its own error.

    `log_prob(x)` is the largest value over sigma of the Gaussian log density, -D/2 (log 2 pi sigma² + 1) with sigma² the mean
    squared error of the D pixels: a profile likelihood ("optimal sigma-VAE", Rybkin et al., 2021, arXiv 2006.13202). It needs
    no scale to be chosen or learned. As sigma is taken from x, it does not integrate to one over x: an objective to train
    with, never a likelihood to quote. Without an x there is no scale, so `sample()` gives the picture itself.
    """

    name = "gaussian-optimal"

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        return ProfileNormal(parameters.sigmoid(), FINEST)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return False

    def kind_on(self, x_is_mass: bool) -> str:
        return "Gaussian profile over each image's own best scale (does not integrate to one: not a likelihood)"


class DiscretizedLogisticLikelihood(Likelihood):
    """Each pixel is one of 256 levels, whose probabilities are the integrals of a logistic density.

    A probability mass on 8-bit images, so that `log_prob` can be quoted in bits per dimension (Kingma et al., 2016,
    arXiv 1606.04934). Channels are independent given z.
    """

    name = "discretized-logistic"

    def channels_out(self, channels: int) -> int:
        """A place and a scale for each channel."""
        return 2 * channels

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        place, log_scale = parameters.chunk(2, dim=1)
        return Independent(logistic(0.5 + place, log_scale), 3, validate_args=False)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return on_levels(x)

    def kind_on(self, x_is_mass: bool) -> str:
        return f"discretized logistic {mass_of_levels(x_is_mass)}"


class LogisticMixtureLikelihood(Likelihood):
    """Each pixel is one of 256 levels, whose probabilities are the integrals of a mixture of logistic densities.

    The pixel model of PixelCNN++ (Salimans et al., 2017, arXiv 1701.05517) without its coupling: channels are independent
    given z, each with its own `components`. A probability mass on 8-bit images.
    """

    name = "logistic-mixture"
    centres: Tensor

    def __init__(self, components: int = 5) -> None:
        super().__init__()
        self.components = components
        # Spread over the levels at the start: components that begin alike learn alike.
        self.register_buffer("centres", (torch.arange(components) + 0.5) / components, persistent=False)

    def channels_out(self, channels: int) -> int:
        """A weight, a place and a scale of each component, for each channel."""
        return 3 * self.components * channels

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        by_component = parameters.unflatten(1, (3, self.components, -1)).movedim(2, -1)
        weight, place, log_scale = by_component.unbind(1)
        components = logistic(self.centres + place, log_scale)
        mixture = MixtureSameFamily(Categorical(logits=weight, validate_args=False), components, validate_args=False)
        return Independent(mixture, 3, validate_args=False)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return on_levels(x)

    def kind_on(self, x_is_mass: bool) -> str:
        return f"mixture of {self.components} discretized logistics, {mass_of_levels(x_is_mass)}"


def logistic(place: Float[Tensor, "*shape"], log_scale: Float[Tensor, "*shape"]) -> DiscretizedLogistic:
    """Discretized logistics with a scale from 1/8 of a level, beyond which nothing is gained, to 20 times the range."""
    # e^-2 at zero: a fresh decoder's pictures are grey and unsure.
    return DiscretizedLogistic(place, (log_scale - 2).clamp(-math.log(8 * 255), 3.0).exp())


def on_levels(x: Float[Tensor, "n c h w"]) -> bool:
    """Whether every pixel is exactly one of the 256 levels k/255."""
    return bool((((255 * x).round().clamp(0, 255) / 255) == x).all())


def mass_of_levels(x_is_mass: bool) -> str:
    """What a discretized density gives to pixels that are, or are not, levels."""
    return (
        "probability mass on 8-bit pixels"
        if x_is_mass
        else "mass of the level-wide interval around each pixel (not a likelihood)"
    )


LIKELIHOODS: dict[str, type[Likelihood]] = {
    kind.name: kind
    for kind in (
        BernoulliLikelihood,
        ContinuousBernoulliLikelihood,
        GaussianLikelihood,
        FixedGaussianLikelihood,
        OptimalGaussianLikelihood,
        DiscretizedLogisticLikelihood,
        LogisticMixtureLikelihood,
    )
}
