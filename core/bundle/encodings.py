"""Encodings: what a model makes of a whole data set, written to a parquet file as it goes, so that memory stays flat."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from core.bundle.bundle import Bundle
from core.data.datasets import array_splits, find_pictures
from core.data.labels import LabelTable, name_classes
from core.data.preprocessing import Preprocessing
from core.data.reading import read_chunks
from core.data.sources import Source
from core.data.summary import Summary
from core.data.survey import SURVEY_SIZE
from core.data.worker_pool import available_cores, map_in_order
from core.distributed import SINGLE_PROCESS, ProcessGroup
from core.evaluation.scores import encode, posteriors

ROWS = 8192
"""Images in a row group."""

BATCH = 256
"""Images that go through the encoder at once."""

OWN_COLUMNS = ("file", "mean", "log_variance", "log_likelihood", "kl", "elbo", "x", "y")
"""Columns that are the file's own; a label of such a name is called `NAME (given)` there."""

Found = tuple[Tensor, list[str], dict[str, Any]]
"""Images, their names, and their labels."""

Block = tuple[Tensor, pa.Table]
"""Images, with a column `file` of their names and one for each label."""


@dataclass(frozen=True)
class LabelOptions:
    """Labels that a person gives: a CSV or parquet `table` of them, joined on the names of pictures, and `names` for the
    classes 0, 1, 2… of the label called `label`."""

    table: Path | None = None
    names: list[str] | None = None


def read_blocks(source: str, preprocessing: Preprocessing, most: int, given: LabelOptions, summary: Summary) -> Iterator[Block]:
    """The images of a data set, in order, at most so many at a time. Pictures that cannot be read are left out; the summary
    accounts for them. ValueError for a table of labels where images have no names."""
    pictures, table = find_pictures(source), LabelTable.read(given.table) if given.table is not None else None
    if pictures is None and table is not None:
        raise ValueError(f"--labels are joined on the names of picture files; {source} holds arrays, which have none.")
    found = (
        _arrays(source, preprocessing, most, summary)
        if pictures is None
        else _pictures(pictures, preprocessing, table, summary)
    )
    for images, names, labels in found:
        yield images, _labelled(names, name_classes(labels, given.names) if given.names else labels)


def _arrays(source: str, preprocessing: Preprocessing, most: int, summary: Summary) -> Iterator[Found]:
    for part in array_splits(source, preprocessing):
        for start in range(0, len(part.images), most):
            images = part.images[start : start + most]
            names = [f"row {summary.read + i}" for i in range(len(images))]
            summary.read += len(images)
            yield images, names, {name: column[start : start + most] for name, column in part.labels.items()}


def _pictures(pictures: Source, preprocessing: Preprocessing, table: LabelTable | None, summary: Summary) -> Iterator[Found]:
    if table is not None:
        table.choose_key([entry.name for entry in pictures.sample(SURVEY_SIZE)])
    # For few pictures, starting processes takes longer than decoding.
    workers = 1 if len(pictures) < 1000 else available_cores()
    for images, entries in read_chunks(pictures, preprocessing, workers, table, summary):
        labels = {name: [entry.labels[name] for entry in entries] for name in entries[0].labels}
        yield torch.from_numpy(images.copy()), [entry.name for entry in entries], labels


def _labelled(names: list[str], labels: dict[str, Any]) -> pa.Table:
    columns = {f"{name} (given)" if name in OWN_COLUMNS else name: pa.array(values) for name, values in labels.items()}
    return pa.table({"file": pa.array(names), **columns})


def rebatch(parts: Iterator[Block], rows: int) -> Iterator[Block]:
    """The same in blocks of so many images, the last one apart, whose columns are of the kinds that the first one's are."""
    waiting: list[Block] = []
    count, schema = 0, pa.schema([])
    for part in parts:
        waiting.append(part)
        count += len(part[0])
        if count >= rows:
            images, table = _concatenate(waiting)
            schema = schema if len(schema) else _general_schema(table.schema)
            yield images[:rows], table[:rows].cast(schema)
            waiting, count = [(images[rows:], table[rows:])], count - rows
    if count:
        images, table = _concatenate(waiting)
        yield images, table.cast(schema if len(schema) else _general_schema(table.schema))


