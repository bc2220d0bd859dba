"""Distributions over pixels, as `torch.distributions`: those that torch lacks, or computes with too little precision."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Normal
from torch.nn.functional import logsigmoid, softplus

Sizes = torch.Size | list[int] | tuple[int, ...]


class ContinuousBernoulli(Distribution):
    """The density over [0, 1] proportional to e^(logit x): lambda e^(lambda x) / (e^lambda - 1), lambda being the logit.

    Loaiza-Ganem & Cunningham, 2019, arXiv 1907.06845. The batch shape is that of `logits`; no event dimensions.
    torch's ContinuousBernoulli computes with probabilities, which float32 rounds to one for logits above 16.
    """

    def __init__(self, logits: Float[Tensor, "*batch"]) -> None:
        super().__init__(logits.shape, validate_args=False)
        self.logits = logits
        # Near zero the formulas are 0/0, and their series is used. A size of 1 keeps the unused branch and its gradient finite.
        self._near_zero = logits.abs() < 0.3
        self._size = torch.where(self._near_zero, 1, logits.abs())

    def log_prob(self, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return lambda (x - 1/2) - log(sinh(lambda / 2) / (lambda / 2)), in nats."""
        square = self.logits.square()
        series = square / 24 - square.square() / 2880
        normalizer = torch.where(self._near_zero, series, self._size / 2 + torch.log(-torch.expm1(-self._size) / self._size))
        return self.logits * (value - 0.5) - normalizer

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """coth(lambda / 2) / 2 - 1 / lambda + 1/2."""
        square = self.logits.square()
        series = self.logits * (1 / 12 - square / 720 + square.square() / 30240)
        size = self._size
        return 0.5 + torch.where(self._near_zero, series, self.logits.sign() * (0.5 / torch.tanh(size / 2) - 1 / size))

    @torch.no_grad()
    def sample(self, sample_shape: Sizes = ()) -> Float[Tensor, "..."]:
        """Draw samples by inverting the cumulative distribution function."""
        uniform = torch.rand(self._extended_shape(torch.Size(sample_shape)), dtype=self.logits.dtype, device=self.logits.device)
        # Sample the decreasing density, lambda = -size, and mirror the samples where lambda is positive.
        size = self.logits.abs().clamp_min(1e-6)
        x = (-torch.log1p(uniform * torch.expm1(-size)) / size).clamp(0, 1)
        return torch.where(self.logits > 0, 1 - x, x)


class ProfileNormal(Distribution):
    """The normal log density of an image, maximized over the standard deviation sigma: a profile likelihood.

    max over sigma of log N(x; mean, sigma² I) = -D/2 (log 2 pi sigma² + 1), where sigma² is the mean square of the D errors
    (Rybkin et al., 2021, arXiv 2006.13202). sigma is at least `min_scale`. Because sigma depends on x, the density is not
    normalized over x. Batch shape (N,), event shape (C, H, W).
    """

    def __init__(self, mean: Float[Tensor, "n c h w"], min_scale: float) -> None:
        super().__init__(mean.shape[:1], mean.shape[1:], validate_args=False)
        self._mean = mean
        self.min_scale = min_scale

    @property
    def mean(self) -> Float[Tensor, "n c h w"]:
        return self._mean

    def log_prob(self, value: Float[Tensor, "... c h w"]) -> Float[Tensor, "..."]:
        """Return the maximum over sigma, in nats, summed over pixels."""
        pixels = (-3, -2, -1)
        # At the maximum the derivative with respect to sigma is zero; without detach it is NaN where all errors are zero.
        scale = (value - self._mean).detach().square().mean(pixels, keepdim=True).sqrt().clamp_min(self.min_scale)
        return Normal(self._mean, scale, validate_args=False).log_prob(value).sum(pixels)

    def sample(self, sample_shape: Sizes = ()) -> Float[Tensor, "... c h w"]:
        """Return the mean: without an image, sigma is not defined."""
        return self._mean.detach().expand(self._extended_shape(torch.Size(sample_shape)))


class DiscretizedLogistic(Distribution):
    """A logistic distribution discretized to the 256 levels k/255: each level has the mass of the interval around it.

    P(k) = sigmoid((k + 1/2 - m) / s) - sigmoid((k - 1/2 - m) / s), with location m and scale s in levels. The intervals of 0
    and 255 extend to infinity (Kingma et al., 2016, arXiv 1606.04934; Salimans et al., 2017, arXiv 1701.05517). `location` and
    `scale` are in units where white is 1. No event dimensions.
    """

    def __init__(self, location: Float[Tensor, "*batch"], scale: Float[Tensor, "*batch"]) -> None:
        super().__init__(location.shape, validate_args=False)
        self.location, self.scale = location, scale

    def log_prob(self, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the log probability of the level at `value`, in nats."""
        half = 0.5 / 255
        lowest, highest, error = value < half, value > 1 - half, value - self.location
        below = torch.where(lowest, -torch.inf, (error - half) / self.scale)
        above = torch.where(highest, torch.inf, (error + half) / self.scale)
        width = torch.where(lowest | highest, torch.inf, 2 * half / self.scale)
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - e^(a - b)), which is precise also for small masses.
        return logsigmoid(above) + logsigmoid(-below) + torch.log(-torch.expm1(-width))

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """The mean of the logistic variable clipped to [0, 1], without rounding to levels.

        For scales of at least 1/8 of a level, it differs from the exact mean by at most 0.14 of a level. The exact sum over
        levels would cost 255 times as much.
        """
        difference = softplus(self.location / self.scale) - softplus((self.location - 1) / self.scale)
        return (self.scale * difference).clamp(0, 1)

    @torch.no_grad()
    def sample(self, sample_shape: Sizes = ()) -> Float[Tensor, "..."]:
        """Draw levels k/255."""
        location = self.location
        uniform = torch.rand(self._extended_shape(torch.Size(sample_shape)), dtype=location.dtype, device=location.device)
        return (255 * (location + self.scale * uniform.logit())).round().clamp(0, 255) / 255
