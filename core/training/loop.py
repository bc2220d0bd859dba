"""Training: a generator that fits a VAE to images and yields its progress, leaving the best weights in the model."""

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
from core.training.state import State
from core.training.validation import BestWeights, split, standard_noise

PERIOD = 100
"""Steps between the moments that a run can go on from."""
ROLLBACKS = 10
"""Times that a run may halve its step size before it gives up."""

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
    """Fit `vae` in place to 8-bit images by AdamW (Loshchilov & Hutter, 2017, arXiv 1711.05101) on minus the objective.

    Yields a `Progress` about every `report_every` seconds and after each validation. Whenever the generator ends, or is
    closed early, the model holds the averaged weights that scored best on the held-out training images (the latest, before
    the first of them was scored).

    With a `checkpoint` the run saves itself, by time and when it is stopped, and can go on from there: on the same machine a
    run measured in epochs then ends bitwise where it would have ended. When the objective or a weight is no longer finite, the
    run goes back by at most `PERIOD` steps and halves its step size. With `group`, each process calls this with the same
    arguments and works on its part of every batch; together they make the steps of one process.

    Raises ValueError for fewer than two images, for a checkpoint of another run, and for an objective that several processes
    cannot share; FloatingPointError when no step size was small enough; OSError when not even a first checkpoint can be
    written (a later one that cannot is told in `Progress.note`).
    """
    if len(images) < 2:
        raise ValueError(f"training needs at least 2 images, one of them held out; got {len(images)}.")
    if group.count > 1 and is_batchwise(objective):
        raise ValueError(
            f"this objective compares the images of a batch, which {group.count} processes do not have in one place. "
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
    scored = images[held_out] if settings.binarization == "none" else binarize(images[held_out])
    images = binarize(images[:]) if settings.binarization == "static" else images
    # Convolutions run a quarter faster with the channels last in memory; numbers and shapes are the same.
    vae.to(device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    step = group.wrap(Step(vae, objective))
    average = copy.deepcopy(vae)
    weights: list[Tensor] = list(vae.parameters())
    averaged: list[Tensor] = list(average.parameters())
    optimizer = torch.optim.AdamW(vae.parameters(), weight_decay=settings.weight_decay, fused=True)
    generator = torch.Generator().manual_seed(settings.seed)
    clock, running = Clock(settings, len(training), group), RunningSums(device)
    best = BestWeights(vae, scored, settings, objective, group)
    state = State(vae, average, optimizer, generator, clock, best)
    if writer and writer.start:
        state.resume(writer.start)
    good = state.snapshot()
    if writer and not writer.start:
        writer.save(good)
    try:
        if clock.fraction >= 1 and (report := running.report(clock, best)):  # it had ended when it was saved: say so
            yield report
        while clock.fraction < 1:
            for index in state.batches(training, settings.batch_size):
                n, (mine, counts) = len(index), group.shard_or_first(len(index))
                x, noise, seen = make_batch(images, index, mine, settings, vae.prior.latents, generator, device)
                with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                    terms = step(x, noise, seen)
                optimizer_step(terms, counts * group.count / n, weights, optimizer, settings, clock.fraction, state.scale)
                move_average(averaged, weights, clock.steps, settings.averaging)

                clock.move(clock.seen + n, clock.steps + 1)
                running.add(terms, n, counts)
                validated = best.validate_if_due(average, clock.fraction, device)
                if clock.steps % PERIOD == 0 or clock.fraction >= 1:
                    good, went_back = check_and_snapshot(state, good, running, writer, settings, group)
                    if went_back:
                        break
                if (validated or running.seconds >= report_every) and (report := running.report(clock, best)):
                    yield report
                if clock.fraction >= 1:
                    break
    except (GeneratorExit, KeyboardInterrupt):
        if not best.validations_done:
            best.weights = average.state_dict()
        if writer:
            writer.save(good)
        raise
    finally:
        vae.load_state_dict(best.weights)
        vae.to(memory_format=torch.contiguous_format).eval()  # pyright: ignore[reportCallIssue]


def optimizer_step(
    terms: Elbo,
    share: float,
    weights: list[Tensor],
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    done: float,
    scale: float,
) -> None:
    """One step down the gradient, when a fraction `done` of the run is over. `share` is the weight of an image's loss: in the
    mean over the batch, and, gradients being averaged over the processes, times their number; `scale` that of the step size."""
    optimizer.param_groups[0]["lr"] = scale * settings.learning_rate * schedule(done, settings.warm_up)
    optimizer.zero_grad(set_to_none=True)
    loss = kl_weight(done, settings.kl_warm_up) * terms.kl - terms.log_likelihood
    (loss.sum() * share).backward()
    clip(weights, settings.clip)
    optimizer.step()


def clip(weights: list[Tensor], largest: float) -> None:
    """Scale the gradients, all together, down to this norm where theirs is larger (Pascanu et al., 2013, arXiv 1211.5063)."""
    norm = get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    # Scaling by one is a pass over all of them; to know on another device that it would be one, the step would have to wait.
    if norm.device.type != "cpu" or not norm <= largest:
        clip_grads_with_norm_(weights, largest, norm)


def make_batch(
    images: Images,
    index: Tensor,
    mine: slice,
    settings: Settings,
    latents: int,
    generator: torch.Generator,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """What a step works on, of the images at `index` those that are this process's: the images in [0, 1], the noise of their
    latents, and what the encoder sees in their place, where that is something else.

    Every process draws for the whole batch, so that a seed means the same however many there are.
    """
    n, shape = len(index), images.shape[1:]
    x = to_unit(images[index[mine]].to(device)).contiguous(memory_format=torch.channels_last)
    if settings.binarization == "dynamic":
        x = resample(x, torch.rand(n, *shape, generator=generator)[mine])
    noise = standard_noise(settings.samples, n, latents, generator)[..., mine, :].to(device)
    seen = None
    if settings.corruption:
        seen = corrupt(x, settings.corruption, torch.rand(2, n, *shape, generator=generator)[:, mine])
    return x, noise, seen


class Step(nn.Module):
    """An objective as a module: the form in which several processes can share its gradient."""

    def __init__(self, vae: VAE, objective: Objective) -> None:
        super().__init__()
        self.vae, self.objective = vae, objective

    def forward(self, x: Tensor, noise: Tensor, seen: Tensor | None) -> Elbo:
        return self.objective(self.vae, x, noise, seen)


def check_and_snapshot(
    state: State, good: Snapshot, running: RunningSums, writer: CheckpointWriter | None, settings: Settings, group: ProcessGroup
) -> tuple[Snapshot, bool]:
    """The moment that the run can go back to from here on, which is saved if that is due, and whether it has just gone back to
    the last one, `good`, because something was no longer finite."""
    if not group.all(state.is_finite(running.sums)):
        running.notes.append(roll_back(state, good, settings))
        running.clear()
        return state.snapshot(), True
    good = state.snapshot()
    if writer and (writer.due or state.clock.fraction >= 1):
        running.notes += filter(None, [writer.try_save(good)])
    return good, False


def roll_back(state: State, good: Snapshot, settings: Settings) -> str:
    """Go back to the last good moment with half the step size, and say so; FloatingPointError once that was done too often."""
    rollbacks, at = state.rollbacks + 1, state.clock.seen
    state.restore(good)
    if rollbacks > ROLLBACKS:
        raise FloatingPointError(
            f"the ELBO stopped being finite after {at} images, also with {state.scale:.1g} of the step size. "
            f"Lower the step size ({settings.learning_rate})."
        )
    state.rollbacks = rollbacks
    return (
        f"The ELBO stopped being finite after {at:,} images: back to {state.clock.seen:,}, "
        f"the step size from here on halved, to at most {state.scale * settings.learning_rate:.2g}."
    )


def kl_weight(done: float, warm_up: float) -> float:
    """The weight of the KL when a fraction `done` of the run is over: a ramp to 1, where it stays."""
    return min(1.0, done / warm_up) if warm_up else 1.0


def corrupt(x: Float[Tensor, "n c h w"], share: float, uniform: Float[Tensor, "2 n c h w"]) -> Float[Tensor, "n c h w"]:
    """The images with this share of pixels redrawn, by uniform draws from [0, 1): white with probability x, else black."""
    redrawn, coin = uniform.to(x.device).unbind()
    return torch.where(redrawn < share, (coin < x).to(x.dtype), x)


@torch.no_grad()
def move_average(averaged: list[Tensor], weights: list[Tensor], updates: int, decay: float) -> None:
    """Move the exponential moving average of the weights on by one step, so many updates having been made before.

    The decay starts small, at 0 for the first update and then (1 + n) / (10 + n), so that the first weights are soon forgotten.
    """
    torch._foreach_lerp_(averaged, weights, 1 - min(decay, updates and (1 + updates) / (10 + updates)))


def schedule(done: float, warm_up: float) -> float:
    """The step size, relative to its largest, when a fraction `done` of the run is over."""
    if done < warm_up:
        return (done + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))
