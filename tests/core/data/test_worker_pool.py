"""Tests of the worker pool: it yields every result in order, for any number of workers and any size."""

import os

import numpy as np
import pytest

from core.data.worker_pool import SLOT_BYTES, parallel_map


def squares(n: int) -> tuple[int, np.ndarray, list[np.ndarray]]:
    """The process id, a contiguous array, a strided array and an empty array."""
    return os.getpid(), np.full((n % 7, 3), n * n), [np.arange(n)[::2], np.empty(0, np.uint8)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_are_in_order_with_their_arrays(workers: int) -> None:
    """There are more jobs than slots of shared memory, so slots are reused."""
    processes = set()
    for i, (job, (process, square, rest)) in enumerate(parallel_map(squares, ((str(n), n) for n in range(200)), workers)):
        processes.add(process)
        assert job == str(i)
        assert square.shape == (i % 7, 3)
        assert (square == i * i).all()
        assert rest[0].tolist() == list(range(0, i, 2))
        assert rest[1].size == 0
    assert (os.getpid() in processes) == (workers == 1)


def small_and_large(n: int) -> list[np.ndarray]:
    """An array that fits into a slot, and one that does not."""
    return [np.full(SLOT_BYTES // 2, n, np.uint8), np.full(SLOT_BYTES // 2 + 1, n + 1, np.uint8)]


def test_arrays_larger_than_a_slot_are_returned() -> None:
    for n, (small, large) in parallel_map(small_and_large, ((n, n) for n in range(9)), 2):
        assert (len(small), len(large)) == (SLOT_BYTES // 2, SLOT_BYTES // 2 + 1)
        assert (small == n).all()
        assert (large == n + 1).all()


def fail(n: int) -> int:
    if n == 5:
        raise KeyError("five")
    return n


def test_an_error_in_a_worker_is_raised_in_the_caller() -> None:
    with pytest.raises(KeyError, match="five"):
        list(parallel_map(fail, ((n, n) for n in range(20)), 2))
    with pytest.raises(ValueError, match="was ended from outside"):
        list(parallel_map(os._exit, ((n, 1) for n in range(20)), 2))
