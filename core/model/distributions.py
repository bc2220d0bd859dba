"""Distributions over pixels that torch does not have, or not to the digits needed, in torch's own form."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Normal
from torch.nn.functional import logsigmoid, softplus

Sizes = torch.Size | list[int] | tuple[int, ...]


class ContinuousBernoulli(Distribution):
    """The density over [0, 1] proportional to e^(logit x): lambda e^(lambda x) / (e^lambda - 1), lambda being the logit.

    Loaiza-Ganem & Cunningham, 2019, arXiv 1907.06845. One number per entry of `logits`; no event dimensions.
    torch's own works on probabilities, which float32 rounds to one beyond logits of 16.
    """

    def __init__(self, logits: Float[Tensor, "*batch"]) -> None:
        super().__init__(logits.shape, validate_args=False)
        self.logits = logits
        # Close to zero the formulas are 0/0: there their series, and here a value that keeps the other branch finite.
        self._near = logits.abs() < 0.3
        self._size = torch.where(self._near, 1, logits.abs())

    def log_prob(self, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """lambda (x - 1/2) - log(sinh(lambda / 2) / (lambda / 2)), in nats."""
        square = self.logits.square()
        series = square / 24 - square.square() / 2880
        normalizer = torch.where(self._near, series, self._size / 2 + torch.log(-torch.expm1(-self._size) / self._size))
        return self.logits * (value - 0.5) - normalizer

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """coth(lambda / 2) / 2 - 1 / lambda + 1/2."""
        square = self.logits.square()
        series = self.logits * (1 / 12 - square / 720 + square.square() / 30240)
        size = self._size
        return 0.5 + torch.where(self._near, series, self.logits.sign() * (0.5 / torch.tanh(size / 2) - 1 / size))

    @torch.no_grad()
    def sample(self, sample_shape: Sizes = ()) -> Float[Tensor, "..."]:
        """Draws by the inverse of the cumulative distribution."""
        uniform = torch.rand(self._extended_shape(torch.Size(sample_shape)), dtype=self.logits.dtype, device=self.logits.device)
        # Of the falling density of the same size, turned over where the density rises.
        size = self.logits.abs().clamp_min(1e-6)
        x = (-torch.log1p(uniform * torch.expm1(-size)) / size).clamp(0, 1)
        return torch.where(self.logits > 0, 1 - x, x)


class ProfileNormal(Distribution):
    """The normal log density of an image around a mean, at the standard deviation that makes it largest.

    max over sigma of log N(x; mean, sigma² I) = -D/2 (log 2 pi sigma² + 1), where sigma² is the mean square of the D errors
    (Rybkin et al., 2021, arXiv 2006.13202); sigma stays above `finest`. A profile likelihood: as sigma is taken from x, it is
    not normalized over x. Batch shape (N,), event shape (C, H, W).
    """

    def __init__(self, mean: Float[Tensor, "n c h w"], finest: float) -> None:
        super().__init__(mean.shape[:1], mean.shape[1:], validate_args=False)
        self._mean = mean
        self.finest = finest

    @property
    def mean(self) -> Float[Tensor, "n c h w"]:
        return self._mean

    def log_prob(self, value: Float[Tensor, "... c h w"]) -> Float[Tensor, "..."]:
        """The maximum over sigma, in nats, summed over pixels."""
        pixels = (-3, -2, -1)
        # At a maximum over sigma the derivative through sigma is zero; detached, it stays finite for a perfect picture.
        scale = (value - self._mean).detach().square().mean(pixels, keepdim=True).sqrt().clamp_min(self.finest)
        return Normal(self._mean, scale, validate_args=False).log_prob(value).sum(pixels)

    def sample(self, sample_shape: Sizes = ()) -> Float[Tensor, "... c h w"]:
        """The mean: without an image there is no scale to draw with."""
        return self._mean.detach().expand(self._extended_shape(torch.Size(sample_shape)))


class DiscretizedLogistic(Distribution):
    """The probability of each level k/255 that a logistic variable gives to the level's interval, the ends taking the tails.

    P(k) = sigmoid((k + 1/2 - m) / s) - sigmoid((k - 1/2 - m) / s), with place m and scale s in levels; 0 and 255 reach to
    infinity (Kingma et al., 2016, arXiv 1606.04934; Salimans et al., 2017, arXiv 1701.05517). `place` and `scale` are in
    units where white is 1. No event dimensions.
    """

    def __init__(self, place: Float[Tensor, "*batch"], scale: Float[Tensor, "*batch"]) -> None:
        super().__init__(place.shape, validate_args=False)
        self.place, self.scale = place, scale

    def log_prob(self, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Log mass of the level at `value`, in nats."""
        half = 0.5 / 255
        lowest, highest, error = value < half, value > 1 - half, value - self.place
        below = torch.where(lowest, -torch.inf, (error - half) / self.scale)
        above = torch.where(highest, torch.inf, (error + half) / self.scale)
        width = torch.where(lowest | highest, torch.inf, 2 * half / self.scale)
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - e^(a - b)), which keeps its digits however small it is.
        return logsigmoid(above) + logsigmoid(-below) + torch.log(-torch.expm1(-width))

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """The mean before rounding to levels, that of the logistic variable clipped to [0, 1].

        Rounding moves it by 0.14 of a level at most where the scale is at least 1/8 of a level; summing over levels would
        cost 255 times as much.
        """
        grown = softplus(self.place / self.scale) - softplus((self.place - 1) / self.scale)
        return (self.scale * grown).clamp(0, 1)

    @torch.no_grad()
    def sample(self, sample_shape: Sizes = ()) -> Float[Tensor, "..."]:
        """Levels k/255."""
        uniform = torch.rand(self._extended_shape(torch.Size(sample_shape)), dtype=self.place.dtype, device=self.place.device)
        return (255 * (self.place + self.scale * uniform.logit())).round().clamp(0, 255) / 255
