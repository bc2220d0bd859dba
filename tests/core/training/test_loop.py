"""Tests of the training loop."""

import math
from typing import Any

import pytest
import torch

from core import VAE, Architecture, Data, Settings, evaluate, train
from core.training.loop import clip_gradients, corrupt, learning_rate_schedule, split, update_average

ARCHITECTURE = Architecture(1, 8, 8, latents=4, network="mlp")


def fresh(seed: int = 0) -> VAE:
    torch.manual_seed(seed)
    return ARCHITECTURE.build()


def short(**settings: Any) -> Settings:
    return Settings(**{"epochs": 3.0, "batch_size": 32, "learning_rate": 5e-3, **settings})


def fitted(digits: Data, vae: VAE, settings: Settings) -> VAE:
    for _ in train(vae, digits.images, settings):
        pass
    return vae


def same(a: VAE, b: VAE) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_training_improves_the_elbo_of_held_out_images(digits: Data) -> None:
    """The ELBO exceeds that of the best constant image, which needs no latents."""
    held_out = digits.images[split(len(digits.images), 2000, 0)[1]]
    vae = fresh()
    before = evaluate(vae, held_out)
    after = evaluate(fitted(digits, vae, short(epochs=5.0)), held_out)
    p = (digits.images.float() / 255).mean(0, keepdim=True).clamp(1e-4, 1 - 1e-4)
    x = held_out.float() / 255
    constant = (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1).mean().item()
    assert before.elbo < constant < after.elbo
    assert after.active_units >= 2


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_the_same_seed_gives_bitwise_equal_weights(digits: Data, network: str) -> None:
    data = Data(digits.images[:200], {})
    vaes = []
    for start, seed in ((0, 0), (0, 0), (0, 1), (1, 0)):
        torch.manual_seed(start)
        vaes.append(fitted(data, Architecture(1, 8, 8, 4, network).build(), short(epochs=1.0, seed=seed)))
    assert same(vaes[0], vaes[1])
    assert not same(vaes[0], vaes[2])
    assert not same(vaes[0], vaes[3])


def test_training_does_not_use_the_global_generator(digits: Data) -> None:
    """It neither reads nor advances torch's global generator."""
    vaes = [fresh(), fresh()]
    for i, vae in enumerate(vaes):
        torch.manual_seed(100 + i)
        state = torch.get_rng_state()
        fitted(digits, vae, short(epochs=0.3))
        assert torch.equal(torch.get_rng_state(), state)
    assert same(*vaes)


