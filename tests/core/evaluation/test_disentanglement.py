"""Tests of the disentanglement scores, on codes whose scores are known."""

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
    """A code in which each factor, standardized, is one latent. Two more latents are noise."""
    z = factors.float()
    return torch.cat([(z - z.mean(0)) / z.std(0), torch.randn(N, 2, generator=seeded(7))], dim=1)


@pytest.fixture(scope="module")
def rotated(perfect: Tensor) -> Tensor:
    """The perfect code, rotated: the same information, but every latent mixes factors."""
    return perfect @ torch.linalg.qr(torch.randn(6, 6, generator=seeded(8))).Q


@pytest.fixture(scope="module")
def noise() -> Tensor:
    """A code without information about the factors."""
    return torch.randn(N, 6, generator=seeded(9))


# --- MIG ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [2, 20])
def test_mutual_information_equals_scikit_learns_of_the_binned_codes(factors: Tensor, rotated: Tensor, bins: int) -> None:
    """The reference bins with numpy's histogram and scores with scikit-learn."""
    ours = mutual_information(rotated, factors, bins)
    assert ours.shape == (6, 4)
    for i in range(6):
        z = rotated[:, i].numpy()
        binned = np.digitize(z, np.histogram(z, bins)[1][:-1])
        for j in range(4):
            assert ours[i, j].item() == pytest.approx(
                mutual_info_score(binned, factors[:, j].numpy()), abs=2e-3 if bins > 2 else 1e-3
            )


def test_mutual_information_is_the_entropy_for_equal_and_near_zero_for_independent_variables(
    factors: Tensor, perfect: Tensor
) -> None:
    information = mutual_information(perfect, factors)
    for k, column in enumerate(factors.T):
        assert information[k, k].item() == pytest.approx(entropy(column.bincount().double() / N).item(), rel=1e-5)
        assert entropy(column.bincount().double() / N).item() == pytest.approx(math.log(SIZES[k]), rel=0.01)
    bias = (BINS - 1) * (max(SIZES) - 1) / (2 * N)
    assert information[4:].max() < 2 * bias


def test_mig_is_one_for_the_perfect_code_and_near_zero_for_random_codes(
    factors: Tensor, perfect: Tensor, noise: Tensor
) -> None:
    assert mig(perfect[:, :4], factors) == pytest.approx(1, abs=0.01)
    assert mig(perfect, factors) == pytest.approx(1, abs=0.02)
    assert 0 <= mig(noise, factors) < 0.01


def test_mig_is_zero_when_two_latents_hold_the_same_information(factors: Tensor, perfect: Tensor) -> None:
    assert mig(torch.cat([perfect, -3 * perfect], dim=1), factors) == pytest.approx(0, abs=1e-3)


def test_mig_accepts_a_single_latent_and_constant_latents(factors: Tensor, perfect: Tensor) -> None:
    assert mig(perfect[:, :1], factors[:, :1]) == pytest.approx(1, abs=1e-6)
    assert mig(torch.zeros(N, 3), factors) == 0


def test_twenty_bins_limit_the_mig_of_factors_with_more_values() -> None:
    """The limit for dSprites that the docstring states. More bins raise it."""
    sprites = DSprites(dsprites_split()[1]).factors()
    assert mig(sprites.float(), sprites) == pytest.approx(0.90, abs=0.01)
    assert mig(sprites.float(), sprites, bins=1000) == pytest.approx(1, abs=0.03)


# --- The FactorVAE score ------------------------------------------------------------------------------------------------


def test_factor_vae_score_is_one_for_the_perfect_code_and_chance_for_random_codes(
    factors: Tensor, perfect: Tensor, noise: Tensor
) -> None:
    assert factor_vae(perfect, factors) == 1
    assert factor_vae(noise, factors) == pytest.approx(1 / 4, abs=0.08)


def test_inactive_latents_do_not_change_the_factor_vae_score(factors: Tensor, perfect: Tensor) -> None:
    inactive = 0.05 * torch.randn(N, 3, generator=seeded(1))
    assert factor_vae(torch.cat([inactive, perfect], dim=1), factors) == factor_vae(perfect, factors)
    assert factor_vae(inactive, factors) == 0


def test_the_factor_vae_score_does_not_depend_on_the_scale_of_the_latents(factors: Tensor, perfect: Tensor) -> None:
    scaled = perfect * torch.tensor([1.0, 30.0, 0.3, 5.0, 0.2, 80.0])
    assert factor_vae(scaled, factors) == factor_vae(perfect, factors)


def test_the_factor_vae_score_samples_rare_values_as_often_as_frequent_ones(perfect: Tensor) -> None:
    """Each value of a factor is fixed equally often, however few images have it."""
    rare = (torch.arange(N) < 30).long()
    factors = torch.stack([rare, torch.randint(4, (N,), generator=seeded(3))], dim=1)
    codes = 10 * factors.float() + 0.1 * torch.randn(N, 2, generator=seeded(4))
    assert factor_vae(codes, factors) == 1


# --- DCI ----------------------------------------------------------------------------------------------------------------


