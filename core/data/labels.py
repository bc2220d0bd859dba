"""Labels: columns with an entry for each picture, and tables of them that are joined on the names of files."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

RESERVED_NAMES = ("image", "mean", "log_variance", "x", "y", "file", "log_likelihood")
"""Names that a gallery has its own columns under."""


class LabelColumns:
    """LabelColumns of labels that grow by a row at a time; rows need not have the same ones."""

    def __init__(self) -> None:
        self.rows = 0
        self._columns: dict[str, list[Any]] = {}
        # A label is one object, however many pictures have it.
        self._same: dict[Any, Any] = {}

    def add(self, row: dict[str, Any]) -> None:
        """Append a row."""
        for name, value in row.items():
            self._columns.setdefault(name, [None] * self.rows).append(self._same.setdefault(value, value))
        self.rows += 1
        for column in self._columns.values():
            if len(column) < self.rows:
                column.append(None)

    def arrays(self) -> dict[str, np.ndarray]:
        """Each column as an array: integers or floats if all its entries are numbers, else strings. An entry that is missing is
        NaN or "". LabelColumns that say nothing are left out; one with a name that a gallery needs itself gets another."""
        telling = {name: column for name, column in self._columns.items() if any(value not in (None, "") for value in column)}
        arrays = {name: _array(column) for name, column in telling.items()}
        return {f"{name} (given)" if name in RESERVED_NAMES else name: array for name, array in arrays.items()}


def _array(values: list[Any]) -> np.ndarray:
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int} and None not in values:
        return np.array(values, np.int64)
    if kinds and kinds <= {int, float}:
        return np.array([float("nan") if value is None else value for value in values], np.float64)
    return np.array(["" if value is None else str(value) for value in values])


def split_names(text: str | None) -> list[str] | None:
    """The names in a text, separated by commas; None for none.

    >>> split_names("cat, dog")
    ['cat', 'dog']
    """
    return [part.strip() for part in text.split(",")] if text else None


def rename(labels: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The columns, with these names for the classes 0, 1, 2… of the one called `label`; ValueError where it has others."""
    if "label" not in labels:
        raise ValueError("--label-names needs labels, and this data set has none.")
    try:
        numbers = np.asarray(labels["label"]).astype(int)
        if numbers.min() < 0:
            raise IndexError(f"{numbers.min()} is below 0")
        return {**labels, "label": np.array(names)[numbers]}
    except (ValueError, IndexError) as error:
        raise ValueError(f"--label-names must name the classes 0 to {len(names) - 1}, in order; {error}.") from error


class LabelTable:
    """A table with a row for each picture, found by the picture's name: its path in the source, its file name, or its stem.

    Which column has the names, and how they are written there, is whatever fits most of a few names: see `choose_key`.
    """

    def __init__(self, columns: dict[str, list[Any]], origin: str) -> None:
        self.columns, self.origin = columns, origin
        self.unlabelled = 0
        self._rows: dict[str, int] = {}
        self._form = NAME_FORMS["path"]
        self._found: set[int] = set()
        self._names: list[str] = []

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "LabelTable":
        """Read a CSV or parquet file. Raises ValueError when it is neither."""
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet as pq

        file = Path(path)
        try:
            table = pq.read_table(file) if file.suffix.lower() == ".parquet" else pyarrow.csv.read_csv(file)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"the labels must be a CSV or parquet file; {file} cannot be read as one: {error}.") from error
        simple = [name for name in table.column_names if not pa.types.is_nested(table.schema.field(name).type)]
        return cls({name: table[name].to_pylist() for name in simple}, str(file))

    def choose_key(self, names: Iterable[str]) -> None:
        """Find the column, and the form of a name, that fits most of these; ValueError if none does, or two rows share one."""
        names = list(names)
        best, key = 0, ""
        for form in NAME_FORMS.values():
            wanted = {form(name) for name in names}
            for column, values in self.columns.items():
                fits = len(wanted.intersection(map(str, values)))
                if fits > best:
                    best, key, self._form = fits, column, form
        if not best:
            raise ValueError(
                f"{self.origin} must have a column with the pictures' file names; none of "
                f"{', '.join(self.columns) or 'none'} has one such as {names[0] if names else 'a.png'}."
            )
        values = [str(value) for value in self.columns[key]]
        self._rows = {value: row for row, value in enumerate(values)}
        if len(self._rows) < len(values):
            twice = next(value for row, value in enumerate(values) if self._rows[value] != row)
            raise ValueError(f"{self.origin} must have one row for each picture; column {key} has {twice!r} more than once.")
        self._names = [column for column in self.columns if column != key]

    def find(self, name: str) -> dict[str, Any]:
        """The labels of a picture, None for each if it has no row."""
        row = self._rows.get(self._form(name))
        if row is None:
            self.unlabelled += 1
            return dict.fromkeys(self._names)
        self._found.add(row)
        return {column: self.columns[column][row] for column in self._names}

    @property
    def unmatched_rows(self) -> int:
        """Rows that no picture has been found for."""
        return len(self._rows) - len(self._found)


NAME_FORMS = {
    "path": lambda name: name,
    "file name": lambda name: PurePosixPath(name).name,
    "stem": lambda name: PurePosixPath(name).stem,
}
"""What of a picture's name a table may call it by."""
