"""Sample quality: FID, precision and recall of samples, and how well reconstructions keep their labels.

All use the features of the bundle's own classifier (see `core.evaluation.classifier`).
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
"""Maximum number of images, and of samples, to compare."""
MIN_CONFIDENCE = 0.9
"""Minimum probability of the most likely class for a confident classification."""


@dataclass(frozen=True)
class Quality:
    """Comparison of samples (decoder means at draws from the prior) and reconstructions with the same number of images."""

    fid: float
    """Fréchet distance, see `frechet`; 0 is best. It is comparable only between models with the same classifier."""
    precision: float
    """Share of samples that are close to a real image, see `precision_recall`."""
    recall: float
    """Share of real images that are close to a sample."""
    confident: dict[str, float]
    """For each label, the share of samples that are classified with a probability of at least 90 %."""
    confident_real: dict[str, float]
    """The same for real images."""
    accuracy: dict[str, float]
    """For each label, the classifier's accuracy on real images."""
    accuracy_of_reconstructions: dict[str, float]
    """The same for reconstructions, against the labels of their images."""
    compared: int
    """Number of images, and of samples."""


@torch.no_grad()
def quality(vae: VAE, classifier: LabelClassifier, images: Images, labels: dict[str, np.ndarray], seed: int = 0) -> Quality:
    """Compare samples and reconstructions of a VAE with 8-bit images, at most 5,000 of each.

    Accuracies cover those of the `labels` that the classifier was trained on. Raises ValueError for fewer than 5 images.
    """
    if len(images) < 5:
        raise ValueError(f"sample quality needs at least 5 images; got {len(images)}.")
    index = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:MAX_IMAGES]
    device = next(vae.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    real: list[Tensor] = []
    fake: list[Tensor] = []
    reconstructed: list[Tensor] = []
    for part in index.split(256):
        x = to_unit(images[part].to(device))
        real.append(classifier.features(x))
        reconstructed.append(classifier.features(vae.decode(vae.posterior(x).mean).mean))
        fake.append(classifier.features(vae.decode(vae.prior.sample(len(part), generator).to(device)).mean))
    features = [torch.cat(parts) for parts in (real, fake, reconstructed)]
    precision, recall = precision_recall(features[0], features[1])
    real_scores, fake_scores, reconstructed_scores = (classifier.log_probabilities(part) for part in features)
    classes = {name: numbers[index] for name, numbers in classifier.class_indices(labels).items()}

    def accuracy(scores: dict[str, Tensor]) -> dict[str, float]:
        return {name: (scores[name].argmax(1) == truth).double().mean().item() for name, truth in classes.items()}

    def confident(scores: dict[str, Tensor]) -> dict[str, float]:
        return {name: (values.exp().amax(1) >= MIN_CONFIDENCE).double().mean().item() for name, values in scores.items()}

    return Quality(
        fid=frechet(features[0], features[1]),
        precision=precision,
        recall=recall,
        confident=confident(fake_scores),
        confident_real=confident(real_scores),
        accuracy=accuracy(real_scores),
        accuracy_of_reconstructions=accuracy(reconstructed_scores),
        compared=len(index),
    )


def frechet(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """Return |mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)); A, B are the covariances (Heusel et al., 2017, arXiv 1706.08500).

    >>> points = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    >>> round(frechet(points, points + torch.tensor([2.0, 0.0, 0.0])), 4)
    4.0
    """
    a, b = a.double(), b.double()
    first, second = a.T.cov(correction=1), b.T.cov(correction=1)
    # The trace of the square root needs only eigenvalues. A^(1/2) B A^(1/2) has those of A B and is symmetric.
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * cross).clamp_min(0).item()


def precision_recall(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], k: int = 3) -> tuple[float, float]:
    """Return the share of samples within a ball around a real image, and the share of real images within one around a sample.

    The radius of a ball is the distance to the k-th nearest neighbour of the same kind (Kynkäänniemi et al., 2019,
    arXiv 1904.06991).
    """

    def share_within(points: Tensor, others: Tensor) -> float:
        radius = torch.cdist(others, others).kthvalue(min(k + 1, len(others)), dim=1).values
        return torch.cdist(points, others).le(radius).any(1).double().mean().item()

    return share_within(fake, real), share_within(real, fake)
