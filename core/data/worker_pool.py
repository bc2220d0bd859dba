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

Key = TypeVar("Key")
Task = TypeVar("Task")
Result = TypeVar("Result")


def available_cores() -> int:
    """Processor cores that this process may use, at most 16."""
    return min(16, len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


def parallel_map(
    function: Callable[[Task], Result], jobs: Iterable[tuple[Key, Task]], workers: int
) -> Iterator[tuple[Key, Result]]:
    """Each key with the function's result for its task, in order. Only a few jobs per worker are under way at a time, so that
    an endless stream of them takes no more memory than a short one. The arrays in a result are good until the next one is
    asked for: copy what is to stay.

    One worker is this process. Raises ValueError when a worker dies, as it does when memory runs out.
    """
    if workers == 1:
        for key, task in jobs:
            yield key, function(task)
        return
    max_pending = 3 * workers
    if sys.platform != "linux":
        # Threads: a fresh process would first have to read torch, for seconds.
        yield from map_in_order(ThreadPoolExecutor(workers), function, jobs, max_pending)
        return
    # Processes that are copies of this one start at once, and have the buffer.
    buffer = SharedBuffer(max_pending + 2)
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(workers, fork, initializer=attach, initargs=(buffer,))
    try:
        for key, shared in map_in_order(pool, partial(run_task, function), buffer.assign_slots(jobs), max_pending):
            yield key, buffer.take(shared)
    except BrokenProcessPool as error:
        raise ValueError(
            "a process that reads pictures was ended from outside, or by a picture that no decoder survives. If memory ran "
            "out, use fewer workers."
        ) from error


def map_in_order(
    pool: Executor, function: Callable[[Task], Result], jobs: Iterable[tuple[Key, Task]], max_pending: int
) -> Iterator[tuple[Key, Result]]:
    """Each key with the function's result for its task, in order, from a pool that ends with them. The jobs are taken here, and
    only so many before their turn."""
    waiting: deque[tuple[Key, Future[Result]]] = deque()
    try:
        for key, task in jobs:
            waiting.append((key, pool.submit(function, task)))
            if len(waiting) > max_pending:
                key, future = waiting.popleft()
                yield key, future.result()
        for key, future in waiting:
            yield key, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


SLOT_BYTES = 16 << 20
"""Bytes of a slot on a buffer. Those that are never written take no memory; arrays that do not fit go through the pipe."""


class SharedArray(NamedTuple):
    """A result whose arrays lie on a buffer: at which slot, how many bytes each has, and the rest of it, pickled."""

    slot: int
    sizes: list[int]
    rest: bytes


class SharedBuffer:
    """Memory that processes share, with a slot for each result under way: its arrays are shared there, and taken from there.

    Through a pipe they would be copied four times, into new memory each time.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._memory = memoryview(mmap.mmap(-1, slots * SLOT_BYTES))

    def assign_slots(self, jobs: Iterable[tuple[Key, Task]]) -> Iterator[tuple[Key, tuple[int, Task]]]:
        """The jobs, their tasks with the slots for their results, which come round again."""
        for i, (key, task) in enumerate(jobs):
            yield key, (i % self.slots, task)

    def to_shared(self, slot: int, result: object) -> SharedArray:
        """Put a result's arrays down (PEP 574)."""
        sizes: list[int] = []

        def put(array: pickle.PickleBuffer) -> bool:
            start, raw = slot * SLOT_BYTES + sum(sizes), array.raw()
            if sum(sizes) + len(raw) > SLOT_BYTES:
                return True  # goes with the rest
            self._memory[start : start + len(raw)] = raw
            sizes.append(len(raw))
            return False

        return SharedArray(slot, sizes, pickle.dumps(result, 5, buffer_callback=put))

    def take(self, shared: SharedArray) -> Any:
        """The result; its arrays stay where they lie."""
        arrays, at = [], shared.slot * SLOT_BYTES
        for size in shared.sizes:
            arrays.append(self._memory[at : at + size])
            at += size
        return pickle.loads(shared.rest, buffers=arrays)


worker_buffers: list[SharedBuffer] = []
"""A process's own buffer, once it is a worker."""


def attach(buffer: SharedBuffer) -> None:
    """Make this process a worker at a buffer."""
    warnings.simplefilter("ignore")
    worker_buffers[:] = [buffer]


def run_task(function: Callable[[Task], object], slot_and_task: tuple[int, Task]) -> SharedArray:
    """What a worker does: the function's result, shared on its buffer."""
    slot, task = slot_and_task
    return worker_buffers[0].to_shared(slot, function(task))
