"""Tests of the objectives."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from core import VAE, Architecture
from core.model.objectives import Objective, beta, beta_tc, elbo, free_bits, iwae, total_correlation

X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def vae(prior: str = "normal", latents: int = 3) -> VAE:
    """An untrained model whose posteriors differ from the prior, so that the KL is not close to zero."""
    torch.manual_seed(0)
    model = Architecture(1, 8, 8, latents, "mlp", prior=prior).build()
    with torch.no_grad():
        model.encoder.layers[-1].bias.copy_(torch.linspace(-1, 1, 2 * latents))  # pyright: ignore
    return model


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def gradients(model: VAE, objective: Objective, eps: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    (-objective(model, X, eps, None).value.mean()).backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("prior", ["normal", "flow", "vamp"])
@pytest.mark.parametrize(
    "objective", [beta(1.0), free_bits(0.0), beta_tc(1.0, 600), iwae], ids=["beta 1", "0 free nats", "beta-tc 1", "iwae 1"]
)
def test_each_objective_equals_the_elbo_at_its_neutral_strength(objective: Objective, prior: str) -> None:
    model, eps = vae(prior), noise(6, 3)
    expected, got = elbo(model, X, eps), objective(model, X, eps, None)
    torch.testing.assert_close(got.log_likelihood, expected.log_likelihood)
    if objective is iwae and prior == "normal":  # IWAE uses the sampled ratio; the ELBO uses the closed form
        posterior = model.posterior(X)
        z = posterior.mean + posterior.stddev * eps
        expected = expected._replace(kl=posterior.log_prob(z).sum(-1) - model.prior.log_prob(z))
    torch.testing.assert_close(got.kl, expected.kl, atol=1e-4, rtol=1e-5)


def test_beta_multiplies_the_kl() -> None:
    model, eps = vae(), noise(6, 3)
    torch.testing.assert_close(beta(4.0)(model, X, eps, None).kl, 4 * elbo(model, X, eps).kl)


def test_free_nats_apply_to_each_latent() -> None:
    """With 0.4 free nats, the first latent's KL is above the threshold and the other two are below."""
    model, eps = vae(), noise(6, 3)
    kl = kl_divergence(model.posterior(X), Normal(torch.zeros(3), torch.ones(3))).mean(0)
    assert (kl > 0.4).tolist() == [True, False, False]
    assert free_bits(0.4)(model, X, eps, None).kl.mean().item() == pytest.approx(kl[0].item() + 0.8, rel=1e-5)
    free = gradients(model, free_bits(0.4), eps)["encoder.layers.3.bias"]  # means, then log-variances
    unweighted, weighted = (gradients(model, beta(weight), eps)["encoder.layers.3.bias"] for weight in (0.0, 1.0))
    torch.testing.assert_close(free[[0, 3]], weighted[[0, 3]])
    torch.testing.assert_close(free[[1, 2, 4, 5]], unweighted[[1, 2, 4, 5]])


@pytest.mark.parametrize("prior", ["flow", "vamp"])
def test_with_a_learned_prior_free_nats_apply_to_the_sum_over_latents(prior: str) -> None:
    model, eps = vae(prior), noise(6, 3)
    free = elbo(model, X, eps).kl.mean().item() / 3 + 1
    assert free_bits(free)(model, X, eps, None).kl.mean().item() == pytest.approx(3 * free, rel=1e-5)
    below, unweighted = gradients(model, free_bits(free), eps), gradients(model, beta(0.0), eps)
    assert all(torch.allclose(below[name], unweighted[name], atol=1e-6) for name in unweighted)


@pytest.mark.parametrize("prior", ["normal", "flow", "vamp"])
def test_more_samples_tighten_the_importance_weighted_bound(prior: str) -> None:
    """The mean over 20,000 repetitions rises by more than five standard errors."""
    model = vae(prior)
    x = X[:1]
    bounds = {}
    with torch.no_grad():
        for k in (1, 10):
            draws = noise(k, 20_000, 3).split(2000, dim=1)
            bounds[k] = torch.cat([iwae(model, x.expand(2000, -1, -1, -1), eps, None).value for eps in draws])
    gap = bounds[10].mean() - bounds[1].mean()
    error = math.sqrt(sum(float(b.var() / len(b)) for b in bounds.values()))
    assert gap > 5 * error


def test_the_doubly_reparameterized_gradient_is_unbiased() -> None:
    """Its mean over many draws equals the plain gradient's. Its variance at the encoder is lower."""

    def plain(model: VAE, x: Tensor, eps: Tensor, seen: Tensor | None) -> object:
        posterior = model.posterior(x)
        z = posterior.mean + posterior.stddev * eps
        k, n, latents = eps.shape
        log_likelihood = model.decode(z.reshape(k * n, latents)).log_prob(x.repeat(k, 1, 1, 1)).reshape(k, n)
        log_weight = log_likelihood + model.prior.log_prob(z) - posterior.log_prob(z).sum(-1)
        return type(elbo(model, x, eps[0]))(log_weight.logsumexp(0) - math.log(k), torch.zeros(n))

    model = vae(latents=2)
    generator = torch.Generator().manual_seed(5)
    draws = [torch.randn(4, 6, 2, generator=generator) for _ in range(250)]
    for name in ("encoder.layers.3.bias", "decoder.layers.2.bias"):
        ours = torch.stack([gradients(model, iwae, eps)[name] for eps in draws])
        theirs = torch.stack([gradients(model, plain, eps)[name] for eps in draws])  # pyright: ignore[reportArgumentType]
        error = ((ours.var(0) + theirs.var(0)) / len(draws)).sqrt()
        assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * error + 1e-5).all(), name
        if name.startswith("encoder"):
            assert ours.var(0).sum() < theirs.var(0).sum()


def test_total_correlation_equals_the_exact_value_of_a_normal_distribution() -> None:
    """Without the posterior's variance, correlation 0.9 gives -log(1 - 0.81) / 2 = 0.83; correlation 0 gives 0."""
    generator = torch.Generator().manual_seed(0)
    n, sigma = 2000, 0.3
    for correlation in (0.0, 0.9):
        base = torch.randn(n, 2, generator=generator)
        mean = torch.stack([base[:, 0], correlation * base[:, 0] + math.sqrt(1 - correlation**2) * base[:, 1]], 1)
        posterior = Normal(mean, torch.full_like(mean, sigma))
        z = mean + sigma * torch.randn(n, 2, generator=generator)
        covariance = torch.tensor([[1 + sigma**2, correlation], [correlation, 1 + sigma**2]])
        exact = -0.5 * torch.logdet(covariance / (1 + sigma**2)).item()
        assert total_correlation(posterior, z, n).mean().item() == pytest.approx(exact, abs=0.1)


def test_total_correlation_is_exact_when_the_batch_is_the_data_set() -> None:
    """The estimate equals the log-density ratio of the mixture of all posteriors."""
    mean, z = noise(7, 2), noise(7, 2) + 0.1
    posterior = Normal(mean, torch.full_like(mean, 0.5))
    weights = Categorical(logits=torch.zeros(7))
    joint = MixtureSameFamily(weights, Independent(posterior, 1)).log_prob(z)
    each = [MixtureSameFamily(weights, Normal(mean[:, j], torch.full((7,), 0.5))).log_prob(z[:, j]) for j in range(2)]
    torch.testing.assert_close(total_correlation(posterior, z, 7), joint - each[0] - each[1])
