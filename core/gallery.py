"""The gallery: the images a bundle shows, each with its posterior, its place on the map and its labels."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from core.images import from_png, to_png

COLUMNS = ("image", "mean", "log_variance", "x", "y")
"""What every gallery.parquet starts with; each column after these is a label."""


@dataclass(frozen=True)
class Gallery:
    """N images as PNG files, posterior means and log-variances (N, latents), places (N, 2), and labels of N entries.

    A label is an array of strings (classes), or of integers or floats (amounts).
    """

    pngs: list[bytes]
    mean: Float[Tensor, "n latents"]
    log_variance: Float[Tensor, "n latents"]
    xy: Float[Tensor, "n 2"]
    labels: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        for name, values in self.labels.items():
            if name in COLUMNS:
                raise ValueError(f"a label cannot be named {name}: that column is taken. Rename it.")
            if len(values) != len(self):
                raise ValueError(f"label {name} has {len(values)} entries for {len(self)} images; they must be as many.")

    def __len__(self) -> int:
        return len(self.pngs)

    @cached_property
    def images(self) -> UInt8[Tensor, "n c h w"]:
        """The images, unpacked on first use."""
        return torch.stack([from_png(png) for png in self.pngs])

    def moved(self, xy: Float[Tensor, "n 2"]) -> "Gallery":
        """The same gallery on another map."""
        return replace(self, xy=xy)

    def write(self, path: Path) -> None:
        """Write gallery.parquet."""
        columns = {
            "image": pa.array(self.pngs, pa.binary()),
            "mean": _lists(self.mean),
            "log_variance": _lists(self.log_variance),
            "x": pa.array(self.xy[:, 0].numpy()),
            "y": pa.array(self.xy[:, 1].numpy()),
            **{name: pa.array(values.tolist() if values.dtype.kind == "U" else values) for name, values in self.labels.items()},
        }
        pq.write_table(pa.table(columns), path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> "Gallery":
        """Read gallery.parquet. Raises ValueError when a column is missing or is not what it should be."""
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} is damaged or not a parquet file: {error}.") from error
        missing = [name for name in COLUMNS if name not in table.column_names]
        if missing:
            raise ValueError(f"{path} must have the columns {', '.join(COLUMNS)}; it lacks {', '.join(missing)}.")
        try:
            return cls(
                pngs=table["image"].to_pylist(),
                mean=_matrix(table["mean"]),
                log_variance=_matrix(table["log_variance"]),
                xy=torch.from_numpy(np.stack([table["x"].to_numpy(), table["y"].to_numpy()], 1).astype(np.float32)),
                labels={name: _label(table[name]) for name in table.column_names if name not in COLUMNS},
            )
        except (pa.ArrowException, AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path} has a column of the wrong kind: {error}.") from error


def pack(images: UInt8[Tensor, "n c h w"]) -> list[bytes]:
    """Each image as a PNG file."""
    return [to_png(image) for image in images]


def _lists(matrix: Tensor) -> pa.Array:
    offsets = torch.arange(0, matrix.numel() + 1, matrix.shape[1], dtype=torch.int32)
    return pa.ListArray.from_arrays(pa.array(offsets.numpy()), pa.array(matrix.contiguous().flatten().numpy()))


def _matrix(column: pa.ChunkedArray) -> Tensor:
    column = column.combine_chunks()
    flat = torch.from_numpy(column.flatten().to_numpy(zero_copy_only=False).astype(np.float32))
    return flat.reshape(len(column), -1)


def _label(column: pa.ChunkedArray) -> np.ndarray:
    values = column.to_numpy()
    return values.astype(str) if values.dtype.kind == "O" else values
