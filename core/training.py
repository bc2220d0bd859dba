"""Training: a generator that fits a VAE to images and yields its progress, leaving the best weights in the model."""

import copy
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from core.evaluation import evaluate
from core.images import to_unit
from core.vae import VAE, Elbo

Precision = Literal["float32", "bfloat16"]

Objective = Callable[[VAE, Tensor, Tensor, Tensor | None], Elbo]
"""`objective(vae, x, noise, seen)`: the two terms whose difference is maximized, per image, in nats; see `VAE.elbo`."""


@dataclass(frozen=True)
class Settings:
    """How to train. Give `epochs` or `minutes`; the step size decays over whichever is given."""

    epochs: float | None = None
    minutes: float | None = None
    batch_size: int = 128
    learning_rate: float = 2e-3
    warm_up: float = 0.02
    """Share of the run over which the step size rises from zero; then it falls as a cosine to zero."""
    kl_warm_up: float = 0.1
    """Share of the run over which the weight of the KL rises from zero to one, where it stays: latents that are switched off
    before they have learned anything rarely come back (Sønderby et al., 2016, arXiv 1602.02282)."""
    corruption: float = 0.0
    """Share of pixels that the encoder, in training alone, sees as a coin flip of their brightness. An encoder learns its
    training images by heart long before a decoder does; this keeps it from that (Im et al., 2015, arXiv 1511.06406)."""
    weight_decay: float = 0.01
    clip: float = 200.0
    """Largest norm of the gradient of the batch's mean ELBO, in nats."""
    averaging: float = 0.999
    """Decay of the exponential moving average of the weights; the average is what is validated and kept."""
    validation: int = 2000
    """Training images held out to choose the best checkpoint (at most a tenth of them)."""
    validations: int = 20
    """How often, in the whole run, the held-out images are scored."""
    precision: Precision = "float32"
    """Of the networks' arithmetic in training; weights, densities and the validation stay in float32."""
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.minutes is None):
            raise ValueError("give the length of training as epochs or as minutes, one of the two.")
        for name in ("epochs", "minutes"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be above 0; got {value}.")
        for name in ("batch_size", "validation", "validations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision must be one of {', '.join(get_args(Precision))}; got {self.precision!r}.")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate}.")


@dataclass(frozen=True)
class Progress:
    """Where a run is. Log-likelihood and KL are means over the images since the last report, in nats per image."""

    fraction: float
    epoch: float
    log_likelihood: float
    kl: float
    images_per_second: float
    seconds: float
    seconds_left: float
    validation_elbo: float
    """Of the averaged weights, on the held-out images; the latest (NaN before the first)."""
    best_validation_elbo: float
    active_latents: int

    @property
    def elbo(self) -> float:
        """Log-likelihood minus KL."""
        return self.log_likelihood - self.kl


Tensors = tuple[Tensor, ...] | list[Tensor]

Run = Generator[Progress, None, None]
"""A training run: iterate over it to train, close it to stop."""


