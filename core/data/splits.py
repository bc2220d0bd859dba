"""Images with labels, and the fixed train/test split of data sets without an official one."""

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
    """Images (N, C, H, W) with labels: for each label name, an array of N strings, integers or floats.

    `names` are the N file names or row names of the images, if they have any. The images are a tensor or, to save memory, an
    object that is indexed like one.
    """

    images: ImagesType
    labels: dict[str, np.ndarray]
    names: np.ndarray | None = None

    def take(self, index: Tensor) -> "Data":
        """The images at these indices, with their labels and names. Images on disk stay there."""
        images = self.images.select(index) if isinstance(self.images, ImagesOnDisk) else self.images[index]
        rows = index.numpy()
        labels = {name: values[rows] for name, values in self.labels.items()}
        return Data(images, labels, None if self.names is None else self.names[rows])


def split_indices(n: int) -> tuple[Tensor, Tensor]:
    """Indices (training, test) of a fixed random split of n images.

    The test set is a tenth of the images, but at least 1,000, or a third if there are fewer than 3,000.

    >>> [tuple(map(len, split_indices(n))) for n in (30, 1_797, 60_000)]
    [(20, 10), (1198, 599), (54000, 6000)]
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    test = max(n // 10, min(n // 3, 1000))
    return order[test:], order[:test]


def select_split(data: Data, split: Split) -> Data:
    """One split of a data set without an official test split."""
    if split == "all":
        return data
    train, test = split_indices(len(data.images))
    return data.take(train if split == "train" else test)


def align_splits(source: Path, train: Data, test: Data) -> list[Data]:
    """Both splits, with only the labels that both have. Raises ValueError if their image shapes differ."""
    if train.images.shape[1:] != test.images.shape[1:]:
        sizes = " and ".join(str(tuple(data.images.shape[1:])) for data in (train, test))
        raise ValueError(f"{source}: training and test images must have the same shape; got {sizes}.")
    shared = [name for name in train.labels if name in test.labels]
    return [Data(data.images, {name: data.labels[name] for name in shared}) for data in (train, test)]


def concatenate(splits: list[Data]) -> Data:
    """All images of aligned splits, in memory."""
    labels = {name: np.concatenate([data.labels[name] for data in splits]) for name in splits[0].labels}
    return Data(torch.cat([data.images for data in splits]), labels) if len(splits) > 1 else splits[0]
