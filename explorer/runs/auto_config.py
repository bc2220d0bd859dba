"""Choosing for the user: network, latents, likelihood, batch and duration, from what the data and the machine are like.

Every function here is pure, from a `DatasetStats` (and a `Machine`) to a `Choice`: a value and the reason for it, in words.
"""

import math
import os
from dataclasses import dataclass
from typing import Any

import torch

from core.data.preprocessing import Images, Preprocessing
from core.data.storage import ImagesOnDisk
from core.data.survey import Survey

SAMPLE = 1000
"""Images that a description is drawn from."""

WANTED = 1_200_000
"""Images to be seen in training, all epochs together."""

MINUTES = 20.0
"""Longest training that is chosen: with reading, scoring and the map before and after it, half an hour."""


@dataclass(frozen=True)
class Choice:
    """A value, and why it was chosen."""

    value: Any
    reason: str


@dataclass(frozen=True)
class DatasetStats:
    """What decides: how many training images there are, their shape, the share of their pixels that are black or white, and
    how many principal components hold 80 % of their variance."""

    images: int
    shape: tuple[int, int, int]
    extreme: float
    components: int

    @classmethod
    def of(cls, images: Images) -> "DatasetStats":
        """Of training images, an even sample of them."""
        sample = images[:: max(1, len(images) // SAMPLE)][:SAMPLE]
        extreme = ((sample == 0) | (sample == 255)).float().mean().item()
        side = min(32, *sample.shape[2:])  # finer detail changes the count little and the work a lot
        flat = torch.nn.functional.adaptive_avg_pool2d(sample.float(), side).flatten(1)
        flat = flat - flat.mean(0)
        gram = flat @ flat.T if len(flat) < flat.shape[1] else flat.T @ flat
        variance = torch.linalg.eigvalsh(gram.double()).flip(0).clamp_min(0)
        held = variance.cumsum(0) / variance.sum() if variance.any() else torch.ones(1)
        return cls(len(images), tuple(images.shape[1:]), extreme, int((held < 0.8).sum()) + 1)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Machine:
    """Where training runs: "cpu", "cuda" or "mps", on so many cores."""

    device: str
    cores: int

    @classmethod
    def here(cls, device: torch.device) -> "Machine":
        """This one."""
        return cls(device.type, os.cpu_count() or 1)

    def __str__(self) -> str:
        return f"{self.cores} cores" if self.device == "cpu" else self.device


def largest_side(machine: Machine) -> int:
    """The largest side of images that is chosen: what is learned in half an hour."""
    return 64 if machine.device == "cpu" else 128


def shape(preprocessing: Preprocessing, survey: Survey) -> list[Choice]:
    """The size and channels that were chosen from a survey, with their reasons."""
    looked, largest = len(survey.seen), max(preprocessing.height, preprocessing.width)
    if survey.shared == (preprocessing.width, preprocessing.height):
        why = "the size of all pictures"
    elif survey.shared:
        why = f"all pictures are {survey.shared[0]}x{survey.shared[1]}; larger than {largest} takes long to learn here"
    elif survey.shorter_side > largest:
        why = f"their shorter sides are {survey.shorter_side} in the middle; larger than {largest} takes long to learn here"
    else:
        why = f"the middle of their shorter sides, which differ; {preprocessing.fit} fits them"
    colour = f"{survey.colour:,} of {looked:,} pictures looked at have colour"
    return [
        Choice(f"{preprocessing.width}x{preprocessing.height}", why),
        Choice("colour" if preprocessing.channels == 3 else "grey", colour),
    ]


def place(images: Images) -> Choice:
    """Where the images are kept."""
    size = f"{math.prod(images.shape) / 2**20:,.0f} MiB"
    if isinstance(images, ImagesOnDisk):
        return Choice("on disk", f"{size}, more than they may take of the memory; --memory allows more")
    return Choice("in memory", size)


def network(data: DatasetStats, machine: Machine) -> Choice:
    """By size: convolutions pay where there are neighbourhoods to see, depth where there is a GPU to pay for it."""
    if max(data.shape[1:]) < 12:
        return Choice("mlp", f"{data.shape[2]}x{data.shape[1]} pixels have few neighbourhoods for convolutions")
    if machine.device == "cuda" and data.images >= 20_000:
        return Choice("resnet", f"a GPU and {data.images:,} images can train a deeper one")
    return Choice("conv", f"pictures of {data.shape[2]}x{data.shape[1]}")


def latents(data: DatasetStats) -> Choice:
    """A power of two between 2 and 64: enough for the directions in which the images differ, and no more than a small set
    can tell apart."""
    enough = 2 ** math.ceil(math.log2(max(data.components, 1)))
    few = 2 ** int(math.log2(max(data.images / 4, 2)))
    reason = f"{data.components} principal components hold 80 % of the variance"
    if few < min(enough, 64):
        return Choice(max(2, few), f"{data.images:,} images cannot tell more apart")
    # Small marks that tell pictures apart weigh little in the variance; a latent that is not needed switches itself off.
    least = 32 if math.prod(data.shape) > 4096 else 8
    if enough < least <= few:
        return Choice(least, f"{reason}; small marks need some more")
    return Choice(min(max(enough, 8), 64, few), reason if enough <= 64 else f"{reason}; more than 64 are hard to walk through")


def likelihood(data: DatasetStats) -> Choice:
    """Bernoulli for black and white; a Gaussian of learned scale for grey and colour, which keeps more of each image than the
    customary reading of grey levels as probabilities does, and is a density of the levels themselves."""
    if data.extreme > 0.99:
        return Choice("bernoulli", "pixels are black or white")
    levels = "grey levels" if data.shape[0] == 1 else "colours"
    return Choice("gaussian", f"{levels} are amounts; the scale of the error is learned")


def batch_size(data: DatasetStats, machine: Machine) -> Choice:
    """A power of two: at least eight steps an epoch, at most what the device does at one go; less where a step costs little
    beside the work on its images, and the more steps there are the more is learned in the time."""
    if machine.device == "cpu":
        most = 128 if max(data.shape[1:]) < 12 else 64 if math.prod(data.shape) <= 4096 else 32
    else:
        most = 512 if machine.device == "cuda" and data.images >= 100_000 else 128
    size = max(4, min(most, 2 ** int(math.log2(max(data.images / 8, 4)))))
    return Choice(size, f"{math.ceil(data.images / size):,} steps an epoch")


def choose(data: DatasetStats, machine: Machine) -> dict[str, Choice]:
    """All of them but the duration, by the names of their options."""
    return {
        "network": network(data, machine),
        "latents": latents(data),
        "likelihood": likelihood(data),
        "batch_size": batch_size(data, machine),
    }


def epochs(data: DatasetStats) -> float:
    """20 epochs of a large set; more of a small one, to about 1.2 million images seen; never more than 1,000."""
    return float(max(20, min(1000, WANTED // max(data.images, 1))))


def duration(data: DatasetStats, machine: Machine, rate: float) -> tuple[str, Choice]:
    """Epochs if they end in time at so many images a second, else minutes: the name of the setting, and its value."""
    wanted = epochs(data)
    minutes = wanted * data.images / max(rate, 1e-9) / 60
    speed = f"about {rate:,.0f} images/s on {machine}"
    if minutes <= MINUTES:
        seen = f"{wanted * data.images:,.0f} images seen"
        return "epochs", Choice(wanted, f"{seen}, about {math.ceil(minutes)} minutes; {speed}")
    return "minutes", Choice(MINUTES, f"{wanted:.0f} epochs would take {minutes:,.0f}; {speed}")


def given_duration(data: DatasetStats, machine: Machine, rate: float, length: dict[str, float]) -> Choice:
    """The epochs or minutes that are not to be chosen, and what they come to at so many images a second."""
    ((unit, value),) = length.items()
    if unit == "minutes":
        means = f"about {60 * value * rate / data.images:,.1f} passes over {data.images:,} images"
    else:
        means = f"about {value * data.images / max(rate, 1e-9) / 60:,.1f} minutes"
    return Choice(f"{value:g} {unit}", f"{means}; about {rate:,.0f} images/s on {machine}")


def line(name: str, choice: Choice) -> str:
    """What is printed.

    >>> line("latents", Choice(16, "11 principal components hold 80 % of the variance"))
    '  latents      16 (11 principal components hold 80 % of the variance)'
    """
    value = f"{choice.value:g}" if isinstance(choice.value, float) else choice.value
    return f"  {name:12} {value} ({choice.reason})"
