"""Laws of shared work: every result, in order, whoever worked it out and however large it is."""

import os

import numpy as np
import pytest

from core.data.worker_pool import SLOT_BYTES, parallel_map


def squares(n: int) -> tuple[int, np.ndarray, list[np.ndarray]]:
    """A number's process, an array of it in one piece, and some in others, down to none."""
    return os.getpid(), np.full((n % 7, 3), n * n), [np.arange(n)[::2], np.empty(0, np.uint8)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order_with_their_arrays(workers: int) -> None:
    """Also when there are many more than are under way at a time, whose places are used again."""
    processes = set()
    for i, (job, (process, square, rest)) in enumerate(parallel_map(squares, ((str(n), n) for n in range(200)), workers)):
        processes.add(process)
        assert job == str(i)
        assert square.shape == (i % 7, 3)
        assert (square == i * i).all()
        assert rest[0].tolist() == list(range(0, i, 2))
        assert rest[1].size == 0
    assert (os.getpid() in processes) == (workers == 1)


def two(n: int) -> list[np.ndarray]:
    """One array that fits into a place, and then one that does not."""
    return [np.full(SLOT_BYTES // 2, n, np.uint8), np.full(SLOT_BYTES // 2 + 1, n + 1, np.uint8)]


def test_arrays_too_large_for_their_place_come_all_the_same() -> None:
    for n, (small, large) in parallel_map(two, ((n, n) for n in range(9)), 2):
        assert (len(small), len(large)) == (SLOT_BYTES // 2, SLOT_BYTES // 2 + 1)
        assert (small == n).all()
        assert (large == n + 1).all()


def fail(n: int) -> int:
    if n == 5:
        raise KeyError("five")
    return n


def test_what_a_worker_raises_is_raised_here() -> None:
    with pytest.raises(KeyError, match="five"):
        list(parallel_map(fail, ((n, n) for n in range(20)), 2))
    with pytest.raises(ValueError, match="was ended from outside"):
        list(parallel_map(os._exit, ((n, 1) for n in range(20)), 2))
