"""Process group: several processes that share one job, on Hugging Face Accelerate (https://huggingface.co/docs/accelerate).

Each process works on its shard of every batch. The results are gathered, so the group computes what one process would.
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
    """A group of `count` processes, seen from the one with this `rank`; without an accelerator, a group of one."""

    def __init__(self, accelerator: "Accelerator | None" = None) -> None:
        self.accelerator = accelerator if accelerator is not None and accelerator.num_processes > 1 else None
        self.count: int = self.accelerator.num_processes if self.accelerator else 1
        self.rank: int = self.accelerator.process_index if self.accelerator else 0

    @property
    def device(self) -> torch.device | None:
        """The device assigned to this process; None in a group of one, where the caller chooses."""
        return self.accelerator.device if self.accelerator else None

    @property
    def is_main(self) -> bool:
        """Whether this is the main process (rank 0), the only one that writes and prints."""
        return self.rank == 0

    def shard(self, n: int, block: int = 1) -> slice:
        """Return this process's shard of n rows: contiguous, in rank order, as even as blocks of `block` rows allow.

        >>> ProcessGroup().shard(10)
        slice(0, 10, None)
        """
        blocks = -(-n // block)
        start, stop = (block * -(-blocks * rank // self.count) for rank in (self.rank, self.rank + 1))
        return slice(min(start, n), min(stop, n))

    def shard_or_first(self, n: int) -> tuple[slice, bool]:
        """Return this process's shard of n rows, and True; the first row, and False, where the shard is empty.

        Every process must take part in a collective step, and not every density accepts a batch of no rows. The caller discards
        the result where the flag is False.
        """
        shard = self.shard(n)
        return (shard, True) if shard.start < shard.stop else (slice(0, 1), False)

    def gather(self, part: Tensor) -> Tensor:
        """Concatenate the rows of all processes in rank order; every process gets the result."""
        if self.accelerator is None:
            return part
        local = part.to(self.accelerator.device).contiguous()
        lengths = self.accelerator.gather(torch.tensor([len(local)], device=local.device))
        assert isinstance(lengths, Tensor)
        longest = int(lengths.max())
        padded = torch.cat([local, local.new_zeros(longest - len(local), *local.shape[1:])])
        gathered = self.accelerator.gather(padded)
        assert isinstance(gathered, Tensor)
        parts = [rows[:n] for rows, n in zip(gathered.split(longest), lengths.tolist(), strict=True)] if longest else [local]
        return torch.cat(parts).to(part.device)

    def map_rows(self, function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Return `function(rows)`, each process computing its shard; `function` must treat rows independently."""
        return self.gather(function(rows[self.shard(len(rows))]))

    def all(self, flag: bool) -> bool:
        """Whether the flag is True on every process. Returns only when every process has called it."""
        return bool(self.gather(torch.tensor([flag], dtype=torch.uint8)).all())

    def broadcast(self, value: float) -> float:
        """Return the main process's value on every process."""
        if self.accelerator is None:
            return value
        gathered = self.accelerator.gather(torch.tensor([value], dtype=torch.float64, device=self.accelerator.device))
        assert isinstance(gathered, Tensor)
        return gathered[0].item()

    def wrap(self, module: Module) -> Module:
        """Return the module with the main process's weights on all processes, and gradients averaged in the backward pass."""
        return module if self.accelerator is None else self.accelerator.prepare(module)


SINGLE_PROCESS = ProcessGroup()

PRECISIONS = {"no": None, "bf16": "bfloat16"}
"""Values of `accelerate launch --mixed_precision` → precisions of `Settings`; None leaves the setting unchanged."""


def launched_precision() -> str | None:
    """Return the precision given to `accelerate launch`. Raises ValueError for one that training does not support."""
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in PRECISIONS:
        raise ValueError(f"--mixed_precision must be one of {', '.join(PRECISIONS)}; got {precision}.")
    return PRECISIONS[precision]


def launched_accelerator() -> "Accelerator | None":
    """Return the accelerator of a process started by `accelerate launch` or torchrun; None for any other process.

    It computes in float32: half precision is a setting of training. Raises ValueError if Accelerate is not installed.
    """
    if "LOCAL_RANK" not in os.environ and "ACCELERATE_MIXED_PRECISION" not in os.environ:
        return None
    try:
        from accelerate import Accelerator  # slow to import, and not needed by a single process
    except ImportError as error:
        raise ValueError("several processes need Hugging Face Accelerate: pip install latentscape[accelerate].") from error
    return Accelerator(mixed_precision="no")
