"""Tests of the variational autoencoder as a whole."""

import jaxtyping
import pytest
import torch
from linear_gaussian import LATENTS, SIDE, OpenPrior, Shifted, linear_gaussian
from pairs import pairs_first

from core import VAE, Architecture
from core.model.architecture import LIKELIHOODS, NETWORKS, PRIORS
from core.model.objectives import OBJECTIVES
from core.model.priors import StandardNormal

SIZES = [(8, 8), (13, 21), (28, 28), (64, 64)]
LARGEST = pytest.param("conv", (256, 256), 3, "gaussian", id="largest")


def perturbed(architecture: Architecture) -> VAE:
    """A new VAE with perturbed weights. Some initial weights are zero, which makes other gradients zero."""
    torch.manual_seed(0)
    vae = architecture.build()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return vae


@pytest.mark.parametrize(
    ("network", "size", "channels", "likelihood"), [*pairs_first(NETWORKS, SIZES, [1, 3], LIKELIHOODS), LARGEST]
)
def test_every_parameter_gets_a_gradient_for_every_network_and_likelihood(
    network: str, size: tuple[int, int], channels: int, likelihood: str
) -> None:
    """Also: the shapes are right and the ELBO is finite."""
    vae = perturbed(Architecture(channels, *size, 5, network, likelihood))
    x = torch.rand(2, channels, *size)
    posterior = vae.posterior(x)
    assert posterior.mean.shape == posterior.stddev.shape == (2, 5)
    decoded = vae.decode(posterior.mean)
    assert decoded.mean.shape == decoded.sample().shape == x.shape
    assert decoded.mean.min() >= 0
    assert decoded.mean.max() <= 1
    elbo = vae.elbo(x)
    assert elbo.log_likelihood.shape == elbo.kl.shape == elbo.value.shape == (2,)
    assert elbo.value.isfinite().all()
    (-elbo.value.mean()).backward()
    without = [name for name, p in vae.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize(
    ("likelihood", "network", "prior", "objective"), pairs_first(LIKELIHOODS, NETWORKS, PRIORS, OBJECTIVES)
)
def test_every_parameter_gets_a_gradient_in_every_combination(
    likelihood: str, network: str, prior: str, objective: str
) -> None:
    """Also: the loss of each image is finite."""
    vae = perturbed(Architecture(1, 8, 8, 3, network, likelihood, prior))
    strength = -100.0 if objective == "free-bits" else 2.0  # free nats have no gradient; a sampled KL can be negative
    noise = torch.randn(5, 4, 3) if objective == "iwae" else torch.randn(4, 3)
    value = OBJECTIVES[objective](strength, 600)(vae, torch.rand(4, 1, 8, 8), noise, None).value
    assert value.shape == (4,)
    assert value.isfinite().all()
    (-value.mean()).backward()
    without = [name for name, p in vae.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("network", NETWORKS)
def test_an_image_does_not_depend_on_the_other_images_of_the_batch(network: str) -> None:
    vae = perturbed(Architecture(1, 28, 28, 4, network))
    x, z = torch.rand(6, 1, 28, 28), torch.randn(6, 4)
    other = torch.cat([x[2:3], torch.zeros(3, 1, 28, 28)])
    for train in (True, False):
        vae.train(train)
        torch.testing.assert_close(vae.posterior(other).mean[0], vae.posterior(x).mean[2], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(vae.posterior(other).stddev[0], vae.posterior(x).stddev[2], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(vae.decode(z[2:3]).mean[0], vae.decode(z).mean[2], rtol=1e-5, atol=1e-6)


def test_the_elbo_is_the_log_likelihood_minus_the_kl_at_the_sampled_z() -> None:
    vae = perturbed(Architecture(1, 8, 8, 3, "mlp"))
    x, noise = torch.rand(4, 1, 8, 8), torch.randn(4, 3)
    posterior = vae.posterior(x)
    elbo = vae.elbo(x, noise)
    z = posterior.mean + posterior.stddev * noise
    torch.testing.assert_close(elbo.log_likelihood, vae.decode(z).log_prob(x))
    torch.testing.assert_close(elbo.kl, vae.prior.kl(posterior, z))
    torch.testing.assert_close(elbo.value, elbo.log_likelihood - elbo.kl)


def test_without_noise_the_elbo_samples_new_noise() -> None:
    vae = perturbed(Architecture(1, 8, 8, 3, "mlp"))
    x = torch.rand(1, 1, 8, 8)
    torch.manual_seed(1)
    first = vae.elbo(x).log_likelihood
    assert not torch.equal(first, vae.elbo(x).log_likelihood)
    torch.manual_seed(1)
    assert torch.equal(first, vae.elbo(x).log_likelihood)


def test_the_posterior_is_finite_for_extreme_encoder_outputs() -> None:
    vae = Architecture(1, 8, 8, 3, "mlp").build()
    with torch.no_grad():
        for parameter in vae.encoder.parameters():
            parameter.mul_(1e4)
    assert vae.posterior(torch.rand(4, 1, 8, 8)).stddev.isfinite().all()
    assert (vae.posterior(torch.rand(4, 1, 8, 8)).stddev > 0).all()


def test_shapes_in_signatures_are_checked_in_tests() -> None:
    """The other tests rely on the import hook of conftest.py."""
    vae = Architecture(1, 8, 8, 3, "mlp").build()
    with pytest.raises(jaxtyping.TypeCheckError):
        vae.posterior(torch.rand(1, 8, 8))
    with pytest.raises(jaxtyping.TypeCheckError):
        vae.posterior(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


def test_with_the_exact_posterior_the_elbo_equals_the_evidence_for_every_sample() -> None:
    """log p(x|z) + log p(z) - log q(z|x) = log p(x) for every z if q is the exact posterior."""
    vae, evidence = linear_gaussian(OpenPrior(LATENTS))
    x = torch.randn(50, 1, SIDE, SIDE, dtype=torch.float64)
    for noise in (torch.randn(50, LATENTS), torch.zeros(50, LATENTS), 4 * torch.randn(50, LATENTS)):
        torch.testing.assert_close(vae.elbo(x, noise.double()).value, evidence.log_prob(x.flatten(1)), rtol=1e-5, atol=1e-4)


def test_with_the_exact_posterior_the_mean_analytic_elbo_equals_the_evidence() -> None:
    """log p(x|z) is quadratic in z here. Its mean over the 2d points ±√d e_i is therefore its exact Gaussian mean."""
    vae, evidence = linear_gaussian(StandardNormal(LATENTS))
    x = torch.randn(20, 1, SIDE, SIDE, dtype=torch.float64)
    points = LATENTS**0.5 * torch.cat([torch.eye(LATENTS), -torch.eye(LATENTS)]).double()
    elbo = torch.stack([vae.elbo(x, point.expand(20, -1)).value for point in points]).mean(0)
    torch.testing.assert_close(elbo, evidence.log_prob(x.flatten(1)), rtol=1e-5, atol=1e-4)


def test_with_any_other_posterior_the_elbo_is_below_the_evidence() -> None:
    vae, evidence = linear_gaussian(StandardNormal(LATENTS))
    exact, x = vae.encoder, torch.randn(20, 1, SIDE, SIDE, dtype=torch.float64)
    points = LATENTS**0.5 * torch.cat([torch.eye(LATENTS), -torch.eye(LATENTS)]).double()
    for shift in (torch.tensor([0.3, 0, 0, 0, 0, 0]), torch.tensor([0, 0, 0, 0, 0, 0.5])):
        vae.encoder = Shifted(exact, shift.double())
        elbo = torch.stack([vae.elbo(x, point.expand(20, -1)).value for point in points]).mean(0)
        assert (elbo < evidence.log_prob(x.flatten(1)) - 1e-3).all()
