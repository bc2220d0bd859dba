"""Training loop: a generator that fits a VAE to images and yields its progress. The model ends with the best weights."""

import copy
import math
from collections.abc import Generator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from core.data.binarization import binarize, resample
from core.data.preprocessing import Images, to_unit
from core.distributed import SINGLE_PROCESS, ProcessGroup
from core.model.objectives import Objective, elbo, is_batchwise
from core.model.vae import VAE, Elbo
from core.training.checkpoint import Checkpoint, CheckpointWriter, Snapshot
from core.training.progress import Clock, Progress, RunningSums
from core.training.settings import Settings
from core.training.state import TrainingState
from core.training.validation import BestWeights, split, standard_noise

SNAPSHOT_STEPS = 100
"""Steps between two snapshots."""
MAX_ROLLBACKS = 10
"""Rollbacks, each of which halves the learning rate, before a run fails."""

Run = Generator[Progress, None, None]
"""A training run: iterate over it to train, close it to stop."""


def train(
    vae: VAE,
    images: Images,
    settings: Settings,
    objective: Objective = elbo,
    device: torch.device | str = "cpu",
    report_every: float = 0.5,
    checkpoint: Checkpoint | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Run:
    """Fit `vae` in place to 8-bit images: AdamW (Loshchilov & Hutter, 2017, arXiv 1711.05101) maximizes the objective.

    Yields a `Progress` about every `report_every` seconds and after each validation. When the generator ends or is closed, the
    model has the averaged weights with the best score on the held-out images (before the first validation: the latest average).

    With a `checkpoint`, the run saves a snapshot at intervals and when it is stopped, and can resume from it. On the same
    machine, a resumed run measured in epochs gives bitwise the result of an uninterrupted one. If the objective or a weight is
    not finite, the run rolls back by at most `SNAPSHOT_STEPS` steps and halves the learning rate. With a `group`, each process
    calls this with the same arguments and computes its shard of every batch; the steps equal those of one process.

    Raises ValueError for fewer than two images, a checkpoint of another run, and an objective that cannot be sharded;
    FloatingPointError if the run still diverges after `MAX_ROLLBACKS` rollbacks; OSError if the first checkpoint cannot be
    written (for later ones, `Progress.note` has the error).
    """
    if len(images) < 2:
        raise ValueError(f"training needs at least 2 images, one of them held out; got {len(images)}.")
    if group.count > 1 and is_batchwise(objective):
        raise ValueError(
            f"this objective compares the images of a batch, which cannot be split over {group.count} processes. "
            "Train in one process, or choose another objective (elbo, beta, iwae)."
        )
    writer = CheckpointWriter(checkpoint, settings, images, group) if checkpoint else None
    return _run(vae, images, settings, objective, torch.device(device), report_every, writer, group)


def _run(
    vae: VAE,
    images: Images,
    settings: Settings,
    objective: Objective,
    device: torch.device,
    report_every: float,
    writer: CheckpointWriter | None,
    group: ProcessGroup,
) -> Run:
    training, held_out = split(len(images), settings.validation, settings.seed)
    validation = images[held_out] if settings.binarization == "none" else binarize(images[held_out])
    images = binarize(images[:]) if settings.binarization == "static" else images
    # Convolutions are a quarter faster in the channels-last memory format; values and shapes are the same.
    vae.to(device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    compute_terms = group.wrap(ObjectiveModule(vae, objective))
    average = copy.deepcopy(vae)
    optimizer = torch.optim.AdamW(vae.parameters(), weight_decay=settings.weight_decay, fused=True)
    generator = torch.Generator().manual_seed(settings.seed)
    clock, running = Clock(settings, len(training), group), RunningSums(device)
    best = BestWeights(vae, validation, settings, objective, group)
    state = TrainingState(vae, average, optimizer, generator, clock, best)
    if writer and writer.resume_from:
        state.resume(writer.resume_from)
    snapshot = state.snapshot()
    if writer and not writer.resume_from:
        writer.save(snapshot)
    try:
        if clock.fraction >= 1 and (report := running.report(clock, best)):  # the checkpoint is of a finished run
            yield report
        while clock.fraction < 1:
            for index in state.batches(training, settings.batch_size):
                n, (shard, has_rows) = len(index), group.shard_or_first(len(index))
                batch = make_batch(images, index, shard, settings, vae.prior.latents, generator, device)
                with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                    terms = compute_terms(*batch)
                optimizer_step(terms, has_rows * group.count / n, state, settings)
                update_average(state.averaged, state.weights, clock.steps, settings.averaging)

                clock.update(clock.images_seen + n, clock.steps + 1)
                running.add(terms, n, has_rows)
                validated = best.validate_if_due(average, clock.fraction, device)
                if clock.steps % SNAPSHOT_STEPS == 0 or clock.fraction >= 1:
                    snapshot, rolled_back = check_and_snapshot(state, snapshot, running, writer, settings, group)
                    if rolled_back:
                        break
                if (validated or running.seconds >= report_every) and (report := running.report(clock, best)):
                    yield report
                if clock.fraction >= 1:
                    break
    except (GeneratorExit, KeyboardInterrupt):
        if not best.validations_done:
            best.weights = average.state_dict()
        if writer:
            writer.save(snapshot)
        raise
    finally:
        vae.load_state_dict(best.weights)
        vae.to(memory_format=torch.contiguous_format).eval()  # pyright: ignore[reportCallIssue]


def optimizer_step(terms: Elbo, image_weight: float, state: TrainingState, settings: Settings) -> None:
    """Take one optimizer step to increase the objective, with the KL weighted by its warm-up.

    `image_weight` is the weight of one image's loss: 1 / batch size, times the number of processes, because their gradients are
    averaged.
    """
    fraction, optimizer = state.clock.fraction, state.optimizer
    learning_rate = state.rollback_factor * settings.learning_rate * learning_rate_schedule(fraction, settings.warm_up)
    optimizer.param_groups[0]["lr"] = learning_rate
    optimizer.zero_grad(set_to_none=True)
    loss = kl_weight(fraction, settings.kl_warm_up) * terms.kl - terms.log_likelihood
    (loss.sum() * image_weight).backward()
    clip_gradients(state.weights, settings.clip)
    optimizer.step()


def clip_gradients(weights: list[Tensor], max_norm: float) -> None:
    """Scale down all gradients together to a total norm of at most `max_norm` (Pascanu et al., 2013, arXiv 1211.5063)."""
    norm = get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    # On the CPU, skip the scaling by one. On other devices, the comparison would cost more: the step would wait for the norm.
    if norm.device.type != "cpu" or not norm <= max_norm:
        clip_grads_with_norm_(weights, max_norm, norm)


def make_batch(
    images: Images,
    index: Tensor,
    shard: slice,
    settings: Settings,
    latents: int,
    generator: torch.Generator,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return this process's shard of the images at `index`: (x in [0, 1], noise of the latents, encoder input if not x).

    Every process draws random numbers for the whole batch, so the result does not depend on the number of processes.
    """
    n, shape = len(index), images.shape[1:]
    x = to_unit(images[index[shard]].to(device)).contiguous(memory_format=torch.channels_last)
    if settings.binarization == "dynamic":
        x = resample(x, torch.rand(n, *shape, generator=generator)[shard])
    noise = standard_noise(settings.samples, n, latents, generator)[..., shard, :].to(device)
    encoder_input = None
    if settings.corruption:
        encoder_input = corrupt(x, settings.corruption, torch.rand(2, n, *shape, generator=generator)[:, shard])
    return x, noise, encoder_input


class ObjectiveModule(nn.Module):
    """An objective as a module, which `ProcessGroup.wrap` needs to average gradients over processes."""

    def __init__(self, vae: VAE, objective: Objective) -> None:
        super().__init__()
        self.vae, self.objective = vae, objective

    def forward(self, x: Tensor, noise: Tensor, encoder_input: Tensor | None) -> Elbo:
        return self.objective(self.vae, x, noise, encoder_input)


def check_and_snapshot(
    state: TrainingState,
    previous: Snapshot,
    running: RunningSums,
    writer: CheckpointWriter | None,
    settings: Settings,
    group: ProcessGroup,
) -> tuple[Snapshot, bool]:
    """Take a snapshot, and save it if that is due; if a sum or weight is not finite, roll back to the previous one instead.

    Returns the snapshot, and whether the run was rolled back.
    """
    if not group.all(state.is_finite(running.sums)):
        running.notes.append(roll_back(state, previous, settings))
        running.clear()
        return state.snapshot(), True
    snapshot = state.snapshot()
    if writer and (writer.is_due or state.clock.fraction >= 1):
        running.notes += filter(None, [writer.try_save(snapshot)])
    return snapshot, False


def roll_back(state: TrainingState, snapshot: Snapshot, settings: Settings) -> str:
    """Restore the snapshot, halve the learning rate and return a note. Raises FloatingPointError after `MAX_ROLLBACKS`."""
    rollbacks, images_seen = state.rollbacks + 1, state.clock.images_seen
    state.restore(snapshot)
    if rollbacks > MAX_ROLLBACKS:
        raise FloatingPointError(
            f"the ELBO stopped being finite after {images_seen:,} images, also with the learning rate lowered to "
            f"{state.rollback_factor * settings.learning_rate:.2g}. Lower learning_rate ({settings.learning_rate})."
        )
    state.rollbacks = rollbacks
    return (
        f"The ELBO stopped being finite after {images_seen:,} images: rolled back to {state.clock.images_seen:,} images "
        f"and halved the learning rate, now at most {state.rollback_factor * settings.learning_rate:.2g}."
    )


def kl_weight(fraction: float, warm_up: float) -> float:
    """Return the weight of the KL at a fraction of the run: a linear ramp from 0 to 1, then 1."""
    return min(1.0, fraction / warm_up) if warm_up else 1.0


def corrupt(x: Float[Tensor, "n c h w"], fraction: float, uniform: Float[Tensor, "2 n c h w"]) -> Float[Tensor, "n c h w"]:
    """Replace this fraction of pixels by 1 with probability x, else by 0; `uniform` is drawn from [0, 1)."""
    selection, threshold = uniform.to(x.device).unbind()
    return torch.where(selection < fraction, (threshold < x).to(x.dtype), x)


@torch.no_grad()
def update_average(averaged: list[Tensor], weights: list[Tensor], updates: int, decay: float) -> None:
    """Update the exponential moving average of the weights in place, after n = `updates` earlier updates.

    The decay is 0 for the first update, then min(decay, (1 + n) / (10 + n)), so that the initial weights are soon forgotten.
    """
    torch._foreach_lerp_(averaged, weights, 1 - min(decay, updates and (1 + updates) / (10 + updates)))


def learning_rate_schedule(fraction: float, warm_up: float) -> float:
    """Return the learning rate at a fraction of the run, relative to its largest: linear warm-up, then cosine decay."""
    if fraction < warm_up:
        return (fraction + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (fraction - warm_up) / (1 - warm_up)))
