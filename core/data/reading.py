"""Reading: a source of pictures → 8-bit images of one size with their labels, and an account of what was left out."""

import hashlib
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from torch import Tensor

from core.data.labels import LabelColumns, LabelTable
from core.data.pictures import COMMON_FORMATS, Colour, PictureError, Reason, is_colour, read_image, to_8bit
from core.data.preprocessing import Fit, Preprocessing
from core.data.sources import Content, Entry, Source, is_picture_name, read_content
from core.data.storage import ImageBuffer, ImagesOnDisk, memory_limit
from core.data.summary import Summary
from core.data.survey import SURVEY_SIZE, Survey, inspect
from core.data.worker_pool import available_cores, parallel_map

CHUNK_SIZE = 64
"""Entries that a worker decodes at a time."""

MAX_SERIAL_SECONDS = 2.0
"""Seconds that reading may take before other processes are started for it."""


@dataclass(frozen=True)
class Options:
    """What a person may say about how pictures are read; a size or a number of channels that is None is chosen.

    `max_size` bounds the side that is chosen, `paper` placements under transparent pictures, `labels` is a CSV or parquet file,
    `memory` the bytes that images may take before they go to disk, and `workers` the processes that decode_chunk.
    """

    size: int | None = None
    channels: int | None = None
    fit: Fit = "crop"
    max_size: int = 64
    paper: Colour | None = None
    labels: str | os.PathLike[str] | None = None
    memory: int | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.paper is not None and not (len(self.paper) == 3 and all(0 <= level <= 255 for level in self.paper)):
            raise ValueError(f"paper must be red, green and blue from 0 to 255; got {self.paper}.")
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (colour); got {self.channels}.")
        if self.size is not None and not 8 <= self.size <= 256:
            raise ValueError(f"size must be 8 to 256 pixels; got {self.size}.")


@dataclass(frozen=True)
class Reading:
    """Images (N, C, H, W) in the order of their source, each with its labels, its name there, and its part of an official split
    ("": none)."""

    images: Tensor | ImagesOnDisk
    labels: dict[str, np.ndarray]
    names: np.ndarray
    splits: np.ndarray
    preprocessing: Preprocessing
    """What fitted them; measured background and extent are not in it."""
    survey: Survey
    summary: Summary


class DecodedChunk(NamedTuple):
    """What became of a chunk of entries: images (k, C, H, W) of those that could be read, and for each entry the digest of
    its bytes, or the reason why it could not."""

    images: np.ndarray
    outcomes: list[bytes | Reason]
    converted_to_grey: int


def read(
    source: Source,
    options: Options | None = None,
    preprocessing: Preprocessing | None = None,
    advance: Callable[[int], None] = lambda entries: None,
) -> Reading:
    """Read all pictures of a source, each once, into memory or, where they need more of it than they may have, to disk.

    They are fitted to the shape of `preprocessing`, or, without, to one chosen from a look at some of them. What cannot be
    read is left out and accounted for, and so is every file but the first of those with the same content. `advance` is told
    the entries done. Raises ValueError when no picture is left.
    """
    options = options or Options()
    table = LabelTable.read(options.labels) if options.labels is not None else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about files that are then read, or left out and said to be
        survey, workers = survey_source(source, options.workers)
        target = preprocessing or replace(
            survey.choose_shape(options.max_size, options.fit, options.size, options.channels), paper=options.paper
        )
        if table is not None:
            table.choose_key([info.name for info in survey.pictures])
        buffer = ImageBuffer(target.shape, len(source), memory_limit() if options.memory is None else options.memory)
        summary, labels, names, splits = Summary(), LabelColumns(), [], []
        for images, entries in read_chunks(source, target, workers, table, summary, advance, distinct=True):
            buffer.add(images)
            for entry in entries:
                labels.add(entry.labels)
                names.append(entry.name)
                splits.append(entry.split)
    if not summary.read:
        raise ValueError(f"there are no pictures that can be read ({COMMON_FORMATS}). " + " ".join(summary.lines()))
    # An array of objects: in an array of strings each name would take as much memory as the longest.
    names = np.array(names, object)
    return Reading(buffer.close(), labels.arrays(), names, np.array(splits), target, survey, summary)


