"""What a run leaves behind: its record in the bundle, the files beside it, and how to go on with it."""

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


def command(resume: bool = False) -> str:
    """What was typed, or what to type to go on."""
    typed = [word for word in sys.argv[1:] if word != "--resume"]
    return shlex.join(["latentscape", *typed, *(["--resume"] if resume else [])])


def sibling_file(out: Path, kind: str) -> Path:
    """The file of a run that lies beside its bundle."""
    return out.with_name(f"{out.name}.{kind}")


def begun_with(saved: Path, out: Path) -> dict[str, Any]:
    """What the run was begun with that is to go on: nothing, where it died before its first checkpoint."""
    if saved.exists():
        begun = read_checkpoint(saved)[1]
        return {**begun, "settings": {key: value for key, value in begun["settings"].items() if value is not None}}
    if is_bundle(out):
        raise ValueError(f"the run of {out} has finished; there is nothing to go on with. --start {out} trains it further.")
    return {}


def record(
    last: core.Progress | None,
    images: int,
    held_out: int,
    device: torch.device,
    group: core.ProcessGroup,
    reading: Reading | None,
    before: core.Bundle | None,
) -> dict[str, Any]:
    """What the bundle records of how the run went, on what and where."""
    processes = f"{group.count} processes, " if group.count > 1 else ""
    return {
        "command": command(),
        "pictures": {"read": reading.summary.read, "left_out": reading.summary.counts} if reading else None,
        "started_from": before.config["training"] if before else None,
        "images": images,
        "held_out": held_out,
        "epochs": last.epoch if last else 0.0,
        "seconds": last.seconds if last else 0.0,
        "validation_elbo": last.best_validation_elbo if last and np.isfinite(last.best_validation_elbo) else None,
        "machine": f"{processes}{os.cpu_count()} cores ({platform.machine()}), {device.type}, torch {torch.__version__}",
    }


def save(bundle: core.Bundle, out: Path, checkpoint: Path) -> None:
    """Write the bundle; OSError that says what is safe and what to do where that fails."""
    try:
        bundle.save(out)
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"the bundle {out} could not be written ({error}); what was there before is as it was, and the trained weights are "
            f"in {checkpoint}. Make room and go on:  {command(resume=True)}"
        ) from error
