"""Read a source of pictures as 8-bit images of one size, with labels and a summary of the files left out."""

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
"""Entries in one task of a worker."""

MAX_SERIAL_SECONDS = 2.0
"""Worker processes are started if reading in this process would take longer, in seconds."""


@dataclass(frozen=True)
class Options:
    """The user's options for reading pictures.

    `size` is the side of square images and `channels` is 1 or 3; None means that it is chosen from a sample of the pictures,
    with sides of at most `max_size`. `paper` is the matte colour under transparent pictures, `labels` a CSV or parquet file,
    `memory` the limit in bytes above which images are stored on disk, and `workers` the number of processes that decode.
    Raises ValueError for a value out of range.
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
    """Images (N, C, H, W) in the order of the source, with the labels, the name and the official split ("": none) of each."""

    images: Tensor | ImagesOnDisk
    labels: dict[str, np.ndarray]
    names: np.ndarray
    splits: np.ndarray
    preprocessing: Preprocessing
    """The preprocessing that resized the images, without background and framing."""
    survey: Survey
    summary: Summary


class DecodedChunk(NamedTuple):
    """A decoded chunk: the images (k, C, H, W) of its readable entries, and the digest or error of each entry."""

    images: np.ndarray
    outcomes: list[bytes | Reason]
    converted_to_grey: int


def read(
    source: Source,
    options: Options | None = None,
    preprocessing: Preprocessing | None = None,
    advance: Callable[[int], None] = lambda entries: None,
) -> Reading:
    """Read all pictures of a source into memory or, above the memory limit, to disk.

    Pictures are resized to the shape of `preprocessing` or, by default, to a shape chosen from a sample of them. Unreadable
    files are left out and listed in the summary, and so are duplicates of an earlier file. `advance` is called with the number
    of entries done. Raises ValueError if no picture can be read.
    """
    options = options or Options()
    table = LabelTable.read(options.labels) if options.labels is not None else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings; unreadable files are in the summary
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
    # Objects, because in an array of strings each name takes as much memory as the longest.
    names = np.array(names, object)
    return Reading(buffer.close(), labels.arrays(), names, np.array(splits), target, survey, summary)


def survey_source(source: Source, workers: int | None) -> tuple[Survey, int]:
    """Inspect a sample of the pictures, and choose the number of worker processes unless it is given."""
    start = time.monotonic()
    sample = source.sample(SURVEY_SIZE)
    pictures = inspect(islice(sample, 16))
    seconds = (time.monotonic() - start) / 16 * (len(source) + SURVEY_SIZE)
    workers = workers or (available_cores() if seconds > MAX_SERIAL_SECONDS else 1)
    tasks = ((None, chunk) for chunk in chunks(sample))
    pictures += [info for _, more in parallel_map(inspect, tasks, workers) for info in more]
    return Survey(max(len(source), len(pictures)), pictures), workers


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
    for name, reason in source.left_out:
        summary.leave_out(name, reason)
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
    """Yield the entries in chunks, large enough that sending one to a worker costs little."""
    entries = iter(entries)
    return iter(lambda: list(islice(entries, CHUNK_SIZE)), [])


def chunk_tasks(source: Source) -> Iterator[tuple[list[Entry], list[tuple[str, Content]]]]:
    """Yield each chunk of entries without their contents, and the task for a worker: their names and contents."""
    for chunk in chunks(source):
        yield [entry._replace(content=b"") for entry in chunk], [(entry.name, entry.content) for entry in chunk]


def decode_chunk(entries: list[tuple[str, Content]], target: Preprocessing) -> DecodedChunk:
    """Decode the pictures among these entries and resize them to the target's shape."""
    # Writing each image channels-first into one array avoids two copies.
    images, count = np.empty((len(entries), *target.shape), np.uint8), 0
    outcomes, converted_to_grey = [], 0
    size = target.width, target.height
    for name, content in entries:
        try:
            data = read_content(content, name)
            picture = to_8bit(read_image(data, size), target.paper, size)
            images[count] = target.fit_picture(picture).transpose(2, 0, 1)
        except PictureError as error:
            # A file that is neither named like a picture nor readable as one was not meant to be a picture.
            broken = error.reason == "not an image" and is_picture_name(name)
            outcomes.append("broken" if broken else error.reason)
            continue
        count += 1
        outcomes.append(hashlib.sha256(data).digest()[:16])  # processors have SHA-256 instructions
        converted_to_grey += target.channels == 1 and picture.mode == "RGB" and is_colour(picture.resize((16, 16)))
    return DecodedChunk(images[:count], outcomes, converted_to_grey)
