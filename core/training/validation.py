"""Validation: the images that are held out of training, and the weights that scored best on them."""

import copy
import math

import torch
from torch import Tensor

from core.data.preprocessing import to_unit
from core.distributed import ProcessGroup
from core.evaluation.scores import encode, kl_per_latent
from core.model.objectives import Objective, elbo
from core.model.vae import VAE
from core.training.settings import Settings


def split(images: int, validation: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (training, held out) of a shuffle fixed by the seed; at most a tenth is held out, at least one image."""
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    held_out = max(1, min(validation, images // 10))
    return order[held_out:], order[:held_out]


def standard_noise(samples: int, n: int, latents: int, generator: torch.Generator) -> Tensor:
    """Standard normal draws (n, latents), or (samples, n, latents) where each image gets several."""
    return torch.randn((n, latents) if samples == 1 else (samples, n, latents), generator=generator)


class BestWeights:
    """The weights whose objective was best on held-out images, looked for at moments spread evenly over the run."""

    def __init__(self, vae: VAE, images: Tensor, settings: Settings, objective: Objective, group: ProcessGroup) -> None:
        self.images, self.settings, self.objective, self.group = images, settings, objective, group
        self.validations_done = 0
        self.latest, self.elbo, self.active = math.nan, -math.inf, 0
        self.kl_per_latent: tuple[float, ...] = ()
        self.value = -math.inf
        self.weights = copy.deepcopy(vae.state_dict())

    def validate_if_due(self, vae: VAE, fraction: float, device: torch.device) -> bool:
        """Score these weights if a look is due, and keep them if none were better; returns whether it was due."""
        due = math.floor(fraction * self.settings.validations)
        if due <= self.validations_done:
            return False
        self.validations_done = due
        encodings = encode(vae, self.images, device=device, group=self.group)
        self.latest, self.active = encodings.elbo.double().mean().item(), encodings.active_units
        self.kl_per_latent = tuple(kl_per_latent(encodings.mean, encodings.log_variance).mean(0).tolist())
        value = self.latest if self.objective is elbo else self._score(vae, device)
        if value > self.value:
            self.value, self.elbo, self.weights = value, self.latest, copy.deepcopy(vae.state_dict())
        return True

    @property
    def scores(self) -> Tensor:
        """What it knows, but for the weights, in float64: a checkpoint keeps every digit, and what is not finite."""
        return torch.tensor([self.validations_done, self.latest, self.elbo, self.active, self.value], dtype=torch.float64)

    @scores.setter
    def scores(self, scores: Tensor) -> None:
        validations_done, self.latest, self.elbo, active, self.value = scores.tolist()
        self.validations_done, self.active = int(validations_done), int(active)

    @torch.no_grad()
    def _score(self, vae: VAE, device: torch.device) -> float:
        """The mean objective, always from the same draws."""
        generator = torch.Generator().manual_seed(0)
        total = torch.zeros(1, dtype=torch.float64)
        for batch in self.images.split(self.settings.batch_size):
            noise = standard_noise(self.settings.samples, len(batch), vae.prior.latents, generator)
            mine, counts = self.group.shard_or_first(len(batch))
            x = to_unit(batch[mine].to(device))
            total += counts * self.objective(vae, x, noise[..., mine, :].to(device), None).value.sum().item()
        return self.group.gather(total).sum().item() / len(self.images)