def test_dci_is_one_for_the_perfect_code(factors: Tensor, perfect: Tensor) -> None:
    assert dci(perfect, factors) == pytest.approx((1, 1, 1), abs=0.01)
    importance, accuracy = importances(perfect, factors)
    torch.testing.assert_close(importance, torch.eye(6, 4), rtol=0, atol=0.01)
    assert accuracy.min() > 0.99


def test_dci_is_near_zero_for_random_codes(factors: Tensor, noise: Tensor) -> None:
    """The informativeness is the accuracy of guessing: one over the number of values."""
    scores = dci(noise, factors)
    assert scores.disentanglement < 0.05
    assert scores.completeness < 0.05
    assert scores.informativeness == pytest.approx(sum(1 / size for size in SIZES) / 4, abs=0.05)


def test_a_latent_that_encodes_two_factors_is_complete_but_not_disentangled() -> None:
    """Two latents that share one factor are disentangled but not complete."""
    factors = torch.stack([torch.randint(4, (N,), generator=seeded(i)) for i in (1, 2)], dim=1)
    both = (4 * factors[:, :1] + factors[:, 1:]).float()
    scores = dci(torch.cat([both, torch.zeros(N, 1)], dim=1), factors)
    assert scores.completeness == pytest.approx(1, abs=0.01)
    assert scores.disentanglement == pytest.approx(0, abs=0.05)
    bits = torch.stack([factors[:, 0] // 2, factors[:, 0] % 2, factors[:, 1]], dim=1).float()
    scores = dci(bits, factors)
    assert scores.disentanglement == pytest.approx(1, abs=0.01)
    assert scores.completeness == pytest.approx(1 - math.log(2) / math.log(3) / 2, abs=0.05)


def test_dci_is_zero_for_constant_codes(factors: Tensor) -> None:
    scores = dci(torch.zeros(N, 3), factors)
    assert (scores.disentanglement, scores.completeness) == (0, 0)


# --- All scores ----------------------------------------------------------------------------------------------------------


def all_scores(codes: Tensor, factors: Tensor, seed: int = 0) -> tuple[float, ...]:
    """The five scores: MIG, FactorVAE score and the three of DCI."""
    figures = disentanglement(codes, factors, seed)
    assert isinstance(figures.dci, DCI)
    assert figures.images == len(codes)
    return figures.mig, figures.factor_vae, *figures.dci


def test_scores_do_not_depend_on_latent_order_sign_or_value_names(factors: Tensor, rotated: Tensor) -> None:
    """Up to the randomness of trees and bin edges."""
    expected = all_scores(rotated, factors)
    sign = torch.tensor([1.0, -1, -1, 1, -1, 1])
    assert all_scores(rotated[:, [3, 0, 5, 1, 4, 2]] * sign, factors) == pytest.approx(expected, abs=0.03)
    assert all_scores(rotated, 10 * factors - 7) == pytest.approx(expected, abs=1e-6)
    assert mig(rotated[:, [3, 0, 5, 1, 4, 2]], factors) == pytest.approx(expected[0], abs=1e-6)


def test_a_rotated_code_has_lower_scores(factors: Tensor, perfect: Tensor) -> None:
    """Every latent mixes the factors equally. The informativeness, which uses all latents together, falls least."""
    two = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
    gap = np.array(all_scores(perfect, factors)) - np.array(all_scores(perfect[:, :4] @ torch.kron(two, two), factors))
    assert (gap[:4] > 0.5).all()
    assert gap[4] > 0.02


def test_scores_are_reproducible_with_a_seed(factors: Tensor, rotated: Tensor) -> None:
    first = all_scores(rotated, factors, seed=1)
    assert all_scores(rotated, factors, seed=1) == first
    other = all_scores(rotated, factors, seed=2)
    assert other != first
    assert other == pytest.approx(first, abs=0.06)


@pytest.mark.parametrize("score", [mig, factor_vae, dci])
def test_invalid_codes_and_factors_raise_an_error(score, factors: Tensor, perfect: Tensor) -> None:
    with pytest.raises(ValueError, match=r"two values or more; column 1, 2 is constant.*Leave out"):
        score(perfect, factors * torch.tensor([1, 0, 0, 1]))
    with pytest.raises(ValueError, match="two values or more; there are none"):
        score(perfect, factors[:, :0])
    with pytest.raises(ValueError, match="codes must be finite"):
        score(perfect / 0, factors)


def test_codes_and_factors_of_different_lengths_raise_an_error(factors: Tensor, perfect: Tensor) -> None:
    """Shape checks of signatures exist in tests only, so this calls the function that checks at run time."""
    with pytest.raises(ValueError, match="of the same images; got 2999 and 3000"):
        as_codes(perfect[1:], factors)


def test_dci_needs_at_least_30_images(factors: Tensor, perfect: Tensor) -> None:
    with pytest.raises(ValueError, match=r"at least 30 images.*got 29"):
        dci(perfect[:29], factors[:29])


def test_labels_with_repeated_values_become_factors() -> None:
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
