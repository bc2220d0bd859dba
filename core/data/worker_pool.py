"""Parallel map over worker processes, with results in order and arrays returned through shared memory."""

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
    """The number of processor cores that this process may use, at most 16."""
    return min(16, len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


def parallel_map(
    function: Callable[[Task], Result], jobs: Iterable[tuple[Key, Task]], workers: int
) -> Iterator[tuple[Key, Result]]:
    """Yield each job's key with the function's result for its task, in order.

    Each worker has only a few jobs pending, so that memory does not grow with the number of jobs. The arrays in a result are
    valid only until the next result is requested. With one worker, this process does the work itself. Raises ValueError when a
    worker process dies, for example because memory runs out.
    """
    if workers == 1:
        for key, task in jobs:
            yield key, function(task)
        return
    max_pending = 3 * workers
    if sys.platform != "linux":
        # Threads, because a new process would need seconds to import torch.
        yield from map_in_order(ThreadPoolExecutor(workers), function, jobs, max_pending)
        return
    # Forked processes start at once and inherit the buffer.
    buffer = SharedBuffer(max_pending + 2)
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(workers, fork, initializer=attach, initargs=(buffer,))
    try:
        for key, shared in map_in_order(pool, partial(run_task, function), buffer.assign_slots(jobs), max_pending):
            yield key, buffer.load(shared)
    except BrokenProcessPool as error:
        raise ValueError(
            "a process that decodes pictures was ended from outside, or crashed on a damaged picture. If memory ran "
            "out, use fewer workers."
        ) from error


def map_in_order(
    pool: Executor, function: Callable[[Task], Result], jobs: Iterable[tuple[Key, Task]], max_pending: int
) -> Iterator[tuple[Key, Result]]:
    """Yield each job's key with the function's result for its task, in order; shut the pool down at the end.

    This thread iterates over `jobs`, at most `max_pending` ahead of the results.
    """
    pending: deque[tuple[Key, Future[Result]]] = deque()
    try:
        for key, task in jobs:
            pending.append((key, pool.submit(function, task)))
            if len(pending) > max_pending:
                key, future = pending.popleft()
                yield key, future.result()
        for key, future in pending:
            yield key, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


SLOT_BYTES = 16 << 20
"""Bytes in a slot of a shared buffer. Unused pages take no memory. Arrays that do not fit are sent through the pipe."""


class SharedResult(NamedTuple):
    """A result whose arrays are in a slot of the shared buffer: the bytes of each array, and the pickle of the rest."""

    slot: int
    sizes: list[int]
    pickled: bytes


class SharedBuffer:
    """Shared memory with a slot for the arrays of each pending result.

    A pipe would copy the arrays four times, each time into new memory.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._memory = memoryview(mmap.mmap(-1, slots * SLOT_BYTES))

    def assign_slots(self, jobs: Iterable[tuple[Key, Task]]) -> Iterator[tuple[Key, tuple[int, Task]]]:
        """The jobs, each task with the slot for its result. Slots are used in turn."""
        for i, (key, task) in enumerate(jobs):
            yield key, (i % self.slots, task)

    def to_shared(self, slot: int, result: object) -> SharedResult:
        """Write a result's arrays into a slot and pickle the rest (PEP 574)."""
        sizes: list[int] = []

        def write(array: pickle.PickleBuffer) -> bool:
            start, raw = slot * SLOT_BYTES + sum(sizes), array.raw()
            if sum(sizes) + len(raw) > SLOT_BYTES:
                return True  # pickled with the rest
            self._memory[start : start + len(raw)] = raw
            sizes.append(len(raw))
            return False

        return SharedResult(slot, sizes, pickle.dumps(result, 5, buffer_callback=write))

    def load(self, shared: SharedResult) -> Any:
        """The result, whose arrays are views of the shared memory."""
        arrays, start = [], shared.slot * SLOT_BYTES
        for size in shared.sizes:
            arrays.append(self._memory[start : start + size])
            start += size
        return pickle.loads(shared.pickled, buffers=arrays)


worker_buffers: list[SharedBuffer] = []
"""The shared buffer of this process, if it is a worker."""


def attach(buffer: SharedBuffer) -> None:
    """Initialise a worker process with the shared buffer."""
    warnings.simplefilter("ignore")
    worker_buffers[:] = [buffer]


def run_task(function: Callable[[Task], object], slot_and_task: tuple[int, Task]) -> SharedResult:
    """Run the function in a worker and return its result through the shared buffer."""
    slot, task = slot_and_task
    return worker_buffers[0].to_shared(slot, function(task))
