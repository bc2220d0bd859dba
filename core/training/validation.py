"""Validation: images held out of training, and the weights with the best score on them."""

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
    """Split image indices at random into (training, held out). At most a tenth, and at least one, is held out."""
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    held_out = max(1, min(validation, images // 10))
    return order[held_out:], order[:held_out]


def standard_noise(samples: int, n: int, latents: int, generator: torch.Generator) -> Tensor:
    """Draw standard normal noise, shaped (n, latents), or (samples, n, latents) for more than one sample."""
    return torch.randn((n, latents) if samples == 1 else (samples, n, latents), generator=generator)


class BestWeights:
    """The weights with the best objective on the held-out images, among validations spread evenly over the run."""

    def __init__(self, vae: VAE, held_out: Tensor, settings: Settings, objective: Objective, group: ProcessGroup) -> None:
        self.held_out, self.settings, self.objective, self.group = held_out, settings, objective, group
        self.validations_done = 0
        self.latest_elbo, self.best_elbo, self.active_latents = math.nan, -math.inf, 0
        self.kl_per_latent: tuple[float, ...] = ()
        self.best_score = -math.inf
        self.weights = copy.deepcopy(vae.state_dict())

    def validate_if_due(self, vae: VAE, fraction: float, device: torch.device) -> bool:
        """Validate these weights if a validation is due, and copy them if they score best. Returns whether it was due."""
        due = math.floor(fraction * self.settings.validations)
        if due <= self.validations_done:
            return False
        self.validations_done = due
        encodings = encode(vae, self.held_out, device=device, group=self.group)
        self.latest_elbo, self.active_latents = encodings.elbo.double().mean().item(), encodings.active_units
        self.kl_per_latent = tuple(kl_per_latent(encodings.mean, encodings.log_variance).mean(0).tolist())
        score = self.latest_elbo if self.objective is elbo else self._mean_objective(vae, device)
        if score > self.best_score:
            self.best_score, self.best_elbo, self.weights = score, self.latest_elbo, copy.deepcopy(vae.state_dict())
        return True

    @property
    def scores(self) -> Tensor:
        """The counts and scores as a float64 tensor, which a checkpoint stores exactly, also where they are not finite."""
        scores = [self.validations_done, self.latest_elbo, self.best_elbo, self.active_latents, self.best_score]
        return torch.tensor(scores, dtype=torch.float64)

    @scores.setter
    def scores(self, scores: Tensor) -> None:
        validations_done, self.latest_elbo, self.best_elbo, active_latents, self.best_score = scores.tolist()
        self.validations_done, self.active_latents = int(validations_done), int(active_latents)

    @torch.no_grad()
    def _mean_objective(self, vae: VAE, device: torch.device) -> float:
        """Return the mean objective on the held-out images, with the same noise in every validation."""
        generator = torch.Generator().manual_seed(0)
        total = torch.zeros(1, dtype=torch.float64)
        for batch in self.held_out.split(self.settings.batch_size):
            noise = standard_noise(self.settings.samples, len(batch), vae.prior.latents, generator)
            shard, has_rows = self.group.shard_or_first(len(batch))
            x = to_unit(batch[shard].to(device))
            total += has_rows * self.objective(vae, x, noise[..., shard, :].to(device), None).value.sum().item()
        return self.group.gather(total).sum().item() / len(self.held_out)
