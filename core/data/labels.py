"""Labels: columns with one value per picture, and label tables joined on file names."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

RESERVED_NAMES = ("image", "mean", "log_variance", "x", "y", "file", "log_likelihood")
"""Column names that a gallery uses itself."""


class LabelColumns:
    """Label columns, filled row by row. Rows may have different columns."""

    def __init__(self) -> None:
        self.rows = 0
        self._columns: dict[str, list[Any]] = {}
        # Equal labels share one object, to save memory.
        self._interned: dict[Any, Any] = {}

    def add(self, row: dict[str, Any]) -> None:
        """Append a row."""
        for name, value in row.items():
            self._columns.setdefault(name, [None] * self.rows).append(self._interned.setdefault(value, value))
        self.rows += 1
        for column in self._columns.values():
            if len(column) < self.rows:
                column.append(None)

    def arrays(self) -> dict[str, np.ndarray]:
        """Each column as an array: integers or floats if all its values are numbers, else strings.

        A missing value is NaN or "". Empty columns are dropped. A column with a reserved name is renamed to `NAME (given)`.
        """
        filled = {name: column for name, column in self._columns.items() if any(value not in (None, "") for value in column)}
        arrays = {name: _array(column) for name, column in filled.items()}
        return {f"{name} (given)" if name in RESERVED_NAMES else name: array for name, array in arrays.items()}


def _array(values: list[Any]) -> np.ndarray:
    types = {type(value) for value in values} - {type(None)}
    if types == {int} and None not in values:
        return np.array(values, np.int64)
    if types and types <= {int, float}:
        return np.array([float("nan") if value is None else value for value in values], np.float64)
    return np.array(["" if value is None else str(value) for value in values])


def split_names(text: str | None) -> list[str] | None:
    """The comma-separated names in a text; None if it is empty.

    >>> split_names("cat, dog")
    ['cat', 'dog']
    """
    return [part.strip() for part in text.split(",")] if text else None


def name_classes(labels: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The columns, with the classes 0, 1, 2… of column `label` replaced by these names.

    Raises ValueError if there is no such column or it has other classes.
    """
    if "label" not in labels:
        raise ValueError("--label-names requires a data set with labels; this one has none.")
    try:
        numbers = np.asarray(labels["label"]).astype(int)
        if numbers.min() < 0:
            raise IndexError(f"{numbers.min()} is below 0")
        return {**labels, "label": np.array(names)[numbers]}
    except (ValueError, IndexError) as error:
        raise ValueError(f"--label-names must name the classes 0 to {len(names) - 1}, in order; {error}.") from error


class LabelTable:
    """A table of labels, with one row per picture: joined on the picture's path in the source, its file name, or its stem.

    `choose_key` finds the key column and which of the three it holds. `unlabelled` counts the pictures without a row.
    """

    def __init__(self, columns: dict[str, list[Any]], origin: str) -> None:
        self.columns, self.origin = columns, origin
        self.unlabelled = 0
        self._rows: dict[str, int] = {}
        self._name_format = NAME_FORMATS["path"]
        self._matched: set[int] = set()
        self._label_names: list[str] = []

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "LabelTable":
        """Read a CSV or parquet file. Raises ValueError if it cannot be read as one."""
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet as pq

        file = Path(path)
        try:
            table = pq.read_table(file) if file.suffix.lower() == ".parquet" else pyarrow.csv.read_csv(file)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"the labels must be a CSV or parquet file; {file} cannot be read as one: {error}.") from error
        flat = [name for name in table.column_names if not pa.types.is_nested(table.schema.field(name).type)]
        return cls({name: table[name].to_pylist() for name in flat}, str(file))

    def choose_key(self, names: Iterable[str]) -> None:
        """Choose the column, and the format of names, that match the most of these names.

        Raises ValueError if nothing matches or if the column has a value twice.
        """
        names = list(names)
        best, key = 0, ""
        for name_format in NAME_FORMATS.values():
            wanted = {name_format(name) for name in names}
            for column, values in self.columns.items():
                matches = len(wanted.intersection(map(str, values)))
                if matches > best:
                    best, key, self._name_format = matches, column, name_format
        if not best:
            raise ValueError(
                f"{self.origin} must have a column with the pictures' file names; none of "
                f"{', '.join(self.columns) or 'its columns'} holds one such as {names[0] if names else 'a.png'}."
            )
        values = [str(value) for value in self.columns[key]]
        self._rows = {value: row for row, value in enumerate(values)}
        if len(self._rows) < len(values):
            repeated = next(value for row, value in enumerate(values) if self._rows[value] != row)
            raise ValueError(f"{self.origin} must have one row for each picture; column {key} has {repeated!r} more than once.")
        self._label_names = [column for column in self.columns if column != key]

    def find(self, name: str) -> dict[str, Any]:
        """The labels of a picture; each is None if the picture has no row."""
        row = self._rows.get(self._name_format(name))
        if row is None:
            self.unlabelled += 1
            return dict.fromkeys(self._label_names)
        self._matched.add(row)
        return {column: self.columns[column][row] for column in self._label_names}

    @property
    def unmatched_rows(self) -> int:
        """The number of rows without a picture."""
        return len(self._rows) - len(self._matched)


NAME_FORMATS = {
    "path": lambda name: name,
    "file name": lambda name: PurePosixPath(name).name,
    "stem": lambda name: PurePosixPath(name).stem,
}
"""The formats in which a table may give a picture's name, each computed from its path in the source."""
