"""Training from the command line: data set in, bundle out, a progress bar in between."""

import os
import platform
import shlex
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

import core
from core.bundle import check_target
from core.data import idx_files
from core.images import Fit
from core.training import Run, split


def choose_device(device: str) -> torch.device:
    """The named device; "auto" is CUDA, then Apple's MPS, then the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} is not available here: {str(error).splitlines()[0]} Use --device auto.") from error


def default_epochs(images: int) -> int:
    """20 epochs of a large set; more of a small one, to about 1.2 million images seen; never more than 1,000."""
    return max(20, min(1000, 1_200_000 // images))


def rename_labels(data: core.Data, names: list[str]) -> core.Data:
    """Give the classes 0, 1, 2… of the column `label` their names."""
    labels = data.labels.get("label")
    if labels is None:
        raise ValueError("--label-names needs labels, and this data set has none.")
    try:
        numbers = labels.astype(int)
        if numbers.min() < 0:
            raise IndexError(f"{numbers.min()} is below 0")
        return replace(data, labels={**data.labels, "label": np.array(names)[numbers]})
    except (ValueError, IndexError) as error:
        raise ValueError(f"--label-names must name the classes 0 to {len(names) - 1}, in order; {error}.") from error


def read(
    source: str, size: int | None, fit: Fit, label_names: list[str] | None
) -> tuple[core.Data, core.Data, core.Preprocessing]:
    """Training and test images of a data set, and what later pictures go through to look like them."""
    train_data = core.load_data(source, "train", size=size, fit=fit)
    # Arrays were never fitted; a later picture of another shape is padded rather than cut.
    pictures = Path(source).is_dir() and not idx_files(Path(source))
    preprocessing = core.Preprocessing.measure(train_data.images, fit if pictures else "pad")
    test_data = core.load_data(source, "test", preprocessing=preprocessing)
    return train_data, rename_labels(test_data, label_names) if label_names else test_data, preprocessing


def fit(
    source: str,
    out: Path,
    name: str,
    settings: dict[str, object],
    network: str = "conv",
    likelihood: str = "bernoulli",
    latents: int = 16,
    size: int | None = None,
    picture_fit: Fit = "crop",
    label_names: list[str] | None = None,
    device: str = "auto",
    notes: str = "",
    start: str | None = None,
) -> core.Bundle:
    """Train on a data set's training split, score and map its test split, and save the bundle at `out`.

    `settings` are those of `core.Settings`; without a length one is chosen. With `start`, training goes on from the weights
    of that bundle, whose network, likelihood, latents and held-out images are kept. Ctrl-C ends training early and saves the
    best weights so far. Raises ValueError for whatever the user can put right.
    """
    console = Console(stderr=True)
    check_target(out)  # before hours are spent
    train_data, test_data, preprocessing = read(source, size, picture_fit, label_names)
    if settings.get("epochs") is None and settings.get("minutes") is None:
        settings = {**settings, "epochs": float(default_epochs(len(train_data.images)))}
    before = core.load(start) if start else None
    if before:
        before.preprocessing.check(train_data.images[:1])
        # The KL counts from the first step, and the held-out images stay those that no weight has seen.
        settings = {**settings, "kl_warm_up": 0.0, "seed": before.config["training"]["settings"]["seed"]}
    chosen = core.Settings(**settings)  # pyright: ignore[reportArgumentType]
    torch.manual_seed(chosen.seed)
    architecture = before.architecture if before else core.Architecture(*preprocessing.shape, latents, network, likelihood)
    vae = before.vae if before else architecture.build()
    where = choose_device(device)
    console.print(
        f"{len(train_data.images):,} training and {len(test_data.images):,} test images; {architecture}; "
        f"{sum(p.numel() for p in vae.parameters()):,} weights; on {where}."
    )
    began = time.monotonic()
    last = follow(core.train(vae, train_data.images, chosen, device=where), console)
    seconds = time.monotonic() - began
    console.print("Scoring the test images and drawing the map…")
    training, held_out = split(len(train_data.images), chosen.validation, chosen.seed)
    record = {
        "command": shlex.join(["latentscape", *sys.argv[1:]]),
        "notes": notes,
        "settings": asdict(chosen),
        "images": len(training),
        "held_out": len(held_out),
        "epochs": last.epoch if last else 0.0,
        "seconds": seconds,
        "validation_elbo": last.best_validation_elbo if last and np.isfinite(last.best_validation_elbo) else None,
        "started_from": before.config["training"] if before else None,
        "machine": f"{os.cpu_count()} cores ({platform.machine()}), {where.type}, torch {torch.__version__}",
    }
    bundle = core.make_bundle(name, vae, architecture, preprocessing, test_data, record, device=where, seed=chosen.seed)
    bundle.save(out)
    return bundle


def follow(progress: Run, console: Console) -> core.Progress | None:
    """Show a run's progress until it ends, or until Ctrl-C or a polite kill ends it early; returns the last report.

    On a terminal that is a bar; in a log it is a line at every twentieth of the run.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    last = None
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task, printed = bar.add_task("starting", total=1.0), 0
        try:
            for report in progress:
                last = report
                bar.update(task, completed=report.fraction, description=line(report))
                if not console.is_terminal and int(20 * report.fraction) > printed:
                    printed = int(20 * report.fraction)
                    console.print(f"{report.fraction:4.0%}  {line(report)}", soft_wrap=True)
        except KeyboardInterrupt:
            progress.close()
            console.print("Stopped early; the best weights so far are kept.")
    return last


def line(report: core.Progress) -> str:
    """One report in one line."""
    scored = not np.isnan(report.validation_elbo)
    validation = f"validation {report.validation_elbo:.2f}  active {report.active_latents}  " if scored else ""
    left = time.strftime("%H:%M:%S", time.gmtime(report.seconds_left))
    return (
        f"epoch {report.epoch:.1f}  ELBO {report.elbo:.2f}  log-lik. {report.log_likelihood:.2f}  KL {report.kl:.2f}  "
        f"{validation}{report.images_per_second:,.0f} images/s  {left} left"
    )
