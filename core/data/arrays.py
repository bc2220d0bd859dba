"""Data sets stored as arrays: IDX files (MNIST's format) and .npz files."""

import gzip
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.lib.format as npy
import torch
from torch import Tensor

from core.data.splits import Data, Split, align_splits, concatenate, select_split
from core.data.storage import ImagesOnDisk


def _images(array: np.ndarray, arrange: Callable[[np.ndarray], np.ndarray]) -> Tensor | ImagesOnDisk:
    """The images in an array, which `arrange` turns into (N, C, H, W). Those in a memory map stay on disk."""
    if not isinstance(array, np.memmap):
        return torch.from_numpy(np.ascontiguousarray(arrange(array)))
    path, offset, shape = str(array.filename), array.offset, array.shape
    return ImagesOnDisk(lambda: arrange(np.memmap(path, np.uint8, "r", offset, shape)))


# --- IDX -------------------------------------------------------------------------------------------------------------


def idx_files(folder: Path) -> list[Path]:
    """The IDX image files in a folder."""
    return sorted(path for path in folder.iterdir() if re.search(r"images.*idx3", path.name))


def load_idx(folder: Path, split: Split) -> Data:
    """Load a folder of IDX files: train-images-idx3-ubyte and t10k-images-idx3-ubyte, gzipped or not.

    Labels are read from the files of the same names with labels-idx1, if there are any. Raises ValueError if an image file is
    missing or damaged.
    """
    return concatenate(idx_splits(folder)) if split == "all" else _idx(folder, split)


def idx_splits(folder: Path, on_disk: bool = False) -> list[Data]:
    """Training and test set of a folder of IDX files. With `on_disk`, images in uncompressed files stay on disk."""
    return align_splits(folder, _idx(folder, "train", on_disk), _idx(folder, "test", on_disk))


def _idx(folder: Path, split: Split, on_disk: bool = False) -> Data:
    found = [p for p in idx_files(folder) if bool(re.search("t10k|test", p.name)) == (split == "test")]
    # A file that is there both gzipped and not counts once.
    found = list({p.name.removesuffix(".gz"): p for p in found}.values())
    if len(found) != 1:
        raise ValueError(
            f"{folder} must hold one IDX file of {split} images (train- or t10k-images-idx3-ubyte, .gz or not); "
            f"found {len(found)}: {', '.join(p.name for p in found) or 'none'}."
        )
    array = read_idx(found[0], on_disk)
    if array.ndim != 3 or len(array) == 0:
        raise ValueError(f"{found[0]} must hold images, (N, height, width); got {array.shape}.")
    images = _images(array, lambda array: array[:, None])
    labels_file = found[0].with_name(found[0].name.replace("images", "labels").replace("idx3", "idx1"))
    candidates = [labels_file, labels_file.with_suffix(""), labels_file.with_name(labels_file.name + ".gz")]
    labels_file = next((p for p in candidates if p.is_file()), None)
    if labels_file is None:
        return Data(images, {})
    labels = read_idx(labels_file)
    if len(labels) != len(images):
        raise ValueError(f"{labels_file} has {len(labels)} labels for {len(images)} images; the numbers must be equal.")
    return Data(images, {"label": labels.astype(str)})


