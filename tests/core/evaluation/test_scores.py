"""Tests of encoding and evaluation."""

import math

import pytest
import torch

from core import VAE, Architecture, Bundle, Data, encode, evaluate
from core.data.preprocessing import to_unit
from core.evaluation.scores import ACTIVE_VARIANCE, draws, kl_per_latent, posteriors


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """1,030 images: two full batches of 512 and a short one of 6."""
    return torch.randint(0, 256, (1030, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.fixture(scope="module", params=["mlp", "conv", "resnet"])
def vae(request: pytest.FixtureRequest) -> VAE:
    """A VAE of each network with perturbed weights."""
    torch.manual_seed(0)
    vae = Architecture(1, 8, 8, 4, request.param).build()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return vae


def test_the_batch_size_does_not_change_the_scores(vae: VAE, images: torch.Tensor) -> None:
    """Scores are equal to a relative 1e-5, counts exactly. The last batch is short."""
    figures = [evaluate(vae, images, batch_size=size) for size in (1, 7, 512)]
    for other in figures[1:]:
        assert other.images == figures[0].images == 1030
        assert other.active_units == figures[0].active_units
        for name in ("elbo", "log_likelihood", "kl", "kl_per_latent"):
            assert getattr(other, name) == pytest.approx(getattr(figures[0], name), rel=1e-5)


def test_every_image_counts_once_including_a_short_last_batch(vae: VAE, images: torch.Tensor) -> None:
    """The score is the mean over images, not over batches. The reported progress sums to the number of images."""
    encodings = encode(vae, images, batch_size=512)
    done: list[int] = []
    figures = evaluate(vae, images, batch_size=512, advance=done.append)
    assert done == [512, 512, 6]
    assert len(encodings.mean) == len(encodings.elbo) == 1030
    assert figures.elbo == pytest.approx(encodings.elbo.double().mean().item(), rel=1e-9)
    last = encode(vae, images[-6:])
    torch.testing.assert_close(encodings.mean[-6:], last.mean, rtol=1e-5, atol=1e-6)


def test_posteriors_equal_those_of_encode(vae: VAE, images: torch.Tensor) -> None:
    encodings = encode(vae, images)
    done: list[int] = []
    mean, log_variance = posteriors(vae, images, advance=done.append)
    assert torch.equal(mean, encodings.mean)
    assert torch.equal(log_variance, encodings.log_variance)
    assert sum(done) == 1030


def test_an_images_scores_do_not_depend_on_the_other_images(vae: VAE, images: torch.Tensor) -> None:
    """Neither on the batch size nor on the number of images after it."""
    whole = encode(vae, images)
    for n in (1, 3, 5, 17, 600):
        first = encode(vae, images[:n])
        for name in ("mean", "log_variance", "log_likelihood", "kl"):
            torch.testing.assert_close(getattr(first, name), getattr(whole, name)[:n], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("latents", [1, 2, 5, 16])
def test_the_first_draws_do_not_depend_on_the_number_of_draws(latents: int) -> None:
    longest = draws(2100, latents, seed=3)
    assert longest.shape == (2100, latents)
    assert all(torch.equal(draws(n, latents, seed=3), longest[:n]) for n in (0, 1, 2, 15, 1023, 1024, 1025, 2048))
    assert not torch.equal(longest[:1024], longest[1024:2048])
    assert not torch.equal(draws(9, latents, seed=4), longest[:9])
    assert abs(float(longest.std()) - 1) < 0.1


def test_encoding_is_deterministic_and_returns_the_posterior_mean(vae: VAE, images: torch.Tensor) -> None:
    first, again, other = encode(vae, images), encode(vae, images), encode(vae, images, seed=1)
    posterior = vae.posterior(to_unit(images))
    for name in ("mean", "log_variance", "log_likelihood", "kl"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert torch.equal(first.mean, other.mean)
    assert torch.equal(first.log_variance, other.log_variance)
    assert not torch.equal(first.log_likelihood, other.log_likelihood)
    torch.testing.assert_close(first.mean, posterior.mean.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(first.log_variance, posterior.variance.detach().log(), rtol=1e-5, atol=1e-5)


def test_the_elbo_sums_over_pixels_and_weighs_the_kl_by_one(vae: VAE, images: torch.Tensor) -> None:
    """Compared with the written-out formula, for every image."""
    with torch.no_grad():
        x = to_unit(images)
        mean, log_variance = vae.encoder(x).double().chunk(2, dim=1)
        z = mean + (0.5 * log_variance).exp() * draws(len(x), 4, seed=0)
        p = vae.decoder(z.float()).double().sigmoid()
        log_likelihood = (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
    figures, encodings = evaluate(vae, images), encode(vae, images)
    torch.testing.assert_close(encodings.log_likelihood.double(), log_likelihood, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(encodings.kl.double(), kl.sum(1), rtol=1e-4, atol=1e-4)
    assert figures.log_likelihood == pytest.approx(log_likelihood.mean().item(), rel=1e-5)
    assert figures.kl_per_latent == pytest.approx(kl.mean(0).tolist(), rel=1e-4, abs=1e-6)
    assert figures.kl == pytest.approx(sum(figures.kl_per_latent), rel=1e-5)
    assert figures.elbo == pytest.approx(figures.log_likelihood - figures.kl, rel=1e-6)
    assert figures.active_units == int((mean.var(0, unbiased=False) > ACTIVE_VARIANCE).sum())


def test_a_model_in_training_mode_is_evaluated_in_evaluation_mode(images: torch.Tensor) -> None:
    """The encoder has dropout, which behaves differently in training mode."""
    vae = Architecture(1, 8, 8, 2, "mlp").build()
    vae.encoder = torch.nn.Sequential(torch.nn.Dropout(0.5), vae.encoder)
    expected = evaluate(vae.eval(), images)
    assert evaluate(vae.train(), images) == expected


def test_active_units_are_the_latents_whose_mean_varies(bundle: Bundle, digits: Data) -> None:
    """On a model trained on digits. One image has no variance, so it gives no active units."""
    figures = evaluate(bundle.vae, digits.images)
    variance = encode(bundle.vae, digits.images).mean.var(0, unbiased=False)
    assert 1 <= figures.active_units <= 4
    assert figures.active_units == int((variance > ACTIVE_VARIANCE).sum())
    assert evaluate(bundle.vae, digits.images[:1]).active_units == 0


def test_bits_per_dim_exists_only_if_the_likelihood_is_a_mass(images: torch.Tensor) -> None:
    """It exists for Bernoulli on binary images. It is None if any image has a grey pixel, and for a density."""
    torch.manual_seed(0)
    binary = (images > 127).to(torch.uint8) * 255
    bernoulli = Architecture(1, 8, 8, 2, "mlp").build()
    figures = evaluate(bernoulli, binary)
    assert figures.bits_per_dim == pytest.approx(-figures.elbo / math.log(2) / 64)
    assert "mass" in figures.likelihood
    assert evaluate(bernoulli, images).bits_per_dim is None
    assert "not a likelihood" in evaluate(bernoulli, images).likelihood
    one_grey_pixel = binary.clone()
    one_grey_pixel[700, 0, 3, 3] = 128
    for size in (7, 512):
        assert evaluate(bernoulli, one_grey_pixel, batch_size=size).bits_per_dim is None
    gaussian = Architecture(1, 8, 8, 2, "mlp", "gaussian").build()
    assert evaluate(gaussian, binary).bits_per_dim is None
    assert "density" in evaluate(gaussian, binary).likelihood


def test_bits_per_dim_of_a_uniform_model_is_one(images: torch.Tensor) -> None:
    """Probability 1/2 for each pixel and a posterior equal to the prior give exactly one bit per pixel."""
    vae = Architecture(1, 8, 8, 2, "mlp").build()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
    assert evaluate(vae, (images > 127).to(torch.uint8) * 255).bits_per_dim == pytest.approx(1, rel=1e-6)


def test_kl_per_latent_is_zero_only_if_the_posterior_equals_the_prior() -> None:
    kl = kl_per_latent(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, -2.0]]))
    assert kl[0].tolist() == pytest.approx([0, 0.5, 0.5 * (math.exp(-2) - 1 + 2)])


def test_evaluating_no_images_raises_an_error(vae: VAE) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        evaluate(vae, torch.zeros(0, 1, 8, 8, dtype=torch.uint8))