@pytest.mark.parametrize("images", [2, 3, 10, 1198, 60_000])
@pytest.mark.parametrize("validation", [1, 2000])
def test_training_and_held_out_images_are_disjoint(images: int, validation: int) -> None:
    training, held_out = split(images, validation, seed=0)
    assert sorted(training.tolist() + held_out.tolist()) == list(range(images))
    assert len(held_out) == max(1, min(validation, images // 10))
    again = split(images, validation, seed=0)
    assert torch.equal(training, again[0])
    assert torch.equal(held_out, again[1])


def test_held_out_images_do_not_affect_the_weights(digits: Data) -> None:
    """A run with one validation at its end gives the same weights for different held-out images."""
    _, held_out = split(len(digits.images), 2000, 0)
    other = digits.images.clone()
    other[held_out] = 255 - other[held_out]
    settings = short(epochs=1.0, validations=1)
    assert same(fitted(digits, fresh(), settings), fitted(Data(other, {}), fresh(), settings))


def test_the_model_ends_with_the_weights_of_the_best_validation_score(digits: Data) -> None:
    """A learning rate that grows too large makes the scores fall after a good start."""
    held_out = digits.images[split(len(digits.images), 2000, 0)[1]]
    vae, seen = fresh(), []
    for progress in train(vae, digits.images, short(epochs=4.0, learning_rate=0.3, warm_up=0.9)):
        seen.append(progress.validation_elbo)
        assert math.isnan(progress.validation_elbo) or progress.best_validation_elbo == max(s for s in seen if s == s)
    best = max(score for score in seen if score == score)
    assert seen[-1] < best - 1
    assert evaluate(vae, held_out).elbo == pytest.approx(best, rel=1e-6)
    assert not vae.training


@pytest.mark.parametrize("stop", ["close", "exception"])
def test_stopping_early_restores_the_best_weights_and_evaluation_mode(digits: Data, stop: str) -> None:
    held_out = digits.images[split(len(digits.images), 2000, 0)[1]]
    vae = fresh()
    run = train(vae, digits.images, short(epochs=100.0, validations=400))
    progress = next(p for p in run if p.fraction > 0.01 and math.isfinite(p.best_validation_elbo))
    assert vae.training
    if stop == "close":
        run.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            run.throw(KeyboardInterrupt())
    assert not vae.training
    assert evaluate(vae, held_out).elbo == pytest.approx(progress.best_validation_elbo, rel=1e-6)


def test_progress_increases_and_ends_at_one(digits: Data) -> None:
    reports = list(train(fresh(), digits.images, short(epochs=2.0), report_every=0.0))
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    last = reports[-1]
    assert last.epoch >= 2
    assert last.seconds_left == 0
    assert last.elbo == last.log_likelihood - last.kl
    assert last.images_per_second > 0
    assert len({report.validation_elbo for report in reports if report.validation_elbo == report.validation_elbo}) == 20
    assert all(report.seconds_left > 0 for report in reports[:-1])


def test_a_run_limited_by_minutes_takes_that_long(digits: Data) -> None:
    last = list(train(fresh(), digits.images, short(epochs=None, minutes=0.02)))[-1]
    assert last.fraction == 1
    assert last.seconds >= 1.2


def test_epochs_count_training_images(digits: Data) -> None:
    """Half an epoch processes half of the training images."""
    last = list(train(fresh(), digits.images, short(epochs=0.5)))[-1]
    assert 0.5 <= last.epoch < 0.5 + 32 / 1079


def test_a_run_closed_before_its_first_validation_keeps_its_weights(digits: Data) -> None:
    vae = fresh()
    before = evaluate(vae, digits.images).elbo
    run = train(vae, digits.images, short(epochs=200.0), report_every=0.0)
    report = next(report for report in run if report.epoch >= 3)
    run.close()
    assert math.isnan(report.validation_elbo)
    assert evaluate(vae, digits.images).elbo > before + 10


def test_corruption_resamples_its_share_of_pixels_without_changing_their_mean() -> None:
    x = torch.full((400, 1, 16, 16), 0.3)
    generator = torch.Generator().manual_seed(0)
    for share in (0.0, 0.5, 1.0):
        seen = corrupt(x, share, torch.rand(2, *x.shape, generator=generator))
        assert (seen != x).float().mean() == pytest.approx(share, abs=0.01)
        assert seen.mean() == pytest.approx(0.3, abs=0.01)
    assert set(seen.unique().tolist()) == {0.0, 1.0}


@pytest.mark.slow
def test_corruption_reduces_overfitting(digits: Data) -> None:
    """Corruption is used in training only. On clean images, the gap between training and other images shrinks."""
    images, others = digits.images[:200], digits.images[200:]
    gaps = []
    for corruption in (0.0, 1.0):
        vae = fresh()
        fitted(Data(images, {}), vae, short(epochs=150.0, corruption=corruption))
        gaps.append(evaluate(vae, images).elbo - evaluate(vae, others).elbo)
    assert gaps[1] < 0.8 * gaps[0]


def test_an_objective_can_be_any_function(digits: Data) -> None:
    """An objective with thirty times the KL gives a lower KL than the ELBO."""

    def heavy_kl(vae: VAE, x: torch.Tensor, noise: torch.Tensor, seen: torch.Tensor | None) -> Any:
        terms = vae.elbo(x, noise, seen)
        return terms._replace(kl=30 * terms.kl)

    plain, other = fresh(), fresh()
    fitted(digits, plain, short(epochs=2.0))
    for _ in train(other, digits.images, short(epochs=2.0), heavy_kl):
        pass
    assert evaluate(other, digits.images).kl < 0.2 * evaluate(plain, digits.images).kl


@pytest.mark.parametrize("updates", [1, 10, 300])
def test_the_average_discounts_the_first_weights(updates: int) -> None:
    """Their share is the product of (1 + n) / (10 + n): 1e-5 after 10 updates, not 0.999^10 = 99 %."""
    average = [torch.ones(3)]
    for n in range(1, updates + 1):
        update_average(average, [torch.zeros(3)], n, 0.999)
    expected = math.prod(min(0.999, (1 + n) / (10 + n)) for n in range(1, updates + 1))
    assert average[0].tolist() == pytest.approx([expected] * 3, rel=1e-3)
    assert updates == 1 or average[0][0] < 1e-4


def test_the_average_starts_at_the_weights_and_late_updates_have_weight_one_minus_decay() -> None:
    average = [torch.full((3,), 7.0)]
    update_average(average, [torch.full((3,), 2.0)], 0, 0.99)
    assert average[0].tolist() == [2.0] * 3
    update_average(average, [torch.full((3,), 2.0)], 5, 0.99)
    assert average[0].tolist() == [2.0] * 3
    update_average(average, [torch.full((3,), 3.0)], 10**6, 0.99)
    assert average[0].tolist() == pytest.approx([2.01] * 3)


def test_clipping_scales_a_large_gradient_to_the_maximum_norm_and_leaves_a_small_one() -> None:
    """The norm is over all weights. Weights without a gradient do not count."""
    weights = [torch.zeros(2), torch.zeros(1), torch.zeros(1)]
    weights[0].grad, weights[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([12.0])
    clip_gradients(weights, 13.0)
    assert torch.cat([weights[0].grad, weights[1].grad]).tolist() == [3.0, 4.0, 12.0]
    clip_gradients(weights, 1.3)
    assert torch.cat([weights[0].grad, weights[1].grad]).tolist() == pytest.approx([0.3, 0.4, 1.2])
    weights[1].grad[0] = math.nan
    clip_gradients(weights, 1.3)
    assert all(weight.grad.isnan().all() for weight in weights[:2] if weight.grad is not None)


def test_the_learning_rate_rises_and_then_falls_to_zero() -> None:
    steps = [learning_rate_schedule(i / 1000, 0.1) for i in range(1001)]
    assert all(0 <= step <= 1 for step in steps)
    assert steps[:100] == sorted(steps[:100])
    assert steps[100:] == sorted(steps[100:], reverse=True)
    assert 0 < steps[0] < 0.02
    assert steps[100] == pytest.approx(1)
    assert steps[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of the two"),
        ({"epochs": 1.0, "minutes": 1.0}, "one of the two"),
        ({"epochs": 0.0}, r"epochs must be above 0; got 0"),
        ({"epochs": math.nan}, "epochs must be above 0; got nan"),
        ({"minutes": -1.0}, "minutes must be above 0; got -1"),
        ({"minutes": math.inf}, "minutes must be above 0; got inf"),
        ({"epochs": 1.0, "batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"epochs": 1.0, "validations": 0}, "validations must be at least 1; got 0"),
        ({"epochs": 1.0, "validation": 0}, "validation must be at least 1; got 0"),
        ({"epochs": 1.0, "learning_rate": 0.0}, r"learning_rate must be above 0; got 0"),
        ({"epochs": 1.0, "learning_rate": math.nan}, "learning_rate must be above 0; got nan"),
    ],
)
def test_invalid_settings_raise_an_error_with_the_given_value(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**settings)


def test_training_on_one_image_raises_an_error() -> None:
    """The call raises, not the first iteration."""
    with pytest.raises(ValueError, match="at least 2 images, one of them held out; got 1"):
        train(fresh(), torch.zeros(1, 1, 8, 8, dtype=torch.uint8), short())


def test_a_diverging_run_raises_an_error_with_a_remedy(digits: Data) -> None:
    """The error names the learning rate. The remaining weights are finite."""
    vae = fresh()
    with pytest.raises(FloatingPointError, match=r"stopped being finite.*Lower learning_rate"):
        for _ in train(vae, digits.images, short(learning_rate=1e30)):
            pass
    assert all(parameter.isfinite().all() for parameter in vae.parameters())
