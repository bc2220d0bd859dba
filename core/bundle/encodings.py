"""Encodings of a whole data set, written to a parquet file block by block in constant memory."""

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
"""Maximum number of images in a row group."""

BATCH = 256
"""Images per encoder batch."""

OWN_COLUMNS = ("file", "mean", "log_variance", "log_likelihood", "kl", "elbo", "x", "y")
"""Names of the columns that are not labels; a label with such a name is written as `NAME (given)`."""

NamedImages = tuple[Tensor, list[str], dict[str, Any]]
"""Images, their names and their columns of labels."""

Block = tuple[Tensor, pa.Table]
"""Images, and a table with their names in the column `file` and a column for each label."""


@dataclass(frozen=True)
class LabelOptions:
    """Labels given by the user: a CSV or parquet `table`, joined on the names of pictures, and `names` for the classes
    0, 1, 2… of the label called `label`."""

    table: Path | None = None
    names: list[str] | None = None


def read_blocks(
    source: str, preprocessing: Preprocessing, max_images: int, label_options: LabelOptions, summary: Summary
) -> Iterator[Block]:
    """Yield the images of a data set in order, in blocks of at most `max_images`.

    Unreadable pictures are left out and counted in `summary`. Raises ValueError for a table of labels if images have no names.
    """
    pictures, table = find_pictures(source), LabelTable.read(label_options.table) if label_options.table is not None else None
    if pictures is None and table is not None:
        raise ValueError(f"--labels are joined on the names of picture files; {source} holds arrays, which have none.")
    if pictures is None:
        named_images = _read_arrays(source, preprocessing, max_images, summary)
    else:
        named_images = _read_pictures(pictures, preprocessing, table, summary)
    for images, names, labels in named_images:
        yield images, _to_table(names, name_classes(labels, label_options.names) if label_options.names else labels)


def _read_arrays(source: str, preprocessing: Preprocessing, max_images: int, summary: Summary) -> Iterator[NamedImages]:
    for part in array_splits(source, preprocessing):
        for start in range(0, len(part.images), max_images):
            images = part.images[start : start + max_images]
            names = [f"row {summary.read + i}" for i in range(len(images))]
            summary.read += len(images)
            yield images, names, {name: column[start : start + max_images] for name, column in part.labels.items()}


def _read_pictures(
    pictures: Source, preprocessing: Preprocessing, table: LabelTable | None, summary: Summary
) -> Iterator[NamedImages]:
    if table is not None:
        table.choose_key([entry.name for entry in pictures.sample(SURVEY_SIZE)])
    # For few pictures, starting processes takes longer than decoding.
    workers = 1 if len(pictures) < 1000 else available_cores()
    for images, entries in read_chunks(pictures, preprocessing, workers, table, summary):
        labels = {name: [entry.labels[name] for entry in entries] for name in entries[0].labels}
        yield torch.from_numpy(images.copy()), [entry.name for entry in entries], labels


def _to_table(names: list[str], labels: dict[str, Any]) -> pa.Table:
    columns = {f"{name} (given)" if name in OWN_COLUMNS else name: pa.array(values) for name, values in labels.items()}
    return pa.table({"file": pa.array(names), **columns})


def rebatch(blocks: Iterator[Block], rows: int) -> Iterator[Block]:
    """Yield the images in blocks of `rows`, the last one shorter. All tables are cast to the schema of the first."""
    waiting: list[Block] = []
    count, schema = 0, pa.schema([])
    for block in blocks:
        waiting.append(block)
        count += len(block[0])
        if count >= rows:
            images, table = _concatenate(waiting)
            schema = schema if len(schema) else _general_schema(table.schema)
            yield images[:rows], table[:rows].cast(schema)
            waiting, count = [(images[rows:], table[rows:])], count - rows
    if count:
        images, table = _concatenate(waiting)
        yield images, table.cast(schema if len(schema) else _general_schema(table.schema))


