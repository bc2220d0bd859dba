"""Laws of the disentanglement figures, on codes whose figures are known."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch import Tensor

from core.data.dsprites import DSprites, dsprites_split
from core.evaluation.disentanglement import (
    BINS,
    DCI,
    as_codes,
    as_factors,
    dci,
    disentanglement,
    entropy,
    factor_vae,
    importances,
    mig,
    mutual_information,
)

N = 3000
SIZES = (3, 6, 4, 5)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def factors() -> Tensor:
    """Four independent factors of 3 to 6 values."""
    return torch.stack([torch.randint(size, (N,), generator=seeded(i)) for i, size in enumerate(SIZES)], dim=1)


@pytest.fixture(scope="module")
def perfect(factors: Tensor) -> Tensor:
    """Each factor, standardized, has a latent of its own; two more are noise."""
    z = factors.float()
    return torch.cat([(z - z.mean(0)) / z.std(0), torch.randn(N, 2, generator=seeded(7))], dim=1)


@pytest.fixture(scope="module")
def rotated(perfect: Tensor) -> Tensor:
    """The same code, turned: it says as much, and no latent says one thing."""
    return perfect @ torch.linalg.qr(torch.randn(6, 6, generator=seeded(8))).Q


@pytest.fixture(scope="module")
def noise() -> Tensor:
    """A code that knows nothing."""
    return torch.randn(N, 6, generator=seeded(9))


# --- MIG ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [2, 20])
def test_mutual_information_is_scikit_learns_of_the_binned_codes(factors: Tensor, rotated: Tensor, bins: int) -> None:
    """An implementation of its own, from numpy's histogram edges to the score."""
    ours = mutual_information(rotated, factors, bins)
    assert ours.shape == (6, 4)
    for i in range(6):
        z = rotated[:, i].numpy()
        cut = np.digitize(z, np.histogram(z, bins)[1][:-1])
        for j in range(4):
            assert ours[i, j].item() == pytest.approx(
                mutual_info_score(cut, factors[:, j].numpy()), abs=2e-3 if bins > 2 else 1e-3
            )


def test_of_a_factor_and_itself_it_is_the_entropy_and_of_strangers_nearly_nothing(factors: Tensor, perfect: Tensor) -> None:
    information = mutual_information(perfect, factors)
    for k, column in enumerate(factors.T):
        assert information[k, k].item() == pytest.approx(entropy(column.bincount().double() / N).item(), rel=1e-5)
        assert entropy(column.bincount().double() / N).item() == pytest.approx(math.log(SIZES[k]), rel=0.01)
    biased = (BINS - 1) * (max(SIZES) - 1) / (2 * N)
    assert information[4:].max() < 2 * biased


def test_the_perfect_code_has_a_mig_of_one_and_random_codes_of_nearly_zero(
    factors: Tensor, perfect: Tensor, noise: Tensor
) -> None:
    assert mig(perfect[:, :4], factors) == pytest.approx(1, abs=0.01)
    assert mig(perfect, factors) == pytest.approx(1, abs=0.02)
    assert 0 <= mig(noise, factors) < 0.01


def test_two_latents_that_know_the_same_have_no_gap(factors: Tensor, perfect: Tensor) -> None:
    assert mig(torch.cat([perfect, -3 * perfect], dim=1), factors) == pytest.approx(0, abs=1e-3)


def test_a_single_latent_and_a_constant_one_are_codes_too(factors: Tensor, perfect: Tensor) -> None:
    assert mig(perfect[:, :1], factors[:, :1]) == pytest.approx(1, abs=1e-6)
    assert mig(torch.zeros(N, 3), factors) == 0


def test_twenty_bins_bound_the_figure_of_factors_with_more_values() -> None:
    """What the docstring says of dSprites; more bins lift it."""
    sprites = DSprites(dsprites_split()[1]).factors()
    assert mig(sprites.float(), sprites) == pytest.approx(0.90, abs=0.01)
    assert mig(sprites.float(), sprites, bins=1000) == pytest.approx(1, abs=0.03)


# --- The FactorVAE score ------------------------------------------------------------------------------------------------


def test_the_perfect_code_is_always_voted_right_and_random_codes_by_chance(
    factors: Tensor, perfect: Tensor, noise: Tensor
) -> None:
    assert factor_vae(perfect, factors) == 1
    assert factor_vae(noise, factors) == pytest.approx(1 / 4, abs=0.08)


def test_dead_latents_do_not_vote(factors: Tensor, perfect: Tensor) -> None:
    dead = 0.05 * torch.randn(N, 3, generator=seeded(1))
    assert factor_vae(torch.cat([dead, perfect], dim=1), factors) == factor_vae(perfect, factors)
    assert factor_vae(dead, factors) == 0


def test_a_vote_compares_variances_relative_to_the_latents_own(factors: Tensor, perfect: Tensor) -> None:
    stretched = perfect * torch.tensor([1.0, 30.0, 0.3, 5.0, 0.2, 80.0])
    assert factor_vae(stretched, factors) == factor_vae(perfect, factors)


def test_factors_of_unequal_values_are_drawn_by_value(perfect: Tensor) -> None:
    """A value that few images have is held still as often as any other."""
    rare = (torch.arange(N) < 30).long()
    factors = torch.stack([rare, torch.randint(4, (N,), generator=seeded(3))], dim=1)
    codes = 10 * factors.float() + 0.1 * torch.randn(N, 2, generator=seeded(4))
    assert factor_vae(codes, factors) == 1


# --- DCI ----------------------------------------------------------------------------------------------------------------


