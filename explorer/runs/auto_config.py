"""Automatic settings: network, latents, likelihood, batch size and duration, from statistics of the data and the machine.

The functions are pure. They map a `DatasetStats` (and a `Machine`) to a `Choice`: a value with its reason as text.
"""

import math
import os
from dataclasses import dataclass
from typing import Any

import torch

from core.data.preprocessing import Images, Preprocessing
from core.data.storage import ImagesOnDisk
from core.data.survey import Survey

MAX_SAMPLE = 1000
"""Largest number of images that the statistics are computed from."""

TARGET_IMAGES_SEEN = 1_200_000
"""Number of images to train on, summed over all epochs."""

MAX_MINUTES = 20.0
"""Longest chosen training, in minutes. With reading, scoring and the map, a run then takes about half an hour."""


@dataclass(frozen=True)
class Choice:
    """A chosen value and the reason for it."""

    value: Any
    reason: str


@dataclass(frozen=True)
class DatasetStats:
    """Statistics of a training set, which the choices depend on."""

    images: int
    """Number of training images."""
    shape: tuple[int, int, int]
    """Channels, height and width."""
    black_or_white: float
    """Fraction of the pixel values that are 0 or 255."""
    components: int
    """Number of principal components that explain 80 % of the variance."""

    @classmethod
    def of(cls, images: Images) -> "DatasetStats":
        """Compute the statistics from evenly spaced training images."""
        sample = images[:: max(1, len(images) // MAX_SAMPLE)][:MAX_SAMPLE]
        black_or_white = ((sample == 0) | (sample == 255)).float().mean().item()
        side = min(32, *sample.shape[2:])  # a higher resolution takes much longer and hardly changes the number of components
        flat = torch.nn.functional.adaptive_avg_pool2d(sample.float(), side).flatten(1)
        flat = flat - flat.mean(0)
        gram = flat @ flat.T if len(flat) < flat.shape[1] else flat.T @ flat
        variance = torch.linalg.eigvalsh(gram.double()).flip(0).clamp_min(0)
        explained = variance.cumsum(0) / variance.sum() if variance.any() else torch.ones(1)
        return cls(len(images), tuple(images.shape[1:]), black_or_white, int((explained < 0.8).sum()) + 1)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Machine:
    """The machine that trains: device type ("cpu", "cuda" or "mps") and number of CPU cores."""

    device: str
    cores: int

    @classmethod
    def current(cls, device: torch.device) -> "Machine":
        """This machine, with the given device."""
        return cls(device.type, os.cpu_count() or 1)

    def __str__(self) -> str:
        return f"{self.cores} cores" if self.device == "cpu" else self.device


def max_side(machine: Machine) -> int:
    """Largest chosen image side, in pixels. Larger images need more than half an hour of training on this machine."""
    return 64 if machine.device == "cpu" else 128


def image_shape(preprocessing: Preprocessing, survey: Survey) -> list[Choice]:
    """The size and the channels that were chosen from a survey of the pictures, with their reasons."""
    inspected, largest = len(survey.pictures), max(preprocessing.height, preprocessing.width)
    if survey.common_size == (preprocessing.width, preprocessing.height):
        reason = "the size of all pictures"
    elif survey.common_size:
        reason = f"all pictures are {survey.common_size[0]}x{survey.common_size[1]}; training above {largest} is slow here"
    elif survey.median_side > largest:
        reason = f"the median shorter side is {survey.median_side}; training above {largest} is slow here"
    else:
        reason = f"the median shorter side of the pictures; fitted with {preprocessing.fit}"
    colour = f"{survey.colour_count:,} of {inspected:,} inspected pictures have colour"
    return [
        Choice(f"{preprocessing.width}x{preprocessing.height}", reason),
        Choice("colour" if preprocessing.channels == 3 else "grey", colour),
    ]


def storage(images: Images) -> Choice:
    """Where the images are stored: in memory or on disk."""
    size = f"{math.prod(images.shape) / 2**20:,.0f} MiB"
    if isinstance(images, ImagesOnDisk):
        return Choice("on disk", f"{size}, more than the memory limit; --memory sets the limit")
    return Choice("in memory", size)


def network(data: DatasetStats, machine: Machine) -> Choice:
    """mlp for images below 12 pixels, resnet for large data sets on a GPU, conv otherwise."""
    if max(data.shape[1:]) < 12:
        return Choice("mlp", f"{data.shape[2]}x{data.shape[1]} pixels are too few for convolutions")
    if machine.device == "cuda" and data.images >= 20_000:
        return Choice("resnet", f"a GPU and {data.images:,} images suffice for a deep network")
    return Choice("conv", f"images of {data.shape[2]}x{data.shape[1]} pixels")


def latents(data: DatasetStats) -> Choice:
    """A power of two from 2 to 64: at least the number of principal components, at most a quarter of the number of images."""
    needed = 2 ** math.ceil(math.log2(max(data.components, 1)))
    limit = 2 ** int(math.log2(max(data.images / 4, 2)))
    reason = f"{data.components} principal components explain 80 % of the variance"
    if limit < min(needed, 64):
        return Choice(max(2, limit), f"{data.images:,} images are too few for more latents")
    # Small details contribute little to the variance but need latents too. Training switches off unneeded latents.
    minimum = 32 if math.prod(data.shape) > 4096 else 8
    if needed < minimum <= limit:
        return Choice(minimum, f"{reason}; small details need some more")
    return Choice(min(max(needed, 8), 64, limit), reason if needed <= 64 else f"{reason}; more than 64 are hard to explore")


def likelihood(data: DatasetStats) -> Choice:
    """Bernoulli for black and white images; a Gaussian of learned scale for grey and colour.

    The Gaussian is a density of the pixel values and reconstructs more detail than a Bernoulli of grey levels."""
    if data.black_or_white > 0.99:
        return Choice("bernoulli", "pixels are black or white")
    levels = "grey levels" if data.shape[0] == 1 else "colours"
    return Choice("gaussian", f"{levels} are continuous; the scale of the error is learned")


def batch_size(data: DatasetStats, machine: Machine) -> Choice:
    """A power of two that gives at least eight steps per epoch, up to a limit of the device.

    The limit is lower for large images on a CPU: their steps have little overhead, and more steps learn more in the same time.
    """
    if machine.device == "cpu":
        limit = 128 if max(data.shape[1:]) < 12 else 64 if math.prod(data.shape) <= 4096 else 32
    else:
        limit = 512 if machine.device == "cuda" and data.images >= 100_000 else 128
    size = max(4, min(limit, 2 ** int(math.log2(max(data.images / 8, 4)))))
    return Choice(size, f"{math.ceil(data.images / size):,} steps per epoch")


def choose(data: DatasetStats, machine: Machine) -> dict[str, Choice]:
    """The choices of all settings but the duration, by option name."""
    return {
        "network": network(data, machine),
        "latents": latents(data),
        "likelihood": likelihood(data),
        "batch_size": batch_size(data, machine),
    }


def epochs(data: DatasetStats) -> float:
    """Epochs for about `TARGET_IMAGES_SEEN` images in all; at least 20, at most 1,000."""
    return float(max(20, min(1000, TARGET_IMAGES_SEEN // max(data.images, 1))))


def duration(data: DatasetStats, machine: Machine, rate: float) -> tuple[str, Choice]:
    """Return "epochs" with the wanted number of epochs if `rate` images per second allow it, else "minutes" with the limit."""
    wanted = epochs(data)
    minutes = wanted * data.images / max(rate, 1e-9) / 60
    speed = f"about {rate:,.0f} images/s on {machine}"
    if minutes <= MAX_MINUTES:
        total = f"{wanted * data.images:,.0f} images in all"
        return "epochs", Choice(wanted, f"{total}, about {math.ceil(minutes)} minutes; {speed}")
    return "minutes", Choice(MAX_MINUTES, f"{wanted:.0f} epochs would take {minutes:,.0f} minutes; {speed}")


def specified_duration(data: DatasetStats, machine: Machine, rate: float, length: dict[str, float]) -> Choice:
    """The epochs or minutes that the user has set, converted to the other unit at `rate` images per second."""
    ((unit, value),) = length.items()
    if unit == "minutes":
        converted = f"about {60 * value * rate / data.images:,.1f} passes over {data.images:,} images"
    else:
        converted = f"about {value * data.images / max(rate, 1e-9) / 60:,.1f} minutes"
    return Choice(f"{value:g} {unit}", f"{converted}; about {rate:,.0f} images/s on {machine}")


def format_choice(name: str, choice: Choice) -> str:
    """The printed line of a choice.

    >>> format_choice("latents", Choice(16, "11 principal components explain 80 % of the variance"))
    '  latents      16 (11 principal components explain 80 % of the variance)'
    """
    value = f"{choice.value:g}" if isinstance(choice.value, float) else choice.value
    return f"  {name:12} {value} ({choice.reason})"
