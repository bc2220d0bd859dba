"""Disentanglement: how well single latents represent single known factors of variation (MIG, FactorVAE score, DCI).

Codes (N, latents) are encodings of images, usually posterior means. Factors (N, factors) are integers, one column per factor;
their order and spacing have no effect. Every figure ranges from 0 to 1, and higher is better. Reordering latents or changing
their signs has no effect, except through the randomness of sampling and of the trees.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

BINS = 20
"""Number of equal intervals that a latent's range is divided into, as in disentanglement_lib (Locatello et al., 2018,
arXiv 1811.12359)."""

VOTES, BATCH = 800, 200
"""Votes of the FactorVAE score (the same number again for scoring) and images per vote."""

MIN_VARIANCE = 0.01
"""Latents whose code has less variance have no vote; see `core.evaluation.scores.ACTIVE_VARIANCE`."""

TRAINING, TEST = 10_000, 5_000
"""Maximum numbers of training and test images for DCI's trees; a smaller set is split into two thirds and one third."""


class DCI(NamedTuple):
    """The three parts of DCI: disentanglement (each latent depends on one factor), completeness (each factor is represented by
    one latent) and informativeness (the accuracy of predicting factors from latents)."""

    disentanglement: float
    completeness: float
    informativeness: float


@dataclass(frozen=True)
class Disentanglement:
    """All disentanglement figures of a set of codes, and the number of images."""

    mig: float
    factor_vae: float
    dci: DCI
    images: int


def disentanglement(codes: Float[Tensor, "n latents"], factors: Int[Tensor, "n factors"], seed: int = 0) -> Disentanglement:
    """Return all figures. Raises ValueError if there are too few images or if a factor is constant."""
    return Disentanglement(mig(codes, factors), factor_vae(codes, factors, seed), dci(codes, factors, seed), len(codes))