def test_the_perfect_code_is_disentangled_complete_and_informative(factors: Tensor, perfect: Tensor) -> None:
    assert dci(perfect, factors) == pytest.approx((1, 1, 1), abs=0.01)
    importance, accuracy = importances(perfect, factors)
    torch.testing.assert_close(importance, torch.eye(6, 4), rtol=0, atol=0.01)
    assert accuracy.min() > 0.99


def test_random_codes_are_none_of_it(factors: Tensor, noise: Tensor) -> None:
    """Accuracies near those of guessing: one over the number of values."""
    scores = dci(noise, factors)
    assert scores.disentanglement < 0.05
    assert scores.completeness < 0.05
    assert scores.informativeness == pytest.approx(sum(1 / size for size in SIZES) / 4, abs=0.05)


def test_a_latent_that_tells_two_factors_is_complete_and_not_disentangled() -> None:
    """And two that share one factor are disentangled and not complete."""
    factors = torch.stack([torch.randint(4, (N,), generator=seeded(i)) for i in (1, 2)], dim=1)
    both = (4 * factors[:, :1] + factors[:, 1:]).float()
    scores = dci(torch.cat([both, torch.zeros(N, 1)], dim=1), factors)
    assert scores.completeness == pytest.approx(1, abs=0.01)
    assert scores.disentanglement == pytest.approx(0, abs=0.05)
    bits = torch.stack([factors[:, 0] // 2, factors[:, 0] % 2, factors[:, 1]], dim=1).float()
    scores = dci(bits, factors)
    assert scores.disentanglement == pytest.approx(1, abs=0.01)
    assert scores.completeness == pytest.approx(1 - math.log(2) / math.log(3) / 2, abs=0.05)


def test_codes_that_are_all_constant_have_no_dci(factors: Tensor) -> None:
    scores = dci(torch.zeros(N, 3), factors)
    assert (scores.disentanglement, scores.completeness) == (0, 0)


# --- All of them --------------------------------------------------------------------------------------------------------


def flat(codes: Tensor, factors: Tensor, seed: int = 0) -> tuple[float, ...]:
    """The five numbers."""
    figures = disentanglement(codes, factors, seed)
    assert isinstance(figures.dci, DCI)
    assert figures.images == len(codes)
    return figures.mig, figures.factor_vae, *figures.dci


def test_order_and_sign_of_the_latents_and_names_of_the_values_change_nothing(factors: Tensor, rotated: Tensor) -> None:
    """Up to what trees and edges of bins do by lot."""
    expected = flat(rotated, factors)
    sign = torch.tensor([1.0, -1, -1, 1, -1, 1])
    assert flat(rotated[:, [3, 0, 5, 1, 4, 2]] * sign, factors) == pytest.approx(expected, abs=0.03)
    assert flat(rotated, 10 * factors - 7) == pytest.approx(expected, abs=1e-6)
    assert mig(rotated[:, [3, 0, 5, 1, 4, 2]], factors) == pytest.approx(expected[0], abs=1e-6)


def test_a_turned_code_scores_lower_in_every_figure(factors: Tensor, perfect: Tensor) -> None:
    """Turned so that every latent has an equal part of every factor; what can be guessed from all together is lost least."""
    two = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
    gap = np.array(flat(perfect, factors)) - np.array(flat(perfect[:, :4] @ torch.kron(two, two), factors))
    assert (gap[:4] > 0.5).all()
    assert gap[4] > 0.02


def test_the_seed_decides(factors: Tensor, rotated: Tensor) -> None:
    first = flat(rotated, factors, seed=1)
    assert flat(rotated, factors, seed=1) == first
    other = flat(rotated, factors, seed=2)
    assert other != first
    assert other == pytest.approx(first, abs=0.06)


@pytest.mark.parametrize("figure", [mig, factor_vae, dci])
def test_what_cannot_be_scored_is_named(figure, factors: Tensor, perfect: Tensor) -> None:
    with pytest.raises(ValueError, match=r"two values or more; column 1, 2 is constant.*Leave out"):
        figure(perfect, factors * torch.tensor([1, 0, 0, 1]))
    with pytest.raises(ValueError, match="two values or more; there are none"):
        figure(perfect, factors[:, :0])
    with pytest.raises(ValueError, match="codes must be finite"):
        figure(perfect / 0, factors)


def test_codes_and_factors_of_different_images_are_refused(factors: Tensor, perfect: Tensor) -> None:
    """Where shapes in signatures are not checked, as they are in tests."""
    with pytest.raises(ValueError, match="of the same images; got 2999 and 3000"):
        as_codes(perfect[1:], factors)


def test_dci_needs_images_to_learn_from(factors: Tensor, perfect: Tensor) -> None:
    with pytest.raises(ValueError, match=r"at least 30 images.*got 29"):
        dci(perfect[:29], factors[:29])


def test_labels_become_factors_where_they_can() -> None:
    labels = {
        "shape": np.array(["heart", "square", "heart", "ellipse", "square", "heart"]),
        "colour": np.full(6, 3),
        "scale": np.array([0.5, 1.0, 0.5, 0.75, 0.75, 0.5]),
        "name": np.array(list("abcdef")),
    }
    names, factors = as_factors(labels)
    assert names == ["shape", "scale"]
    assert factors.tolist() == [[1, 0], [2, 2], [1, 0], [0, 1], [2, 1], [1, 0]]
    assert as_factors({})[1].shape == (0, 0)
    assert as_factors({"colour": np.zeros(4)})[1].shape == (4, 0)
