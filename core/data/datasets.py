"""Load data sets: digits, dSprites, IDX files, .npz files and sources of pictures, as 8-bit images with labels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from core.data.arrays import idx_files, idx_splits, load_idx, load_npz, npz_splits
from core.data.dsprites import DSprites, dsprites_split
from core.data.preprocessing import Fit, Preprocessing
from core.data.reading import Options, Reading, read
from core.data.sources import Source, open_folder, open_zip
from core.data.splits import Data, Split, select_split
from core.data.tables import HubSource, ParquetSource

DATA_KINDS = (
    "digits, dsprites, an .npz file, a folder of IDX files, or pictures: a folder, a zip file, a parquet file with a column of "
    "them, or hf:owner/name"
)
"""The kinds of data set, for help texts and messages."""


@dataclass(frozen=True)
class DataSet:
    """Both splits of a data set. If it was read from pictures, `reading` has their preprocessing, survey and summary."""

    train: Data
    test: Data
    reading: Reading | None = None


def open_data(
    source: str | Path,
    options: Options | None = None,
    preprocessing: Preprocessing | None = None,
    advance: Callable[[int], None] = lambda entries: None,
) -> DataSet:
    """Load both splits of a data set, one of `DATA_KINDS`.

    An official test split is used if there is one: in IDX files, `x_test` or `split` in .npz, folders `train` and `test`, or
    splits of these names on the hub or in a column `split`. Any other data set has a fixed random split: see `split_indices`.
    `options` and `advance` apply to pictures only: see `core.data.reading.read`. With the `preprocessing` of a bundle,
    pictures are resized to its shape, and arrays must have it.

    Raises ValueError if the source is missing, empty, damaged or of the wrong shape.
    """
    pictures = find_pictures(source)
    if pictures is None:
        return DataSet(_arrays(source, "train", preprocessing), _arrays(source, "test", preprocessing))
    reading = _read(source, pictures, options, preprocessing, advance)
    return DataSet(_select_split(source, reading, "train"), _select_split(source, reading, "test"), reading)


def load_data(
    source: str | Path,
    split: Split,
    preprocessing: Preprocessing | None = None,
    size: int | None = None,
    fit: Fit = "crop",
) -> Data:
    """Load one split of a data set, one of `DATA_KINDS`, or all of it: see `open_data`.

    With the `preprocessing` of a bundle, pictures are resized to its shape, and arrays must have it. Without it, pictures are
    resized to `size` (default: chosen from a sample of them). Raises ValueError as `open_data` does.
    """
    if split not in get_args(Split):
        raise ValueError(f"split must be one of {', '.join(get_args(Split))}; got {split!r}.")
    pictures = find_pictures(source)
    if pictures is None:
        return _arrays(source, split, preprocessing)
    return _select_split(source, _read(source, pictures, Options(size=size, fit=fit), preprocessing), split)


def array_splits(source: str | Path, preprocessing: Preprocessing) -> list[Data]:
    """All images of a data set of arrays, in the order of the file, as one data set or as training and test set.

    Uncompressed images stay on disk. Raises ValueError as `load_data` does.
    """
    path = Path(source)
    if not path.exists():
        return [_arrays(source, "all", preprocessing)]
    splits = idx_splits(path, on_disk=True) if path.is_dir() else npz_splits(path, on_disk=True)
    preprocessing.check(splits[0].images[:1])
    return splits


def find_pictures(source: str | Path) -> Source | None:
    """Open a source of pictures; None if the data set consists of arrays. Raises ValueError if there is no data set."""
    path = Path(source)
    if str(source).startswith("hf:"):
        return HubSource(str(source).removeprefix("hf:"))
    if path.is_dir():
        return None if idx_files(path) else open_folder(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return open_zip(path)
    if path.is_file() and path.suffix.lower() == ".parquet":
        return ParquetSource(path)
    if (path.is_file() and path.suffix.lower() == ".npz") or (str(source) in ("digits", "dsprites") and not path.exists()):
        return None
    raise ValueError(f"DATA must be {DATA_KINDS}; got {str(source)!r}.")


def _read(
    source: str | Path,
    pictures: Source,
    options: Options | None,
    preprocessing: Preprocessing | None,
    advance: Callable[[int], None] = lambda entries: None,
) -> Reading:
    try:
        return read(pictures, options, preprocessing, advance)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _select_split(source: str | Path, reading: Reading, split: Split) -> Data:
    """One split of the pictures that were read: the official one, if there is one."""
    data = Data(reading.images, reading.labels, reading.names)
    if split == "all" or not reading.splits.astype(bool).any():
        return select_split(data, split)
    rows = np.flatnonzero(reading.splits == split)
    if not len(rows):
        raise ValueError(f"{source} must hold {split} pictures; none can be read. " + "; ".join(reading.summary.lines()))
    return data.take(torch.from_numpy(rows))


def _arrays(source: str | Path, split: Split, preprocessing: Preprocessing | None) -> Data:
    """One split of a data set of arrays."""
    path = Path(source)
    if path.is_dir():
        data = load_idx(path, split)
    elif path.is_file():
        data = load_npz(path, split)
    else:
        data = select_split(_digits(), split) if str(source) == "digits" else _dsprites(split)
    if preprocessing is not None:
        preprocessing.check(data.images[:1])
    return data


def _digits() -> Data:
    """The 1,797 handwritten digits of scikit-learn: 8x8 pixels, 17 grey levels scaled to 0…255."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return Data(torch.from_numpy(images[:, None]), {"label": digits.target.astype(str)})


def _dsprites(split: Split) -> Data:
    """One split of dSprites. Images are drawn when indexed; only the 10,000 of the test split are in memory."""
    train, test = dsprites_split()
    sprites = DSprites(None if split == "all" else train if split == "train" else test)
    return Data(sprites[:] if split == "test" else sprites, sprites.labels())
