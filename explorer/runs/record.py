"""The training record in the bundle, the files next to the bundle, and the command that resumes a run."""

import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

import core
from core.bundle.folders import is_bundle
from core.data.reading import Reading
from core.training.checkpoint import read as read_checkpoint


def command_line(resume: bool = False) -> str:
    """The command line of this process, or with `resume` the one that continues its run."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    return shlex.join(["latentscape", *words, *(["--resume"] if resume else [])])


def sibling_file(out: Path, suffix: str) -> Path:
    """The path of a run's file next to its bundle, such as runs/photos.log.jsonl."""
    return out.with_name(f"{out.name}.{suffix}")


def resumed_run(checkpoint: Path, out: Path) -> dict[str, Any]:
    """The architecture, settings and objective of the run that wrote this checkpoint; empty if there is no checkpoint yet.

    Raises ValueError if the run has finished.
    """
    if checkpoint.exists():
        run = read_checkpoint(checkpoint)[1]
        return {**run, "settings": {key: value for key, value in run["settings"].items() if value is not None}}
    if is_bundle(out):
        raise ValueError(f"the run of {out} has finished, so it cannot be resumed. Train its model further with --start {out}.")
    return {}


def training_record(
    last: core.Progress | None,
    images: int,
    held_out: int,
    device: torch.device,
    group: core.ProcessGroup,
    reading: Reading | None,
    start: core.Bundle | None,
) -> dict[str, Any]:
    """The bundle's record of the run: command, data, length, result and machine, as plain JSON."""
    processes = f"{group.count} processes, " if group.count > 1 else ""
    return {
        "command": command_line(),
        "pictures": {"read": reading.summary.read, "left_out": reading.summary.counts} if reading else None,
        "started_from": start.config["training"] if start else None,
        "images": images,
        "held_out": held_out,
        "epochs": last.epoch if last else 0.0,
        "seconds": last.seconds if last else 0.0,
        "validation_elbo": last.best_validation_elbo if last and np.isfinite(last.best_validation_elbo) else None,
        "machine": f"{processes}{os.cpu_count()} cores ({platform.machine()}), {device.type}, torch {torch.__version__}",
    }


def save(bundle: core.Bundle, out: Path, checkpoint: Path) -> None:
    """Write the bundle. Raises OSError, with the command that tries again, if it cannot be written."""
    try:
        bundle.save(out)
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"the bundle {out} cannot be written ({error}). Its earlier files are unchanged, and the trained weights are in "
            f"{checkpoint}. Free disk space and resume:  {command_line(resume=True)}"
        ) from error
