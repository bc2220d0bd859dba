"""The gallery: images of a bundle with their posteriors, map positions and labels, stored in gallery.parquet."""

import struct
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from core.data.preprocessing import from_png, to_png
from core.model.architecture import MAX_LATENTS
from core.model.networks import Shape

COLUMNS = ("image", "mean", "log_variance", "x", "y")
"""The first columns of gallery.parquet; all later columns, except the names, are labels."""
NAMES = "file"
"""The optional column with the file names of the images."""
MAX_IMAGES, MAX_COLUMNS, MAX_LABEL = 1_000_000, 100, 1000
"""Maximum numbers of rows, of columns, and of bytes of a label."""
MAX_PNG = 1 << 20
"""Maximum size of an image in bytes, more than any 256x256 PNG file needs."""
MAX_INFLATION = 100
"""Maximum ratio of unpacked to packed size, beyond 64 MiB. Real galleries are far below it; decompression bombs exceed it."""


@dataclass(frozen=True)
class Gallery:
    """N images as PNG files, with posterior means and log-variances (N, latents), map positions (N, 2), labels and file names.

    A label is an array of N strings (classes), or of N integers or floats (quantities).
    """

    pngs: list[bytes]
    mean: Float[Tensor, "n latents"]
    log_variance: Float[Tensor, "n latents"]
    xy: Float[Tensor, "n 2"]
    labels: dict[str, np.ndarray]
    names: list[str] | None = None

    def __post_init__(self) -> None:
        for name, values in self.labels.items():
            if name in (*COLUMNS, NAMES):
                raise ValueError(f"a label cannot be named {name}: the gallery has another column of this name. Rename it.")
            if len(values) != len(self):
                raise ValueError(f"label {name} has {len(values)} entries for {len(self)} images; it must have one per image.")

    def __len__(self) -> int:
        return len(self.pngs)

    @cached_property
    def images(self) -> UInt8[Tensor, "n c h w"]:
        """All images, decoded on first use."""
        return self.first(len(self))

    def first(self, n: int) -> UInt8[Tensor, "_ c h w"]:
        """Return the first n images."""
        return torch.stack([from_png(png) for png in self.pngs[:n]])

    @cached_property
    def aggregate(self) -> tuple[Float[Tensor, " latents"], Float[Tensor, " latents"]]:
        """Mean and standard deviation of each latent under the aggregated posterior, the mean of q(z|x) over the gallery.

        Its variance is the variance of the means plus the mean of the variances.
        """
        mean, variance = self.mean.double(), self.log_variance.double().exp()
        return mean.mean(0), (mean.var(0, correction=0) + variance.mean(0)).sqrt()

    def check(self, shape: Shape, latents: int) -> None:
        """Raise ValueError unless all images are PNG files of this shape and the posteriors have this number of latents.

        Only the headers of the PNG files are read, so a decompression bomb is rejected without decoding it.
        """
        if self.mean.shape[1] != latents or self.log_variance.shape[1] != latents:
            raise ValueError(f"the gallery has {self.mean.shape[1]} latents, the model {latents}.")
        if not all(values.isfinite().all() for values in (self.mean, self.log_variance, self.xy)):
            raise ValueError("the gallery has positions or latents that are not finite numbers.")
        header = png_header(shape)
        for i, png in enumerate(self.pngs):
            if not isinstance(png, bytes) or not png.startswith(header):
                raise ValueError(f"gallery image {i} is not an 8-bit PNG file of {shape[0]}x{shape[1]}x{shape[2]}.")

    def with_positions(self, xy: Float[Tensor, "n 2"]) -> "Gallery":
        """Return the gallery with other map positions."""
        return replace(self, xy=xy)

    def write(self, path: Path) -> None:
        """Write gallery.parquet."""
        columns = {
            "image": pa.array(self.pngs, pa.binary()),
            "mean": _lists(self.mean),
            "log_variance": _lists(self.log_variance),
            "x": pa.array(self.xy[:, 0].numpy()),
            "y": pa.array(self.xy[:, 1].numpy()),
            **({} if self.names is None else {NAMES: pa.array(map(storable_name, self.names))}),
            **{name: pa.array(values.tolist() if values.dtype.kind == "U" else values) for name, values in self.labels.items()},
        }
        table = pa.table(columns)
        kinds = {field.name: field.type for field in table.schema}
        # Byte-stream splitting of floats, without a dictionary, makes the file a fifth smaller without loss.
        floats = [
            "mean.list.element",
            "log_variance.list.element",
            *(n for n, kind in kinds.items() if pa.types.is_floating(kind)),
        ]
        texts = [name for name, kind in kinds.items() if pa.types.is_string(kind)]
        encoding = {"use_dictionary": texts, "use_byte_stream_split": floats}
        pq.write_table(table, path, compression="zstd", compression_level=19, **encoding)  # pyright: ignore[reportArgumentType]

    @classmethod
    def read(cls, path: Path) -> "Gallery":
        """Read gallery.parquet. Raises ValueError if it is damaged, too large, or a column is missing or has a wrong type."""
        try:
            table = read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} is damaged or not a parquet file: {error}.") from error
        try:
            return cls(
                pngs=table["image"].to_pylist(),
                mean=_matrix(table["mean"]),
                log_variance=_matrix(table["log_variance"]),
                xy=torch.from_numpy(np.stack([table["x"].to_numpy(), table["y"].to_numpy()], 1).astype(np.float32)),
                labels={name: _label(table[name]) for name in table.column_names if name not in (*COLUMNS, NAMES)},
                names=list(map(str, table[NAMES].to_pylist())) if NAMES in table.column_names else None,
            )
        except (pa.ArrowException, AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path} has a column of the wrong type: {error}.") from error


