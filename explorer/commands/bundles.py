"""The commands that work on bundles: `list`, `evaluate`, `project` and `calibrate`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.arguments import Bundle, Json
from explorer.runs.options import Device


def list_models(as_json: Json = False) -> None:
    """List the pretrained models."""
    from core.bundle.folders import PRETRAINED, pretrained

    configs = [json.loads((PRETRAINED / name / "config.json").read_text(encoding="utf-8")) for name in pretrained()]
    if as_json:
        print(json.dumps([{"name": config["name"], **config["architecture"], **config["evaluation"]} for config in configs]))
        return
    from rich.console import Console
    from rich.table import Column, Table

    name = Column("name", no_wrap=True)  # a name has to be readable in full, because users type it
    table = Table(name, "images", "latents", "network", "likelihood", "test ELBO (nats)", box=None)
    for config in configs:
        a = config["architecture"]
        shape, elbo = f"{a['channels']}x{a['height']}x{a['width']}", f"{config['evaluation']['elbo']:.2f}"
        table.add_row(config["name"], shape, str(a["latents"]), a["network"], a["likelihood"], elbo)
    Console().print(table)


def evaluate(
    bundle: Bundle,
    data: Annotated[
        str | None, typer.Option(help="Data set to score, as for train; the gallery of the bundle if not given.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of --data to score: train, test or all.")] = "test",
    samples: Annotated[
        int, typer.Option(help="Importance samples per image to estimate log p(x); 0 computes only the ELBO.", min=0)
    ] = 0,
    limit: Annotated[int | None, typer.Option(help="Score only the first LIMIT images; all if not given.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the draws of z.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images per batch; changes only the speed.", min=1)] = 512,
    device: Device = "auto",
    save: Annotated[bool, typer.Option("--save", help="Save the scores in the bundle and its model card.")] = False,
    as_json: Json = False,
) -> None:
    """Score a model on images: the mean ELBO and its terms, in nats per image. Each image is scored once."""
    from rich.console import Console

    import core
    from core.bundle.folders import locate
    from core.distributed import ProcessGroup, launched_accelerator
    from explorer.commands import report
    from explorer.runs.fit import choose_device

    group, model = ProcessGroup(launched_accelerator()), core.load(bundle)
    images = report.load_images(model, data, split, limit)
    evaluation = report.score(model, images, seed, batch_size, choose_device(device), samples, group)
    if not group.is_main:
        return
    if save:
        model.evaluated(split if data else "gallery", evaluation).save(locate(bundle))
    if as_json:
        print(json.dumps({"model": model.name, "split": split if data else "gallery", **asdict(evaluation)}))
    else:
        source = f"{split} images of {data}" if data else "images of its gallery, which were not used for training"
        Console().print(report.table(evaluation, model.vae.prior.latents, source))


def project(
    bundle: Bundle,
    method: Annotated[str, typer.Option(help="Method: umap, pca, or latents (two latents as the axes, see --pair).")] = "umap",
    pair: Annotated[str, typer.Option(help="The two latents of --method latents, counted from 0.")] = "0,1",
    seed: Annotated[int, typer.Option(help="Random seed of UMAP.")] = 0,
    min_dist: Annotated[
        float, typer.Option(help="UMAP's min_dist: 0 packs neighbours closely, 1 spreads groups out.", min=0, max=1)
    ] = 0.1,
    out: Annotated[Path | None, typer.Option(help="Folder to save to; the bundle itself is overwritten if not given.")] = None,
) -> None:
    """Compute a new map for a bundle."""
    import core
    from core.bundle.folders import locate

    try:
        first, second = (int(part) for part in pair.split(","))
    except ValueError as error:
        raise ValueError(f"--pair must be two latents such as 0,3; got {pair!r}.") from error
    target = out or locate(bundle)
    projected = core.load(bundle).projected(method, (first, second), seed, min_dist)  # pyright: ignore[reportArgumentType]
    projected.save(target)
    scores = projected.config["map"]
    print(
        f"{method} map in {target}: trustworthiness {scores['trustworthiness']:.3f}, "
        f"round-trip error {100 * scores['round_trip']:.2f} % of the map's width"
    )


def calibrate(
    bundle: Bundle,
    data: Annotated[str, typer.Option(help="Data set that the bundle was trained on; its training split is read.")],
    out: Annotated[Path | None, typer.Option(help="Folder to save to; the bundle itself is overwritten if not given.")] = None,
) -> None:
    """Fit a bundle's anomaly detector and label classifier to its training data."""
    from rich.console import Console

    import core
    from core.bundle.folders import locate
    from explorer.runs import fit

    model, target = core.load(bundle), out or locate(bundle)
    calibrated = fit.calibrate(model, core.load_data(data, "train", model.preprocessing), Console(stderr=True))
    calibrated.save(target)
    assert calibrated.detector is not None
    print(f"Calibrated on {len(calibrated.detector.calibration):,} held-out images; saved in {target}.")
