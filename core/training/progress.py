"""Progress: where a run is, and what it has scored since it last said so."""

import math
import time
from dataclasses import dataclass

import torch

from core.distributed import ProcessGroup
from core.model.vae import Elbo
from core.training.settings import Settings
from core.training.validation import BestWeights


@dataclass(frozen=True)
class Progress:
    """Where a run is. Log-likelihood and KL are means over the images since the last report, in nats per image (NaN where
    there were none); of several processes, over this one's share of them."""

    fraction: float
    epoch: float
    log_likelihood: float
    kl: float
    images_per_second: float
    """Of all processes."""
    seconds: float
    seconds_left: float
    validation_elbo: float
    """Of the averaged weights, on the held-out images; the latest (NaN before the first)."""
    best_validation_elbo: float
    active_latents: int
    kl_per_latent: tuple[float, ...] = ()
    """Of the averaged weights, on the held-out images, in nats; none before the first validation."""
    note: str = ""
    """What else happened since the last report: a step size that had to be lowered, a checkpoint that could not be written."""

    @property
    def elbo(self) -> float:
        """Log-likelihood minus KL."""
        return self.log_likelihood - self.kl


class Clock:
    """How much of a run is over, by epochs or by minutes; of several processes, by the first one's minutes."""

    def __init__(self, settings: Settings, images: int, group: ProcessGroup) -> None:
        self.settings, self.images, self.group = settings, images, group
        self.seen = self.steps = 0
        self.fraction = 0.0
        """From 0 to 1, at the end of the last step."""
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start, without the time between a stop and its resumption."""
        return time.monotonic() - self.start

    def move(self, seen: int, steps: int) -> None:
        """Say how many images and steps are done."""
        self.seen, self.steps = seen, steps
        if self.settings.epochs is not None:
            self.fraction = min(1.0, seen / (self.settings.epochs * self.images))
        else:
            assert self.settings.minutes is not None
            self.fraction = self.group.broadcast(min(1.0, self.seconds / (60 * self.settings.minutes)))


class RunningSums:
    """Sums over the images since the last report, kept on the device so that no step waits for them."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, device=device)
        self.notes: list[str] = []
        self.clear()

    def clear(self) -> None:
        """Forget the sums."""
        self.sums.zero_()
        self.images, self.all_images, self.start = 0, 0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the last report."""
        return time.monotonic() - self.start

    def add(self, terms: Elbo, all_images: int, counts: bool) -> None:
        """Count this process's part of a batch of so many images."""
        self.all_images += all_images
        if not counts:
            return
        self.sums += torch.stack([terms.log_likelihood.detach().sum(), terms.kl.detach().sum()])
        self.images += len(terms.kl)

    def report(self, clock: Clock, best: BestWeights) -> Progress | None:
        """The progress so far; starts the next tally. None, and nothing is forgotten, while the sums are not finite."""
        sums = self.sums.tolist()
        if not all(map(math.isfinite, sums)):
            return None
        log_likelihood, kl = (total / self.images if self.images else math.nan for total in sums)
        rate, note = self.all_images / max(self.seconds, 1e-9), " ".join(self.notes)
        self.notes.clear()
        self.clear()
        return Progress(
            fraction=clock.fraction,
            epoch=clock.seen / clock.images,
            log_likelihood=log_likelihood,
            kl=kl,
            images_per_second=rate,
            seconds=clock.seconds,
            seconds_left=clock.seconds * (1 - clock.fraction) / max(clock.fraction, 1e-9),
            validation_elbo=best.latest,
            best_validation_elbo=best.elbo,
            active_latents=best.active,
            kl_per_latent=best.kl_per_latent,
            note=note,
        )