def _concatenate(parts: list[Block]) -> Block:
    tables = pa.concat_tables([table for _, table in parts], promote_options="permissive")
    return torch.cat([images for images, _ in parts]), tables


def _general_schema(schema: pa.Schema) -> pa.Schema:
    """Numbers stay numbers, all else is text: what comes later fits in."""
    number = (pa.types.is_integer, pa.types.is_floating)
    return pa.schema([(each.name, each.type if any(kind(each.type) for kind in number) else pa.string()) for each in schema])


def write(
    bundle: Bundle,
    source: str,
    out: Path,
    device: torch.device | str | None = None,
    advance: Callable[[int], None] = lambda images: None,
    scores: bool = True,
    group: ProcessGroup = SINGLE_PROCESS,
    given: LabelOptions | None = None,
) -> Summary:
    """Encode a data set into a parquet file, a row group at a time; returns how many images, and what was left out.

    A row has the picture's name (`file`), posterior `mean` and `log_variance`, a float32 for each latent, with `scores` its
    `log_likelihood`, `kl` and `elbo` in nats (one draw of z), its place on the map, `x` and `y`, if there is one, and its
    labels: a column of numbers or of text for each, null where it is missing, under its own name, or as `NAME (given)` where
    that is one of the above. Pictures are fitted to the model's size and otherwise left as they are, as in training. Without
    scores nothing is decoded.

    Of several processes each encodes its part of every row group; the first one writes. The file is complete or not there.
    Raises ValueError when nothing can be read, and for labels that cannot be joined.
    """
    bundle.vae.to(device)
    rows = min(ROWS, max(512, 2**25 // math.prod(bundle.preprocessing.shape)))  # at most 32 MiB, or a few pictures
    summary = Summary()
    jobs = (
        (None, block)
        for block in rebatch(read_blocks(source, bundle.preprocessing, rows, given or LabelOptions(), summary), rows)
    )
    threads, alone = torch.get_num_threads(), group.count == 1 and next(bundle.vae.parameters()).device.type == "cpu"
    # Cores do more when each has a block of its own than when they share every step; reading and writing go on beside.
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) if alone else ThreadPoolExecutor(1)
    part = out.with_name(out.name + ".part")
    writer: pq.ParquetWriter | None = None
    try:
        for _, table in map_in_order(
            pool, partial(_encoded, bundle, scores=scores, group=group), jobs, threads if alone else 1
        ):
            if group.is_main:
                # Numbers hardly ever repeat, and names never do.
                repeated = [name for name in table.column_names if name not in OWN_COLUMNS]
                settings: dict[str, Any] = {"compression": "zstd", "use_dictionary": repeated}
                writer = writer or pq.ParquetWriter(part, table.schema, **settings)
                writer.write_table(table, row_group_size=ROWS)
            advance(len(table))
        if not summary.read:
            raise ValueError(f"{source} holds no pictures that can be read. " + " ".join(summary.lines()))
        if writer is not None:
            writer.close()
            part.replace(out)
    finally:
        torch.set_num_threads(threads)
        if writer is not None:
            if writer.is_open:
                writer.close()
            part.unlink(missing_ok=True)
    return summary


def _encoded(bundle: Bundle, block: Block, scores: bool, group: ProcessGroup) -> pa.Table:
    """The rows of a block."""
    images, given = bundle.preprocessing.evaluation_images(block[0]), block[1]
    if scores:
        found = encode(bundle.vae, images, batch_size=BATCH, group=group)
        mean, log_variance = found.mean, found.log_variance
        numbers = {"log_likelihood": found.log_likelihood, "kl": found.kl, "elbo": found.elbo}
    else:
        mean, log_variance = posteriors(bundle.vae, images, batch_size=BATCH, group=group)
        numbers = {}
    if bundle.map is not None:
        places = group.map_rows(bundle.map.place, mean)
        numbers |= {"x": places[:, 0], "y": places[:, 1]}
    columns = {"file": given["file"], "mean": _lists(mean), "log_variance": _lists(log_variance)}
    columns |= {name: pa.array(values.numpy()) for name, values in numbers.items()}
    return pa.table({**columns, **{name: given[name] for name in given.column_names[1:]}})


def _lists(matrix: Tensor) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.contiguous().flatten().numpy()), matrix.shape[1])
