"""Tests of the likelihoods."""

import itertools
import math

import pytest
import torch

from core.model.distributions import ContinuousBernoulli
from core.model.likelihoods import (
    LIKELIHOODS,
    MIN_SCALE,
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    FixedGaussianLikelihood,
    GaussianLikelihood,
    Likelihood,
    LogisticMixtureLikelihood,
    OptimalGaussianLikelihood,
)

LEVELS = torch.arange(256, dtype=torch.float32).div(255)


def test_bernoulli_mass_sums_to_one_over_all_binary_images() -> None:
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


def test_gaussian_density_is_bounded_when_the_scale_collapses() -> None:
    likelihood = GaussianLikelihood()
    with torch.no_grad():
        likelihood.log_scale.fill_(-50)
    peak = likelihood(torch.zeros(1, 1, 1, 1)).log_prob(torch.full((1, 1, 1, 1), 0.5)).item()
    assert peak == pytest.approx(math.log(512) - 0.5 * math.log(2 * math.pi), abs=1e-4)


@pytest.mark.parametrize("scale", [MIN_SCALE, 0.1, 2.0])
def test_gaussian_density_of_a_fixed_scale_integrates_to_one(scale: float) -> None:
    x = torch.linspace(-15, 16, 200_001)
    density = FixedGaussianLikelihood(scale)(torch.zeros(len(x), 1, 1, 1)).log_prob(x.reshape(-1, 1, 1, 1)).double().exp()
    assert torch.trapezoid(density, x.double()).item() == pytest.approx(1, abs=1e-4)


def test_a_scale_below_half_a_grey_level_raises_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1/512, half a grey level"):
        FixedGaussianLikelihood(0.0)


@pytest.mark.parametrize("logit", [-700.0, -30.0, -2.0, -0.301, -0.299, -1e-4, 0.0, 1e-7, 0.05, 1.0, 17.0, 80.0, 700.0])
def test_continuous_bernoulli_integrates_to_one_over_its_support(logit: float) -> None:
    x = torch.linspace(0, 1, 200_001)
    likelihood = ContinuousBernoulliLikelihood()
    density = likelihood(torch.full((len(x), 1, 1, 1), logit)).log_prob(x.reshape(-1, 1, 1, 1)).double().exp()
    assert torch.trapezoid(density, x.double()).item() == pytest.approx(1, abs=1e-4)


def test_continuous_bernoulli_equals_torch_where_torch_is_accurate() -> None:
    """In float64, for moderate logits. Near probability 1/2, torch's series has six correct digits."""
    logits, x = torch.linspace(-12, 12, 401, dtype=torch.float64), torch.rand(7, 401, dtype=torch.float64)
    ours, theirs = ContinuousBernoulli(logits), torch.distributions.ContinuousBernoulli(logits=logits)
    torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x), rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(ContinuousBernoulli(logits.float()).mean.double(), theirs.mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize("log_scale", [-30.0, -5.6, -1.0, 2.0, 30.0])
@pytest.mark.parametrize("location", [-40.0, -0.5, 0.013, 0.4, 7.0])
def test_discretized_logistic_mass_sums_to_one_over_the_levels(location: float, log_scale: float) -> None:
    parameters = torch.tensor([location, log_scale]).reshape(1, 2, 1, 1).expand(256, -1, -1, -1)
    distribution = DiscretizedLogisticLikelihood()(parameters)
    assert distribution.log_prob(LEVELS.reshape(-1, 1, 1, 1)).double().exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("components", [1, 2, 5])
def test_logistic_mixture_mass_sums_to_one_over_the_levels(components: int) -> None:
    """For each of 20 random mixtures with large parameters, and over all 256² values of two channels."""
    torch.manual_seed(0)
    likelihood = LogisticMixtureLikelihood(components)
    for _ in range(20):
        parameters = 3 * torch.randn(1, likelihood.channels_out(1), 1, 1).expand(256, -1, -1, -1)
        total = likelihood(parameters).log_prob(LEVELS.reshape(-1, 1, 1, 1)).double().exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-5)
    colours = torch.cartesian_prod(LEVELS, LEVELS).reshape(-1, 2, 1, 1)
    parameters = torch.randn(1, likelihood.channels_out(2), 1, 1).expand(len(colours), -1, -1, -1)
    assert likelihood(parameters).log_prob(colours).double().exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_discretized_logistic_equals_the_difference_of_the_cumulative_distribution() -> None:
    """Compared with the formula in float64. In a far tail the difference underflows to zero; its logarithm is still finite."""
    location, scale, k = 0.3, 0.05, torch.arange(1, 255, dtype=torch.float64)
    expected = (((k + 0.5) / 255 - location) / scale).sigmoid() - (((k - 0.5) / 255 - location) / scale).sigmoid()
    parameters = torch.tensor([location - 0.5, math.log(scale) + 2]).reshape(1, 2, 1, 1)
    log_mass = DiscretizedLogisticLikelihood()(parameters).log_prob(LEVELS[1:-1].reshape(-1, 1, 1, 1))
    torch.testing.assert_close(log_mass.double(), expected.log(), rtol=1e-4, atol=1e-4)
    far = DiscretizedLogisticLikelihood()(torch.tensor([200.0, math.log(scale) + 2]).reshape(1, 2, 1, 1))
    assert far.log_prob(torch.full((1, 1, 1, 1), 100 / 255)).item() == pytest.approx((100.5 / 255 - 200.5) / scale, rel=1e-3)


