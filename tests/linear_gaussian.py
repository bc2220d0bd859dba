"""A linear-Gaussian VAE with its exact posterior, so that log p(x) is known in closed form."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from core import VAE
from core.model.likelihoods import Likelihood
from core.model.priors import Prior

LATENTS, SIDE, SCALE = 3, 4, 0.7


class LinearLikelihood(Likelihood):
    """x ~ N(decoder output, SCALE² I)."""

    def forward(self, parameters: Tensor) -> Distribution:
        return Independent(Normal(parameters, torch.full_like(parameters, SCALE), validate_args=False), 3, validate_args=False)


class LinearDecoder(nn.Module):
    """W z + b. The columns of W are orthogonal, so the exact posterior is diagonal."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        columns = torch.linalg.qr(torch.randn(SIDE * SIDE, LATENTS, generator=generator, dtype=torch.float64)).Q
        self.weight = nn.Parameter(columns * torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64), requires_grad=False)
        self.bias = nn.Parameter(torch.randn(SIDE * SIDE, generator=generator, dtype=torch.float64), requires_grad=False)

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.weight.T + self.bias).reshape(-1, 1, SIDE, SIDE)


class ExactEncoder(nn.Module):
    """The posterior by Bayes' rule: precision I + WᵀW / s², mean = covariance Wᵀ (x - b) / s²."""

    def __init__(self, decoder: LinearDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        w, b = self.decoder.weight, self.decoder.bias
        variance = 1 / (1 + (w.T @ w).diagonal() / SCALE**2)
        mean = (x.flatten(1) - b) @ w * variance / SCALE**2
        return torch.cat([mean, variance.log().expand_as(mean)], dim=-1)


class OpenPrior(Prior):
    """The standard normal without a closed-form KL: `kl` is the one-sample estimate."""

    def log_prob(self, z: Tensor) -> Tensor:
        return Normal(0.0, 1.0).log_prob(z).sum(-1)


def linear_gaussian(prior: Prior) -> tuple[VAE, MultivariateNormal]:
    """Return the VAE and the exact distribution of its images, N(b, W Wᵀ + s² I)."""
    decoder = LinearDecoder()
    covariance = decoder.weight @ decoder.weight.T + SCALE**2 * torch.eye(SIDE * SIDE, dtype=torch.float64)
    return VAE(prior, ExactEncoder(decoder), decoder, LinearLikelihood()).double(), MultivariateNormal(decoder.bias, covariance)


class Shifted(nn.Module):
    """An encoder with a constant added to its output."""

    def __init__(self, encoder: nn.Module, shift: Tensor) -> None:
        super().__init__()
        self.encoder, self.shift = encoder, shift

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x) + self.shift
