"""Features: what a small classifier, trained on the images' own labels, sees in a picture. Sample quality is judged by them.

The customary features are of a network trained on ImageNet: a download, and a stranger to drawings of 28x28. These travel in
the bundle, so that a figure can be had again wherever the bundle is; it compares models of one data set, not with figures
that others computed on other features.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from core.data.preprocessing import Images, to_unit

FEATURES = 64
"""Features of an image."""
MAX_SEEN, MAX_EPOCHS = 200_000, 60
"""Images that training sees at most, repeats counted, and how often it sees each of a small set: more passes tell no more."""
MIN_IMAGES_PER_CLASS = 10
"""Training images of each class, on average, that a label needs to be learned."""
MAX_CLASSES = 256
"""Classes that a label may have to be learned."""


class ClassifierNetwork(nn.Module):
    """Three convolutions, `FEATURES` features of an image of any size, and for each label a linear reading of them."""

    def __init__(self, channels: int, classes: dict[str, int]) -> None:
        super().__init__()
        self.classes = classes
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * 64, FEATURES),
            nn.ReLU(),
        )
        # A list: a label may have any name, a module may not.
        self.heads = nn.ModuleList(nn.Linear(FEATURES, count) for count in classes.values())

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n features"]:
        return self.body(x)

    def log_probabilities(self, features: Float[Tensor, "n features"]) -> dict[str, Float[Tensor, "n _"]]:
        """Log-probabilities of each label's classes."""
        return {name: head(features).log_softmax(1) for name, head in zip(self.classes, self.heads, strict=True)}


@dataclass(frozen=True)
class LabelClassifier:
    """A trained classifier with the values that its classes stand for and the share of unseen images that it reads rightly."""

    network: ClassifierNetwork
    values: dict[str, list[str]]
    accuracy: dict[str, float]
    """Of each label, on held-out training images."""

    @torch.no_grad()
    def features(self, x: Float[Tensor, "n c h w"], batch_size: int = 512) -> Float[Tensor, "n features"]:
        """Of images in [0, 1]."""
        device = next(self.network.parameters()).device
        return torch.cat([self.network(batch.to(device)).cpu() for batch in x.split(batch_size)])

    @torch.no_grad()
    def log_probabilities(self, features: Float[Tensor, "n features"]) -> dict[str, Float[Tensor, "n _"]]:
        """Log-probabilities of each label's classes."""
        return self.network.log_probabilities(features)

    def class_indices(self, labels: dict[str, np.ndarray]) -> dict[str, Int[Tensor, " n"]]:
        """The classes of these labels by number, as far as the classifier knows both label and class."""
        known = {name: column.astype(str) for name, column in labels.items() if name in self.values}
        return {
            name: torch.from_numpy(np.searchsorted(self.values[name], column))
            for name, column in known.items()
            if np.isin(column, self.values[name]).all()
        }

    def as_dict(self) -> dict[str, Any]:
        """What config.json keeps; the weights are kept beside it."""
        return {"values": self.values, "accuracy": self.accuracy}

    @staticmethod
    def read(file: Path, channels: int, config: Any) -> "LabelClassifier":
        """What a bundle's config says of the classifier whose weights are in a file; ValueError where they do not fit."""
        try:
            values, accuracy = config["values"], config["accuracy"]
            if not all(isinstance(names, list) and 2 <= len(names) <= MAX_CLASSES for names in values.values()):
                raise TypeError(f"each label has 2 to {MAX_CLASSES} classes")
            network = ClassifierNetwork(channels, {name: len(names) for name, names in values.items()})
            network.load_state_dict(load_file(file))
            if not all(weight.isfinite().all() for weight in network.parameters()):
                raise TypeError("it holds weights that are not numbers")
            return LabelClassifier(network.eval(), values, accuracy)
        except (SafetensorError, OSError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(f"{file} is damaged: {error}. Calibrate the model again or fetch a whole copy.") from error


def learnable(labels: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The labels, as text, that have at least two classes, at most 256, and at least 10 images of each on average.

    >>> list(learnable({"letter": np.array(["a", "b"] * 10), "file": np.arange(20), "size": np.ones(20)}))
    ['letter']
    """
    kept: dict[str, np.ndarray] = {}
    for name, column in labels.items():
        count = len(np.unique(column))
        if 2 <= count <= min(MAX_CLASSES, len(column) // MIN_IMAGES_PER_CLASS):
            kept[name] = column.astype(str)
    return kept


def fit_classifier(
    images: Images,
    labels: dict[str, np.ndarray],
    held_out: Int[Tensor, " m"],
    seed: int = 0,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    seen: int = MAX_SEEN,
    advance: Callable[[float], None] = lambda share: None,
) -> LabelClassifier:
    """Train a classifier on 8-bit images and those of their labels that can be learned.

    Images at `held_out` are not trained on; the accuracy is on them. Training sees `seen` images, repeats counted, each one
    at least once and at most 60 times; `advance` is told the share of it that each step was. Raises ValueError when there is
    no label to learn.
    """
    columns = learnable(labels)
    if not columns:
        raise ValueError(
            f"a classifier needs a label with 2 to {MAX_CLASSES} classes of {MIN_IMAGES_PER_CLASS} images or more; "
            f"got {', '.join(labels) or 'no labels'}."
        )
    pairs = {name: np.unique(column, return_inverse=True) for name, column in columns.items()}
    values = {name: found.tolist() for name, (found, _) in pairs.items()}
    classes = {name: torch.from_numpy(inverse) for name, (_, inverse) in pairs.items()}
    torch.manual_seed(seed)
    network = ClassifierNetwork(images.shape[1], {name: len(found) for name, found in values.items()}).to(device)
    kept = torch.ones(len(images), dtype=torch.bool)
    kept[held_out] = False
    generator = torch.Generator().manual_seed(seed)
    training = kept.nonzero()[:, 0]
    if len(training) > MAX_SEEN:
        training = training[torch.randperm(len(training), generator=generator)[:MAX_SEEN]]
    epochs = max(1, min(seen // len(training), MAX_EPOCHS))
    steps = epochs * math.ceil(len(training) / batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(epochs):
        for index in training[torch.randperm(len(training), generator=generator)].split(batch_size):
            read = network.log_probabilities(network(to_unit(images[index].to(device))))
            loss = torch.stack([nn.functional.nll_loss(read[name], classes[name][index].to(device)) for name in classes]).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            advance(1 / steps)
    with torch.no_grad():
        for weight in network.parameters():  # what half precision holds, so that it is saved in half the space
            weight.copy_(weight.half())
    label_classifier = LabelClassifier(network.eval().cpu(), values, {})
    read = label_classifier.log_probabilities(label_classifier.features(to_unit(images[held_out])))
    right = {name: (read[name].argmax(1) == classes[name][held_out]).double().mean().item() for name in classes}
    return replace(label_classifier, accuracy=right)
