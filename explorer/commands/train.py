"""`latentscape train`, and the `recipes` it knows."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from explorer.commands.arguments import Device


def train(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="Pictures (folder, .zip, .parquet, hf:owner/name), .npz, IDX, digits, dsprites.")],
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    network: Annotated[str | None, typer.Option(help="mlp, conv or resnet; chosen if not given.")] = None,
    network_width: Annotated[
        int | None, typer.Option(help="Units of an mlp's layers (300 if not given) or channels of convolutions (32).", min=1)
    ] = None,
    likelihood: Annotated[
        str | None,
        typer.Option(
            help="bernoulli, continuous-bernoulli, gaussian (one learned scale), gaussian-fixed, gaussian-optimal, "
            "discretized-logistic or logistic-mixture (8-bit pixels, in bits); chosen if not given."
        ),
    ] = None,
    prior: Annotated[str | None, typer.Option(help="normal, vamp or flow; normal, or that of --start, if not given.")] = None,
    latents: Annotated[int | None, typer.Option(help="Dimensions of the latent space; chosen if not given.", min=1)] = None,
    objective: Annotated[str, typer.Option(help="elbo, beta, free-bits, beta-tc or iwae.")] = "elbo",
    strength: Annotated[float, typer.Option(help="Of the objective: beta's weight, or free nats.")] = 1.0,
    samples: Annotated[int, typer.Option(help="Draws of z per image and step, for iwae.", min=1)] = 1,
    kl_warm_up: Annotated[
        float,
        typer.Option(help="Share of the run over which the KL gets its weight. 0 for axes that mean something.", min=0, max=1),
    ] = 0.1,
    binarization: Annotated[str, typer.Option(help="none, static or dynamic: train on black and white.")] = "none",
    epochs: Annotated[float | None, typer.Option(help="Passes over the data; chosen if not given.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length of training, instead of --epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step; chosen if not given.")] = None,
    learning_rate: Annotated[float, typer.Option(help="Largest step size.")] = 2e-3,
    corruption: Annotated[float, typer.Option(help="Share of pixels the encoder sees only as coin flips.", min=0, max=1)] = 0.0,
    precision: Annotated[str, typer.Option(help="float32, or bfloat16: faster where the processor has it.")] = "float32",
    seed: Annotated[int, typer.Option(help="Fixes weights, order, noise and map.")] = 0,
    size: Annotated[int | None, typer.Option(help="Side in pixels; chosen if not given.", min=8, max=256)] = None,
    channels: Annotated[int | None, typer.Option(help="1 for grey, 3 for colour; chosen if not given.")] = None,
    fit: Annotated[str, typer.Option(help="How pictures are fitted: crop, pad or stretch.")] = "crop",
    background: Annotated[str, typer.Option(help="Colour under transparent pictures: auto, a name or #rrggbb.")] = "auto",
    labels: Annotated[Path | None, typer.Option(help="A CSV or parquet file of labels, joined on the pictures' names.")] = None,
    memory: Annotated[
        float | None, typer.Option(help="GiB that images may take before they go to disk; a quarter of all, at most 8.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the model; the folder's name if not given.")] = None,
    label_names: Annotated[str | None, typer.Option(help="Names of the classes 0, 1, 2…, separated by commas.")] = None,
    start: Annotated[str | None, typer.Option(help="A bundle to go on from; its architecture is kept.")] = None,
    gallery: Annotated[int, typer.Option(help="Most test images to keep in the bundle; 0 for none.", min=0)] = 10_000,
    calibrate: Annotated[
        bool, typer.Option(help="Learn what is normal, and the labels' looks, at the end; a mere first stage needs neither.")
    ] = True,
    notes: Annotated[str, typer.Option(help="A paragraph for the model card.")] = "",
    device: Device = "auto",
    recipe: Annotated[str | None, typer.Option(help="Settings known to work: see `latentscape recipes`.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the data, say what would be chosen, and stop there.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that was saved beside --out.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Let the bundle take the place of one at --out.")] = False,
    checkpoint_every: Annotated[float, typer.Option(help="Seconds between two times that the run saves itself.", min=0)] = 60,
) -> None:
    """Train a VAE and save it as a bundle. Ctrl-C ends early and keeps the best weights; --resume goes on, also after a crash.

    Several processes or machines share the work: accelerate launch -m explorer train …
    """
    from core.distributed import ProcessGroup, launched, launched_precision
    from explorer.runs.fit import fit as fit_bundle
    from explorer.runs.fit import plan, rehearse

    group, asked = ProcessGroup(launched()), launched_precision()
    half = {"precision": asked} if asked else {}
    options = plan({**context.params, **recipe_options(context), **half})
    if dry_run:
        rehearse(options, group)
        return
    bundle = fit_bundle(**options, group=group)
    if not group.main:
        return
    figures = bundle.config["evaluation"]
    print(
        f"Test ELBO {figures['elbo']:.2f} nats (log-likelihood {figures['log_likelihood']:.2f}, KL {figures['kl']:.2f}), "
        f"{figures['active_units']} of {bundle.architecture.latents} latents active.\n"
        f"Saved in {out}. Walk through it:  latentscape explore {out}"
    )
    if bundle.map is not None:
        here, file = shlex.quote(str(out)), shlex.quote(f"{out}.parquet")
        joined = f" --labels {shlex.quote(str(labels))}" if labels is not None else ""
        joined += f" --label-names {shlex.quote(label_names)}" if label_names is not None else ""
        print(
            f"All of its images on the map:  latentscape encode {here} --data {shlex.quote(data)}{joined} --out {file} && "
            f"latentscape explore {here} --encodings {file}"
        )


def recipe_options(context: typer.Context) -> dict[str, Any]:
    """The options of the recipe that the command line names, but for those that it gives itself."""
    name = context.params["recipe"]
    if name is None:
        return {}
    from explorer.runs.fit import choose_device
    from explorer.runs.recipes import find
    from explorer.runs.throughput import has_bfloat16

    sources = {key: context.get_parameter_source(key) for key in context.params}
    given = {key for key, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    if given & {"epochs", "minutes"}:  # the length is one choice, in whichever unit
        given |= {"epochs", "minutes"}
    options = {key: value for key, value in find(name).options.items() if key not in given}
    if options.get("precision") == "bfloat16" and not has_bfloat16(choose_device(context.params["device"])):
        typer.echo("The recipe's bfloat16 would be slow here: this processor has no such arithmetic. Using float32.", err=True)
        del options["precision"]
    return options


def recipes() -> None:
    """List settings that are known to work, with what they took and gave."""
    from explorer.runs.recipes import RECIPES

    for name, recipe in RECIPES.items():
        print(f"{name}\n  {recipe.about}\n  {recipe.command(name)}\n  {recipe.took}: {recipe.score}\n")
