"""Tests of the priors."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.distributions import Normal

from core import VAE, Architecture, Bundle, load
from core.model.architecture import PRIORS
from core.model.priors import Prior, StandardNormal, VampPrior


def vae(name: str) -> VAE:
    """A float64 model with two latents. The prior's weights are perturbed, so that no symmetry hides an error."""
    torch.manual_seed(0)
    model = Architecture(1, 8, 8, 2, "mlp", prior=name).build().double().requires_grad_(False)
    for weight in model.prior.parameters():
        weight += 0.1 * torch.randn_like(weight)
    return model


def test_analytic_kl_equals_monte_carlo() -> None:
    """Within five standard errors of 200,000 draws of log q(z) - log p(z), for narrow, wide and distant posteriors."""
    torch.manual_seed(0)
    prior = StandardNormal(3)
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


def test_the_one_sample_kl_estimate_is_unbiased() -> None:
    """The estimate that priors without a closed form use; here compared with the closed form."""
    torch.manual_seed(0)
    prior, posterior = StandardNormal(2), Normal(torch.tensor([[1.0, -0.5]]), torch.tensor([[0.3, 0.8]]))
    draws = Prior.kl_terms(prior, posterior, posterior.sample((100_000,))[:, 0])
    error = draws.std() / math.sqrt(len(draws))
    assert abs(draws.mean() - prior.kl(posterior, posterior.mean).squeeze()) < 5 * error


def test_kl_is_zero_at_the_prior_and_positive_elsewhere() -> None:
    prior = StandardNormal(2)
    assert prior.kl(Normal(torch.zeros(1, 2), torch.ones(1, 2)), torch.zeros(1, 2)).item() == 0
    assert (prior.kl(Normal(torch.randn(50, 2), torch.rand(50, 2) + 0.1), torch.zeros(50, 2)) > 0).all()


def on_a_grid(prior: Prior) -> tuple[torch.Tensor, torch.Tensor]:
    """The points of an axis, and the log-density on the square grid of these points."""
    axis = torch.linspace(-12, 12, 241, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    return axis, torch.cat([prior.log_prob(z) for z in grid.split(10_000)]).reshape(241, 241)


@pytest.mark.parametrize("name", PRIORS)
def test_density_integrates_to_one(name: str) -> None:
    axis, log_density = on_a_grid(vae(name).prior)
    assert torch.trapezoid(torch.trapezoid(log_density.exp(), axis), axis).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", PRIORS)
def test_samples_match_the_density_and_depend_only_on_the_generator(name: str) -> None:
    """The mean negative log-density of samples equals the entropy. The same seed gives the same samples."""
    prior = vae(name).prior
    z = prior.sample(20_000, torch.Generator().manual_seed(3))
    assert z.shape == (20_000, 2)
    assert torch.equal(z, prior.sample(20_000, torch.Generator().manual_seed(3)))
    axis, log_density = on_a_grid(prior)
    entropy = torch.trapezoid(torch.trapezoid(-log_density * log_density.exp(), axis), axis)
    scores = -prior.log_prob(z.double())
    assert abs(scores.mean() - entropy) < 5 * scores.std() / math.sqrt(len(z))


def test_the_vamp_prior_is_the_mean_posterior_of_its_pseudo_inputs() -> None:
    model = vae("vamp")
    z = torch.randn(5, 2, dtype=torch.float64)
    assert isinstance(model.prior.pseudo_inputs, torch.Tensor)
    posterior = model.posterior(model.prior.pseudo_inputs.sigmoid())
    expected = posterior.log_prob(z[:, None]).sum(-1).exp().mean(1).log()
    torch.testing.assert_close(model.prior.log_prob(z), expected)


def test_the_vamp_prior_is_accurate_in_float32_for_narrow_posteriors() -> None:
    """With standard deviation 0.001, expanding (z - mean)² into z² - 2 z mean + mean² would lose all digits."""
    torch.manual_seed(0)
    mean = torch.randn(16, 40)
    encoder = torch.nn.Module()
    encoder.forward = lambda _: torch.cat([mean, torch.full_like(mean, -2 * math.log(1000))], -1)
    prior = VampPrior(40, encoder, (1, 8, 8), 16)
    z = mean[:5] + 0.001 * torch.randn(5, 40)
    exact = Normal(mean.double(), 0.001).log_prob(z[:, None].double()).sum(-1).logsumexp(-1)
    torch.testing.assert_close(prior.log_prob(z), (exact - math.log(16)).float(), rtol=1e-6, atol=1e-4)


def test_the_vamp_prior_shares_the_encoder() -> None:
    """The state holds the encoder once. The prior of a copied VAE uses the copy's encoder."""
    model = vae("vamp")
    assert not any(name.startswith("prior") and "encoder" in name for name in model.state_dict())
    twin = copy.deepcopy(model)
    z = torch.zeros(1, 2, dtype=torch.float64)
    before = twin.prior.log_prob(z)
    for weight in model.encoder.parameters():
        weight += 1
    assert torch.equal(twin.prior.log_prob(z), before)
    assert not torch.equal(model.prior.log_prob(z), before)


def test_the_flows_log_density_decays_quadratically_far_from_the_origin() -> None:
    """With quadratic decay, the gradient moves distant latents back to the origin."""
    prior = vae("flow").prior
    near, far = prior.log_prob(torch.tensor([[1e4, -1e4], [4e4, -4e4]], dtype=torch.float64))
    assert far / near == pytest.approx(16, rel=0.01)


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_is_bitwise_equal_after_saving_and_loading(name: str, tmp_path: Path, bundle: Bundle) -> None:
    torch.manual_seed(1)
    architecture = replace(bundle.architecture, prior=name)
    model = architecture.build().eval()
    config = {**bundle.config, "architecture": architecture.as_dict()}
    Bundle(model, None, None, {**config, "map": None}).save(tmp_path / "b")
    again = load(tmp_path / "b").vae
    z = model.prior.sample(10, torch.Generator().manual_seed(0))
    assert torch.equal(z, again.prior.sample(10, torch.Generator().manual_seed(0)))
    assert torch.equal(model.prior.log_prob(z), again.prior.log_prob(z))
