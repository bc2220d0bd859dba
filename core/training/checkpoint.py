"""The checkpoint: one safetensors file that holds all a run needs to go on as if nothing had happened.

Its tensors are the weights, their average, the best of them, the optimizer's state, the generators' states and the scores; its
header holds the rest as JSON: how far the run is, and of what run it is. It is replaced as a whole or not at all.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.data.preprocessing import Images
from core.distributed import SINGLE_PROCESS, ProcessGroup
from core.training.settings import Settings

KEY = "latentscape"
"""Of the JSON in the header."""
SAMPLE = 1024
"""Images that stand for all, where they are made as they are needed."""


class Snapshot(NamedTuple):
    """A run at one moment. The numbers are plain JSON."""

    tensors: dict[str, Tensor]
    numbers: dict[str, float]


@dataclass(frozen=True)
class Checkpoint:
    """Where a run saves itself, how often, and whether it goes on from what is there."""

    path: Path | str
    every: float = 60.0
    """Seconds; rarer where writing takes more than a twentieth of the time."""
    resume: bool = False
    """Go on from the file, if there is one. Without, a file that is there is not overwritten."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else a run must have in common with the one it goes on from, as plain JSON: its architecture, its objective."""

    def __post_init__(self) -> None:
        if not self.every >= 0:
            raise ValueError(f"the time between checkpoints must be at least 0 seconds; got {self.every}.")


class CheckpointWriter:
    """Writes one run's snapshots to its checkpoint when it is time; of several processes, only the first writes.

    Raises ValueError when there is a checkpoint of another run, one that is damaged, or one that nobody asked to go on from.
    """

    def __init__(
        self, checkpoint: Checkpoint, settings: Settings, images: Images, group: ProcessGroup = SINGLE_PROCESS
    ) -> None:
        self.path, self.every, self.group = Path(checkpoint.path), checkpoint.every, group
        self.run = json.loads(
            json.dumps({"settings": asdict(settings), **checkpoint.about, "images": fingerprint(images)}, allow_nan=False)
        )
        self.start: Snapshot | None = None
        """What the run goes on from."""
        self.saved, self.cost = time.monotonic(), 0.0
        if self.path.exists():
            self._open(checkpoint.resume)
        group.all(True)  # that all have looked, before the first writes

    def _open(self, resume: bool) -> None:
        """Read what the run goes on from."""
        if not resume:
            raise ValueError(
                f"{self.path} is the checkpoint of a run that has not finished. Go on with it (--resume), or remove the file."
            )
        self.start, run = read(self.path)
        changed = differences(run, self.run)
        if changed:
            raise ValueError(
                f"{self.path} is the checkpoint of another run: {'; '.join(changed)}. "
                "Go on with the settings and data it was begun with, or begin another run elsewhere."
            )

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self.saved >= max(self.every, 20 * self.cost)

    def save(self, snapshot: Snapshot) -> None:
        """Write a snapshot; OSError, and the file as it was, where that fails."""
        if not self.group.is_main:
            return
        began = time.monotonic()
        try:
            write(self.path, snapshot, self.run)
        finally:
            self.saved = time.monotonic()
            self.cost = self.saved - began

    def try_save(self, snapshot: Snapshot) -> str:
        """Write a snapshot; where that fails, what is wrong and what to do, so that the run need not end for it."""
        try:
            self.save(snapshot)
        except OSError as error:
            return f"{error} Training goes on, and tries again in {max(self.every, 20 * self.cost):.0f} s."
        return ""


def write(path: Path, snapshot: Snapshot, run: dict[str, Any]) -> None:
    """Replace the file as a whole: what is there is lost only when all of the new one is on the disk.

    Raises OSError that says how much space is wanted, and leaves the file as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    header = {KEY: json.dumps({"version": 1, "run": run, **snapshot.numbers}, allow_nan=False)}
    tensors = {name: tensor.cpu().contiguous() for name, tensor in snapshot.tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, header)
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        megabytes = sum(tensor.nbytes for tensor in tensors.values()) / 1e6
        last = "the one before it is left as it was" if path.exists() else "there is none yet"
        raise OSError(
            f"the checkpoint {path} could not be written ({error}); {last}. "
            f"Make room for {megabytes:.1f} MB there, beside the one it replaces."
        ) from error


def read(path: Path) -> tuple[Snapshot, dict[str, Any]]:
    """A checkpoint's snapshot, and of what run it is; ValueError where the file is damaged or foreign."""
    try:
        with safe_open(path, "pt") as file:  # pyright: ignore[reportPrivateImportUsage]
            numbers = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if numbers.pop("version") != 1:
            raise KeyError("version 1")
        return Snapshot(tensors, numbers), numbers.pop("run")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a checkpoint that can be read: {error}. Remove it and begin again.") from error


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fingerprint(images: Images) -> str:
    """What tells these images from others: their shape and a hash of them (of an even sample, where they are not in memory)."""
    content = images if isinstance(images, Tensor) else images[torch.arange(0, len(images), max(1, len(images) // SAMPLE))]
    digest = hashlib.blake2b(content.cpu().contiguous().numpy().data, digest_size=8).hexdigest()
    return f"{'x'.join(str(n) for n in images.shape)} {digest}"


def differences(before: dict[str, Any], now: dict[str, Any], within: str = "") -> list[str]:
    """In words, how one nested dictionary differs from another."""
    found: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, key)
        elif old != new:
            found.append(f"{key} was {old}, now it is {new}" if key != within else f"was {old}, now is {new}")
    return found
