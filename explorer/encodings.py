"""Encodings: what a model makes of a whole data set, written to a parquet file as it goes, so that memory stays flat."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

import core
from core.data import find_pictures
from core.images import Images
from core.reading import decode, paired
from core.workers import cores, mapped

ROWS = 8192
"""Images in a row group."""

Block = tuple[list[str], Tensor]
"""Names and images."""


def blocks(source: str, preprocessing: core.Preprocessing) -> Iterator[Block]:
    """The images of a data set, in order, some at a time; pictures that cannot be read are left out."""
    pictures = find_pictures(source)
    if pictures is None:
        images = core.load_data(source, "all", preprocessing).images
        for start in range(0, len(images), ROWS):
            block = images[start : start + ROWS]
            yield [f"row {start + i}" for i in range(len(block))], block
        return
    # One process suffices for few pictures, and starts at once.
    workers = 1 if len(pictures) < 1000 else cores()
    for entries, decoded in mapped(partial(decode, target=preprocessing.plain), paired(pictures), workers):
        read = [entry.name for entry, outcome in zip(entries, decoded.outcomes, strict=True) if not isinstance(outcome, str)]
        if read:
            yield read, torch.from_numpy(np.ascontiguousarray(decoded.images))


def gathered(parts: Iterator[Block], rows: int) -> Iterator[Block]:
    """The same in blocks of so many images, the last one apart."""
    names: list[str] = []
    waiting: list[Tensor] = []
    for more, images in parts:
        names += more
        waiting.append(images)
        if len(names) >= rows:
            whole = torch.cat(waiting)
            yield names[:rows], whole[:rows]
            names, waiting = names[rows:], [whole[rows:]]
    if names:
        yield names, torch.cat(waiting)


def write(
    bundle: core.Bundle,
    source: str,
    out: Path,
    device: torch.device | str | None = None,
    advance: Callable[[int], None] = lambda images: None,
) -> int:
    """Encode a data set into a parquet file, a row group at a time; returns how many images.

    A row has the picture's name, posterior mean and log-variance, log-likelihood, KL and ELBO in nats (one draw of z), and its
    place on the map, if there is one. Pictures are fitted to the model's size and otherwise left as they are, as in training.
    The file is complete or not there. Raises ValueError when nothing can be read.
    """
    part, count = out.with_name(out.name + ".part"), 0
    writer: pq.ParquetWriter | None = None
    try:
        for names, images in gathered(blocks(source, bundle.preprocessing), ROWS):
            table = _table(bundle, names, bundle.preprocessing.view(images), device)
            writer = writer or pq.ParquetWriter(part, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=ROWS)
            count += len(names)
            advance(len(names))
        if writer is None:
            raise ValueError(f"{source} holds no pictures that can be read.")
        writer.close()
        part.replace(out)
    finally:
        if writer is not None and writer.is_open:
            writer.close()
        part.unlink(missing_ok=True)
    return count


def _table(bundle: core.Bundle, names: list[str], images: Images, device: torch.device | str | None) -> pa.Table:
    found = core.encode(bundle.vae, images, device=device)
    columns = {"file": pa.array(names), "mean": _lists(found.mean), "log_variance": _lists(found.log_variance)}
    for name, values in (("log_likelihood", found.log_likelihood), ("kl", found.kl), ("elbo", found.elbo)):
        columns[name] = pa.array(values.numpy())
    if bundle.map is not None:
        places = bundle.map.place(found.mean)
        columns |= {"x": pa.array(places[:, 0].numpy()), "y": pa.array(places[:, 1].numpy())}
    return pa.table(columns)


def _lists(matrix: Tensor) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.contiguous().flatten().numpy()), matrix.shape[1])
