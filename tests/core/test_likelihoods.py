"""Laws of the likelihoods."""

import itertools
import math

import pytest
import torch

from core.likelihoods import LIKELIHOODS, BernoulliLikelihood, GaussianLikelihood


def test_bernoulli_masses_sum_to_one_over_all_binary_images() -> None:
    images = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6))).reshape(-1, 1, 2, 3)
    logits = torch.randn(1, 1, 2, 3).expand(len(images), -1, -1, -1)
    total = BernoulliLikelihood()(logits).log_prob(images).double().exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("parameter", [-6.0, 0.0, 1.5])
@pytest.mark.parametrize("log_scale", [-3.0, -1.5, 0.3])
def test_gaussian_density_integrates_to_one(parameter: float, log_scale: float) -> None:
    likelihood = GaussianLikelihood()
    with torch.no_grad():
        likelihood.log_scale.fill_(log_scale)
    x = torch.linspace(-15, 16, 200_001, dtype=torch.float64)
    density = likelihood(torch.full((len(x), 1, 1, 1), parameter)).log_prob(x.reshape(-1, 1, 1, 1).float()).double().exp()
    assert torch.trapezoid(density.detach(), x).item() == pytest.approx(1, abs=1e-4)


def test_the_gaussian_density_stays_bounded_when_its_scale_collapses() -> None:
    likelihood = GaussianLikelihood()
    with torch.no_grad():
        likelihood.log_scale.fill_(-50)
    peak = likelihood(torch.zeros(1, 1, 1, 1)).log_prob(torch.full((1, 1, 1, 1), 0.5)).item()
    assert peak == pytest.approx(math.log(512) - 0.5 * math.log(2 * math.pi), abs=1e-4)


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("channels", [1, 3])
def test_log_prob_is_one_number_an_image_summed_over_its_pixels(name: str, channels: int) -> None:
    """Nats of an image are the sum of those of its pixels, each taken as an image of its own."""
    likelihood = LIKELIHOODS[name]()
    parameters, x = torch.randn(4, likelihood.channels_out(channels), 3, 5), torch.rand(4, channels, 3, 5)
    whole = likelihood(parameters).log_prob(x)
    assert whole.shape == (4,)
    for i in range(4):
        pixels = likelihood(parameters[i].reshape(-1, 1, 1, 1)).log_prob(x[i].reshape(-1, 1, 1, 1))
        torch.testing.assert_close(whole[i], pixels.sum(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_mean_is_the_mean_of_the_samples_and_a_picture(name: str) -> None:
    torch.manual_seed(0)
    likelihood = LIKELIHOODS[name]()
    pictures = likelihood(3 * torch.randn(1, 1, 4, 4))
    assert ((pictures.mean >= 0) & (pictures.mean <= 1)).all()
    samples = pictures.sample((4000,))
    assert samples.shape == (4000, 1, 1, 4, 4)
    error = samples.std(0) / math.sqrt(4000)
    assert ((samples.mean(0) - pictures.mean).abs() < 5 * error + 1e-3).all()


def test_bernoulli_on_grey_images_is_minus_the_cross_entropy_and_said_not_to_be_a_mass() -> None:
    likelihood = BernoulliLikelihood()
    logits, x = torch.randn(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
    p = logits.sigmoid()
    expected = (x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3))
    torch.testing.assert_close(likelihood(logits).log_prob(x), expected, rtol=1e-5, atol=1e-5)
    assert not likelihood.is_mass_on(x)
    assert likelihood.is_mass_on(x.round())
    assert "not a likelihood" in likelihood.kind_on(False)
    assert "mass" in likelihood.kind_on(True)


def test_a_gaussian_is_never_a_mass() -> None:
    likelihood = GaussianLikelihood()
    assert not likelihood.is_mass_on(torch.zeros(1, 1, 2, 2))
    assert "density" in likelihood.kind_on(False)
