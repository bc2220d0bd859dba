"""Tabular sources with one picture per row: parquet files and data sets of the Hugging Face hub."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from core.data.sources import Entry, LeftOut

ROWS_PER_READ = 256


@dataclass
class ParquetSource:
    """A parquet file with a column of image files. Other columns of text or numbers are labels."""

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
        self.image_column = next((column.name for column in schema if _holds_images(column.type)), "")
        if not self.image_column:
            raise ValueError(
                f"{self.path} must have a column of image files (binary, or a struct with `bytes`); it has "
                f"{', '.join(schema.names) or 'none'}. To label other pictures with it: --labels {self.path}."
            )
        text = pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary
        label_types = *text, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean
        self.label_columns = [column.name for column in schema if any(is_type(column.type) for is_type in label_types)]
        # Files written by the `datasets` library have the names of classes in their metadata.
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        self.classes = {name: features[name]["names"] for name in self.label_columns if "names" in features.get(name, {})}

    def __len__(self) -> int:
        return self._file.metadata.num_rows

    def __iter__(self) -> Iterator[Entry]:
        row = 0
        for batch in self._file.iter_batches(ROWS_PER_READ, columns=[self.image_column, *self.label_columns]):
            for values in batch.to_pylist():
                entry = row_entry(values, self.image_column, self.classes, row)
                # The file is untrusted input, so paths in it are not opened.
                yield entry if isinstance(entry.content, bytes) else entry._replace(content=b"")
                row += 1

    def sample(self, n: int) -> Iterator[Entry]:
        """The first n entries, because a row group can only be read as a whole."""
        return islice(self, n)


def _holds_images(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def row_entry(values: dict[str, Any], image: str, classes: dict[str, list[str]], row: int) -> Entry:
    """Convert a row to an entry. The picture is bytes, or a struct of bytes and a path."""
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
    """A streamed data set of the Hugging Face hub or a folder that `datasets` can read, with its splits `train` and `test`.

    It is named `owner/name` or `owner/name:configuration`. Raises ValueError if it cannot be opened or has no images.
    """

    def __init__(self, name: str) -> None:
        try:
            import datasets
        except ImportError as error:
            raise ValueError("hf: requires the datasets library: pip install 'latentscape[hub]'.") from error
        self.left_out: list[LeftOut] = []
        repository, _, configuration = name.partition(":")
        try:
            splits = datasets.load_dataset(repository, configuration or None, streaming=True)
        except Exception as error:  # the hub, the network and file readers raise many kinds of exception
            raise ValueError(f"hf:{name} cannot be opened: {error}.") from error
        assert isinstance(splits, datasets.IterableDatasetDict)
        official = {"train", "test"} <= set(splits)
        names = ("train", "test") if official else list(splits)[:1]
        self._splits = {name if official else "": splits[name] for name in names}
        features = next(iter(self._splits.values())).features or {}
        self.image_column = next((name for name, kind in features.items() if isinstance(kind, datasets.Image)), "")
        if not self.image_column:
            raise ValueError(f"hf:{name} must have a column of images; it has {', '.join(features) or 'no named columns'}.")
        undecoded = datasets.Image(decode=False)
        self._splits = {split: data.cast_column(self.image_column, undecoded) for split, data in self._splits.items()}
        self.classes = {column: kind.names for column, kind in features.items() if isinstance(kind, datasets.ClassLabel)}
        label_types = ("string", "large_string", "int", "uint", "float", "bool")
        self.label_columns = [
            column
            for column, kind in features.items()
            if column in self.classes or (isinstance(kind, datasets.Value) and kind.dtype.startswith(label_types))
        ]

    def __len__(self) -> int:
        infos = [(data.info.splits or {}).get(str(data.split)) for data in self._splits.values()]
        return sum(info.num_examples or 0 for info in infos if info is not None)

    def __iter__(self) -> Iterator[Entry]:
        row = 0
        for split, data in self._splits.items():
            for values in data:
                row_values = {
                    self.image_column: values[self.image_column],
                    **{column: values[column] for column in self.label_columns},
                }
                entry = row_entry(row_values, self.image_column, self.classes, row)
                if isinstance(entry.content, str) and not os.path.exists(entry.content):
                    entry = entry._replace(content=_download(entry.content))
                yield entry._replace(split=split)
                row += 1

    def sample(self, n: int) -> Iterator[Entry]:
        """The first n entries."""
        return islice(self, n)


def _download(address: str) -> bytes:
    """Download a file of the hub with the library that `datasets` itself uses."""
    import fsspec

    with fsspec.open(address, "rb") as file:
        return file.read()  # pyright: ignore[reportAttributeAccessIssue]
