"""Checkpoint: one safetensors file from which an interrupted run resumes exactly.

Its tensors are the weights, their average, the best weights, the states of the optimizer and the generators, and the scores.
Its header holds JSON: the counters of the run, and the settings that identify it. The file is replaced atomically.
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

HEADER_KEY = "latentscape"
"""Key of the JSON text in the safetensors header."""
HASHED_IMAGES = 1024
"""Approximate number of images hashed for the fingerprint of a data set that is not in memory."""


class Snapshot(NamedTuple):
    """The state of a run after a step. The numbers are plain JSON."""

    tensors: dict[str, Tensor]
    numbers: dict[str, float]


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a run is saved, and whether it resumes. Raises ValueError if `every` is negative."""

    path: Path | str
    every: float = 60.0
    """Seconds between checkpoints; more if writing would take over a twentieth of the time."""
    resume: bool = False
    """Whether to resume from the file if it exists. If False, an existing file is an error."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Further facts that must be equal when the run resumes, as plain JSON: architecture, objective."""

    def __post_init__(self) -> None:
        if not self.every >= 0:
            raise ValueError(f"the time between checkpoints must be at least 0 seconds; got {self.every}.")


class CheckpointWriter:
    """Writes the snapshots of one run to its checkpoint; only the main process writes.

    Raises ValueError if the file exists and is damaged, is of another run, or `resume` is False.
    """

    def __init__(
        self, checkpoint: Checkpoint, settings: Settings, images: Images, group: ProcessGroup = SINGLE_PROCESS
    ) -> None:
        self.path, self.every, self.group = Path(checkpoint.path), checkpoint.every, group
        self.run = json.loads(
            json.dumps({"settings": asdict(settings), **checkpoint.about, "images": fingerprint(images)}, allow_nan=False)
        )
        self.resume_from: Snapshot | None = None
        """The snapshot from which the run resumes; None for a new run."""
        self.last_save, self.save_seconds = time.monotonic(), 0.0
        if self.path.exists():
            self._read_existing(checkpoint.resume)
        group.all(True)  # a barrier: every process has read the file before the main one writes

    def _read_existing(self, resume: bool) -> None:
        """Read the snapshot from which the run resumes, and check that it is of the same run."""
        if not resume:
            raise ValueError(
                f"{self.path} is the checkpoint of a run that has not finished. Resume it (--resume), or remove the file."
            )
        self.resume_from, run = read(self.path)
        changed = differences(run, self.run)
        if changed:
            raise ValueError(
                f"{self.path} is the checkpoint of another run: {'; '.join(changed)}. "
                "Resume with the settings and data of that run, or start a new run at another path."
            )

    @property
    def interval(self) -> float:
        """Seconds between two saves: `every`, or 20 times the duration of the last save."""
        return max(self.every, 20 * self.save_seconds)

    @property
    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self.last_save >= self.interval

    def save(self, snapshot: Snapshot) -> None:
        """Write a snapshot. Raises OSError, and leaves the file unchanged, if that fails."""
        if not self.group.is_main:
            return
        start = time.monotonic()
        try:
            write(self.path, snapshot, self.run)
        finally:
            self.last_save = time.monotonic()
            self.save_seconds = self.last_save - start

    def try_save(self, snapshot: Snapshot) -> str:
        """Write a snapshot. Returns the error message if that fails, so that the run can continue, else an empty string."""
        try:
            self.save(snapshot)
        except OSError as error:
            return f"{error} Training continues. The next attempt is in {self.interval:.0f} s."
        return ""


def write(path: Path, snapshot: Snapshot, run: dict[str, Any]) -> None:
    """Replace the checkpoint atomically: the old file is replaced only when the new one is completely on disk.

    If that fails, raises OSError with the disk space needed, and leaves the old file unchanged.
    """
    partial = path.with_name(f".{path.name}.partial")
    header = {HEADER_KEY: json.dumps({"version": 1, "run": run, **snapshot.numbers}, allow_nan=False)}
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
        previous = "the previous one is unchanged" if path.exists() else "there is no previous one"
        raise OSError(
            f"the checkpoint {path} could not be written ({error}); {previous}. "
            f"Free {megabytes:.1f} MB of disk space there, in addition to the file that it replaces."
        ) from error


def read(path: Path) -> tuple[Snapshot, dict[str, Any]]:
    """Read a checkpoint's snapshot, and the facts that identify its run. Raises ValueError if the file is not valid."""
    try:
        with safe_open(path, "pt") as file:  # pyright: ignore[reportPrivateImportUsage]
            numbers = json.loads((file.metadata() or {})[HEADER_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if numbers.pop("version") != 1:
            raise KeyError("version 1")
        return Snapshot(tensors, numbers), numbers.pop("run")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a readable checkpoint: {error}. Remove it, and start a new run.") from error


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on disk (fsync)."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fingerprint(images: Images) -> str:
    """Return the images' shape and hash, to recognize a data set; if not in memory, evenly spaced images are hashed."""
    step = max(1, len(images) // HASHED_IMAGES)
    content = images if isinstance(images, Tensor) else images[torch.arange(0, len(images), step)]
    digest = hashlib.blake2b(content.cpu().contiguous().numpy().data, digest_size=8).hexdigest()
    return f"{'x'.join(str(n) for n in images.shape)} {digest}"


def differences(before: dict[str, Any], now: dict[str, Any], within: str = "") -> list[str]:
    """Describe in words how two nested dictionaries differ."""
    found: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, key)
        elif old != new:
            found.append(f"{key} was {old}, now it is {new}" if key != within else f"was {old}, now is {new}")
    return found
