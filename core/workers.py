"""Workers: processes that share the work of a loop, its results still in order."""

import multiprocessing
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Job = TypeVar("Job")
Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """Processor cores that this process may use, at most 16."""
    return min(16, len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


def mapped(function: Callable[[Task], Result], jobs: Iterable[tuple[Job, Task]], workers: int) -> Iterator[tuple[Job, Result]]:
    """Each job with the function's result for its task, in order. Only a few jobs per worker are under way at a time, so that
    an endless stream of them takes no more memory than a short one.

    One worker is this process. Raises ValueError when a worker dies, as it does when memory runs out.
    """
    if workers == 1:
        for job, task in jobs:
            yield job, function(task)
        return
    try:
        yield from in_order(start(workers), function, jobs, ahead=3 * workers)
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


def start(workers: int) -> Executor:
    """Processes where they can be copies of this one, which start at once; else threads: a fresh process would first have to
    read torch, for seconds."""
    if sys.platform != "linux":
        return ThreadPoolExecutor(workers)
    return ProcessPoolExecutor(
        workers, multiprocessing.get_context("fork"), initializer=warnings.simplefilter, initargs=("ignore",)
    )
