"""Encoded points: the rows of a file by `latentscape encode --data`, shown on the map instead of the gallery's points.

The map is still computed from the gallery. Only positions and labels are held in memory, a few bytes per row. Posterior means
are read from the file on request, so that a million images fit.
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
"""A text column with more distinct values can be searched, but is not offered as a colour."""
TOLERANCE = 0.01
"""Largest median distance between positions in the file and positions by the map, as a share of the map's width."""


class EncodedPoints:
    """The rows of a file of encodings, for a bundle with a map.

    Raises ValueError if the file is not such a file, belongs to another model, or is older than the bundle's map.
    """

    def __init__(self, path: Path, bundle: core.Bundle) -> None:
        self.path = path
        try:
            self.changed = path.stat().st_mtime_ns
            with pq.ParquetFile(path) as file:
                self.metadata, self.schema = file.metadata, file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"--encodings {path} is not a parquet file that can be read: {error}.") from error
        advice = f"Write it with: latentscape encode {bundle.name} --data DATA --out {path}"
        missing = [name for name in ("file", "mean", "log_variance", "x", "y") if name not in self.schema.names]
        if missing:
            raise ValueError(f"--encodings {path} lacks {', '.join(missing)}. {advice}")
        self.starts = [0, *accumulate(self.metadata.row_group(i).num_rows for i in range(self.metadata.num_row_groups))]
        if len(self) < 1:
            raise ValueError(f"--encodings {path} has no rows. {advice}")
        self.positions = np.stack([self._numbers("x"), self._numbers("y")], 1)
        if not np.isfinite(self.positions).all():
            raise ValueError(f"--encodings {path} has positions that are not numbers. {advice}")
        self._check(bundle, advice)

    def _check(self, bundle: core.Bundle, advice: str) -> None:
        """Raise a ValueError unless the first rows have the positions that the bundle's map gives them."""
        if bundle.map is None or bundle.gallery is None:
            raise ValueError(f"{bundle.name} has no map to show --encodings on.")
        means = read_group(self.path, self.changed, 0)[1][:100]
        if means.shape[1] != bundle.vae.prior.latents:
            raise ValueError(f"--encodings {self.path} has {means.shape[1]} latents, {bundle.name} {bundle.vae.prior.latents}.")
        distance = (bundle.map.place(means) - torch.from_numpy(self.positions[: len(means)])).norm(dim=1).median()
        if not distance <= TOLERANCE * width(bundle.gallery.xy):
            raise ValueError(f"--encodings {self.path} was written with another model or map than {bundle.name} has. {advice}")

    def __len__(self) -> int:
        return self.metadata.num_rows

    @cached_property
    def labels(self) -> dict[str, Column]:
        """The columns to colour by, without the latents: labels, then log-likelihood, KL and ELBO."""
        found: dict[str, Column] = {}
        for name in [*(name for name in self.schema.names if name not in OWN_COLUMNS), *SCORES]:
            if name not in self.schema.names:
                continue
            if self._has_type(name, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean):
                found[name] = NumericColumn(self._numbers(name))
            elif self._is_text(name) and (classes := self._classes(name)) is not None:
                found[name] = classes
        return found

    def latent(self, i: int) -> NumericColumn:
        """The posterior means of one latent."""
        return NumericColumn(np.concatenate([_matrix(part)[:, i] for part in self._parts("mean")]))

    def width(self, active: np.ndarray) -> NumericColumn:
        """The posterior width: the geometric mean of sigma over the active latents, a mask (latents,)."""
        parts = [_matrix(part)[:, active] for part in self._parts("log_variance")]
        return NumericColumn(np.concatenate([np.exp(part.mean(1) / 2) for part in parts]))

    def row(self, row: int) -> tuple[str, Tensor]:
        """Return a row's file name and posterior mean (1, latents). Raises ValueError if there is no such row."""
        if type(row) is not int or not 0 <= row < len(self):
            raise ValueError(f"index must be from 0 to {len(self) - 1}; got {row!r:.100}.")
        group = bisect_right(self.starts, row) - 1
        names, means = read_group(self._unchanged(), self.changed, group)
        return str(names[row - self.starts[group]]), means[row - self.starts[group]][None]

    def find(self, text: str) -> np.ndarray:
        """A mask (rows,) of the rows whose file name or label contains the text: see `matching_rows`."""
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
        """Read a column in batches of rows. Each call opens the file, because requests run concurrently."""
        with pq.ParquetFile(self._unchanged()) as file:
            for batch in file.iter_batches(batch_size=1 << 16, columns=[name]):
                yield batch.column(0)

    def _unchanged(self) -> Path:
        """The file's path. Raises ValueError if the file has changed since it was opened."""
        if not self.path.exists() or self.path.stat().st_mtime_ns != self.changed:
            raise ValueError("the file of encodings has changed or is gone: start the explorer again.")
        return self.path

    def _has_type(self, name: str, *checks: Callable[[pa.DataType], bool]) -> bool:
        kind = self.schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        return any(check(kind) for check in checks)

    def _is_text(self, name: str) -> bool:
        return self._has_type(name, pa.types.is_string, pa.types.is_large_string)

    def _numbers(self, name: str) -> np.ndarray:
        parts = [part.cast(pa.float32()).to_numpy(zero_copy_only=False) for part in self._parts(name)]
        return np.concatenate([np.empty(0, np.float32), *parts])

    def _classes(self, name: str) -> CategoricalColumn | None:
        """A text column as classes; None if it has more than `MAX_CLASSES`."""
        encoded = pa.chunked_array([part.cast(pa.string()).dictionary_encode() for part in self._parts(name)])
        values = pa.concat_arrays(encoded.unify_dictionaries().chunks)
        assert isinstance(values, pa.DictionaryArray)
        if len(values.dictionary) > MAX_CLASSES:
            return None
        names = np.array([*values.dictionary.to_pylist(), ""], object)  # the last one is for rows without a value
        order = np.argsort(names, kind="stable")
        rank = np.argsort(order, kind="stable")
        codes = rank[values.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)]
        used = np.bincount(codes, minlength=len(names)) > 0
        return CategoricalColumn(names[order][used].tolist(), (np.cumsum(used) - 1)[codes].astype(np.uint16))


@lru_cache(maxsize=8)
def read_group(path: Path, changed: int, group: int) -> tuple[pa.Array, Tensor]:
    """File names (rows,) and posterior means (rows, latents) of a row group. `changed`, the file's modification time in ns, is
    part of the cache key."""
    with pq.ParquetFile(path) as file:
        table = file.read_row_group(group, columns=["file", "mean"])
    return table["file"].combine_chunks(), torch.from_numpy(_matrix(table["mean"].combine_chunks()))


def _matrix(lists: pa.Array) -> np.ndarray:
    return lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(lists), -1)
