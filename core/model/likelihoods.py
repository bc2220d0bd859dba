"""Likelihoods p(x|z): from a decoder's output to a distribution over images."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, MixtureSameFamily, Normal

from core.model.distributions import ContinuousBernoulli, DiscretizedLogistic, ProfileNormal

MIN_SCALE = 1 / 512
"""Smallest scale of a density over pixels, where white is 1: half a grey level. At smaller scales the density of 8-bit pixels
grows without bound and has no meaning."""


class Likelihood(nn.Module):
    """A family of distributions over images in [0, 1], parameterized by the decoder's output.

    Calling it with parameters (N, channels_out(C), H, W) returns a distribution with batch shape (N,)
    and event shape (C, H, W): `log_prob(x)` is one number per image, in nats, summed over pixels.
    """

    name: ClassVar[str]

    def channels_out(self, channels: int) -> int:
        """Return the number of channels the decoder must output for images of `channels` channels."""
        return channels

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        raise NotImplementedError

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        """Whether `log_prob` at these images is a log probability (not a log density or another score)."""
        raise NotImplementedError

    def kind_on(self, x_is_mass: bool) -> str:
        """Describe what `log_prob` measures, in words; printed next to every log-likelihood."""
        raise NotImplementedError


class BernoulliLikelihood(Likelihood):
    """Each pixel is Bernoulli: a probability mass on black-and-white images only.

    On grey images each pixel is read as a probability, and `log_prob` is minus the cross-entropy, x log p + (1 - x) log(1 - p).
    Many VAE examples train with it. It can compare models, but it is not a likelihood (Loaiza-Ganem & Cunningham, 2019,
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
    """Each pixel is continuous Bernoulli: the density over [0, 1] proportional to p^x (1 - p)^(1 - x).

    Its normalizing constant turns the Bernoulli cross-entropy of grey pixels into a likelihood (Loaiza-Ganem & Cunningham,
    2019, arXiv 1907.06845).
    """

    name = "continuous-bernoulli"

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        # The density at black or white is about |logit|. This limits it to 1 / MIN_SCALE, about the limit of the Gaussians.
        return Independent(ContinuousBernoulli(parameters.clamp(-1 / MIN_SCALE, 1 / MIN_SCALE)), 3, validate_args=False)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return False

    def kind_on(self, x_is_mass: bool) -> str:
        return "continuous Bernoulli density of pixels in [0, 1]"


class GaussianLikelihood(Likelihood):
    """Each pixel is normal around the decoded image, with one learned standard deviation for all pixels.

    A density over pixels in [0, 1]. The standard deviation is a weight of the model ("sigma-VAE", Rybkin et al., 2021,
    arXiv 2006.13202). A sigmoid limits the mean to [0, 1].
    """

    name = "gaussian"

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-1.5))

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        scale = self.log_scale.exp().clamp_min(MIN_SCALE)
        return Independent(Normal(parameters.sigmoid(), scale, validate_args=False), 3, validate_args=False)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return False

    def kind_on(self, x_is_mass: bool) -> str:
        return "Gaussian density of pixels in [0, 1]"


class FixedGaussianLikelihood(Likelihood):
    """Each pixel is normal around the decoded image, with a given standard deviation, in units where white is 1.

    Maximizing the ELBO is then minimizing the squared error plus 2 scale² times the KL. Raises ValueError if scale < 1/512.
    """

    name = "gaussian-fixed"

    def __init__(self, scale: float = 0.1) -> None:
        super().__init__()
        if not scale >= MIN_SCALE:
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
    """Each pixel is normal around the decoded image, with the standard deviation that maximizes the image's density.

    `log_prob(x)` is the maximum over sigma of the Gaussian log density, -D/2 (log 2 pi sigma² + 1), where sigma² is the mean
    squared error of the D pixels: a profile likelihood ("optimal sigma-VAE", Rybkin et al., 2021, arXiv 2006.13202). No scale
    is chosen or learned. Because sigma depends on x, it does not integrate to one over x: train with it, but do not report it
    as a likelihood. Without an x, sigma is not defined, and `sample()` returns the mean.
    """

    name = "gaussian-optimal"

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        return ProfileNormal(parameters.sigmoid(), MIN_SCALE)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return False

    def kind_on(self, x_is_mass: bool) -> str:
        return "Gaussian profile over each image's own best scale (does not integrate to one: not a likelihood)"


class DiscretizedLogisticLikelihood(Likelihood):
    """Each pixel is one of 256 levels, with the probabilities of a discretized logistic distribution.

    A probability mass on 8-bit images, so `log_prob` can be reported in bits per dimension (Kingma et al., 2016,
    arXiv 1606.04934). Channels are independent given z.
    """

    name = "discretized-logistic"

    def channels_out(self, channels: int) -> int:
        """Two: a location and a log-scale for each channel of the image."""
        return 2 * channels

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        location, log_scale = parameters.chunk(2, dim=1)
        return Independent(discretized_logistic(0.5 + location, log_scale), 3, validate_args=False)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return is_8bit(x)

    def kind_on(self, x_is_mass: bool) -> str:
        return f"discretized logistic {describe_mass(x_is_mass)}"


class LogisticMixtureLikelihood(Likelihood):
    """Each pixel is one of 256 levels, with the probabilities of a mixture of discretized logistic distributions.

    The pixel model of PixelCNN++ (Salimans et al., 2017, arXiv 1701.05517), except that channels are independent given z, each
    with its own `components`. A probability mass on 8-bit images.
    """

    name = "logistic-mixture"
    centres: Tensor

    def __init__(self, components: int = 5) -> None:
        super().__init__()
        self.components = components
        # The initial locations are spread over [0, 1]: components that start equal would learn alike.
        self.register_buffer("centres", (torch.arange(components) + 0.5) / components, persistent=False)

    def channels_out(self, channels: int) -> int:
        """A mixture weight, a location and a log-scale of each component, for each channel of the image."""
        return 3 * self.components * channels

    def forward(self, parameters: Float[Tensor, "n p h w"]) -> Distribution:
        by_component = parameters.unflatten(1, (3, self.components, -1)).movedim(2, -1)
        weight, location, log_scale = by_component.unbind(1)
        components = discretized_logistic(self.centres + location, log_scale)
        mixture = MixtureSameFamily(Categorical(logits=weight, validate_args=False), components, validate_args=False)
        return Independent(mixture, 3, validate_args=False)

    def is_mass_on(self, x: Float[Tensor, "n c h w"]) -> bool:
        return is_8bit(x)

    def kind_on(self, x_is_mass: bool) -> str:
        return f"mixture of {self.components} discretized logistics, {describe_mass(x_is_mass)}"


def discretized_logistic(location: Float[Tensor, "*shape"], log_scale: Float[Tensor, "*shape"]) -> DiscretizedLogistic:
    """Return discretized logistics with scales limited to 1/8 of a level (smaller ones gain nothing) and 20 times the range."""
    # An untrained decoder outputs about 0, which gives a scale of e^-2: wide enough to cover all grey levels.
    return DiscretizedLogistic(location, (log_scale - 2).clamp(-math.log(8 * 255), 3.0).exp())


def is_8bit(x: Float[Tensor, "n c h w"]) -> bool:
    """Whether every pixel is exactly one of the 256 levels k/255."""
    return bool((((255 * x).round().clamp(0, 255) / 255) == x).all())


def describe_mass(x_is_mass: bool) -> str:
    """Describe the mass that a discretized density assigns to 8-bit pixels, or to others."""
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