def survey_source(source: Source, workers: int | None) -> tuple[Survey, int]:
    """A look at some of the pictures, and how many processes are to read all of them: `workers`, if given."""
    began = time.monotonic()
    sample = source.sample(SURVEY_SIZE)
    seen = inspect(islice(sample, 16))
    needed = (time.monotonic() - began) / 16 * (len(source) + SURVEY_SIZE)
    workers = workers or (available_cores() if needed > MAX_SERIAL_SECONDS else 1)
    seen += [info for _, more in parallel_map(inspect, ((None, part) for part in chunks(sample)), workers) for info in more]
    return Survey(max(len(source), len(seen)), seen), workers


def read_chunks(
    source: Source,
    target: Preprocessing,
    workers: int,
    table: LabelTable | None,
    summary: Summary,
    advance: Callable[[int], None] = lambda entries: None,
    distinct: bool = False,
) -> Iterator[tuple[np.ndarray, list[Entry]]]:
    """Yield the images (k, C, H, W) of a source chunk by chunk, in order, with their entries, whose labels include the table's.

    An array is valid until the next one is requested. `summary` counts what is read and what is left out; with `distinct`,
    every file but the first of those with the same content is left out. `advance` is called with the number of entries done.
    """
    known: set[bytes] = set()
    for fault in source.left_out:
        summary.leave_out(*fault)
    for entries, decoded in parallel_map(partial(decode_chunk, target=target.resize_only), chunk_tasks(source), workers):
        taken, rows, row = [], [], -1
        for entry, outcome in zip(entries, decoded.outcomes, strict=True):
            if isinstance(outcome, str):
                summary.leave_out(entry.name, outcome)
                continue
            row += 1
            if distinct and outcome in known:
                summary.leave_out(entry.name, "duplicate")
                continue
            if distinct:
                known.add(outcome)
            rows.append(row)
            taken.append(entry._replace(labels={**entry.labels, **table.find(entry.name)}) if table is not None else entry)
        summary.read += len(taken)
        summary.converted_to_grey += decoded.converted_to_grey
        if taken:
            yield decoded.images if len(taken) == len(decoded.images) else decoded.images[rows], taken
        advance(len(entries))
    if table is not None:
        summary.unlabelled, summary.unmatched_rows = table.unlabelled, table.unmatched_rows


def chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """The entries, so many at a time that sending them to a worker costs little."""
    entries = iter(entries)
    return iter(lambda: list(islice(entries, CHUNK_SIZE)), [])


def chunk_tasks(source: Source) -> Iterator[tuple[list[Entry], list[tuple[str, Content]]]]:
    """Each chunk of entries with what a worker needs of it, which is not the labels."""
    for part in chunks(source):
        yield [entry._replace(content=b"") for entry in part], [(entry.name, entry.content) for entry in part]


def decode_chunk(entries: list[tuple[str, Content]], target: Preprocessing) -> DecodedChunk:
    """The pictures among these entries, as the target has them."""
    # One after another into their place, channels first: an array put together and turned later is two copies more.
    images, count = np.empty((len(entries), *target.shape), np.uint8), 0
    outcomes, converted_to_grey = [], 0
    size = target.width, target.height
    for name, content in entries:
        try:
            data = read_content(content, name)
            picture = to_8bit(read_image(data, size), target.paper, size)
            images[count] = target.fit_picture(picture).transpose(2, 0, 1)
        except PictureError as error:
            # What is no picture by its name either was never meant to be one.
            broken = error.reason == "not an image" and is_picture_name(name)
            outcomes.append("broken" if broken else error.reason)
            continue
        count += 1
        outcomes.append(hashlib.sha256(data).digest()[:16])  # processors have instructions for it
        converted_to_grey += target.channels == 1 and picture.mode == "RGB" and is_colour(picture.resize((16, 16)))
    return DecodedChunk(images[:count], outcomes, converted_to_grey)
