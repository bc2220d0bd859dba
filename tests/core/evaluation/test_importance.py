"""Tests of the importance-sampled log-likelihood."""

import math

import pytest
import torch
from linear_gaussian import LATENTS, SIDE, OpenPrior, Shifted, linear_gaussian

from core import VAE, Architecture, encode, evaluate
from core.evaluation.importance import BLOCK, log_likelihood

IMAGES = torch.randint(0, 256, (BLOCK + 40, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def untrained(prior: str = "normal") -> VAE:
    torch.manual_seed(0)
    return Architecture(1, 8, 8, 3, "mlp", prior=prior).build()


def linear_images(n: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(3)).to(torch.uint8)


def test_with_the_exact_posterior_one_sample_gives_the_exact_evidence() -> None:
    vae, evidence = linear_gaussian(OpenPrior(LATENTS))
    images = linear_images(30)
    for samples in (1, 7):
        estimate = log_likelihood(vae, images, samples)
        exact = evidence.log_prob((images.float() / 255).double().flatten(1))
        torch.testing.assert_close(estimate.value, exact, rtol=1e-6, atol=1e-4)
        assert (estimate.standard_error < 1e-4).all()


def test_with_another_posterior_the_estimate_is_within_its_standard_error() -> None:
    """20,000 samples from a posterior that is shifted and too wide. Each image is within five standard errors, and the
    errors have the right size."""
    vae, evidence = linear_gaussian(OpenPrior(LATENTS))
    vae.encoder = Shifted(vae.encoder, torch.tensor([0.2, -0.1, 0.05, 0.5, 0.5, 0.5]).double())
    images = linear_images(30)
    estimate = log_likelihood(vae, images, 20_000)
    deviation = (estimate.value - evidence.log_prob((images.float() / 255).double().flatten(1))) / estimate.standard_error
    assert (deviation.abs() < 5).all()
    assert 0.5 < deviation.square().mean().sqrt() < 2


def test_more_samples_raise_the_mean_and_one_sample_gives_the_elbo() -> None:
    """Means over 296 images and 5 seeds."""
    vae = untrained()
    with torch.no_grad():
        vae.encoder.layers[-1].bias.add_(1.0)  # pyright: ignore
    means = {k: torch.stack([log_likelihood(vae, IMAGES, k, seed).value.mean() for seed in range(5)]) for k in (1, 10, 100)}
    assert means[1].max() < means[10].min()
    assert means[10].max() < means[100].min()
    elbo = torch.stack([encode(vae, IMAGES, seed).elbo.mean() for seed in range(5)])
    assert abs(means[1].mean() - elbo.mean()) < 5 * math.hypot(means[1].std() / 5**0.5, elbo.std() / 5**0.5) + 1e-3
    assert log_likelihood(vae, IMAGES[:2], 33).samples == 33
    with pytest.raises(ValueError, match="at least 1 sample"):
        log_likelihood(vae, IMAGES, 0)


def test_each_image_is_encoded_once() -> None:
    vae = untrained()
    seen: list[int] = []
    vae.encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    done: list[int] = []
    log_likelihood(vae, IMAGES, 50, advance=done.append)
    assert sum(seen) == sum(done) == len(IMAGES)


@pytest.mark.parametrize("prior", ["normal", "flow", "vamp"])
def test_an_images_estimate_does_not_depend_on_the_images_after_it(prior: str) -> None:
    vae = untrained(prior)
    whole = log_likelihood(vae, IMAGES, 9)
    first = log_likelihood(vae, IMAGES[: BLOCK + 3], 9)
    torch.testing.assert_close(first.value, whole.value[: BLOCK + 3], rtol=1e-6, atol=1e-4)
    assert torch.equal(log_likelihood(vae, IMAGES, 9).value, whole.value)
    assert not torch.equal(log_likelihood(vae, IMAGES, 9, seed=1).value, whole.value)


def test_the_evaluation_reports_nll_samples_errors_and_bits_per_dim() -> None:
    vae, binary = untrained(), (IMAGES > 127).to(torch.uint8) * 255
    figures, bound = evaluate(vae, binary, samples=20), evaluate(vae, binary)
    estimate = log_likelihood(vae, binary, 20)
    assert figures.nll is not None
    assert figures.nll_standard_error is not None
    assert figures.nll_monte_carlo_error is not None
    assert figures.nll == pytest.approx(-estimate.value.mean().item())
    assert 0 < figures.nll < -figures.elbo + 0.1
    assert figures.nll_samples == 20
    assert figures.nll_standard_error == pytest.approx(estimate.value.std().item() / math.sqrt(len(binary)))
    assert 0 < figures.nll_monte_carlo_error < figures.nll_standard_error
    assert figures.bits_per_dim == pytest.approx(figures.nll / math.log(2) / 64)
    assert bound.bits_per_dim == pytest.approx(-bound.elbo / math.log(2) / 64)
    assert (bound.nll, bound.nll_samples, bound.nll_standard_error) == (None, 0, None)
    assert evaluate(vae, IMAGES, samples=2).bits_per_dim is None
