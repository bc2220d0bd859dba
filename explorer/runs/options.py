"""The options of a training run, shared by the command line, the Train tab and Python."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, TypeVar

from typer import Argument, Option

Device = Annotated[str, Option(help="Device to compute on: auto, cpu, cuda, cuda:1, mps…")]
Command = TypeVar("Command", bound=Callable[..., None])


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """The options of `latentscape train`. An option that is None is chosen from the data: see `auto_config`.

    The annotations hold the help texts and bounds of the command line. Defaults repeat those of `core.Settings`, because
    importing core here would add seconds to every command. A test checks that they are equal.
    """

    data: Annotated[
        str,
        Argument(
            help="Data set: pictures (a folder, .zip, .parquet or hf:owner/name), arrays (.npz or a folder of IDX files), "
            "or the built-in digits or dsprites."
        ),
    ]
    out: Annotated[Path, Option(help="Folder to save the bundle to.")]
    network: Annotated[str | None, Option(help="Network: mlp, conv or resnet; chosen if not given.")] = None
    network_width: Annotated[
        int | None, Option(help="Units per layer of an mlp (300 if not given), or channels of conv and resnet (32).", min=1)
    ] = None
    likelihood: Annotated[
        str | None,
        Option(
            help="Likelihood: bernoulli, continuous-bernoulli, gaussian (one learned scale), gaussian-fixed, gaussian-optimal, "
            "discretized-logistic or logistic-mixture (both over 256 levels); chosen if not given."
        ),
    ] = None
    prior: Annotated[str | None, Option(help="Prior: normal, vamp or flow; normal or that of --start if not given.")] = None
    latents: Annotated[int | None, Option(help="Number of latent dimensions; chosen if not given.", min=1)] = None
    objective: Annotated[str, Option(help="Training objective: elbo, beta, free-bits, beta-tc or iwae.")] = "elbo"
    strength: Annotated[
        float, Option(help="Weight of the KL (beta) or total correlation (beta-tc); free nats per latent (free-bits).")
    ] = 1.0
    samples: Annotated[int, Option(help="Draws of z per image and step; more than 1 only with iwae.", min=1)] = 1
    kl_warm_up: Annotated[
        float, Option(help="Fraction of training in which the KL weight rises to 1; 0 for interpretable latents.", min=0, max=1)
    ] = 0.1
    binarization: Annotated[str, Option(help="Binarize pixels: none, static (once) or dynamic (at each use).")] = "none"
    epochs: Annotated[float | None, Option(help="Length of training in passes over the data; chosen if not given.")] = None
    minutes: Annotated[float | None, Option(help="Length of training in minutes, instead of --epochs.")] = None
    batch_size: Annotated[int | None, Option(help="Images per training step; chosen if not given.")] = None
    learning_rate: Annotated[float, Option(help="Highest learning rate of the schedule.")] = 2e-3
    corruption: Annotated[float, Option(help="Fraction of the encoder's input pixels to randomize.", min=0, max=1)] = 0.0
    precision: Annotated[str, Option(help="float32, or bfloat16, which is faster on hardware that supports it.")] = "float32"
    seed: Annotated[int, Option(help="Random seed of the initial weights, the order of images, the noise and the map.")] = 0
    size: Annotated[int | None, Option(help="Width and height in pixels; chosen if not given.", min=8, max=256)] = None
    channels: Annotated[int | None, Option(help="1 for grey images, 3 for colour; chosen if not given.")] = None
    fit: Annotated[str, Option(help="How to fit pictures to the size: crop, pad or stretch.")] = "crop"
    background: Annotated[str, Option(help="Background colour of transparent pictures: auto, a name or #rrggbb.")] = "auto"
    labels: Annotated[Path | None, Option(help="CSV or parquet file with labels, joined on the pictures' file names.")] = None
    memory: Annotated[
        float | None,
        Option(help="GiB of memory for images; larger sets go to disk. If not given, a quarter of RAM, at most 8."),
    ] = None
    name: Annotated[str | None, Option(help="Name of the model; the name of the folder if not given.")] = None
    label_names: Annotated[str | None, Option(help="Names of the classes 0, 1, 2…, separated by commas.")] = None
    start: Annotated[str | None, Option(help="Bundle whose weights and architecture to start from.")] = None
    gallery: Annotated[int, Option(help="Maximum number of test images saved in the bundle; 0 for none.", min=0)] = 10_000
    calibrate: Annotated[bool, Option(help="Fit the anomaly detector and the label classifier after training.")] = True
    notes: Annotated[str, Option(help="Text to add to the model card.")] = ""
    device: Device = "auto"
    resume: Annotated[bool, Option("--resume", help="Continue the unfinished run of --out from its checkpoint.")] = False
    replace: Annotated[bool, Option("--replace", help="Replace a bundle that already exists at --out.")] = False
    checkpoint_every: Annotated[float, Option(help="Minimum time between two checkpoints, in seconds.", min=0)] = 60.0

    @property
    def title(self) -> str:
        """Name of the model."""
        return self.name or self.out.absolute().name

    def specified(self, names: Iterable[str]) -> dict[str, Any]:
        """The options with these names whose value is not None. Names that are not options are ignored."""
        return {name: value for name in names if (value := getattr(self, name, None)) is not None}

    def arguments(self) -> list[str]:
        """The command-line arguments of `latentscape train` that give these options.

        >>> TrainingOptions(data="photos", out=Path("runs/photos"), minutes=5.0, calibrate=False).arguments()
        ['photos', '--out', 'runs/photos', '--minutes', '5', '--no-calibrate']
        """
        words = [self.data]
        for field in fields(self)[1:]:
            value, option = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            if value == field.default:
                continue
            if isinstance(value, bool):
                words.append(option if value else option.replace("--", "--no-"))
            else:
                words += [option, str(value).removesuffix(".0") if isinstance(value, float) else str(value)]
        return words


def takes_training_options(command: Command) -> Command:
    """Decorator: give a command (context, *, own options, **keywords) all training options as command-line options."""
    context, *own = (each for each in signature(command).parameters.values() if each.kind is not Parameter.VAR_KEYWORD)
    options = signature(TrainingOptions).parameters.values()
    command.__signature__ = Signature([context, *options, *own])  # pyright: ignore[reportFunctionMemberAccess]
    return command
