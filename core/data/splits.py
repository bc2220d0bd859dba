"""Data: images with labels, and how a data set without an official test split is split, once and for all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from core.data.preprocessing import Images
from core.data.storage import ImagesOnDisk

Split = Literal["train", "test", "all"]

ImagesType = TypeVar("ImagesType", bound=Images)


@dataclass(frozen=True)
class Data(Generic[ImagesType]):
    """Images (N, C, H, W) with labels: one array of N strings, integers or floats for each name; and, where each comes from a
    file or a row of its own, what that is called, an array of N strings.

    The images are a tensor, or, where that would not fit into memory, something that is indexed as one.
    """

    images: ImagesType
    labels: dict[str, np.ndarray]
    names: np.ndarray | None = None

    def take(self, index: Tensor) -> "Data":
        """The images, with labels and names, at these positions; what is on disk stays there."""
        images = self.images.select(index) if isinstance(self.images, ImagesOnDisk) else self.images[index]
        rows = index.numpy()
        labels = {name: values[rows] for name, values in self.labels.items()}
        return Data(images, labels, None if self.names is None else self.names[rows])


def split_indices(n: int) -> tuple[Tensor, Tensor]:
    """Indices (training, test) of the fixed split of n images: a tenth for test, but 1,000, or a third, of a small set.

    >>> [tuple(map(len, split_indices(n))) for n in (30, 1_797, 60_000)]
    [(20, 10), (1198, 599), (54000, 6000)]
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    test = max(n // 10, min(n // 3, 1000))
    return order[test:], order[:test]


def select_split(data: Data, split: Split) -> Data:
    """One part of a data set that has no official test split."""
    if split == "all":
        return data
    train, test = split_indices(len(data.images))
    return data.take(train if split == "train" else test)


def align_splits(source: Path, train: Data, test: Data) -> list[Data]:
    """Both splits, with the labels that both have. Raises ValueError when their images differ in shape."""
    if train.images.shape[1:] != test.images.shape[1:]:
        sizes = " and ".join(str(tuple(part.images.shape[1:])) for part in (train, test))
        raise ValueError(f"{source}: training and test images must be of one shape; got {sizes}.")
    both = [name for name in train.labels if name in test.labels]
    return [Data(part.images, {name: part.labels[name] for name in both}) for part in (train, test)]


def concatenate(parts: list[Data]) -> Data:
    """All images of parts that are alike, in memory."""
    labels = {name: np.concatenate([part.labels[name] for part in parts]) for name in parts[0].labels}
    return Data(torch.cat([part.images for part in parts]), labels) if len(parts) > 1 else parts[0]
