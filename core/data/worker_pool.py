"""Workers: processes that share the work of a loop, its results still in order."""

import mmap
import multiprocessing
import os
import pickle
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, NamedTuple, TypeVar

Job = TypeVar("Job")
Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """Processor cores that this process may use, at most 16."""
    return min(16, len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


def mapped(function: Callable[[Task], Result], jobs: Iterable[tuple[Job, Task]], workers: int) -> Iterator[tuple[Job, Result]]:
    """Each job with the function's result for its task, in order. Only a few jobs per worker are under way at a time, so that
    an endless stream of them takes no more memory than a short one. The arrays in a result are good until the next one is
    asked for: copy what is to stay.

    One worker is this process. Raises ValueError when a worker dies, as it does when memory runs out.
    """
    if workers == 1:
        for job, task in jobs:
            yield job, function(task)
        return
    ahead = 3 * workers
    if sys.platform != "linux":
        # Threads: a fresh process would first have to read torch, for seconds.
        yield from in_order(ThreadPoolExecutor(workers), function, jobs, ahead)
        return
    # Processes that are copies of this one start at once, and have the desk.
    desk = SharedBuffer(ahead + 2)
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(workers, fork, initializer=attach, initargs=(desk,))
    try:
        for job, laid in in_order(pool, partial(to_shared, function), desk.placed(jobs), ahead):
            yield job, desk.take(laid)
    except BrokenProcessPool as error:
        raise ValueError(
            "a process that reads pictures was ended from outside, or by a picture that no decoder survives. If memory ran "
            "out, use fewer workers."
        ) from error


def in_order(
    pool: Executor, function: Callable[[Task], Result], jobs: Iterable[tuple[Job, Task]], ahead: int
) -> Iterator[tuple[Job, Result]]:
    """Each job with the function's result for its task, in order, from a pool that ends with them. The jobs are taken here, and
    only so many before their turn."""
    waiting: deque[tuple[Job, Future[Result]]] = deque()
    try:
        for job, task in jobs:
            waiting.append((job, pool.submit(function, task)))
            if len(waiting) > ahead:
                job, future = waiting.popleft()
                yield job, future.result()
        for job, future in waiting:
            yield job, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


BUFFER = 16 << 20
"""Bytes of a place on a desk. Those that are never written take no memory; arrays that do not fit go through the pipe."""


class SharedArray(NamedTuple):
    """A result whose arrays lie on a desk: at which place, how many bytes each has, and the rest of it, pickled."""

    place: int
    sizes: list[int]
    rest: bytes


class SharedBuffer:
    """Memory that processes share, with a place for each result under way: its arrays are laid there, and taken from there.

    Through a pipe they would be copied four times, into new memory each time.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._memory = memoryview(mmap.mmap(-1, places * BUFFER))

    def placed(self, jobs: Iterable[tuple[Job, Task]]) -> Iterator[tuple[Job, tuple[int, Task]]]:
        """The jobs, their tasks with the places for their results, which come round again."""
        for i, (job, task) in enumerate(jobs):
            yield job, (i % self.places, task)

    def to_shared(self, place: int, result: object) -> SharedArray:
        """Put a result's arrays down (PEP 574)."""
        sizes: list[int] = []

        def put(array: pickle.PickleBuffer) -> bool:
            start, raw = place * BUFFER + sum(sizes), array.raw()
            if sum(sizes) + len(raw) > BUFFER:
                return True  # goes with the rest
            self._memory[start : start + len(raw)] = raw
            sizes.append(len(raw))
            return False

        return SharedArray(place, sizes, pickle.dumps(result, 5, buffer_callback=put))

    def take(self, laid: SharedArray) -> Any:
        """The result; its arrays stay where they lie."""
        arrays, at = [], laid.place * BUFFER
        for size in laid.sizes:
            arrays.append(self._memory[at : at + size])
            at += size
        return pickle.loads(laid.rest, buffers=arrays)


buffers: list[SharedBuffer] = []
"""A process's own desk, once it is a worker."""


def attach(desk: SharedBuffer) -> None:
    """Make this process a worker at a desk."""
    warnings.simplefilter("ignore")
    buffers[:] = [desk]


def to_shared(function: Callable[[Task], object], placed: tuple[int, Task]) -> SharedArray:
    """What a worker does: the function's result, laid on its desk."""
    place, task = placed
    return buffers[0].to_shared(place, function(task))
