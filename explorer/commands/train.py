"""`latentscape train`, and the `recipes` it knows."""

import shlex
from typing import Annotated, Any

import typer

from explorer.runs.options import TrainingOptions, takes_training_options


@takes_training_options
def train(
    context: typer.Context,
    *,
    recipe: Annotated[str | None, typer.Option(help="Settings known to work: see `latentscape recipes`.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read the data, say what would be chosen, and stop.")] = False,
    **said: Any,
) -> None:
    """Train a VAE and save it as a bundle. Ctrl-C ends early and keeps the best weights; --resume goes on, also after a crash.

    Several processes or machines share the work: accelerate launch -m explorer train …
    """
    from core.distributed import ProcessGroup, launched_accelerator, launched_precision
    from explorer.runs.fit import fit, report_choices

    group, asked = ProcessGroup(launched_accelerator()), launched_precision()
    half = {"precision": asked} if asked else {}
    options = TrainingOptions(**{**said, **recipe_options(context, recipe), **half})
    if dry_run:
        report_choices(options, group)
        return
    bundle, out, labels = fit(options, group), options.out, options.labels
    if not group.is_main:
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
        joined += f" --label-names {shlex.quote(options.label_names)}" if options.label_names is not None else ""
        data = shlex.quote(options.data)
        print(
            f"All of its images on the map:  latentscape encode {here} --data {data}{joined} --out {file} && "
            f"latentscape explore {here} --encodings {file}"
        )


def recipe_options(context: typer.Context, name: str | None) -> dict[str, Any]:
    """The options of the recipe of this name, but for those that the command line gives itself."""
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