def test_optimal_gaussian_has_the_highest_likelihood_of_all_scales() -> None:
    torch.manual_seed(0)
    parameters, x = torch.randn(5, 3, 6, 7), torch.rand(5, 3, 6, 7)
    best = OptimalGaussianLikelihood()(parameters).log_prob(x)
    scales = torch.logspace(-2, 1, 3001)
    each = torch.stack([torch.distributions.Normal(parameters.sigmoid(), s).log_prob(x).sum((1, 2, 3)) for s in scales])
    assert (each <= best + 1e-3).all()
    torch.testing.assert_close(each.max(0).values, best, rtol=0, atol=1e-2)


def test_optimal_gaussian_has_the_gradient_of_the_log_mean_squared_error() -> None:
    """The gradient of -D/2 log MSE. A perfect reconstruction has a finite score and gradient."""
    torch.manual_seed(0)
    parameters, x = torch.randn(2, 1, 4, 4, requires_grad=True), torch.rand(2, 1, 4, 4)
    OptimalGaussianLikelihood()(parameters).log_prob(x).sum().backward()
    again = parameters.detach().clone().requires_grad_()
    (-8 * (again.sigmoid() - x).square().mean((1, 2, 3)).log()).sum().backward()
    torch.testing.assert_close(parameters.grad, again.grad, rtol=1e-4, atol=1e-5)
    perfect = OptimalGaussianLikelihood()(again).log_prob(again.sigmoid().detach())
    assert perfect.isfinite().all()
    assert torch.autograd.grad(perfect.sum(), again)[0].isfinite().all()


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("channels", [1, 3])
def test_log_prob_of_an_image_is_the_sum_over_its_pixels(name: str, channels: int) -> None:
    """Each pixel is scored as an image of its own. The optimal Gaussian is left out: its pixels share a scale."""
    likelihood = LIKELIHOODS[name]()
    parameters, x = torch.randn(4, likelihood.channels_out(channels), 3, 5), torch.rand(4, channels, 3, 5)
    whole = likelihood(parameters).log_prob(x)
    assert whole.shape == (4,)
    if name == "gaussian-optimal":
        return
    for i in range(4):
        pixel = parameters[i].unflatten(0, (-1, channels)).flatten(1).T.reshape(-1, likelihood.channels_out(1), 1, 1)
        pixels = likelihood(pixel).log_prob(x[i].reshape(-1, 1, 1, 1))
        torch.testing.assert_close(whole[i], pixels.sum(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_mean_equals_the_mean_of_samples_and_is_in_the_unit_interval(name: str) -> None:
    torch.manual_seed(0)
    likelihood = LIKELIHOODS[name]()
    distribution = likelihood(3 * torch.randn(1, likelihood.channels_out(1), 4, 4))
    assert ((distribution.mean >= 0) & (distribution.mean <= 1)).all()
    samples = distribution.sample((4000,))
    assert samples.shape == (4000, 1, 1, 4, 4)
    error = samples.std(0) / math.sqrt(4000)
    assert ((samples.mean(0) - distribution.mean).abs() < 5 * error + 1e-3).all()


def test_bernoulli_on_grey_images_is_minus_the_cross_entropy_and_not_a_mass() -> None:
    likelihood = BernoulliLikelihood()
    logits, x = torch.randn(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
    p = logits.sigmoid()
    expected = (x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3))
    torch.testing.assert_close(likelihood(logits).log_prob(x), expected, rtol=1e-5, atol=1e-5)
    assert not likelihood.is_mass_on(x)
    assert likelihood.is_mass_on(x.round())
    assert "not a likelihood" in likelihood.kind_on(False)
    assert "mass" in likelihood.kind_on(True)


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("size", [-1e4, 0.0, 1e4])
def test_scores_and_gradients_are_finite_for_extreme_decoder_outputs(name: str, size: float) -> None:
    likelihood = LIKELIHOODS[name]()
    parameters = torch.full((6, likelihood.channels_out(1), 1, 1), size, requires_grad=True)
    distribution = likelihood(parameters)
    score = distribution.log_prob(torch.tensor([0, 1 / 255, 0.5, 0.7, 254 / 255, 1]).reshape(-1, 1, 1, 1))
    assert score.isfinite().all()
    score.sum().backward()
    assert parameters.grad.isfinite().all()
    assert distribution.mean.isfinite().all()
    assert distribution.sample().isfinite().all()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_prob_broadcasts_over_images_and_distributions(name: str) -> None:
    """Importance sampling needs this."""
    likelihood, x = LIKELIHOODS[name](), torch.rand(4, 1, 3, 5)
    distributions = likelihood(torch.randn(4, likelihood.channels_out(1), 3, 5))
    assert distributions.log_prob(x[:1]).shape == (4,)
    draws = distributions.log_prob(torch.stack([x, x]))
    torch.testing.assert_close(draws, distributions.log_prob(x).expand(2, 4))


@pytest.mark.parametrize("likelihood", [DiscretizedLogisticLikelihood(), LogisticMixtureLikelihood()])
def test_discretized_logistic_is_a_mass_on_8_bit_images_only_and_samples_them(likelihood: Likelihood) -> None:
    assert likelihood.is_mass_on(LEVELS.reshape(1, 1, 16, 16))
    assert not likelihood.is_mass_on(LEVELS.reshape(1, 1, 16, 16) + 1e-5)
    assert not likelihood.is_mass_on(torch.full((1, 1, 2, 2), 256 / 255))
    assert "mass on 8-bit" in likelihood.kind_on(True)
    assert "not a likelihood" in likelihood.kind_on(False)
    assert likelihood.is_mass_on(likelihood(torch.randn(9, likelihood.channels_out(3), 8, 8)).sample())


@pytest.mark.parametrize(
    "likelihood",
    [GaussianLikelihood(), FixedGaussianLikelihood(0.2), ContinuousBernoulliLikelihood(), OptimalGaussianLikelihood()],
)
def test_a_density_is_not_a_mass(likelihood: Likelihood) -> None:
    assert not likelihood.is_mass_on(torch.zeros(1, 1, 2, 2))
    assert ("density" in likelihood.kind_on(False)) != ("not a likelihood" in likelihood.kind_on(False))


def test_the_optimal_gaussian_is_not_a_likelihood() -> None:
    """For one pixel its "density" has an infinite integral: with the scale |x - m| it decays as 1 / |x - m|."""
    x = torch.cat([torch.logspace(-3, 3, 10_001).mul(-1).flip(0), torch.logspace(-3, 3, 10_001)])
    density = OptimalGaussianLikelihood()(torch.zeros(len(x), 1, 1, 1)).log_prob((x + 0.5).reshape(-1, 1, 1, 1)).exp()
    assert torch.trapezoid(density, x).item() > 3
    assert "not a likelihood" in OptimalGaussianLikelihood().kind_on(False)
