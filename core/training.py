"""Training: a generator that fits a VAE to images and yields its progress, leaving the best weights in the model."""

import copy
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from core.evaluation import evaluate
from core.images import to_unit
from core.vae import VAE, Elbo

Precision = Literal["float32", "bfloat16"]

Objective = Callable[[VAE, Tensor, Tensor], Elbo]
"""`objective(vae, x, noise)`: the two terms whose difference is maximized, per image, in nats."""


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
    closed early, the model holds the averaged weights that scored best on the held-out training images.

    Raises ValueError for fewer than two images, FloatingPointError when the objective is no longer finite.
    """
    if len(images) < 2:
        raise ValueError(f"training needs at least 2 images, one of them held out; got {len(images)}.")
    return _run(vae, images, settings, objective, torch.device(device), report_every)


def _run(
    vae: VAE,
    images: Tensor,
    settings: Settings,
    objective: Objective,
    device: torch.device,
    report_every: float,
) -> Run:
    training, held_out = split(len(images), settings.validation, settings.seed)
    validation_images = images[held_out]
    # Convolutions run a quarter faster with the channels last in memory; numbers and shapes are the same.
    vae.to(device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")
    averaged = AveragedModel(vae, multi_avg_fn=exponential_average(settings.averaging))
    optimizer = torch.optim.AdamW(vae.parameters(), weight_decay=settings.weight_decay)
    generator = torch.Generator().manual_seed(settings.seed)
    best, best_weights, validation, active = -math.inf, copy.deepcopy(vae.state_dict()), math.nan, 0
    sums, seen, seen_before, validated = torch.zeros(2, device=device), 0, 0, 0
    start = reported = time.monotonic()

    def fraction() -> float:
        if settings.epochs is not None:
            return min(1.0, seen / (settings.epochs * len(training)))
        assert settings.minutes is not None
        return min(1.0, (time.monotonic() - start) / (60 * settings.minutes))

    try:
        while (done := fraction()) < 1.0:
            for index in training[torch.randperm(len(training), generator=generator)].split(settings.batch_size):
                for group in optimizer.param_groups:
                    group["lr"] = settings.learning_rate * schedule(done, settings.warm_up)
                x = to_unit(images[index].to(device)).contiguous(memory_format=torch.channels_last)
                noise = torch.randn(len(x), vae.prior.latents, generator=generator).to(device)
                with autocast:
                    terms = objective(vae, x, noise)
                optimizer.zero_grad(set_to_none=True)
                weight = min(1.0, done / settings.kl_warm_up) if settings.kl_warm_up else 1.0
                (weight * terms.kl - terms.log_likelihood).mean().backward()
                torch.nn.utils.clip_grad_norm_(vae.parameters(), settings.clip)
                optimizer.step()
                averaged.update_parameters(vae)
                sums += torch.stack([terms.log_likelihood.detach().sum(), terms.kl.detach().sum()])
                seen += len(x)

                done = fraction()
                due = math.floor(done * settings.validations) > validated
                now = time.monotonic()
                if not due and now - reported < report_every:
                    continue
                log_likelihood, kl = (sums / (seen - seen_before)).tolist()
                if not math.isfinite(log_likelihood - kl):
                    raise FloatingPointError(
                        f"the ELBO stopped being finite after {seen} images (log-likelihood {log_likelihood}, KL {kl}). "
                        f"Lower the step size ({settings.learning_rate})."
                    )
                rate = (seen - seen_before) / max(now - reported, 1e-9)
                if due:
                    validated = math.floor(done * settings.validations)
                    scores = evaluate(averaged.module, validation_images, device=device)
                    validation, active = scores.elbo, scores.active_units
                    if validation > best:
                        best, best_weights = validation, copy.deepcopy(averaged.module.state_dict())
                elapsed = time.monotonic() - start
                yield Progress(
                    fraction=done,
                    epoch=seen / len(training),
                    log_likelihood=log_likelihood,
                    kl=kl,
                    images_per_second=rate,
                    seconds=elapsed,
                    seconds_left=elapsed * (1 - done) / max(done, 1e-9),
                    validation_elbo=validation,
                    best_validation_elbo=best,
                    active_latents=active,
                )
                sums.zero_()
                seen_before, reported = seen, time.monotonic()
                if done >= 1.0:
                    break
    finally:
        vae.load_state_dict(best_weights)
        vae.to(memory_format=torch.contiguous_format).eval()  # pyright: ignore[reportCallIssue]


def exponential_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor | int], None]:
    """Averaging for `AveragedModel` that starts short, (1 + n) / (10 + n), so that the first weights are soon forgotten."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        n = int(updates)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update


def schedule(done: float, warm_up: float) -> float:
    """The step size, relative to its largest, when a fraction `done` of the run is over."""
    if done < warm_up:
        return (done + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))
