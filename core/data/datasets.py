"""Data sets: digits, dSprites, IDX files, .npz files and pictures of any source, 8-bit and labelled, split once and for all."""

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

CHOICES = (
    "digits, dsprites, an .npz file, a folder of IDX files, or pictures: a folder, a zip file, a parquet file with a column of "
    "them, or hf:owner/name"
)
"""What a data set can be."""


@dataclass(frozen=True)
class DataSet:
    """Both parts of a data set, and, where it is one of pictures, how they were read."""

    train: Data
    test: Data
    reading: Reading | None = None


def open_data(
    source: str | Path,
    options: Options | None = None,
    preprocessing: Preprocessing | None = None,
    advance: Callable[[int], None] = lambda entries: None,
) -> DataSet:
    """Read a data set, one of `CHOICES`, once. `options` are about pictures, and so is the rest: see `core.data.reading.read`.

    A source with an official test split keeps it (IDX; `x_test` in .npz; folders `train` and `test`; splits of that name on
    the hub or in a column `split`). Any other is split by a fixed shuffle: see `split_indices`.

    Raises ValueError when the source is missing, empty, damaged or of the wrong shape.
    """
    pictures = find_pictures(source)
    if pictures is None:
        return DataSet(_arrays(source, "train", preprocessing), _arrays(source, "test", preprocessing))
    reading = _read(source, pictures, options, preprocessing, advance)
    return DataSet(_part(source, reading, "train"), _part(source, reading, "test"), reading)


def load_data(
    source: str | Path,
    split: Split,
    preprocessing: Preprocessing | None = None,
    size: int | None = None,
    fit: Fit = "crop",
) -> Data:
    """One part of a data set, one of `CHOICES`, or all of it: see `open_data`.

    With the `preprocessing` of a bundle, pictures are fitted to its shape and arrays must already have it; without,
    pictures are fitted to `size` (default: chosen from them).
    """
    if split not in get_args(Split):
        raise ValueError(f"split must be one of {', '.join(get_args(Split))}; got {split!r}.")
    pictures = find_pictures(source)
    if pictures is None:
        return _arrays(source, split, preprocessing)
    return _part(source, _read(source, pictures, Options(size=size, fit=fit), preprocessing), split)


def array_splits(source: str | Path, preprocessing: Preprocessing) -> list[Data]:
    """All of a data set whose images are arrays of a bundle's shape, in its own order, one part after another.

    What does not have to be read as a whole stays on disk. Raises ValueError as `load_data` does.
    """
    path = Path(source)
    if not path.exists():
        return [_arrays(source, "all", preprocessing)]
    parts = idx_splits(path, on_disk=True) if path.is_dir() else npz_splits(path, on_disk=True)
    preprocessing.check(parts[0].images[:1])
    return parts


def find_pictures(source: str | Path) -> Source | None:
    """The source of pictures of this name; None where it is one of arrays. Raises ValueError where it is nothing at all."""
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
    raise ValueError(f"DATA must be {CHOICES}; found none at {str(source)!r}.")


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


def _part(source: str | Path, reading: Reading, split: Split) -> Data:
    """A part of what was read: the official one, if there is one."""
    whole = Data(reading.images, reading.labels, reading.names)
    if split == "all" or not reading.splits.astype(bool).any():
        return select_split(whole, split)
    rows = np.flatnonzero(reading.splits == split)
    if not len(rows):
        raise ValueError(f"{source} must hold pictures for {split}; none can be read. " + "; ".join(reading.summary.lines()))
    return whole.take(torch.from_numpy(rows))


def _arrays(source: str | Path, split: Split, preprocessing: Preprocessing | None) -> Data:
    """A part of a data set whose images are arrays already."""
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
    """scikit-learn's 1,797 handwritten digits, 8x8, 17 grey levels spread over 0…255."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return Data(torch.from_numpy(images[:, None]), {"label": digits.target.astype(str)})


def _dsprites(split: Split) -> Data:
    """Drawn as they are needed, but for the 10,000 of the test split."""
    train, test = dsprites_split()
    sprites = DSprites(None if split == "all" else train if split == "train" else test)
    return Data(sprites[:] if split == "test" else sprites, sprites.labels())
