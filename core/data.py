"""Data sets: digits, IDX files, .npz files and folders of images, as 8-bit tensors with labels, split once and for all."""

import gzip
import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from core.images import Fit, Preprocessing, flatten, read_image

Split = Literal["train", "test", "all"]

EXTENSIONS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
"""Files in a folder that are taken for pictures."""


@dataclass(frozen=True)
class Data:
    """Images (N, C, H, W) with labels: one array of N strings, integers or floats for each name."""

    images: UInt8[Tensor, "n c h w"]
    labels: dict[str, np.ndarray]

    def take(self, index: Tensor) -> "Data":
        """The images, with their labels, at these positions."""
        return Data(self.images[index], {name: values[index.numpy()] for name, values in self.labels.items()})


def load_data(
    source: str | Path,
    split: Split,
    preprocessing: Preprocessing | None = None,
    size: int | None = None,
    fit: Fit = "crop",
) -> Data:
    """Load a data set: "digits", a folder of IDX files, an .npz file, or a folder of images (subfolders are labels).

    A source with an official test split keeps it (IDX; `x_test` in .npz; folders `train` and `test`). Any other is split
    by a fixed shuffle: see `hold_out`. With the `preprocessing` of a bundle, pictures pass through it and arrays must
    already have its shape; without, a folder's pictures are fitted to `size` (default: chosen from them).

    Raises ValueError when the source is missing, empty, damaged or of the wrong shape.
    """
    if split not in get_args(Split):
        raise ValueError(f"split must be one of {', '.join(get_args(Split))}; got {split!r}.")
    path = Path(source)
    if str(source) == "digits" and not path.exists():
        data = _held_out(_digits(), split)
    elif path.is_file() and path.suffix == ".npz":
        data = _npz(path, split)
    elif path.is_dir():
        idx = idx_files(path)
        data = _idx(path, idx, split) if idx else _folder(path, split, preprocessing, size, fit)
    else:
        raise ValueError(
            f"DATA must be digits, a folder of IDX files, an .npz file, or a folder of images; found none at {str(source)!r}."
        )
    if preprocessing is not None:
        preprocessing.check(data.images)
    return data


def idx_files(folder: Path) -> list[Path]:
    """The files of images in MNIST's format in a folder."""
    return sorted(path for path in folder.iterdir() if re.search(r"images.*idx3", path.name))


def hold_out(n: int) -> tuple[Tensor, Tensor]:
    """Indices (training, test) of the fixed split of n images: a tenth for test, but 1,000, or a third, of a small set.

    >>> [tuple(map(len, hold_out(n))) for n in (30, 1_797, 60_000)]
    [(20, 10), (1198, 599), (54000, 6000)]
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    test = max(n // 10, min(n // 3, 1000))
    return order[test:], order[:test]


def _held_out(data: Data, split: Split) -> Data:
    if split == "all":
        return data
    train, test = hold_out(len(data.images))
    return data.take(train if split == "train" else test)


def _digits() -> Data:
    """scikit-learn's 1,797 handwritten digits, 8x8, 17 grey levels spread over 0…255."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return Data(torch.from_numpy(images[:, None]), {"label": digits.target.astype(str)})


def _joined(source: Path, train: Data, test: Data) -> Data:
    """Both splits, with the labels that both have."""
    if train.images.shape[1:] != test.images.shape[1:]:
        sizes = " and ".join(str(tuple(part.images.shape[1:])) for part in (train, test))
        raise ValueError(f"{source}: training and test images must be of one shape; got {sizes}.")
    labels = {name: np.concatenate([train.labels[name], test.labels[name]]) for name in train.labels if name in test.labels}
    return Data(torch.cat([train.images, test.images]), labels)


# --- IDX -------------------------------------------------------------------------------------------------------------


def _idx(folder: Path, files: list[Path], split: Split) -> Data:
    """MNIST's format: train-images-idx3-ubyte and t10k-…, gzipped or not, with labels-idx1 beside them."""
    if split == "all":
        return _joined(folder, _idx(folder, files, "train"), _idx(folder, files, "test"))
    found = [p for p in files if bool(re.search("t10k|test", p.name)) == (split == "test")]
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


def _npz(path: Path, split: Split) -> Data:
    """`images`, or `x_train` and `x_test`; `labels` or `y_…` (with `label_names`), or `factors` with `factor_names`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not an .npz file that can be read without pickle: {error}.") from error
    if "images" in arrays:
        return _held_out(Data(_channels_first(path, arrays["images"]), _npz_labels(path, arrays, "")), split)
    if "x_train" not in arrays:
        raise ValueError(f"{path} must hold `images`, or `x_train` (and `x_test`); it holds {', '.join(arrays) or 'nothing'}.")
    parts = {
        name: Data(_channels_first(path, arrays[f"x_{name}"]), _npz_labels(path, arrays, f"_{name}"))
        for name in ("train", "test")
        if f"x_{name}" in arrays
    }
    if "test" not in parts:
        return _held_out(parts["train"], split)
    if split != "all":
        return parts[split]
    return _joined(path, parts["train"], parts["test"])


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


# --- Folders ---------------------------------------------------------------------------------------------------------


def _folder(folder: Path, split: Split, preprocessing: Preprocessing | None, size: int | None, fit: Fit) -> Data:
    """Pictures in a folder; the names of its subfolders are labels, unless they are `train` and `test`."""
    official = (folder / "train").is_dir() and (folder / "test").is_dir()
    names = ("train", "test") if split == "all" else (split,)
    roots = [folder / name for name in names] if official else [folder]
    found = [
        (path, path.relative_to(root).parts[0] if len(path.relative_to(root).parts) > 1 else "")
        for root in roots
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in EXTENSIONS and path.is_file()
    ]
    if not found:
        raise ValueError(f"{folder} holds no pictures ({', '.join(sorted(EXTENSIONS))}) and no IDX files.")
    pictures = [flatten(read_image(path)) for path, _ in found]
    target = preprocessing or _choose(pictures, size, fit)
    images = torch.stack([target.prepare(picture, "keep", trim=False).image for picture in pictures])
    labels = {"label": np.array([label for _, label in found])} if any(label for _, label in found) else {}
    data = Data(images, labels)
    return data if official else _held_out(data, split)


def _choose(pictures: list[Image.Image], size: int | None, fit: Fit) -> Preprocessing:
    """Colour if any picture has it; the pictures' own size if they share one of at most 64 pixels, else a square."""
    channels = 3 if any(picture.mode == "RGB" for picture in pictures) else 1
    if size is not None:
        return Preprocessing(channels, size, size, fit)
    sizes = {picture.size for picture in pictures}
    if len(sizes) == 1 and max(next(iter(sizes))) <= 64:
        width, height = sizes.pop()
        return Preprocessing(channels, height, width, fit)
    side = int(np.clip(np.median([min(picture.size) for picture in pictures]), 8, 64))
    return Preprocessing(channels, side, side, fit)
