"""Tables of pictures: sources that are a parquet file or a data set of the Hugging Face hub, one picture in each row."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from core.data.sources import Entry, LeftOut

BLOCK = 256
"""Rows that are read at once."""


@dataclass
class ParquetSource:
    """The rows of a parquet file with a column of image files; other columns of texts or numbers are labels."""

    path: Path
    left_out: list[LeftOut] = field(default_factory=list)

    def __post_init__(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(self.path)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{self.path} is not a parquet file that can be read: {error}.") from error
        schema = self._file.schema_arrow
        self.image = next((column.name for column in schema if _holds_images(column.type)), "")
        if not self.image:
            raise ValueError(
                f"{self.path} must have a column of image files (binary, or a struct with `bytes`); it has "
                f"{', '.join(schema.names) or 'none'}. A table of labels goes with its pictures: --labels {self.path}."
            )
        plain = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
        self.labels = [c.name for c in schema if any(kind(c.type) for kind in (*plain, pa.types.is_dictionary))]
        # Where the `datasets` library wrote the file, it wrote the names of classes beside.
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        self.classes = {name: features[name]["names"] for name in self.labels if "names" in features.get(name, {})}

    def __len__(self) -> int:
        return self._file.metadata.num_rows

    def __iter__(self) -> Iterator[Entry]:
        row = 0
        for batch in self._file.iter_batches(BLOCK, columns=[self.image, *self.labels]):
            for values in batch.to_pylist():
                entry = row_entry(values, self.image, self.classes, row)
                # A path in a file from elsewhere is not followed.
                yield entry if isinstance(entry.content, bytes) else entry._replace(content=b"")
                row += 1

    def sample(self, n: int) -> Iterator[Entry]:
        """The first ones: a row group is read as a whole."""
        return islice(self, n)


def _holds_images(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def row_entry(values: dict[str, Any], image: str, classes: dict[str, list[str]], row: int) -> Entry:
    """The entry that a row stands for: its picture is bytes, or a struct of bytes and a path."""
    content, name = values.pop(image), f"row {row}"
    if isinstance(content, dict):
        name = content.get("path") or name
        content = content.get("bytes") if content.get("bytes") is not None else content.get("path")
    split = values.pop("split") if values.get("split") in ("train", "test") else ""
    for column, names in classes.items():
        number = values.get(column)
        values[column] = names[number] if number is not None and 0 <= number < len(names) else ""
    return Entry(name, b"" if content is None else content, split, values)


class HubSource:
    """A data set of the Hugging Face hub, `owner/name`, `owner/name:configuration`, or a folder that `datasets` knows how to
    read; streamed, so that no more of it is fetched than is read. Its splits `train` and `test` are kept."""

    def __init__(self, name: str) -> None:
        try:
            import datasets
        except ImportError as error:
            raise ValueError("hf: needs the datasets library: pip install 'latentscape[hub]'.") from error
        self.left_out: list[LeftOut] = []
        repository, _, configuration = name.partition(":")
        try:
            parts = datasets.load_dataset(repository, configuration or None, streaming=True)
        except Exception as error:  # whatever a hub, a network or a folder can answer
            raise ValueError(f"hf:{name} cannot be opened: {error}.") from error
        assert isinstance(parts, datasets.IterableDatasetDict)
        official = {"train", "test"} <= set(parts)
        names = ("train", "test") if official else list(parts)[:1]
        self._parts = {part if official else "": parts[part] for part in names}
        features = next(iter(self._parts.values())).features or {}
        self.image = next((name for name, kind in features.items() if isinstance(kind, datasets.Image)), "")
        if not self.image:
            raise ValueError(f"hf:{name} must have a column of images; it has {', '.join(features) or 'none that is named'}.")
        self._parts = {part: data.cast_column(self.image, datasets.Image(decode=False)) for part, data in self._parts.items()}
        self.classes = {column: kind.names for column, kind in features.items() if isinstance(kind, datasets.ClassLabel)}
        plain = ("string", "large_string", "int", "uint", "float", "bool")
        self.labels = [
            column
            for column, kind in features.items()
            if column in self.classes or (isinstance(kind, datasets.Value) and kind.dtype.startswith(plain))
        ]

    def __len__(self) -> int:
        infos = [(data.info.splits or {}).get(str(data.split)) for data in self._parts.values()]
        return sum(info.num_examples or 0 for info in infos if info is not None)

    def __iter__(self) -> Iterator[Entry]:
        row = 0
        for part, data in self._parts.items():
            for values in data:
                kept = {self.image: values[self.image], **{column: values[column] for column in self.labels}}
                entry = row_entry(kept, self.image, self.classes, row)
                if isinstance(entry.content, str) and not os.path.exists(entry.content):
                    entry = entry._replace(content=_remote(entry.content))
                yield entry._replace(split=part)
                row += 1

    def sample(self, n: int) -> Iterator[Entry]:
        """The first ones."""
        return islice(self, n)


def _remote(address: str) -> bytes:
    """A file of the hub, by way of the library that `datasets` itself uses."""
    import fsspec

    with fsspec.open(address, "rb") as file:
        return file.read()  # pyright: ignore[reportAttributeAccessIssue]
