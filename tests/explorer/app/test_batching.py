"""Laws of drawing together: what comes meanwhile is one batch, everybody gets his own, and an error is told to all."""

import asyncio
import threading

import pytest
import torch
from loop import run
from torch import Tensor

from explorer.app.batching import MAX_BATCH, MicroBatcher


class Painter:
    """Twice the points, in batches that are noted; the first waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()

    def __call__(self, z: Tensor) -> Tensor:
        assert self.go.wait(10)
        self.batches.append(len(z))
        if (z < 0).any():
            raise FloatingPointError("below zero")
        return 2 * z


async def crowd(painter: Painter, *asked: Tensor) -> list[Tensor | BaseException]:
    """All of them at once."""
    together = MicroBatcher(painter)
    tasks = [asyncio.create_task(together(z)) for z in asked]
    await asyncio.sleep(0.05)
    painter.go.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_what_comes_meanwhile_is_one_batch_and_everybody_gets_his_own() -> None:
    painter = Painter()
    asked = [torch.full((1 + i % 3, 2), float(i)) for i in range(20)]
    answers = run(crowd(painter, *asked))
    assert all(torch.equal(answer, 2 * z) for answer, z in zip(answers, asked, strict=True))
    assert painter.batches == [39]


def test_no_batch_is_larger_than_it_may_be_and_the_order_is_kept() -> None:
    painter = Painter()
    asked = [torch.full((24, 1), float(i)) for i in range(6)] + [torch.full((MAX_BATCH + 1, 1), 6.0)]
    answers = run(crowd(painter, *asked))
    assert all(torch.equal(answer, 2 * z) for answer, z in zip(answers, asked, strict=True))
    assert painter.batches == [48, 48, 48, MAX_BATCH + 1]


def test_an_error_is_told_to_all_of_its_batch_and_to_nobody_else() -> None:
    painter = Painter()
    answers = run(crowd(painter, torch.ones(40, 1), -torch.ones(40, 1), torch.ones(40, 1)))
    assert [isinstance(answer, FloatingPointError) for answer in answers] == [False, True, False]


def test_who_leaves_takes_nothing_from_the_others() -> None:
    async def leave() -> Tensor:
        painter = Painter()
        together = MicroBatcher(painter)
        gone, stays = (asyncio.create_task(together(torch.ones(1, 1))) for _ in range(2))
        await asyncio.sleep(0.05)
        gone.cancel()
        painter.go.set()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await stays

    assert torch.equal(run(leave()), torch.full((1, 1), 2.0))
