"""Pictures of several visitors, drawn at once."""

import asyncio
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

MOST = 64
"""Points in one batch; a request that brings more than this is a batch of its own."""


class MicroBatcher:
    """`decode` for callers on an event loop: while a batch is being drawn, in a thread, whatever is asked for waits, and is the
    next batch. Of 32 points at once each costs a fraction of what it costs alone, and no caller waits for more than two
    batches before his is drawn, unless more than MOST points wait.

    An error of `decode` is raised to every caller of the batch.
    """

    def __init__(self, decode: Callable[[Tensor], Tensor]) -> None:
        self._decode = decode
        self._waiting: deque[tuple[Tensor, asyncio.Future[Tensor]]] = deque()
        self._drawing: asyncio.Task[None] | None = None

    async def __call__(self, z: Tensor) -> Tensor:
        """What `decode` gives for points (n, latents)."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((z, answer))
        if self._drawing is None:
            self._drawing = asyncio.create_task(self._draw())
        return await answer

    async def _draw(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft()]
            while self._waiting and sum(len(z) for z, _ in batch) + len(self._waiting[0][0]) <= MOST:
                batch.append(self._waiting.popleft())
            try:
                drawn = await asyncio.to_thread(self._decode, torch.cat([z for z, _ in batch]))
            except Exception as error:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), part in zip(batch, drawn.split([len(z) for z, _ in batch]), strict=True):
                if not answer.done():  # a visitor may have left
                    answer.set_result(part)
        self._drawing = None
