"""Columns: one value per point of the map, categorical or numeric, to colour and search by; written as files for the page."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class CategoricalColumn:
    """A class for each of n points: `codes` (n,) are indices into `names`."""

    names: list[str]
    codes: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "CategoricalColumn":
        """Build a column from an array of strings (n,)."""
        names, codes = np.unique(values, return_inverse=True)
        return cls(names.tolist(), codes)

    def matching(self, text: str) -> np.ndarray:
        """A mask (n,) of the points whose class name contains the text: see `matching_rows`."""
        return matching_rows(text, self.names)[self.codes]

    def describe(self, path: Path) -> dict[str, Any]:
        """Write the codes to a file, with the fewest bytes per code; return a description of the file."""
        size = 1 if len(self.names) <= 1 << 8 else 2 if len(self.names) <= 1 << 16 else 4
        path.write_bytes(self.codes.astype(f"<u{size}").tobytes())
        return {"classes": self.names, "codes": str(path), "bytes": size}


@dataclass(frozen=True)
class NumericColumn:
    """A number for each of n points, (n,); NaN where it is missing."""

    values: np.ndarray

    def describe(self, path: Path) -> dict[str, Any]:
        """Write the values to a file as little-endian float32; return a description of the file."""
        path.write_bytes(self.values.astype("<f4").tobytes())
        return {"values": str(path)}


Column = CategoricalColumn | NumericColumn


def matching_rows(text: str, names: list[str]) -> np.ndarray:
    """A mask of the names that contain the text. Case and Unicode form are ignored: file systems write NFC or NFD."""
    wanted = fold(text)
    return np.array([wanted in fold(name) for name in names], bool)


def fold(text: str) -> str:
    """The text in Unicode form NFC with case folded."""
    return unicodedata.normalize("NFC", text).casefold()


def column_type(column: Column) -> str:
    """The column's kind in the description that the page reads."""
    return "classes" if isinstance(column, CategoricalColumn) else "amount"
