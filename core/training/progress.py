"""Progress: what a run reports, and the clock and running sums that it is computed from."""

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
    """A report of a training run.

    Log-likelihood and KL are means over this process's images since the last report, in nats per image (NaN without images).
    """

    fraction: float
    """Finished part of the run, 0 to 1."""
    epoch: float
    log_likelihood: float
    kl: float
    images_per_second: float
    """Images trained on, by all processes."""
    seconds: float
    seconds_left: float
    validation_elbo: float
    """Latest ELBO of the averaged weights on the held-out images, in nats per image (NaN before the first validation)."""
    best_validation_elbo: float
    active_latents: int
    kl_per_latent: tuple[float, ...] = ()
    """Mean KL of each latent in the latest validation, in nats; empty before the first."""
    note: str = ""
    """Messages since the last report: the learning rate was lowered, or a checkpoint could not be written."""

    @property
    def elbo(self) -> float:
        """Log-likelihood minus KL, in nats per image."""
        return self.log_likelihood - self.kl


class Clock:
    """How much of a run is finished, by epochs or by minutes of the main process."""

    def __init__(self, settings: Settings, images: int, group: ProcessGroup) -> None:
        self.settings, self.images_per_epoch, self.group = settings, images, group
        self.images_seen = self.steps = 0
        self.fraction = 0.0
        """Finished part of the run after the last step, 0 to 1."""
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Training time, in seconds, without the time between a stop and the resumption."""
        return time.monotonic() - self.start

    def update(self, images_seen: int, steps: int) -> None:
        """Set the numbers of images and steps done, and update `fraction`."""
        self.images_seen, self.steps = images_seen, steps
        if self.settings.epochs is not None:
            self.fraction = min(1.0, images_seen / (self.settings.epochs * self.images_per_epoch))
        else:
            assert self.settings.minutes is not None
            self.fraction = self.group.broadcast(min(1.0, self.seconds / (60 * self.settings.minutes)))


class RunningSums:
    """Sums of the ELBO's terms since the last report; on the device, so that no step has to wait for a transfer."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, device=device)
        self.notes: list[str] = []
        self.clear()

    def clear(self) -> None:
        """Reset the sums, counts and time, but not the notes."""
        self.sums.zero_()
        self.shard_images, self.all_images, self.start = 0, 0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the last report."""
        return time.monotonic() - self.start

    def add(self, terms: Elbo, batch_size: int, has_rows: bool) -> None:
        """Add the terms of this process's shard of a batch; an empty shard adds nothing, but the batch is counted."""
        self.all_images += batch_size
        if not has_rows:
            return
        self.sums += torch.stack([terms.log_likelihood.detach().sum(), terms.kl.detach().sum()])
        self.shard_images += len(terms.kl)

    def report(self, clock: Clock, best: BestWeights) -> Progress | None:
        """Return the progress and reset the sums. Returns None, and resets nothing, if the sums are not finite."""
        sums = self.sums.tolist()
        if not all(map(math.isfinite, sums)):
            return None
        log_likelihood, kl = (total / self.shard_images if self.shard_images else math.nan for total in sums)
        rate, note = self.all_images / max(self.seconds, 1e-9), " ".join(self.notes)
        self.notes.clear()
        self.clear()
        return Progress(
            fraction=clock.fraction,
            epoch=clock.images_seen / clock.images_per_epoch,
            log_likelihood=log_likelihood,
            kl=kl,
            images_per_second=rate,
            seconds=clock.seconds,
            seconds_left=clock.seconds * (1 - clock.fraction) / max(clock.fraction, 1e-9),
            validation_elbo=best.latest_elbo,
            best_validation_elbo=best.best_elbo,
            active_latents=best.active_latents,
            kl_per_latent=best.kl_per_latent,
            note=note,
        )