def _concatenate(blocks: list[Block]) -> Block:
    table = pa.concat_tables([table for _, table in blocks], promote_options="permissive")
    return torch.cat([images for images, _ in blocks]), table


def _general_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema with all types but numbers replaced by text, so that later tables can be cast to it."""
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
    label_options: LabelOptions | None = None,
) -> Summary:
    """Encode a data set into a parquet file, one row group at a time; return a summary of what was read and left out.

    Columns: the picture's name (`file`); posterior `mean` and `log_variance`, lists of float32; with `scores` also
    `log_likelihood`, `kl` and `elbo` in nats (one draw of z); if the bundle has a map, the position `x`, `y`; and a column of
    numbers or text for each label, null where missing. A label with one of these names is written as `NAME (given)`. Pictures
    are fitted to the model's size as in training. Without `scores` the decoder is not run.

    The processes of `group` share each row group; the main process writes. The file is written atomically.
    Raises ValueError if nothing can be read or the labels cannot be joined.
    """
    bundle.vae.to(device)
    rows = min(ROWS, max(512, 2**25 // math.prod(bundle.preprocessing.shape)))  # at most 32 MiB, unless 512 images are larger
    summary = Summary()
    blocks = read_blocks(source, bundle.preprocessing, rows, label_options or LabelOptions(), summary)
    jobs = ((None, block) for block in rebatch(blocks, rows))
    threads, parallel = torch.get_num_threads(), group.count == 1 and next(bundle.vae.parameters()).device.type == "cpu"
    # On a CPU, one block per thread is faster than all threads on one block. Reading and writing run at the same time.
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) if parallel else ThreadPoolExecutor(1)
    partial_file = out.with_name(out.name + ".part")
    writer: pq.ParquetWriter | None = None
    try:
        for _, table in map_in_order(
            pool, partial(_encode_block, bundle, scores=scores, group=group), jobs, threads if parallel else 1
        ):
            if group.is_main:
                # A dictionary helps only labels: numbers rarely repeat, and names never do.
                label_columns = [name for name in table.column_names if name not in OWN_COLUMNS]
                settings: dict[str, Any] = {"compression": "zstd", "use_dictionary": label_columns}
                writer = writer or pq.ParquetWriter(partial_file, table.schema, **settings)
                writer.write_table(table, row_group_size=ROWS)
            advance(len(table))
        if not summary.read:
            raise ValueError(f"{source} holds no pictures that can be read. " + " ".join(summary.lines()))
        if writer is not None:
            writer.close()
            partial_file.replace(out)
    finally:
        torch.set_num_threads(threads)
        if writer is not None:
            if writer.is_open:
                writer.close()
            partial_file.unlink(missing_ok=True)
    return summary


def _encode_block(bundle: Bundle, block: Block, scores: bool, group: ProcessGroup) -> pa.Table:
    """Encode a block; return its rows of the file."""
    images, label_table = bundle.preprocessing.evaluation_images(block[0]), block[1]
    if scores:
        encodings = encode(bundle.vae, images, batch_size=BATCH, group=group)
        mean, log_variance = encodings.mean, encodings.log_variance
        numbers = {"log_likelihood": encodings.log_likelihood, "kl": encodings.kl, "elbo": encodings.elbo}
    else:
        mean, log_variance = posteriors(bundle.vae, images, batch_size=BATCH, group=group)
        numbers = {}
    if bundle.map is not None:
        positions = group.map_rows(bundle.map.place, mean)
        numbers |= {"x": positions[:, 0], "y": positions[:, 1]}
    columns = {"file": label_table["file"], "mean": _lists(mean), "log_variance": _lists(log_variance)}
    columns |= {name: pa.array(values.numpy()) for name, values in numbers.items()}
    return pa.table({**columns, **{name: label_table[name] for name in label_table.column_names[1:]}})


def _lists(matrix: Tensor) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.contiguous().flatten().numpy()), matrix.shape[1])
