"""The state of a run: snapshot and restore."""

from collections.abc import Iterator

import torch
from torch import Tensor

from core.model.vae import VAE
from core.training.checkpoint import Snapshot
from core.training.progress import Clock
from core.training.validation import BestWeights


class TrainingState:
    """Everything that the next step of a run depends on."""

    def __init__(
        self,
        vae: VAE,
        average: VAE,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        clock: Clock,
        best: BestWeights,
    ) -> None:
        self.optimizer, self.generator, self.clock, self.best = optimizer, generator, clock, best
        self.weights: list[Tensor] = list(vae.parameters())
        self.averaged: list[Tensor] = list(average.parameters())
        self.epoch_generator = generator.get_state()
        """The generator's state before it shuffled this epoch."""
        self.batches_done = 0
        """Batches of this epoch that are done."""
        self.rollbacks = 0
        groups = {"weights": vae.state_dict(), "average": average.state_dict()}
        groups |= {f"adam/{name}": init_adam(optimizer, weight) for name, weight in vae.named_parameters()}
        self.tensors = {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}

    @property
    def rollback_factor(self) -> float:
        """Factor of the learning rate; each rollback halves it."""
        return 0.5**self.rollbacks

    def batches(self, images: Tensor, size: int) -> Iterator[Tensor]:
        """Yield the remaining batches of this epoch, shuffled, from the indices `images`; those of a new epoch at its start."""
        if self.batches_done == 0:
            self.epoch_generator = self.generator.get_state()
        now = self.generator.get_state()
        order = torch.randperm(len(images), generator=self.generator.set_state(self.epoch_generator))
        if self.batches_done:
            self.generator.set_state(now)
        for index in images[order].split(size)[self.batches_done :]:
            self.batches_done += 1
            yield index
        self.batches_done = 0

    def snapshot(self) -> Snapshot:
        """Return a copy of the state, which later steps do not change."""
        tensors = {name: tensor.clone() for name, tensor in self.tensors.items()}
        # The best weights need no copy: better ones replace the dictionary, and its tensors are never modified.
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.weights.items()}
        tensors |= {"generator": self.generator.get_state(), "epoch": self.epoch_generator, "scores": self.best.scores}
        clock = self.clock
        numbers = {"seen": clock.images_seen, "steps": clock.steps, "seconds": clock.seconds, "batch": self.batches_done}
        return Snapshot(tensors, {**numbers, "rollbacks": self.rollbacks})

    @torch.no_grad()
    def restore(self, snapshot: Snapshot) -> None:
        """Restore a snapshot, except for the training time. Raises ValueError if it is of another architecture."""
        tensors, numbers = snapshot
        best = {name.removeprefix("best/"): tensor for name, tensor in tensors.items() if name.startswith("best/")}
        shapes = {name: tensor.shape for name, tensor in tensors.items() if name in self.tensors}
        if shapes != {name: tensor.shape for name, tensor in self.tensors.items()} or best.keys() != self.best.weights.keys():
            raise ValueError("the checkpoint is of a model of another architecture. Build the model of the run that wrote it.")
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])
        self.best.weights, self.best.scores = best, tensors["scores"]
        self.generator.set_state(tensors["generator"])
        self.epoch_generator, self.batches_done = tensors["epoch"], int(numbers["batch"])
        self.rollbacks = int(numbers["rollbacks"])
        self.clock.update(int(numbers["seen"]), int(numbers["steps"]))

    def resume(self, snapshot: Snapshot) -> None:
        """Restore a snapshot, including the training time."""
        self.clock.start -= snapshot.numbers["seconds"]
        self.restore(snapshot)

    def is_finite(self, sums: Tensor) -> bool:
        """Whether all weights and `sums` are finite."""
        norms = torch.stack(torch._foreach_norm([weight.detach() for weight in self.weights]))
        return bool((norms.sum() + sums.sum()).isfinite())


def init_adam(optimizer: torch.optim.Optimizer, weight: Tensor) -> dict[str, Tensor]:
    """Create AdamW's initial state of a weight, as its first step would, so that a snapshot before that step is complete."""
    state = optimizer.state[weight]
    state["step"] = torch.zeros((), device=weight.device)
    state["exp_avg"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
    state["exp_avg_sq"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
    return state
