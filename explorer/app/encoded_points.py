"""Encoded images on the map: all rows of a file that `latentscape encode --data` wrote, in place of the gallery's points.

The gallery stays what the map is computed from. Of the rows only places and labels are held in memory, a few bytes each; a
posterior mean is read from the file when somebody asks for it, so that a million images fit.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

import core
from core.bundle.encodings import OWN_COLUMNS
from core.latent.projection import width
from explorer.app.columns import CategoricalColumn, Column, NumericColumn

SCORES = ("log_likelihood", "kl", "elbo")
MAX_CLASSES = 10_000
"""A label with more is a name: it can be searched, but no map shows so many colours."""
TOLERANCE = 0.01
"""By how much of the map's width a place in a file may differ from where the map puts that row now."""


class Encoded:
    """The rows of a file of encodings of a bundle that has a map.

    Raises ValueError where the file is none, or another model's, or was written before the map was fitted anew.
    """

    def __init__(self, path: Path, bundle: core.Bundle) -> None:
        self.path = path
        try:
            self.changed = path.stat().st_mtime_ns
            with pq.ParquetFile(path) as file:
                self.metadata, self.schema = file.metadata, file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"--encodings {path} is not a parquet file that can be read: {error}.") from error
        again = f"Write it with: latentscape encode {bundle.name} --data DATA --out {path}"
        missing = [name for name in ("file", "mean", "log_variance", "x", "y") if name not in self.schema.names]
        if missing:
            raise ValueError(f"--encodings {path} lacks {', '.join(missing)}. {again}")
        self.starts = [0, *accumulate(self.metadata.row_group(i).num_rows for i in range(self.metadata.num_row_groups))]
        if len(self) < 1:
            raise ValueError(f"--encodings {path} has no rows. {again}")
        self.places = np.stack([self._numbers("x"), self._numbers("y")], 1)
        if not np.isfinite(self.places).all():
            raise ValueError(f"--encodings {path} has places that are not numbers. {again}")
        self._check(bundle, again)

    def _check(self, bundle: core.Bundle, again: str) -> None:
        """That the first rows lie where the bundle's map would put them."""
        if bundle.map is None or bundle.gallery is None:
            raise ValueError(f"{bundle.name} has no map to show --encodings on.")
        few = read_group(self.path, self.changed, 0)[1][:100]
        if few.shape[1] != bundle.vae.prior.latents:
            raise ValueError(f"--encodings {self.path} has {few.shape[1]} latents, {bundle.name} {bundle.vae.prior.latents}.")
        off = (bundle.map.place(few) - torch.from_numpy(self.places[: len(few)])).norm(dim=1).median()
        if not off <= TOLERANCE * width(bundle.gallery.xy):
            raise ValueError(f"--encodings {self.path} was written with another model or map than {bundle.name} has. {again}")

    def __len__(self) -> int:
        return self.metadata.num_rows

    @cached_property
    def labels(self) -> dict[str, Column]:
        """What the rows may be coloured by, but for their latents: labels, then likelihood, KL and ELBO."""
        found: dict[str, Column] = {}
        for name in [*(name for name in self.schema.names if name not in OWN_COLUMNS), *SCORES]:
            if name not in self.schema.names:
                continue
            if self._is(name, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean):
                found[name] = NumericColumn(self._numbers(name))
            elif self._is_text(name) and (classes := self._classes(name)) is not None:
                found[name] = classes
        return found

    def latent(self, i: int) -> NumericColumn:
        """The posterior means of one latent."""
        return NumericColumn(np.concatenate([_matrix(part)[:, i] for part in self._parts("mean")]))

    def width(self, active: np.ndarray) -> NumericColumn:
        """The geometric mean of sigma over these latents, (latents,) of booleans."""
        parts = [_matrix(part)[:, active] for part in self._parts("log_variance")]
        return NumericColumn(np.concatenate([np.exp(part.mean(1) / 2) for part in parts]))

    def row(self, row: int) -> tuple[str, Tensor]:
        """A row's name and posterior mean, (1, latents); ValueError if there is no such row."""
        if type(row) is not int or not 0 <= row < len(self):
            raise ValueError(f"index must be from 0 to {len(self) - 1}; got {row!r:.100}.")
        group = bisect_right(self.starts, row) - 1
        names, means = read_group(self._unchanged(), self.changed, group)
        return str(names[row - self.starts[group]]), means[row - self.starts[group]][None]

    def find(self, text: str) -> np.ndarray:
        """Which rows' names or labels contain the text, (rows,): see `explorer.app.columns.matching_rows`."""
        hit = np.zeros(len(self), bool)
        for column in self.labels.values():
            if isinstance(column, CategoricalColumn):
                hit |= column.matching(text)
        options = pc.MatchSubstringOptions(unicodedata.normalize("NFC", text), ignore_case=True)
        for name in self.schema.names:
            if self._is_text(name) and name not in self.labels:
                parts = (
                    pc.call_function("utf8_normalize", [part.cast(pa.string())], pc.Utf8NormalizeOptions("NFC"))
                    for part in self._parts(name)
                )
                found = [pc.call_function("match_substring", [part], options) for part in parts]
                hit |= np.concatenate([part.fill_null(False).to_numpy(zero_copy_only=False) for part in found])
        return hit

    def _parts(self, name: str) -> Iterator[pa.Array]:
        """A column, some rows at a time. The file is opened anew: several visitors ask at once."""
        with pq.ParquetFile(self._unchanged()) as file:
            for batch in file.iter_batches(batch_size=1 << 16, columns=[name]):
                yield batch.column(0)

    def _unchanged(self) -> Path:
        """The file, still the one that was opened; ValueError where it is not."""
        if not self.path.exists() or self.path.stat().st_mtime_ns != self.changed:
            raise ValueError("the file of encodings has changed or is gone: start the explorer again.")
        return self.path

    def _is(self, name: str, *kinds: Callable[[pa.DataType], bool]) -> bool:
        kind = self.schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        return any(each(kind) for each in kinds)

    def _is_text(self, name: str) -> bool:
        return self._is(name, pa.types.is_string, pa.types.is_large_string)

    def _numbers(self, name: str) -> np.ndarray:
        parts = [part.cast(pa.float32()).to_numpy(zero_copy_only=False) for part in self._parts(name)]
        return np.concatenate([np.empty(0, np.float32), *parts])

    def _classes(self, name: str) -> CategoricalColumn | None:
        """A column of text; None where it has too many classes."""
        encoded = pa.chunked_array([part.cast(pa.string()).dictionary_encode() for part in self._parts(name)])
        whole = pa.concat_arrays(encoded.unify_dictionaries().chunks)
        assert isinstance(whole, pa.DictionaryArray)
        if len(whole.dictionary) > MAX_CLASSES:
            return None
        names = np.array([*whole.dictionary.to_pylist(), ""], object)  # the last is for rows without this label
        order = np.argsort(names, kind="stable")
        rank = np.argsort(order, kind="stable")
        codes = rank[whole.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)]
        used = np.bincount(codes, minlength=len(names)) > 0
        return CategoricalColumn(names[order][used].tolist(), (np.cumsum(used) - 1)[codes].astype(np.uint16))


@lru_cache(maxsize=8)
def read_group(path: Path, changed: int, group: int) -> tuple[pa.Array, Tensor]:
    """Names (rows,) and posterior means (rows, latents) of a row group of a file as it was changed last, in ns; those asked for
    last are kept."""
    with pq.ParquetFile(path) as file:
        table = file.read_row_group(group, columns=["file", "mean"])
    return table["file"].combine_chunks(), torch.from_numpy(_matrix(table["mean"].combine_chunks()))


def _matrix(lists: pa.Array) -> np.ndarray:
    return lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(lists), -1)
