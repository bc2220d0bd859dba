"""The state of a run: everything that the next step depends on, to be copied, kept and put back."""

from collections.abc import Iterator

import torch
from torch import Tensor

from core.model.vae import VAE
from core.training.checkpoint import Snapshot
from core.training.progress import Clock
from core.training.validation import BestWeights


class State:
    """The moving parts of one run, and its place in the epoch."""

    def __init__(
        self,
        vae: VAE,
        average: VAE,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        clock: Clock,
        best: BestWeights,
    ) -> None:
        self.generator, self.clock, self.best = generator, clock, best
        self.weights = list(vae.parameters())
        self.epoch = generator.get_state()
        """The generator's state before it shuffled this epoch."""
        self.batch = 0
        """Batches of this epoch that are done."""
        self.rollbacks = 0
        groups = {"weights": vae.state_dict(), "average": average.state_dict()}
        groups |= {f"adam/{name}": adam(optimizer, weight) for name, weight in vae.named_parameters()}
        self.live = {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}

    @property
    def scale(self) -> float:
        """What the step size is multiplied with: halved by each rollback."""
        return 0.5**self.rollbacks

    def batches(self, images: Tensor, size: int) -> Iterator[Tensor]:
        """The rest of this epoch's batches of `images`, shuffled; a new epoch, if none was begun."""
        if self.batch == 0:
            self.epoch = self.generator.get_state()
        now = self.generator.get_state()
        order = torch.randperm(len(images), generator=self.generator.set_state(self.epoch))
        if self.batch:
            self.generator.set_state(now)
        for index in images[order].split(size)[self.batch :]:
            self.batch += 1
            yield index
        self.batch = 0

    def snapshot(self) -> Snapshot:
        """A copy; no later step changes it."""
        tensors = {name: tensor.clone() for name, tensor in self.live.items()}
        # The best weights are replaced when there are better ones, never changed.
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.weights.items()}
        tensors |= {"generator": self.generator.get_state(), "epoch": self.epoch, "scores": self.best.scores}
        clock = self.clock
        numbers = {"seen": clock.seen, "steps": clock.steps, "seconds": clock.seconds, "batch": self.batch}
        return Snapshot(tensors, {**numbers, "rollbacks": self.rollbacks})

    @torch.no_grad()
    def restore(self, snapshot: Snapshot) -> None:
        """Be as the snapshot was, but for the time since the start. Raises ValueError for one of another model."""
        tensors, numbers = snapshot
        best = {name.removeprefix("best/"): tensor for name, tensor in tensors.items() if name.startswith("best/")}
        kept = {name: tensor.shape for name, tensor in tensors.items() if name in self.live}
        if kept != {name: tensor.shape for name, tensor in self.live.items()} or best.keys() != self.best.weights.keys():
            raise ValueError("the checkpoint is of a model of another architecture. Build the one it was begun with.")
        for name, tensor in self.live.items():
            tensor.copy_(tensors[name])
        self.best.weights, self.best.scores = best, tensors["scores"]
        self.generator.set_state(tensors["generator"])
        self.epoch, self.batch, self.rollbacks = tensors["epoch"], int(numbers["batch"]), int(numbers["rollbacks"])
        self.clock.move(int(numbers["seen"]), int(numbers["steps"]))

    def resume(self, snapshot: Snapshot) -> None:
        """Be as the snapshot was, its time included."""
        self.clock.start -= snapshot.numbers["seconds"]
        self.restore(snapshot)

    def is_finite(self, sums: Tensor) -> bool:
        """Whether all weights are, and these sums."""
        norms = torch.stack(torch._foreach_norm([weight.detach() for weight in self.weights]))
        return bool((norms.sum() + sums.sum()).isfinite())


def adam(optimizer: torch.optim.Optimizer, weight: Tensor) -> dict[str, Tensor]:
    """What AdamW keeps of a weight, as it would begin with at the first step: made now, so that it is there to be kept."""
    state = optimizer.state[weight]
    state["step"] = torch.zeros((), device=weight.device)
    state["exp_avg"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
    state["exp_avg_sq"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
    return state
