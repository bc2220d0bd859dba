"""Batches concurrent requests to decode."""

import asyncio
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

MAX_BATCH = 64
"""Latent vectors in one batch. A larger request is a batch of its own."""


class MicroBatcher:
    """Calls `decode` in a thread, for callers on an event loop, on batches of what they request.

    Requests that arrive while a batch is decoded form the next batch. Decoding 32 latent vectors at once costs a fraction of
    decoding them one by one. A caller waits for at most two batches, unless more than MAX_BATCH vectors are waiting.
    An exception of `decode` is raised in every caller of the batch.
    """

    def __init__(self, decode: Callable[[Tensor], Tensor]) -> None:
        self._decode = decode
        self._waiting: deque[tuple[Tensor, asyncio.Future[Tensor]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, z: Tensor) -> Tensor:
        """Return `decode(z)` for latents (n, latents)."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((z, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._decode_waiting())
        return await answer

    async def _decode_waiting(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft()]
            while self._waiting and sum(len(z) for z, _ in batch) + len(self._waiting[0][0]) <= MAX_BATCH:
                batch.append(self._waiting.popleft())
            try:
                decoded = await asyncio.to_thread(self._decode, torch.cat([z for z, _ in batch]))
            except Exception as error:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), part in zip(batch, decoded.split([len(z) for z, _ in batch]), strict=True):
                if not answer.done():  # its request may have been cancelled
                    answer.set_result(part)
        self._running = None
