"""Tests of batching concurrent requests."""

import asyncio
import threading

import pytest
import torch
from loop import run
from torch import Tensor

from explorer.app.batching import MAX_BATCH, MicroBatcher


class FakeDecoder:
    """A fake decoder that doubles its input and records batch sizes; it blocks until `go` is set."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()

    def __call__(self, z: Tensor) -> Tensor:
        assert self.go.wait(10)
        self.batches.append(len(z))
        if (z < 0).any():
            raise FloatingPointError("below zero")
        return 2 * z


async def send_concurrently(decoder: FakeDecoder, *requests: Tensor) -> list[Tensor | BaseException]:
    """Send all requests concurrently and return the results or exceptions."""
    batcher = MicroBatcher(decoder)
    tasks = [asyncio.create_task(batcher(z)) for z in requests]
    await asyncio.sleep(0.05)
    decoder.go.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_concurrent_requests_form_one_batch_with_separate_results() -> None:
    decoder = FakeDecoder()
    requests = [torch.full((1 + i % 3, 2), float(i)) for i in range(20)]
    answers = run(send_concurrently(decoder, *requests))
    assert all(torch.equal(answer, 2 * z) for answer, z in zip(answers, requests, strict=True))
    assert decoder.batches == [39]


def test_batches_have_at_most_max_batch_rows_in_order() -> None:
    decoder = FakeDecoder()
    requests = [torch.full((24, 1), float(i)) for i in range(6)] + [torch.full((MAX_BATCH + 1, 1), 6.0)]
    answers = run(send_concurrently(decoder, *requests))
    assert all(torch.equal(answer, 2 * z) for answer, z in zip(answers, requests, strict=True))
    assert decoder.batches == [48, 48, 48, MAX_BATCH + 1]


def test_an_error_reaches_only_the_requests_of_its_batch() -> None:
    decoder = FakeDecoder()
    answers = run(send_concurrently(decoder, torch.ones(40, 1), -torch.ones(40, 1), torch.ones(40, 1)))
    assert [isinstance(answer, FloatingPointError) for answer in answers] == [False, True, False]


def test_cancelling_one_request_does_not_affect_others() -> None:
    async def cancel_one() -> Tensor:
        decoder = FakeDecoder()
        batcher = MicroBatcher(decoder)
        cancelled, remaining = (asyncio.create_task(batcher(torch.ones(1, 1))) for _ in range(2))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        decoder.go.set()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        return await remaining

    assert torch.equal(run(cancel_one()), torch.full((1, 1), 2.0))