def read_table(path: Path) -> pa.Table:
    """Read gallery.parquet as a table. Raises ValueError if it exceeds the limits, before it takes much memory.

    A value that is stored once can appear in a billion rows. So texts and images are read in dictionary encoding, and their
    total size is checked before they are expanded.
    """
    budget = (64 << 20) + MAX_INFLATION * path.stat().st_size

    def limit_error(reason: str) -> ValueError:
        return ValueError(f"{path} is refused: {reason}. It may be a decompression bomb; get a copy from a trusted source.")

    with pq.ParquetFile(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        raise ValueError(f"{path} must have the columns {', '.join(COLUMNS)}; it lacks {', '.join(missing)}.")
    if len(schema.names) > MAX_COLUMNS or len(set(schema.names)) < len(schema.names):
        raise limit_error(f"its {len(schema.names)} columns are more than {MAX_COLUMNS}, or two have the same name")
    for field in schema:
        if not _has_valid_type(field):
            raise ValueError(f"{path} has a column of the wrong type: {field.name} is {field.type}.")
    if metadata.num_rows > MAX_IMAGES:
        raise limit_error(f"it has {metadata.num_rows:,} rows; at most {MAX_IMAGES:,} are allowed")
    for group in (metadata.row_group(i) for i in range(metadata.num_row_groups)):
        if any(group.column(i).num_values > group.num_rows * MAX_LATENTS for i in range(group.num_columns)):
            raise limit_error(f"a row of it has more than {MAX_LATENTS:,} values")
        if group.total_byte_size > budget:
            raise limit_error(f"it unpacks to {group.total_byte_size:,} bytes")
    texts = [field.name for field in schema if _is_text(field.type)]
    columns, size = [], 0
    # The metadata may be false. So columns are read one at a time in small batches, and the size is checked after each.
    with pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False) as file:
        for field in schema:
            parts = []
            for batch in file.iter_batches(batch_size=1024, columns=[field.name]):
                part = batch.column(0)
                if isinstance(part, pa.DictionaryArray):
                    lengths = pc.binary_length(part.dictionary).to_numpy(zero_copy_only=False)  # pyright: ignore
                    max_length = MAX_PNG if field.name == "image" else MAX_LABEL
                    if lengths.max(initial=0) > max_length:
                        raise limit_error(f"a value of {field.name} has more than {max_length:,} bytes")
                    size += int(lengths[part.indices.drop_null().to_numpy()].sum())
                else:
                    size += part.nbytes
                if size > budget:
                    raise limit_error(f"it unpacks to more than {budget:,} bytes")
                parts.append(part.dictionary_decode() if isinstance(part, pa.DictionaryArray) else part)
            columns.append(pa.chunked_array(parts) if parts else pa.chunked_array([], field.type))
    return pa.table(columns, names=schema.names)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_string(kind)


def _has_valid_type(field: pa.Field) -> bool:
    """Return whether the type of a column is valid for its name."""
    kind = field.type
    if field.name == "image":
        return pa.types.is_binary(kind)
    if field.name in ("mean", "log_variance"):
        return pa.types.is_list(kind) and pa.types.is_floating(kind.value_type)
    if pa.types.is_dictionary(kind):
        return pa.types.is_string(kind.value_type)
    return any(check(kind) for check in (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean))


def png_header(shape: Shape) -> bytes:
    """Return the first bytes of an 8-bit PNG file of a grey or RGB image of this shape."""
    channels, height, width = shape
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBB", width, height, 8, 0 if channels == 1 else 2)


def storable_name(name: str) -> str:
    """Return a file name as valid UTF-8 text: the end of a long name, and with ? for undecodable bytes (PEP 383)."""
    return name[-MAX_LABEL // 4 :].encode("utf-8", "replace").decode("utf-8")


def to_pngs(images: UInt8[Tensor, "n c h w"]) -> list[bytes]:
    """Encode each image as a PNG file."""
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
