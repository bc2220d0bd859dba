"""Laws of the priors."""

import math

import pytest
import torch
from torch.distributions import Normal

from core.priors import PRIORS, Prior, StandardNormal


@pytest.mark.parametrize("name", PRIORS)
def test_analytic_kl_equals_monte_carlo(name: str) -> None:
    """Within five standard errors of 200,000 draws of log q(z) - log p(z), for narrow, wide and far posteriors."""
    torch.manual_seed(0)
    prior = PRIORS[name](3)
    mean = torch.tensor([[0.0, 0.0, 0.0], [2.0, -1.0, 0.5], [0.1, 3.0, -2.0]])
    scale = torch.tensor([[1.0, 1.0, 0.9], [0.1, 0.5, 2.0], [1.5, 0.01, 1.0]])
    posterior = Normal(mean, scale)
    z = posterior.sample((200_000,))
    ratio = posterior.log_prob(z).sum(-1) - prior.log_prob(z)
    error = ratio.std(0) / math.sqrt(len(z))
    analytic = prior.kl(posterior, z[0])
    assert analytic.shape == (3,)
    assert ((analytic - ratio.mean(0)).abs() < 5 * error + 1e-5).all()
    assert (error < 0.02).all()


@pytest.mark.parametrize("name", PRIORS)
def test_the_one_draw_estimate_is_unbiased(name: str) -> None:
    """What a prior without a closed form falls back on agrees with the closed form."""
    torch.manual_seed(0)
    prior, posterior = PRIORS[name](2), Normal(torch.tensor([[1.0, -0.5]]), torch.tensor([[0.3, 0.8]]))
    draws = Prior.kl(prior, posterior, posterior.sample((100_000,))[:, 0])
    error = draws.std() / math.sqrt(len(draws))
    assert abs(draws.mean() - prior.kl(posterior, posterior.mean).squeeze()) < 5 * error


def test_kl_is_zero_at_the_prior_and_positive_elsewhere() -> None:
    prior = StandardNormal(2)
    assert prior.kl(Normal(torch.zeros(1, 2), torch.ones(1, 2)), torch.zeros(1, 2)).item() == 0
    assert (prior.kl(Normal(torch.randn(50, 2), torch.rand(50, 2) + 0.1), torch.zeros(50, 2)) > 0).all()


@pytest.mark.parametrize("name", PRIORS)
def test_density_integrates_to_one(name: str) -> None:
    axis = torch.linspace(-9, 9, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    density = PRIORS[name](2).double().log_prob(grid).exp().reshape(601, 601)
    assert torch.trapezoid(torch.trapezoid(density, axis), axis).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", PRIORS)
def test_samples_follow_the_density_and_the_generator(name: str) -> None:
    """The entropy of the samples under the density is the density's own; the same seed gives the same draws."""
    prior = PRIORS[name](2).double()
    z = prior.sample(100_000, torch.Generator().manual_seed(3))
    assert z.shape == (100_000, 2)
    assert torch.equal(z, prior.sample(100_000, torch.Generator().manual_seed(3)))
    axis = torch.linspace(-9, 9, 601, dtype=torch.float64)
    log_density = prior.log_prob(torch.cartesian_prod(axis, axis)).reshape(601, 601)
    entropy = torch.trapezoid(torch.trapezoid(-log_density * log_density.exp(), axis), axis)
    scores = -prior.log_prob(z.double())
    assert abs(scores.mean() - entropy) < 5 * scores.std() / math.sqrt(len(z))
