"""`latentscape train` and `latentscape recipes`."""

import shlex
from typing import Annotated, Any

import typer

from explorer.runs.options import TrainingOptions, takes_training_options


@takes_training_options
def train(
    context: typer.Context,
    *,
    recipe: Annotated[
        str | None, typer.Option(help="Name of a recipe, which sets options; `latentscape recipes` lists them.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the data, print the settings that would be used, and exit.")
    ] = False,
    **arguments: Any,
) -> None:
    """Train a VAE and save it as a bundle.

    Settings that are not given are chosen from the data and printed with the reason.
    Ctrl-C ends training early and saves the best weights so far.
    --resume continues the run, also after a crash.

    To train with several processes or machines: accelerate launch -m explorer train …
    """
    from core.distributed import ProcessGroup, launched_accelerator, launched_precision
    from explorer.runs.fit import fit, report_choices

    group, launched = ProcessGroup(launched_accelerator()), launched_precision()
    precision = {"precision": launched} if launched else {}
    options = TrainingOptions(**{**arguments, **recipe_options(context, recipe), **precision})
    if dry_run:
        report_choices(options, group)
        return
    bundle, out, labels = fit(options, group), options.out, options.labels
    if not group.is_main:
        return
    scores = bundle.config["evaluation"]
    print(
        f"Test ELBO {scores['elbo']:.2f} nats (log-likelihood {scores['log_likelihood']:.2f}, KL {scores['kl']:.2f}), "
        f"{scores['active_units']} of {bundle.architecture.latents} latents active.\n"
        f"Saved in {out}. Explore it:  latentscape explore {out}"
    )
    if bundle.map is not None:
        folder, file = shlex.quote(str(out)), shlex.quote(f"{out}.parquet")
        label_options = f" --labels {shlex.quote(str(labels))}" if labels is not None else ""
        label_options += f" --label-names {shlex.quote(options.label_names)}" if options.label_names is not None else ""
        data = shlex.quote(options.data)
        print(
            f"To show all images on the map:  latentscape encode {folder} --data {data}{label_options} --out {file} && "
            f"latentscape explore {folder} --encodings {file}"
        )


def recipe_options(context: typer.Context, name: str | None) -> dict[str, Any]:
    """The options of a recipe, without those that the command line sets. No options if `name` is None."""
    if name is None:
        return {}
    from explorer.runs.fit import choose_device
    from explorer.runs.recipes import find
    from explorer.runs.throughput import has_bfloat16

    sources = {key: context.get_parameter_source(key) for key in context.params}
    on_command_line = {key for key, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    if on_command_line & {"epochs", "minutes"}:  # two units of the same setting
        on_command_line |= {"epochs", "minutes"}
    options = {key: value for key, value in find(name).options.items() if key not in on_command_line}
    if options.get("precision") == "bfloat16" and not has_bfloat16(choose_device(context.params["device"])):
        typer.echo("This processor does not support bfloat16, so the recipe's bfloat16 would be slow. Using float32.", err=True)
        del options["precision"]
    return options


def recipes() -> None:
    """List the recipes: training settings with their duration and their result."""
    from explorer.runs.recipes import RECIPES

    for name, recipe in RECIPES.items():
        print(f"{name}\n  {recipe.description}\n  {recipe.command(name)}\n  {recipe.duration}: {recipe.result}\n")
