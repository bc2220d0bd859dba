"""Disentanglement: how far single latents stand for single factors of variation, from codes and the factors known for them.

Codes (N, latents) are what an encoder gives images, usually posterior means; factors (N, factors) are whole numbers, one
column for each, whose order and spacing play no part. Every figure runs from 0 to 1, and more is better. None changes when
latents are reordered or change sign, but for the noise of sampling and of trees.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

BINS = 20
"""Intervals of equal width that a latent's range is cut into, as in disentanglement_lib (Locatello et al., 2018,
arXiv 1811.12359)."""

VOTES, BATCH = 800, 200
"""The FactorVAE score's votes, as many again to score them, and the images behind each."""

MIN_VARIANCE = 0.01
"""A latent whose code varies less than this has no vote; see `evaluation.ACTIVE_VARIANCE`."""

TRAINING, TEST = 10_000, 5_000
"""The images that DCI's trees learn from, and others that they are scored on; of fewer, two thirds and one third."""


class DCI(NamedTuple):
    """Disentanglement: each latent tells of one factor. Completeness: each factor is told by one latent. Informativeness:
    how often a factor is guessed right."""

    disentanglement: float
    completeness: float
    informativeness: float


@dataclass(frozen=True)
class Disentanglement:
    """The three figures of one set of codes, of which DCI has three parts; `images` are all that were given."""

    mig: float
    factor_vae: float
    dci: DCI
    images: int


def disentanglement(codes: Float[Tensor, "n latents"], factors: Int[Tensor, "n factors"], seed: int = 0) -> Disentanglement:
    """All figures. Raises ValueError when there are too few images or a factor never changes."""
    return Disentanglement(mig(codes, factors), factor_vae(codes, factors, seed), dci(codes, factors, seed), len(codes))


