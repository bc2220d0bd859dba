"""Images, scores and table of `latentscape evaluate`."""

from dataclasses import asdict

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import core
from core.bundle.card import scores
from core.distributed import ProcessGroup
from core.evaluation.disentanglement import as_factors


def load_images(model: core.Bundle, data: str | None, split: str, limit: int | None) -> core.Data:
    """The first `limit` images of a data set, or of the gallery if `data` is None, in the view that the model is scored on.

    Raises ValueError if `data` is None and the model has no gallery.
    """
    if data is not None:
        images = core.load_data(data, split, model.preprocessing)  # pyright: ignore[reportArgumentType]
    elif model.gallery is None:
        raise ValueError(f"{model.name} has no gallery to score. Name a data set with --data.")
    else:
        labels = {name: values for name, values in model.gallery.labels.items() if name != "log_likelihood"}
        images = core.Data(model.gallery.images, labels)
    first = images.images if limit is None else images.images[:limit]
    return core.Data(
        model.preprocessing.evaluation_images(first), {name: values[:limit] for name, values in images.labels.items()}
    )


def score(
    model: core.Bundle, data: core.Data, seed: int, batch_size: int, device: torch.device, samples: int, group: ProcessGroup
) -> core.Evaluation:
    """Evaluate a model with a progress bar. Factors and labels are used if the images have them."""
    names, factors = as_factors(data.labels)
    with Progress(console=Console(stderr=True, quiet=not group.is_main), transient=True) as bar:
        task = bar.add_task("scoring", total=len(data.images) * (2 if samples else 1) / group.count)
        return core.evaluate(
            model.vae,
            data.images,
            seed,
            batch_size,
            group.device or device,
            lambda done: bar.advance(task, done),
            samples,
            factors if len(names) > 1 else None,
            model.classifier,
            data.labels,
            group,
        )


def table(evaluation: core.Evaluation, latents: int, source: str) -> Table:
    """Table with one row per score. `latents` is the model's number of latents; `source` names the scored images."""
    result = Table("score", "value", box=None, title=f"{evaluation.images:,} {source}, each scored once", title_justify="left")
    for name, value in scores(asdict(evaluation), latents):
        result.add_row(name, value)
    result.add_row("KL of each latent", "  ".join(f"{kl:.2f}" for kl in evaluation.kl_per_latent) + " nats")
    result.add_row("likelihood", evaluation.likelihood)
    return result
