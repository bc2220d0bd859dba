"""A small classifier of the images' labels. Its features measure sample quality.

The usual features come from a network trained on ImageNet. It must be downloaded, and it does not fit 28x28 drawings. This
classifier is saved in the bundle, so its figures can be reproduced from the bundle alone. They compare models of one data
set; they are not comparable with figures computed on other features.
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
"""Number of features of an image."""
MAX_SEEN, MAX_EPOCHS = 200_000, 60
"""Maximum number of training images, with repeats, and of epochs; more epochs do not improve the accuracy."""
MIN_IMAGES_PER_CLASS = 10
"""Minimum number of training images per class, on average, for a label to be learned."""
MAX_CLASSES = 256
"""Maximum number of classes of a label."""


class ClassifierNetwork(nn.Module):
    """Three convolutions, a linear layer to `FEATURES` features, and a linear head for each label. Images may have any size."""

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
        # A list, since a label may have a name that a module must not have.
        self.heads = nn.ModuleList(nn.Linear(FEATURES, count) for count in classes.values())

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n features"]:
        return self.body(x)

    def log_probabilities(self, features: Float[Tensor, "n features"]) -> dict[str, Float[Tensor, "n _"]]:
        """Return the log-probabilities of each label's classes."""
        return {name: head(features).log_softmax(1) for name, head in zip(self.classes, self.heads, strict=True)}


@dataclass(frozen=True)
class LabelClassifier:
    """A trained classifier with the names of its classes and its accuracy on held-out images."""

    network: ClassifierNetwork
    values: dict[str, list[str]]
    """The class names of each label, sorted."""
    accuracy: dict[str, float]
    """The accuracy for each label on held-out training images."""

    @torch.no_grad()
    def features(self, x: Float[Tensor, "n c h w"], batch_size: int = 512) -> Float[Tensor, "n features"]:
        """Return the features of images in [0, 1]."""
        device = next(self.network.parameters()).device
        return torch.cat([self.network(batch.to(device)).cpu() for batch in x.split(batch_size)])

    @torch.no_grad()
    def log_probabilities(self, features: Float[Tensor, "n features"]) -> dict[str, Float[Tensor, "n _"]]:
        """Return the log-probabilities of each label's classes."""
        return self.network.log_probabilities(features)

    def class_indices(self, labels: dict[str, np.ndarray]) -> dict[str, Int[Tensor, " n"]]:
        """Return the class indices of each label that the classifier was trained on, if all its values are known classes."""
        known = {name: column.astype(str) for name, column in labels.items() if name in self.values}
        return {
            name: torch.from_numpy(np.searchsorted(self.values[name], column))
            for name, column in known.items()
            if np.isin(column, self.values[name]).all()
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON record for config.json; the weights are saved in features.safetensors."""
        return {"values": self.values, "accuracy": self.accuracy}

    @staticmethod
    def read(file: Path, channels: int, config: Any) -> "LabelClassifier":
        """Read a classifier from its weights file and its record in config.json. Raises ValueError if they are invalid."""
        try:
            values, accuracy = config["values"], config["accuracy"]
            if not all(isinstance(names, list) and 2 <= len(names) <= MAX_CLASSES for names in values.values()):
                raise TypeError(f"each label has 2 to {MAX_CLASSES} classes")
            network = ClassifierNetwork(channels, {name: len(names) for name, names in values.items()})
            network.load_state_dict(load_file(file))
            if not all(weight.isfinite().all() for weight in network.parameters()):
                raise TypeError("some weights are not finite numbers")
            return LabelClassifier(network.eval(), values, accuracy)
        except (SafetensorError, OSError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(f"{file} is damaged: {error}. Calibrate the model again or download it again.") from error


def learnable(labels: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the labels, as text, that have 2 to 256 classes and on average at least 10 images per class.

    >>> list(learnable({"letter": np.array(["a", "b"] * 10), "file": np.arange(20), "size": np.ones(20)}))
    ['letter']
    """
    learnable_labels: dict[str, np.ndarray] = {}
    for name, column in labels.items():
        count = len(np.unique(column))
        if 2 <= count <= min(MAX_CLASSES, len(column) // MIN_IMAGES_PER_CLASS):
            learnable_labels[name] = column.astype(str)
    return learnable_labels


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
    """Train a classifier on 8-bit images and their `learnable` labels.

    The images with indices `held_out` are used only for the accuracy. Training runs for `seen` images in total, but for at
    least one and at most 60 epochs. After each step, `advance` is called with the step's share of the training.
    Raises ValueError if no label is learnable.
    """
    columns = learnable(labels)
    if not columns:
        raise ValueError(
            f"a classifier needs a label with 2 to {MAX_CLASSES} classes of {MIN_IMAGES_PER_CLASS} images or more; "
            f"got {', '.join(labels) or 'no labels'}."
        )
    unique = {name: np.unique(column, return_inverse=True) for name, column in columns.items()}
    values = {name: names.tolist() for name, (names, _) in unique.items()}
    classes = {name: torch.from_numpy(inverse) for name, (_, inverse) in unique.items()}
    torch.manual_seed(seed)
    network = ClassifierNetwork(images.shape[1], {name: len(names) for name, names in values.items()}).to(device)
    is_training = torch.ones(len(images), dtype=torch.bool)
    is_training[held_out] = False
    generator = torch.Generator().manual_seed(seed)
    training = is_training.nonzero()[:, 0]
    if len(training) > MAX_SEEN:
        training = training[torch.randperm(len(training), generator=generator)[:MAX_SEEN]]
    epochs = max(1, min(seen // len(training), MAX_EPOCHS))
    steps = epochs * math.ceil(len(training) / batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(epochs):
        for index in training[torch.randperm(len(training), generator=generator)].split(batch_size):
            scores = network.log_probabilities(network(to_unit(images[index].to(device))))
            loss = torch.stack(
                [nn.functional.nll_loss(scores[name], classes[name][index].to(device)) for name in classes]
            ).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            advance(1 / steps)
    with torch.no_grad():
        for weight in network.parameters():  # round to half precision, which halves the size of the file
            weight.copy_(weight.half())
    label_classifier = LabelClassifier(network.eval().cpu(), values, {})
    scores = label_classifier.log_probabilities(label_classifier.features(to_unit(images[held_out])))
    accuracy = {name: (scores[name].argmax(1) == classes[name][held_out]).double().mean().item() for name in classes}
    return replace(label_classifier, accuracy=accuracy)
