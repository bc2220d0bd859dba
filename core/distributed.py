"""Distributed: the processes that share a job, on Hugging Face Accelerate (https://huggingface.co/docs/accelerate).

Each takes its part of every batch, and what they find is joined, so that together they do what one alone would do.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from accelerate import Accelerator

Module = TypeVar("Module", bound=nn.Module)


class ProcessGroup:
    """The processes that share a job, and which of them this is; without an accelerator, one that is alone."""

    def __init__(self, accelerator: "Accelerator | None" = None) -> None:
        self.accelerator = accelerator if accelerator is not None and accelerator.num_processes > 1 else None
        self.count: int = self.accelerator.num_processes if self.accelerator else 1
        self.rank: int = self.accelerator.process_index if self.accelerator else 0

    @property
    def device(self) -> torch.device | None:
        """The device that is this process's; None for one that is alone and may choose."""
        return self.accelerator.device if self.accelerator else None

    @property
    def is_main(self) -> bool:
        """Whether this is the first of them, the only one that writes and prints."""
        return self.rank == 0

    def shard(self, n: int, block: int = 1) -> slice:
        """Which of n rows are this process's: parts follow one another, as even as whole blocks of rows allow.

        >>> ProcessGroup().shard(10)
        slice(0, 10, None)
        """
        blocks = -(-n // block)
        start, stop = (block * -(-blocks * rank // self.count) for rank in (self.rank, self.rank + 1))
        return slice(min(start, n), min(stop, n))

    def shard_or_first(self, n: int) -> tuple[slice, bool]:
        """This process's part of n rows, and whether it counts: one that has none works on the first row, for nothing.

        No process can stay out of a step that all take, and not every density is defined on no rows at all.
        """
        part = self.shard(n)
        return (part, True) if part.start < part.stop else (slice(0, 1), False)

    def gather(self, part: Tensor) -> Tensor:
        """The rows of all processes, in order, on each of them."""
        if self.accelerator is None:
            return part
        here = part.to(self.accelerator.device).contiguous()
        rows = self.accelerator.gather(torch.tensor([len(here)], device=here.device))
        assert isinstance(rows, Tensor)
        longest = int(rows.max())
        padded = torch.cat([here, here.new_zeros(longest - len(here), *here.shape[1:])])
        gathered = self.accelerator.gather(padded)
        assert isinstance(gathered, Tensor)
        parts = [rows_of[:n] for rows_of, n in zip(gathered.split(longest), rows.tolist(), strict=True)] if longest else [here]
        return torch.cat(parts).to(part.device)

    def map_rows(self, function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """`function(rows)`, of which each process works out its part; row by row, as the map's `place` is."""
        return self.gather(function(rows[self.shard(len(rows))]))

    def all(self, flag: bool) -> bool:
        """Whether this is so on every process."""
        return bool(self.gather(torch.tensor([flag], dtype=torch.uint8)).all())

    def broadcast(self, value: float) -> float:
        """The first process's value."""
        if self.accelerator is None:
            return value
        gathered = self.accelerator.gather(torch.tensor([value], dtype=torch.float64, device=self.accelerator.device))
        assert isinstance(gathered, Tensor)
        return gathered[0].item()

    def wrap(self, module: Module) -> Module:
        """The module with its gradients averaged over the processes as they arise, and the first one's weights on all."""
        return module if self.accelerator is None else self.accelerator.prepare(module)


SINGLE_PROCESS = ProcessGroup()

PRECISIONS = {"no": None, "bf16": "bfloat16"}
"""What `accelerate launch --mixed_precision` calls the precisions that training has; None leaves it as it is set."""


def launched_precision() -> str | None:
    """The precision that `accelerate launch` was asked for; ValueError for one that training does not have."""
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked not in PRECISIONS:
        raise ValueError(f"--mixed_precision must be one of {', '.join(PRECISIONS)}; got {asked}.")
    return PRECISIONS[asked]


def launched_accelerator() -> "Accelerator | None":
    """The accelerator of a process that `accelerate launch` or torchrun started; None of any other.

    Its arithmetic is in float32: half precision is a setting of training. Raises ValueError where Accelerate is not installed.
    """
    if "LOCAL_RANK" not in os.environ and "ACCELERATE_MIXED_PRECISION" not in os.environ:
        return None
    try:
        from accelerate import Accelerator  # slow to import, and of no use to a process that is alone
    except ImportError as error:
        raise ValueError("several processes need Hugging Face Accelerate: pip install latentscape[accelerate].") from error
    return Accelerator(mixed_precision="no")
