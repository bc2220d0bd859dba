"""The options of a training run: one object for the command line, the Train tab and Python."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, TypeVar

from typer import Argument, Option

Device = Annotated[str, Option(help="auto, cpu, cuda, cuda:1, mps…")]
Command = TypeVar("Command", bound=Callable[..., None])


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What a person may say of a run of `latentscape train`. What is None is chosen: see `auto_config`.

    An annotation is the option's help on the command line, and its bounds there. Defaults that `core.Settings` has too are the
    same: importing core for them would cost every command seconds.
    """

    data: Annotated[str, Argument(help="Pictures (folder, .zip, .parquet, hf:owner/name), .npz, IDX, digits, dsprites.")]
    out: Annotated[Path, Option(help="Folder for the bundle.")]
    network: Annotated[str | None, Option(help="mlp, conv or resnet; chosen if not given.")] = None
    network_width: Annotated[
        int | None, Option(help="Units of an mlp's layers (300 if not given) or channels of convolutions (32).", min=1)
    ] = None
    likelihood: Annotated[
        str | None,
        Option(
            help="bernoulli, continuous-bernoulli, gaussian (one learned scale), gaussian-fixed, gaussian-optimal, "
            "discretized-logistic or logistic-mixture (8-bit pixels, in bits); chosen if not given."
        ),
    ] = None
    prior: Annotated[str | None, Option(help="normal, vamp or flow; normal, or that of --start, if not given.")] = None
    latents: Annotated[int | None, Option(help="Dimensions of the latent space; chosen if not given.", min=1)] = None
    objective: Annotated[str, Option(help="elbo, beta, free-bits, beta-tc or iwae.")] = "elbo"
    strength: Annotated[float, Option(help="Of the objective: beta's weight, or free nats.")] = 1.0
    samples: Annotated[int, Option(help="Draws of z per image and step, for iwae.", min=1)] = 1
    kl_warm_up: Annotated[
        float, Option(help="Share of the run over which the KL gets its weight. 0 for axes that mean something.", min=0, max=1)
    ] = 0.1
    binarization: Annotated[str, Option(help="none, static or dynamic: train on black and white.")] = "none"
    epochs: Annotated[float | None, Option(help="Passes over the data; chosen if not given.")] = None
    minutes: Annotated[float | None, Option(help="Length of training, instead of --epochs.")] = None
    batch_size: Annotated[int | None, Option(help="Images per step; chosen if not given.")] = None
    learning_rate: Annotated[float, Option(help="Largest step size.")] = 2e-3
    corruption: Annotated[float, Option(help="Share of pixels the encoder sees only as coin flips.", min=0, max=1)] = 0.0
    precision: Annotated[str, Option(help="float32, or bfloat16: faster where the processor has it.")] = "float32"
    seed: Annotated[int, Option(help="Fixes weights, order, noise and map.")] = 0
    size: Annotated[int | None, Option(help="Side in pixels; chosen if not given.", min=8, max=256)] = None
    channels: Annotated[int | None, Option(help="1 for grey, 3 for colour; chosen if not given.")] = None
    fit: Annotated[str, Option(help="How pictures are fitted: crop, pad or stretch.")] = "crop"
    background: Annotated[str, Option(help="Colour under transparent pictures: auto, a name or #rrggbb.")] = "auto"
    labels: Annotated[Path | None, Option(help="A CSV or parquet file of labels, joined on the pictures' names.")] = None
    memory: Annotated[
        float | None, Option(help="GiB that images may take before they go to disk; a quarter of all, at most 8.")
    ] = None
    name: Annotated[str | None, Option(help="What to call the model; the folder's name if not given.")] = None
    label_names: Annotated[str | None, Option(help="Names of the classes 0, 1, 2…, separated by commas.")] = None
    start: Annotated[str | None, Option(help="A bundle to go on from; its architecture is kept.")] = None
    gallery: Annotated[int, Option(help="Most test images to keep in the bundle; 0 for none.", min=0)] = 10_000
    calibrate: Annotated[
        bool, Option(help="Learn what is normal, and the labels' looks, at the end; a mere first stage needs neither.")
    ] = True
    notes: Annotated[str, Option(help="A paragraph for the model card.")] = ""
    device: Device = "auto"
    resume: Annotated[bool, Option("--resume", help="Go on with the run that was saved beside --out.")] = False
    replace: Annotated[bool, Option("--replace", help="Let the bundle take the place of one at --out.")] = False
    checkpoint_every: Annotated[float, Option(help="Seconds between two times that the run saves itself.", min=0)] = 60.0

    @property
    def title(self) -> str:
        """What the model is called."""
        return self.name or self.out.absolute().name

    def given(self, names: Iterable[str]) -> dict[str, Any]:
        """The options of these names that are not None; names that are no options are passed over."""
        return {name: value for name in names if (value := getattr(self, name, None)) is not None}

    def arguments(self) -> list[str]:
        """What follows `latentscape train` on a command line that says the same.

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
    """Add all training options to a command that takes its context, its own keyword-only options, and keywords."""
    context, *own = (each for each in signature(command).parameters.values() if each.kind is not Parameter.VAR_KEYWORD)
    options = signature(TrainingOptions).parameters.values()
    command.__signature__ = Signature([context, *options, *own])  # pyright: ignore[reportFunctionMemberAccess]
    return command