def split(images: int, validation: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (training, held out) of a shuffle fixed by the seed; at most a tenth is held out, at least one image."""
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    held_out = max(1, min(validation, images // 10))
    return order[held_out:], order[:held_out]


def train(
    vae: VAE,
    images: UInt8[Tensor, "n c h w"],
    settings: Settings,
    objective: Objective = VAE.elbo,
    device: torch.device | str = "cpu",
    report_every: float = 0.5,
) -> Run:
    """Fit `vae` in place to 8-bit images by AdamW (Loshchilov & Hutter, 2017, arXiv 1711.05101) on minus the objective.

    Yields a `Progress` about every `report_every` seconds and after each validation. Whenever the generator ends, or is
    closed early, the model holds the averaged weights that scored best on the held-out training images (the latest, before
    the first of them was scored).

    Raises ValueError for fewer than two images, FloatingPointError when the objective is no longer finite.
    """
    if len(images) < 2:
        raise ValueError(f"training needs at least 2 images, one of them held out; got {len(images)}.")
    return _run(vae, images, settings, objective, torch.device(device), report_every)


def _run(vae: VAE, images: Tensor, settings: Settings, objective: Objective, device: torch.device, report_every: float) -> Run:
    training, held_out = split(len(images), settings.validation, settings.seed)
    # Convolutions run a quarter faster with the channels last in memory; numbers and shapes are the same.
    vae.to(device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    averaged = AveragedModel(vae, multi_avg_fn=exponential_average(settings.averaging))
    average = cast(VAE, averaged.module)
    optimizer = torch.optim.AdamW(vae.parameters(), weight_decay=settings.weight_decay)
    generator = torch.Generator().manual_seed(settings.seed)
    clock, tally, best = Clock(settings, len(training)), Tally(device), Best(vae, images[held_out], settings.validations)
    try:
        while clock.fraction < 1:
            for index in training[torch.randperm(len(training), generator=generator)].split(settings.batch_size):
                done = clock.fraction
                x = to_unit(images[index].to(device)).contiguous(memory_format=torch.channels_last)
                noise = torch.randn(len(x), vae.prior.latents, generator=generator).to(device)
                seen = corrupt(x, settings.corruption, generator) if settings.corruption else None
                with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                    terms = objective(vae, x, noise, seen)
                optimizer.param_groups[0]["lr"] = settings.learning_rate * schedule(done, settings.warm_up)
                optimizer.zero_grad(set_to_none=True)
                (kl_weight(done, settings.kl_warm_up) * terms.kl - terms.log_likelihood).mean().backward()
                torch.nn.utils.clip_grad_norm_(vae.parameters(), settings.clip)
                optimizer.step()
                averaged.update_parameters(vae)

                clock.seen += len(x)
                tally.add(terms)
                validated = best.look(average, clock.fraction, device)
                if validated or tally.seconds >= report_every:
                    yield tally.report(clock, best)
                if clock.fraction >= 1:
                    break
    except GeneratorExit:
        if not best.looked:
            best.weights = average.state_dict()
        raise
    finally:
        vae.load_state_dict(best.weights)
        vae.to(memory_format=torch.contiguous_format).eval()  # pyright: ignore[reportCallIssue]


class Clock:
    """How much of a run is over, by epochs or by minutes."""

    def __init__(self, settings: Settings, images: int) -> None:
        self.settings = settings
        self.images = images
        self.seen = 0
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.start

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        if self.settings.epochs is not None:
            return min(1.0, self.seen / (self.settings.epochs * self.images))
        assert self.settings.minutes is not None
        return min(1.0, self.seconds / (60 * self.settings.minutes))


class Best:
    """The weights that scored best on held-out images, looked for at `looks` moments spread evenly over the run."""

    def __init__(self, vae: VAE, images: Tensor, looks: int) -> None:
        self.images = images
        self.looks = looks
        self.looked = 0
        self.latest, self.elbo, self.active = math.nan, -math.inf, 0
        self.weights = copy.deepcopy(vae.state_dict())

    def look(self, vae: VAE, fraction: float, device: torch.device) -> bool:
        """Score these weights if a look is due, and keep them if none were better; returns whether it was due."""
        due = math.floor(fraction * self.looks)
        if due <= self.looked:
            return False
        self.looked = due
        scores = evaluate(vae, self.images, device=device)
        self.latest, self.active = scores.elbo, scores.active_units
        if scores.elbo > self.elbo:
            self.elbo, self.weights = scores.elbo, copy.deepcopy(vae.state_dict())
        return True


class Tally:
    """Sums over the images since the last report, kept on the device so that no step waits for them."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, device=device)
        self.images = 0
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the last report."""
        return time.monotonic() - self.start

    def add(self, terms: Elbo) -> None:
        """Count one batch."""
        self.sums += torch.stack([terms.log_likelihood.detach().sum(), terms.kl.detach().sum()])
        self.images += len(terms.kl)

    def report(self, clock: Clock, best: Best) -> Progress:
        """The progress so far; starts the next tally. Raises FloatingPointError when the objective is not finite."""
        log_likelihood, kl = (self.sums / self.images).tolist()
        if not math.isfinite(log_likelihood - kl):
            raise FloatingPointError(
                f"the ELBO stopped being finite after {clock.seen} images (log-likelihood {log_likelihood}, KL {kl}). "
                f"Lower the step size ({clock.settings.learning_rate})."
            )
        rate = self.images / max(self.seconds, 1e-9)
        self.sums.zero_()
        self.images, self.start = 0, time.monotonic()
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
        )


def kl_weight(done: float, warm_up: float) -> float:
    """The weight of the KL when a fraction `done` of the run is over: a ramp to 1, where it stays."""
    return min(1.0, done / warm_up) if warm_up else 1.0


def corrupt(x: Float[Tensor, "n c h w"], share: float, generator: torch.Generator) -> Float[Tensor, "n c h w"]:
    """The images with this share of pixels redrawn: white with probability x, else black."""
    redrawn, coin = torch.rand(2, *x.shape, generator=generator).to(x.device).unbind()
    return torch.where(redrawn < share, (coin < x).to(x.dtype), x)


def exponential_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Averaging for `AveragedModel` that starts short, (1 + n) / (10 + n), so that the first weights are soon forgotten."""

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, updates: Tensor | int) -> None:
        n = int(updates)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update


def schedule(done: float, warm_up: float) -> float:
    """The step size, relative to its largest, when a fraction `done` of the run is over."""
    if done < warm_up:
        return (done + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))