def as_factors(labels: dict[str, np.ndarray]) -> tuple[list[str], Int[Tensor, "n factors"]]:
    """The labels that can be factors, by name and as whole numbers: those that change, and take each value twice or more
    on average.

    >>> as_factors({"shape": np.array(["square", "heart", "heart"]), "colour": np.zeros(3), "width": np.arange(3) / 7})[0]
    ['shape']
    """
    columns = {name: np.unique(column, return_inverse=True) for name, column in labels.items()}
    kept = {name: inverse for name, (values, inverse) in columns.items() if 2 <= len(values) <= max(2, len(inverse) // 2)}
    n = len(next(iter(labels.values()))) if labels else 0
    factors = torch.from_numpy(np.stack(list(kept.values()), axis=1)) if kept else torch.zeros(n, 0, dtype=torch.int64)
    return list(kept), factors


def as_codes(codes: Tensor, factors: Tensor) -> Int[Tensor, "n factors"]:
    """The factors with their values numbered from 0; ValueError where they cannot be scored."""
    if len(codes) != len(factors):
        raise ValueError(f"codes and factors must be of the same images; got {len(codes)} and {len(factors)}.")
    if not bool(codes.isfinite().all()):
        raise ValueError("codes must be finite; some are NaN or infinite.")
    columns = [column.unique(return_inverse=True) for column in factors.T]
    constant = [str(k) for k, (values, _) in enumerate(columns) if len(values) < 2]
    if constant or not columns:
        got = f"column {', '.join(constant)} does not change" if columns else "there are none"
        raise ValueError(f"every factor must take two values or more; {got}. Leave out those that do not.")
    return torch.stack([inverse for _, inverse in columns], dim=1)


# --- MIG -------------------------------------------------------------------------------------------------------------


def mutual_information(
    codes: Float[Tensor, "n latents"], factors: Int[Tensor, "n factors"], bins: int = BINS
) -> Float[Tensor, "latents factors"]:
    """I(z; v) of each latent, cut into `bins` intervals of equal width, and each factor: in nats, from the counts.

    Counts overestimate: independent columns of N images score about (bins - 1)(values - 1) / 2N.
    """
    values = as_codes(codes, factors)
    low, high = codes.amin(0), codes.amax(0)
    cut = ((codes - low) / (high - low).clamp_min(1e-30) * bins).long().clamp(0, bins - 1)
    information = torch.empty(codes.shape[1], values.shape[1])
    for i, j in torch.cartesian_prod(torch.arange(codes.shape[1]), torch.arange(values.shape[1])).tolist():
        count = int(values[:, j].max()) + 1
        joint = torch.bincount(cut[:, i] * count + values[:, j], minlength=bins * count).reshape(bins, count).double()
        joint = joint / len(codes)
        information[i, j] = entropy(joint.sum(0)) + entropy(joint.sum(1)) - entropy(joint.flatten())
    return information


def entropy(p: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """-sum p log p, in nats."""
    return torch.special.entr(p).sum()


def mig(codes: Float[Tensor, "n latents"], factors: Int[Tensor, "n factors"], bins: int = BINS) -> float:
    """Mutual information gap: how much more the best latent knows of a factor than the second best, mean over factors.

    (1/K) sum_k (I(z_best; v_k) - I(z_second; v_k)) / H(v_k) (Chen et al., 2018, arXiv 1802.04942), with the mutual
    information of discretized codes, as in disentanglement_lib. Twenty bins cannot tell more than twenty values apart: for
    the factors of dSprites the perfect code has 0.90.
    """
    information = mutual_information(codes, factors, bins)
    information = torch.cat([information, torch.zeros(1, information.shape[1])])  # the second best of a single latent
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
    """The FactorVAE score: how often the latent that stays stillest tells which factor was held still.

    A vote draws a factor, one of its values, and `batch` images that have it (with replacement, from the given ones); the
    latent whose variance, relative to that over all images, is smallest votes for the factor. Each latent then stands for
    the factor it voted for most in `votes` votes; the score is how often that is right in as many others. Dead latents have
    no vote (Kim & Mnih, 2018, arXiv 1802.05983). Chance is one over the number of factors; with all latents dead it is 0.
    """
    values = as_codes(codes, factors)
    alive = codes[:, codes.double().var(0) > MIN_VARIANCE].double()
    if alive.shape[1] == 0:
        return 0.0
    generator = torch.Generator().manual_seed(seed)
    stands_for = _votes(alive, values, votes, batch, generator).argmax(1)
    others = _votes(alive, values, votes, batch, generator)
    return float(others[torch.arange(len(others)), stands_for].sum() / votes)


def _votes(codes: Tensor, values: Tensor, votes: int, batch: int, generator: torch.Generator) -> Int[Tensor, "latents factors"]:
    """How often each latent was the stillest while each factor was held still."""
    count = torch.zeros(codes.shape[1], values.shape[1], dtype=torch.int64)
    chosen = torch.randint(values.shape[1], (votes,), generator=generator).bincount(minlength=values.shape[1])
    for k, n in enumerate(chosen.tolist()):
        order, sizes = values[:, k].argsort(stable=True), values[:, k].bincount()
        value = torch.randint(len(sizes), (n,), generator=generator)
        within = torch.rand(n, batch, generator=generator, dtype=torch.float64) * sizes[value, None]
        rows = order[(sizes.cumsum(0) - sizes)[value, None] + within.long()]
        stillest = (codes[rows].var(1) / codes.var(0)).argmin(1)
        count[:, k] = stillest.bincount(minlength=codes.shape[1])
    return count


# --- DCI -------------------------------------------------------------------------------------------------------------


def dci(codes: Float[Tensor, "n latents"], factors: Int[Tensor, "n factors"], seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness (Eastwood & Williams, 2018, openreview By-7dz-AZ).

    From the importance R[i, k] of latent i for factor k: disentanglement is one minus the entropy of a latent's row, relative
    to its largest, averaged with the latents' shares of R as weights; completeness is the same of a factor's column,
    averaged evenly; informativeness is the accuracy on images not learned from, averaged over factors. See `importances`.
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
    """How much each latent counts in guessing each factor, a column adding up to one, and how often the guess is right.

    By scikit-learn's random forests of 30 classification trees, one forest a factor: Gini importances, all latents looked
    at for each split (else those without a say get one by lot), leaves of 1 % of the training images or more.
    """
    from sklearn.ensemble import RandomForestClassifier

    values = as_codes(codes, factors)
    if len(codes) < 30:
        raise ValueError(f"DCI needs at least 30 images, a third of them to score the trees; got {len(codes)}.")
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