def read_idx(path: Path, on_disk: bool = False) -> np.ndarray:
    """Read an IDX file of unsigned bytes, gzipped or not (format: yann.lecun.com/exdb/mnist).

    With `on_disk`, an uncompressed file is memory-mapped, not read. Raises ValueError if the header is invalid or the file's
    length does not match it.
    """
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    try:
        raw = _gunzip(path) if gzipped else np.fromfile(path, np.uint8, 4 + 4 * 255 if on_disk else -1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file: {error}.") from error
    magic = raw[:4].tobytes()
    if len(magic) < 4 or magic[:3] != b"\x00\x00\x08" or len(raw) < 4 + 4 * magic[3]:
        raise ValueError(f"{path} is not an IDX file of unsigned bytes: it starts with {magic.hex(' ') or 'nothing'}.")
    header = 4 + 4 * magic[3]
    shape = tuple(int(n) for n in raw[4:header].view(">u4"))
    size = (len(raw) if gzipped else path.stat().st_size) - header
    if size != math.prod(shape):
        raise ValueError(f"{path} is truncated or too long: its header gives the shape {shape}, but it holds {size:,} bytes.")
    return np.memmap(path, np.uint8, "r", header, shape) if on_disk and size and not gzipped else raw[header:].reshape(shape)


def _gunzip(path: Path) -> np.ndarray:
    """Decompress a gzip file into one growing array, without a second copy in memory."""
    raw = bytearray()
    with gzip.open(path, "rb") as file:
        while block := file.read(2**22):
            raw += block
    return np.frombuffer(raw, np.uint8)


# --- .npz ------------------------------------------------------------------------------------------------------------


def load_npz(path: Path, split: Split) -> Data:
    """Load an .npz file that holds `images`, or `x_train` and `x_test`.

    Labels are `labels`, or `y_train` and `y_test`, with the names of classes in `label_names`. A file with `images` may have
    more labels: `factors` (N, K) with `factor_names` and `factor_values_json`, and for any NAME `NAME_index` with `NAME_names`.
    Its array `split`, "train" or "test" for each image, is an official split, which can keep all images of one font or person
    on the same side. Raises ValueError if the file is damaged or an array has the wrong shape or type.
    """
    if split == "all":
        return concatenate(npz_splits(path))
    parts, splits = _npz(path)
    if len(parts) > 1:
        return parts[split == "test"]
    return select_split(parts[0], split) if splits is None else parts[0].take(torch.from_numpy(np.flatnonzero(splits == split)))


def npz_splits(path: Path, on_disk: bool = False) -> list[Data]:
    """All images of an .npz file in file order, as one data set or as `x_train` and `x_test`.

    With `on_disk`, uncompressed images stay on disk.
    """
    parts, _ = _npz(path, on_disk)
    return align_splits(path, *parts) if len(parts) > 1 else parts


def _npz(path: Path, on_disk: bool = False) -> tuple[list[Data], np.ndarray | None]:
    """The data sets in an .npz file and, if it has `images` and `split`, the official split of each image."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: _read_member(path, file, name, on_disk) for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not an .npz file that can be read without pickle: {error}.") from error
    if "images" not in arrays and "x_train" not in arrays:
        raise ValueError(f"{path} must hold `images`, or `x_train` (and `x_test`); it holds {', '.join(arrays) or 'nothing'}.")
    names = {"images": ""} if "images" in arrays else {"x_train": "_train", "x_test": "_test"}
    parts = [
        Data(_images(arrays[name], partial(_channels_first, path)), _npz_labels(path, arrays, suffix))
        for name, suffix in names.items()
        if name in arrays
    ]
    official = "images" in arrays and "split" in arrays
    return parts, _check_split(path, arrays["split"], len(parts[0].images)) if official else None


def _read_member(path: Path, file: Any, name: str, on_disk: bool) -> np.ndarray:
    """Read an array of an .npz file. With `on_disk`, uncompressed 8-bit images are memory-mapped."""
    entry = file.zip.NameToInfo.get(f"{name}.npy") if on_disk and name in ("images", "x_train", "x_test") else None
    if entry is None or entry.compress_type != zipfile.ZIP_STORED:
        return file[name]
    with file.zip.open(entry) as member:
        if npy.read_magic(member) != (1, 0):  # numpy writes this version for all but structured arrays
            return file[name]
        shape, fortran_order, dtype = npy.read_array_header_1_0(member)
        header = member.tell()
        while member.read(2**22):  # zipfile verifies the checksum at the end
            pass
    if fortran_order or dtype != np.uint8 or not math.prod(shape):
        return file[name]
    with path.open("rb") as raw:
        raw.seek(entry.header_offset + 26)
        start = entry.header_offset + 30 + sum(struct.unpack("<HH", raw.read(4)))
    return np.memmap(path, np.uint8, "r", start + header, shape)


def _check_split(path: Path, splits: np.ndarray, images: int) -> np.ndarray:
    """The official split as strings. Raises ValueError unless it is valid."""
    splits = splits.astype(str)
    if splits.shape != (images,) or set(splits) != {"train", "test"}:
        raise ValueError(
            f'{path}: split must have "train" or "test" for each of the {images} images, and each at least once; '
            f"got {splits.shape}, {', '.join(np.unique(splits)[:5])}."
        )
    return splits


def _channels_first(path: Path, images: np.ndarray) -> np.ndarray:
    """Convert images (N, H, W), (N, H, W, C) or (N, C, H, W) of uint8 or bool to uint8 (N, C, H, W)."""
    if images.dtype == bool:
        images = images.astype(np.uint8) * 255
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or len(images) == 0:
        raise ValueError(
            f"{path}: images must be 8-bit (uint8), shaped (N, H, W), (N, H, W, C) or (N, C, H, W); "
            f"got {images.dtype}, {images.shape}. Scale floats to 0…255 and convert."
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.shape[1] not in (1, 3):
        raise ValueError(f"{path}: images must have 1 or 3 channels; got {images.shape}.")
    return images


def _npz_labels(path: Path, arrays: dict[str, np.ndarray], suffix: str) -> dict[str, np.ndarray]:
    labels: dict[str, np.ndarray] = {}
    column = arrays.get(f"y{suffix}" if suffix else "labels")
    if column is not None:
        column = column.reshape(len(column), -1)[:, 0]
        names = arrays.get("label_names")
        labels["label"] = _look_up(path, "label_names", names, column) if names is not None else column.astype(str)
    factors = arrays.get("factors") if not suffix else None
    if factors is not None:
        names = arrays.get("factor_names", np.array([f"factor {i}" for i in range(factors.shape[1])]))
        values = json.loads(str(arrays["factor_values_json"])) if "factor_values_json" in arrays else {}
        for name, column in zip(names.tolist(), factors.T, strict=True):
            labels[name] = _look_up(path, f"the values of {name}", np.array(values[name]), column) if name in values else column
    for key in [] if suffix else [key for key in arrays if key.endswith("_index")]:
        name = key.removesuffix("_index")
        if f"{name}_names" in arrays:
            labels[name] = _look_up(path, f"{name}_names", arrays[f"{name}_names"], arrays[key])
    images = len(arrays[f"x{suffix}" if suffix else "images"])
    for name, column in labels.items():
        if len(column) != images:
            raise ValueError(f"{path}: {name} has {len(column)} entries for {images} images; the numbers must be equal.")
    return labels


def _look_up(path: Path, what: str, names: np.ndarray, column: np.ndarray) -> np.ndarray:
    """The entry of `names` at each index in a column."""
    if column.dtype.kind not in "iu" or (len(column) and not 0 <= column.min() <= column.max() < len(names)):
        raise ValueError(
            f"{path}: {what} must have an entry for each index used, and indices must be whole numbers; it has {len(names)}."
        )
    return names[column].astype(str) if names.dtype.kind in "US" else names[column]
