"""Arrays: data sets whose images are arrays already, IDX files (MNIST's format) and .npz files."""

import gzip
import json
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.splits import Data, Split, join, part

# --- IDX -------------------------------------------------------------------------------------------------------------


def idx_files(folder: Path) -> list[Path]:
    """The files of images in MNIST's format in a folder."""
    return sorted(path for path in folder.iterdir() if re.search(r"images.*idx3", path.name))


def load_idx(folder: Path, split: Split) -> Data:
    """The data set in a folder of IDX files: train-images-idx3-ubyte and t10k-…, gzipped or not, with labels-idx1 beside."""
    if split == "all":
        return join(folder, load_idx(folder, "train"), load_idx(folder, "test"))
    found = [p for p in idx_files(folder) if bool(re.search("t10k|test", p.name)) == (split == "test")]
    # The same file twice, packed and unpacked, is one.
    found = list({p.name.removesuffix(".gz"): p for p in found}.values())
    if len(found) != 1:
        raise ValueError(
            f"{folder} must hold one IDX file of {split} images (train- or t10k-images-idx3-ubyte, .gz or not); "
            f"found {len(found)}: {', '.join(p.name for p in found) or 'none'}."
        )
    array = read_idx(found[0])
    if array.ndim != 3 or len(array) == 0:
        raise ValueError(f"{found[0]} must hold images, (N, height, width); got {array.shape}.")
    images = torch.from_numpy(array[:, None])
    labels_file = found[0].with_name(found[0].name.replace("images", "labels").replace("idx3", "idx1"))
    twins = [labels_file, labels_file.with_suffix(""), labels_file.with_name(labels_file.name + ".gz")]
    labels_file = next((p for p in twins if p.is_file()), None)
    if labels_file is None:
        return Data(images, {})
    labels = read_idx(labels_file)
    if len(labels) != len(images):
        raise ValueError(f"{labels_file} has {len(labels)} labels for {len(images)} images; they must be as many.")
    return Data(images, {"label": labels.astype(str)})


def read_idx(path: Path) -> np.ndarray:
    """The array of bytes in an IDX file, gzipped or not (format: yann.lecun.com/exdb/mnist).

    Raises ValueError when the header is not that of unsigned bytes or the length does not match it.
    """
    raw = path.read_bytes()
    try:
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file: {error}.") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or len(raw) < 4 + 4 * raw[3]:
        raise ValueError(f"{path} is not an IDX file of unsigned bytes: it starts with {raw[:4].hex(' ') or 'nothing'}.")
    dimensions = raw[3]
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", dimensions, offset=4))
    body = raw[4 + 4 * dimensions :]
    if len(body) != int(np.prod(shape)):
        raise ValueError(f"{path} is cut short or too long: its header promises {shape}, it holds {len(body):,} bytes.")
    return np.frombuffer(body, np.uint8).reshape(shape).copy()


# --- .npz ------------------------------------------------------------------------------------------------------------


def load_npz(path: Path, split: Split) -> Data:
    """`images`, or `x_train` and `x_test`; `labels` or `y_…` (with `label_names`), or `factors` with `factor_names`.

    Beside `images`, `NAME_index` with `NAME_names` is a label of that name, and `split`, "train" or "test" for each image, is
    the official split: what belongs together (a font's letters, a person's pictures) can so be kept on one side of it.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not an .npz file that can be read without pickle: {error}.") from error
    if "images" in arrays:
        whole = Data(_channels_first(path, arrays["images"]), _npz_labels(path, arrays, ""))
        return _official(path, whole, arrays["split"], split) if "split" in arrays else part(whole, split)
    if "x_train" not in arrays:
        raise ValueError(f"{path} must hold `images`, or `x_train` (and `x_test`); it holds {', '.join(arrays) or 'nothing'}.")
    parts = {
        name: Data(_channels_first(path, arrays[f"x_{name}"]), _npz_labels(path, arrays, f"_{name}"))
        for name in ("train", "test")
        if f"x_{name}" in arrays
    }
    if "test" not in parts:
        return part(parts["train"], split)
    if split != "all":
        return parts[split]
    return join(path, parts["train"], parts["test"])


def _official(path: Path, whole: Data, splits: np.ndarray, split: Split) -> Data:
    """The images of this split, each image's being said."""
    if splits.shape != (len(whole.images),) or set(splits.astype(str)) != {"train", "test"}:
        raise ValueError(
            f'{path}: split must say "train" or "test" for each of the {len(whole.images)} images, and each of some; '
            f"got {splits.shape}, {', '.join(np.unique(splits.astype(str))[:5])}."
        )
    return whole if split == "all" else whole.take(torch.from_numpy(np.flatnonzero(splits.astype(str) == split)))


def _channels_first(path: Path, images: np.ndarray) -> Tensor:
    """(N, H, W), (N, H, W, C) or (N, C, H, W) of bytes or booleans → (N, C, H, W) of bytes."""
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
    return torch.from_numpy(np.ascontiguousarray(images))


def _npz_labels(path: Path, arrays: dict[str, np.ndarray], suffix: str) -> dict[str, np.ndarray]:
    labels: dict[str, np.ndarray] = {}
    column = arrays.get(f"y{suffix}" if suffix else "labels")
    if column is not None:
        column = column.reshape(len(column), -1)[:, 0]
        names = arrays.get("label_names")
        labels["label"] = _named(path, "label_names", names, column) if names is not None else column.astype(str)
    factors = arrays.get("factors") if not suffix else None
    if factors is not None:
        names = arrays.get("factor_names", np.array([f"factor {i}" for i in range(factors.shape[1])]))
        values = json.loads(str(arrays["factor_values_json"])) if "factor_values_json" in arrays else {}
        for name, column in zip(names.tolist(), factors.T, strict=True):
            labels[name] = _named(path, f"the values of {name}", np.array(values[name]), column) if name in values else column
    for key in [] if suffix else [key for key in arrays if key.endswith("_index")]:
        name = key.removesuffix("_index")
        if f"{name}_names" in arrays:
            labels[name] = _named(path, f"{name}_names", arrays[f"{name}_names"], arrays[key])
    images = len(arrays[f"x{suffix}" if suffix else "images"])
    for name, column in labels.items():
        if len(column) != images:
            raise ValueError(f"{path}: {name} has {len(column)} entries for {images} images; they must be as many.")
    return labels


def _named(path: Path, what: str, names: np.ndarray, column: np.ndarray) -> np.ndarray:
    """The entry of `names` for each number in a column."""
    if column.dtype.kind not in "iu" or (len(column) and not 0 <= column.min() <= column.max() < len(names)):
        raise ValueError(f"{path}: {what} must have an entry for each of the whole numbers it names; it has {len(names)}.")
    return names[column].astype(str) if names.dtype.kind in "US" else names[column]