def as_factors(labels: dict[str, np.ndarray]) -> tuple[list[str], Int[Tensor, "n factors"]]:
    """Return the names and values, as integers, of the labels that can be factors: those that are not constant and have each
    value twice or more on average.

    >>> as_factors({"shape": np.array(["square", "heart", "heart"]), "colour": np.zeros(3), "width": np.arange(3) / 7})[0]
    ['shape']
    """
    columns = {name: np.unique(column, return_inverse=True) for name, column in labels.items()}
    chosen = {name: inverse for name, (values, inverse) in columns.items() if 2 <= len(values) <= max(2, len(inverse) // 2)}
    n = len(next(iter(labels.values()))) if labels else 0
    factors = torch.from_numpy(np.stack(list(chosen.values()), axis=1)) if chosen else torch.zeros(n, 0, dtype=torch.int64)
    return list(chosen), factors


def as_codes(codes: Tensor, factors: Tensor) -> Int[Tensor, "n factors"]:
    """Return the factors with their values numbered from 0. Raises ValueError if codes or factors cannot be scored."""
    if len(codes) != len(factors):
        raise ValueError(f"codes and factors must be of the same images; got {len(codes)} and {len(factors)}.")
    if not bool(codes.isfinite().all()):
        raise ValueError("codes must be finite; some are NaN or infinite.")
    columns = [column.unique(return_inverse=True) for column in factors.T]
    constant = [str(k) for k, (values, _) in enumerate(columns) if len(values) < 2]
    if constant or not columns:
        got = f"column {', '.join(constant)} is constant" if columns else "there are none"
        raise ValueError(f"every factor must have two values or more; {got}. Leave out constant factors.")
    return torch.stack([inverse for _, inverse in columns], dim=1)


# --- MIG -------------------------------------------------------------------------------------------------------------


def mutual_information(
    codes: Float[Tensor, "n latents"], factors: Int[Tensor, "n factors"], bins: int = BINS
) -> Float[Tensor, "latents factors"]:
    """Return I(z; v) in nats of each latent, discretized into `bins` equal intervals, and each factor.

    The estimate from counts is biased upwards: for independent columns of N images it is about (bins - 1)(values - 1) / 2N.
    """
    values = as_codes(codes, factors)
    low, high = codes.amin(0), codes.amax(0)
    bin_index = ((codes - low) / (high - low).clamp_min(1e-30) * bins).long().clamp(0, bins - 1)
    information = torch.empty(codes.shape[1], values.shape[1])
    for i, j in torch.cartesian_prod(torch.arange(codes.shape[1]), torch.arange(values.shape[1])).tolist():
        count = int(values[:, j].max()) + 1
        joint = torch.bincount(bin_index[:, i] * count + values[:, j], minlength=bins * count).reshape(bins, count).double()
        joint = joint / len(codes)
        information[i, j] = entropy(joint.sum(0)) + entropy(joint.sum(1)) - entropy(joint.flatten())
    return information


def entropy(p: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """Return -sum p log p, in nats."""
    return torch.special.entr(p).sum()


def mig(codes: Float[Tensor, "n latents"], factors: Int[Tensor, "n factors"], bins: int = BINS) -> float:
    """Return the mutual information gap: (1/K) sum_k (I(z_best; v_k) - I(z_second; v_k)) / H(v_k) for K factors.

    From Chen et al., 2018, arXiv 1802.04942, with the mutual information of discretized codes, as in disentanglement_lib.
    Twenty bins distinguish at most twenty values, so a perfect code for the factors of dSprites has 0.90.
    """
    information = mutual_information(codes, factors, bins)
    information = torch.cat([information, torch.zeros(1, information.shape[1])])  # so that a single latent has a second best
    best, second = information.topk(2, dim=0).values
    values = as_codes(codes, factors)
    entropies = torch.stack([entropy(column.bincount().double() / len(column)) for column in values.T])
    return float(((best - second) / entropies).mean())


# --- The FactorVAE score ---------------------------------------------------------------------------------------------


def factor_vae(
    codes: Float[Tensor, "n latents"],
    factors: Int[Tensor, "n factors"],
    seed: int = 0,
    votes: int = VOTES,
    batch: int = BATCH,
) -> float:
    """Return the FactorVAE score: how often the latent with the least variance identifies the fixed factor.

    For each vote, a factor and one of its values are drawn, then `batch` of the given images with this value, with
    replacement. The latent with the smallest variance, relative to its variance over all images, votes for the factor. Each
    latent predicts the factor it voted for most often in `votes` votes; the score is the accuracy of these predictions in
    another `votes` votes. Inactive latents have no vote (Kim & Mnih, 2018, arXiv 1802.05983). Chance level is one over the
    number of factors. The score is 0 if all latents are inactive.
    """
    values = as_codes(codes, factors)
    active = codes[:, codes.double().var(0) > MIN_VARIANCE].double()
    if active.shape[1] == 0:
        return 0.0
    generator = torch.Generator().manual_seed(seed)
    predicted = _votes(active, values, votes, batch, generator).argmax(1)
    others = _votes(active, values, votes, batch, generator)
    return float(others[torch.arange(len(others)), predicted].sum() / votes)


def _votes(codes: Tensor, values: Tensor, votes: int, batch: int, generator: torch.Generator) -> Int[Tensor, "latents factors"]:
    """Count how often each latent has the smallest relative variance while each factor is fixed."""
    count = torch.zeros(codes.shape[1], values.shape[1], dtype=torch.int64)
    chosen = torch.randint(values.shape[1], (votes,), generator=generator).bincount(minlength=values.shape[1])
    for k, n in enumerate(chosen.tolist()):
        order, sizes = values[:, k].argsort(stable=True), values[:, k].bincount()
        value = torch.randint(len(sizes), (n,), generator=generator)
        within = torch.rand(n, batch, generator=generator, dtype=torch.float64) * sizes[value, None]
        rows = order[(sizes.cumsum(0) - sizes)[value, None] + within.long()]
        least_varying = (codes[rows].var(1) / codes.var(0)).argmin(1)
        count[:, k] = least_varying.bincount(minlength=codes.shape[1])
    return count


# --- DCI -------------------------------------------------------------------------------------------------------------


def dci(codes: Float[Tensor, "n latents"], factors: Int[Tensor, "n factors"], seed: int = 0) -> DCI:
    """Return disentanglement, completeness and informativeness (Eastwood & Williams, 2018, openreview By-7dz-AZ).

    Let R[i, k] be the importance of latent i for factor k, see `importances`. Disentanglement is one minus the entropy of a
    latent's row, relative to the maximum entropy, averaged over latents with their shares of R as weights. Completeness is the
    same for the columns of factors, averaged evenly. Informativeness is the accuracy on test images, averaged over factors.
    """
    importance, accuracy = importances(codes, factors, seed)
    latents, count = importance.shape
    total = importance.sum().clamp_min(1e-30)
    rows = importance / importance.sum(1, keepdim=True).clamp_min(1e-30)
    columns = importance / importance.sum(0).clamp_min(1e-30)
    each_latent = 1 - torch.special.entr(rows).sum(1) / max(math.log(count), 1e-30)
    each_factor = 1 - torch.special.entr(columns).sum(0) / max(math.log(latents), 1e-30)
    return DCI(
        disentanglement=float((each_latent * importance.sum(1) / total).sum()),
        completeness=float((each_factor * (columns.sum(0) > 0)).mean()),
        informativeness=float(accuracy.mean()),
    )


def importances(
    codes: Float[Tensor, "n latents"], factors: Int[Tensor, "n factors"], seed: int = 0
) -> tuple[Float[Tensor, "latents factors"], Float[Tensor, " factors"]]:
    """Return the importance of each latent for predicting each factor (columns add up to one) and the test accuracies.

    One scikit-learn random forest of 30 classification trees per factor gives Gini importances. Each split considers all
    latents; with random subsets, irrelevant latents would gain importance. A leaf has at least 1 % of the training images.
    """
    from sklearn.ensemble import RandomForestClassifier

    values = as_codes(codes, factors)
    if len(codes) < 30:
        raise ValueError(f"DCI needs at least 30 images, a third of them to test the trees; got {len(codes)}.")
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))
    n = min(TRAINING, 2 * len(codes) // 3)
    training, test = order[:n], order[n : n + TEST]
    importance, accuracy = [], []
    for column in values.T.numpy():
        settings: dict[str, Any] = {"max_features": None, "min_samples_leaf": 0.01}
        forest = RandomForestClassifier(30, random_state=seed, **settings)
        forest.fit(codes[training].numpy(), column[training.numpy()])
        importance.append(torch.from_numpy(forest.feature_importances_))
        accuracy.append(float(forest.score(codes[test].numpy(), column[test.numpy()])))
    return torch.stack(importance, dim=1).float(), torch.tensor(accuracy)
