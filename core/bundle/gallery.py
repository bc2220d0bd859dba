"""The gallery: the images a bundle shows, each with its posterior, its place on the map and its labels."""

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
"""What every gallery.parquet starts with; each column after these, and after the names, is a label."""
NAMES = "file"
"""The column of names, where the images have any."""
MAX_IMAGES, MAX_COLUMNS, MAX_LABEL = 1_000_000, 100, 1000
"""Rows, columns, and characters of a label, that a gallery may have."""
MAX_PNG = 1 << 20
"""Bytes of one image: more than any 256x256 picture takes as a PNG file."""
MAX_INFLATION = 100
"""A table may unpack to this many times its file and 64 MiB. PNG files hardly shrink, and labels by less; a bomb by more."""


@dataclass(frozen=True)
class Gallery:
    """N images as PNG files, posterior means and log-variances (N, latents), places (N, 2), labels of N entries, and what the
    images were called where they came from, if anything.

    A label is an array of strings (classes), or of integers or floats (amounts).
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
                raise ValueError(f"a label cannot be named {name}: that column is taken. Rename it.")
            if len(values) != len(self):
                raise ValueError(f"label {name} has {len(values)} entries for {len(self)} images; they must be as many.")

    def __len__(self) -> int:
        return len(self.pngs)

    @cached_property
    def images(self) -> UInt8[Tensor, "n c h w"]:
        """The images, unpacked on first use."""
        return self.first(len(self))

    def first(self, n: int) -> UInt8[Tensor, "_ c h w"]:
        """The first n images."""
        return torch.stack([from_png(png) for png in self.pngs[:n]])

    @cached_property
    def aggregate(self) -> tuple[Float[Tensor, " latents"], Float[Tensor, " latents"]]:
        """Centre and standard deviation of each latent over the aggregated posterior, the mean of q(z|x) over the gallery.

        Its variance is that of the means plus the mean of the variances.
        """
        mean, variance = self.mean.double(), self.log_variance.double().exp()
        return mean.mean(0), (mean.var(0, correction=0) + variance.mean(0)).sqrt()

    def check(self, shape: Shape, latents: int) -> None:
        """Raise a ValueError unless this is a gallery of PNG images of this shape and of a model of so many latents.

        Of a PNG file only the header is read, so that none can unpack to more than it should.
        """
        if self.mean.shape[1] != latents or self.log_variance.shape[1] != latents:
            raise ValueError(f"the gallery has {self.mean.shape[1]} latents, the model {latents}.")
        if not all(values.isfinite().all() for values in (self.mean, self.log_variance, self.xy)):
            raise ValueError("the gallery has places or latents that are not numbers.")
        head = png_header(shape)
        for i, png in enumerate(self.pngs):
            if not isinstance(png, bytes) or not png.startswith(head):
                raise ValueError(f"gallery image {i} is not an 8-bit PNG file of {shape[0]}x{shape[1]}x{shape[2]}.")

    def with_positions(self, xy: Float[Tensor, "n 2"]) -> "Gallery":
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
            **({} if self.names is None else {NAMES: pa.array(map(storable_name, self.names))}),
            **{name: pa.array(values.tolist() if values.dtype.kind == "U" else values) for name, values in self.labels.items()},
        }
        table = pa.table(columns)
        kinds = {field.name: field.type for field in table.schema}
        # Floats byte by byte and without a dictionary: all in all a fifth smaller, and the same numbers.
        floats = [
            "mean.list.element",
            "log_variance.list.element",
            *(n for n, kind in kinds.items() if pa.types.is_floating(kind)),
        ]
        texts = [name for name, kind in kinds.items() if pa.types.is_string(kind)]
        kept = {"use_dictionary": texts, "use_byte_stream_split": floats}
        pq.write_table(table, path, compression="zstd", compression_level=19, **kept)  # pyright: ignore[reportArgumentType]

    @classmethod
    def read(cls, path: Path) -> "Gallery":
        """Read gallery.parquet. Raises ValueError when a column is missing or is not what it should be."""
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
            raise ValueError(f"{path} has a column of the wrong kind: {error}.") from error


def read_table(path: Path) -> pa.Table:
    """The table in gallery.parquet, refused with a ValueError while it is still small if it would unpack to too much.

    A value that is stored once can stand in a billion rows, so texts and images are read as numbers into a list of them, and
    weighed before they are put in their rows.
    """
    budget = (64 << 20) + MAX_INFLATION * path.stat().st_size

    def refuse(what: str) -> ValueError:
        return ValueError(f"{path} is refused: {what}. It was made to fill the memory; fetch a copy from somebody you trust.")

    with pq.ParquetFile(path) as file:
        schema, about = file.schema_arrow, file.metadata
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        raise ValueError(f"{path} must have the columns {', '.join(COLUMNS)}; it lacks {', '.join(missing)}.")
    if len(schema.names) > MAX_COLUMNS or len(set(schema.names)) < len(schema.names):
        raise refuse(f"its {len(schema.names)} columns are more than {MAX_COLUMNS}, or two have one name")
    for field in schema:
        if not _has_valid_type(field):
            raise ValueError(f"{path} has a column of the wrong kind: {field.name} is {field.type}.")
    if about.num_rows > MAX_IMAGES:
        raise refuse(f"it has {about.num_rows:,} rows, and may have {MAX_IMAGES:,}")
    for group in (about.row_group(i) for i in range(about.num_row_groups)):
        if any(group.column(i).num_values > group.num_rows * MAX_LATENTS for i in range(group.num_columns)):
            raise refuse(f"a row of it has more than {MAX_LATENTS:,} values")
        if group.total_byte_size > budget:
            raise refuse(f"it unpacks to {group.total_byte_size:,} bytes")
    texts = [field.name for field in schema if _is_text(field.type)]
    columns, taken = [], 0
    # What the file says of itself may be a lie: it is read by the column and in small steps, each of them weighed.
    with pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False) as file:
        for field in schema:
            parts = []
            for batch in file.iter_batches(batch_size=1024, columns=[field.name]):
                part = batch.column(0)
                if isinstance(part, pa.DictionaryArray):
                    lengths = pc.binary_length(part.dictionary).to_numpy(zero_copy_only=False)  # pyright: ignore
                    longest = MAX_PNG if field.name == "image" else MAX_LABEL
                    if lengths.max(initial=0) > longest:
                        raise refuse(f"a value of {field.name} has more than {longest:,} bytes")
                    taken += int(lengths[part.indices.drop_null().to_numpy()].sum())
                else:
                    taken += part.nbytes
                if taken > budget:
                    raise refuse(f"it unpacks to more than {budget:,} bytes")
                parts.append(part.dictionary_decode() if isinstance(part, pa.DictionaryArray) else part)
            columns.append(pa.chunked_array(parts) if parts else pa.chunked_array([], field.type))
    return pa.table(columns, names=schema.names)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_string(kind)


def _has_valid_type(field: pa.Field) -> bool:
    """Whether a column is of a kind that its name may have."""
    kind = field.type
    if field.name == "image":
        return pa.types.is_binary(kind)
    if field.name in ("mean", "log_variance"):
        return pa.types.is_list(kind) and pa.types.is_floating(kind.value_type)
    if pa.types.is_dictionary(kind):
        return pa.types.is_string(kind.value_type)
    return any(check(kind) for check in (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean))


def png_header(shape: Shape) -> bytes:
    """How every 8-bit PNG file of a grey or RGB image of this shape begins."""
    channels, height, width = shape
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBB", width, height, 8, 0 if channels == 1 else 2)


def storable_name(name: str) -> str:
    """A file's name as text that a table holds: its end, if it is long, and without what is no character (PEP 383)."""
    return name[-MAX_LABEL // 4 :].encode("utf-8", "replace").decode("utf-8")


def to_pngs(images: UInt8[Tensor, "n c h w"]) -> list[bytes]:
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
