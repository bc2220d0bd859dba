"""Columns: what the points of a map are coloured and searched by, as classes or as amounts, and as files for the page."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class CategoricalColumn:
    """A class for each point, (n,), as its number among the `names`."""

    names: list[str]
    codes: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "CategoricalColumn":
        """Of an array of strings (n,)."""
        names, codes = np.unique(values, return_inverse=True)
        return cls(names.tolist(), codes)

    def matching(self, text: str) -> np.ndarray:
        """Which points' names contain the text, (n,): see `matching_rows`."""
        return matching_rows(text, self.names)[self.codes]

    def describe(self, path: Path) -> dict[str, Any]:
        """Leave the codes in a file, in as few bytes each as they need, and say what is in it."""
        size = 1 if len(self.names) <= 1 << 8 else 2 if len(self.names) <= 1 << 16 else 4
        path.write_bytes(self.codes.astype(f"<u{size}").tobytes())
        return {"classes": self.names, "codes": str(path), "bytes": size}


@dataclass(frozen=True)
class NumericColumn:
    """A number for each point, (n,); NaN where there is none."""

    values: np.ndarray

    def describe(self, path: Path) -> dict[str, Any]:
        """Leave them in a file of little-endian float32."""
        path.write_bytes(self.values.astype("<f4").tobytes())
        return {"values": str(path)}


Column = CategoricalColumn | NumericColumn


def matching_rows(text: str, names: list[str]) -> np.ndarray:
    """Which of these names contain the text, whatever its capitals, and whether an accent is a character of its own (Unicode's
    forms NFC and NFD look alike, and file systems write either)."""
    wanted = alike(text)
    return np.array([wanted in alike(name) for name in names], bool)


def alike(text: str) -> str:
    """The form that texts which look alike have in common."""
    return unicodedata.normalize("NFC", text).casefold()


def kind(column: Column) -> str:
    """What a page is told that it is."""
    return "classes" if isinstance(column, CategoricalColumn) else "amount"
