"""Sample quality: whether draws from the prior look like the data, and whether reconstructions still say what they show.

All on the features of the bundle's own classifier (see `core.evaluation.classifier`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.data.preprocessing import Images, to_unit
from core.evaluation.classifier import LabelClassifier
from core.model.vae import VAE

MAX_IMAGES = 5000
"""Images, and as many samples, that are compared."""
MIN_CONFIDENCE = 0.9
"""The classifier's probability from which on it reads a sample with confidence."""


@dataclass(frozen=True)
class Quality:
    """How decoder means at draws from the prior, and reconstructions, compare with as many real images."""

    fid: float
    """Fréchet distance: see `frechet`. On these features alone; 0 is best."""
    precision: float
    """The share of samples that lie among real images."""
    recall: float
    """The share of real images that lie among samples."""
    confident: dict[str, float]
    """Of each label, the share of samples that the classifier reads with at least 90 % confidence."""
    confident_real: dict[str, float]
    """The same of real images."""
    accuracy: dict[str, float]
    """Of each label, how many real images the classifier reads rightly."""
    accuracy_of_reconstructions: dict[str, float]
    compared: int
    """Images, and as many samples."""


@torch.no_grad()
def quality(vae: VAE, classifier: LabelClassifier, images: Images, labels: dict[str, np.ndarray], seed: int = 0) -> Quality:
    """Of a VAE whose prior is drawn from as often as there are images, at most 5,000 times.

    Accuracies are of those `labels` that the reader knows. Raises ValueError for fewer than 5 images.
    """
    if len(images) < 5:
        raise ValueError(f"sample quality needs at least 5 images; got {len(images)}.")
    index = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:MAX_IMAGES]
    device = next(vae.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    real: list[Tensor] = []
    fake: list[Tensor] = []
    again: list[Tensor] = []
    for part in index.split(256):
        x = to_unit(images[part].to(device))
        real.append(classifier.features(x))
        again.append(classifier.features(vae.decode(vae.posterior(x).mean).mean))
        fake.append(classifier.features(vae.decode(vae.prior.sample(len(part), generator).to(device)).mean))
    features = [torch.cat(parts) for parts in (real, fake, again)]
    precision, recall = precision_recall(features[0], features[1])
    read, read_fake, read_again = (classifier.log_probabilities(part) for part in features)
    classes = {name: numbers[index] for name, numbers in classifier.class_indices(labels).items()}

    def right(read: dict[str, Tensor]) -> dict[str, float]:
        return {name: (read[name].argmax(1) == truth).double().mean().item() for name, truth in classes.items()}

    def sure(read: dict[str, Tensor]) -> dict[str, float]:
        return {name: (values.exp().amax(1) >= MIN_CONFIDENCE).double().mean().item() for name, values in read.items()}

    return Quality(
        fid=frechet(features[0], features[1]),
        precision=precision,
        recall=recall,
        confident=sure(read_fake),
        confident_real=sure(read),
        accuracy=right(read),
        accuracy_of_reconstructions=right(read_again),
        compared=len(index),
    )


def frechet(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """|mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)), A and B being the covariances (Heusel et al., 2017, arXiv 1706.08500).

    >>> points = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    >>> round(frechet(points, points + torch.tensor([2.0, 0.0, 0.0])), 4)
    4.0
    """
    a, b = a.double(), b.double()
    first, second = a.T.cov(correction=1), b.T.cov(correction=1)
    # The square root's trace needs only eigenvalues, and those of A^(1/2) B A^(1/2) are those of A B.
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * cross).clamp_min(0).item()


def precision_recall(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], k: int = 3) -> tuple[float, float]:
    """Shares of samples within reach of a real image, and of real images within reach of a sample; a point reaches as far as
    its k-th nearest neighbour of its own kind (Kynkäänniemi et al., 2019, arXiv 1904.06991)."""

    def within(points: Tensor, others: Tensor) -> float:
        reach = torch.cdist(others, others).kthvalue(min(k + 1, len(others)), dim=1).values
        return torch.cdist(points, others).le(reach).any(1).double().mean().item()

    return within(fake, real), within(real, fake)
