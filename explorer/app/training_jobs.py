"""The workshop: pictures that visitors bring, and the runs that train models of them, each in a process of its own.

A run is what `latentscape train` does with a folder of pictures; what the page shows of it is what that command prints, and the
log and the preview that it leaves beside its bundle.
"""

import base64
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from core.bundle.folders import check_name, is_bundle
from explorer.app.catalogue import Catalogue
from explorer.runs.options import TrainingOptions
from explorer.runs.record import sibling_file

Phase = Literal["gathering", "looking", "looked", "training", "stopped", "done", "failed"]

IDLE = 3600
"""Seconds after which pictures that nobody asks about, and nothing is made of, are deleted."""
DEEPEST, LONGEST = 8, 120
"""Folders in a picture's name, and characters in each part of it, at most."""


@dataclass(frozen=True)
class Bounds:
    """What one run may take."""

    files: int = 100_000
    bytes: int = 2 << 30
    minutes: float = 120.0
    size: tuple[int, int] = (8, 256)
    """Pixels along a side of the model's images, from and to."""
    latents: tuple[int, int] = (1, 256)
    runs: int = 20
    """Visitors' runs that are kept at once; only one of them computes."""


@dataclass
class Run:
    """One visitor's pictures and what is made of them."""

    folder: Path
    files: int = 0
    size: int = 0
    """Bytes."""
    touched: float = field(default_factory=time.monotonic)
    name: str = ""
    out: Path | None = None
    task: Literal["look", "train"] | None = None
    process: subprocess.Popen[bytes] | None = None
    options: TrainingOptions | None = None
    model: str | None = None
    """What the finished bundle is called in the catalogue."""

    @property
    def place(self) -> str:
        """Where its bundle is, or will be: the last two parts of the path, which are all that a visitor gets to see."""
        return "" if self.out is None else f"{self.out.parent.name}/{self.out.name}"

    @property
    def pictures(self) -> Path:
        """Where the pictures are gathered."""
        return self.folder / "pictures"

    @property
    def source(self) -> Path:
        """What training reads: the folder, or the one zip file in it."""
        found = list(self.pictures.iterdir())
        return found[0] if len(found) == 1 and zipfile.is_zipfile(found[0]) else self.pictures

    @property
    def running(self) -> bool:
        """Whether a process of it computes."""
        return self.process is not None and self.process.poll() is None

    @property
    def phase(self) -> Phase:
        """How far it is."""
        if self.task is None or self.process is None:
            return "gathering"
        if self.running:
            return "looking" if self.task == "look" else "training"
        if self.process.returncode:
            return "failed"
        if self.task == "look":
            return "looked"
        return "stopped" if self.out is not None and sibling_file(self.out, "checkpoint").exists() else "done"

    @property
    def console(self) -> list[str]:
        """What the command has printed, without the server's paths."""
        file = self.folder / "console.txt"
        text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
        for path, words in ((self.source, "the pictures"), (self.pictures, "the pictures"), (self.out, self.place)):
            text = text.replace(str(path), words) if path is not None else text
        return text.splitlines()

    @property
    def reports(self) -> list[dict[str, Any]]:
        """The lines of the run's log."""
        log = None if self.out is None else sibling_file(self.out, "log.jsonl")
        if self.task != "train" or log is None or not log.exists():
            return []
        lines = log.read_text(encoding="utf-8").split("\n")[:-1]  # the last one may not be whole yet
        return [json.loads(line) for line in lines]


class TrainingJobs:
    """The runs of all visitors. A run is known by a token that nobody else can guess; its bundle is saved in `folder`, under a
    name of its own, and joins the catalogue. One run computes at a time.

    Every method raises ValueError for what a visitor can put right.
    """

    def __init__(self, folder: Path, catalogue: Catalogue, bounds: Bounds | None = None) -> None:
        self.folder, self.catalogue, self.bounds = folder.absolute(), catalogue, bounds or Bounds()
        self._runs: dict[str, Run] = {}
        self._scratch = tempfile.TemporaryDirectory(prefix="latentscape-workshop-")
        self._lock = threading.RLock()

    def begin(self) -> str:
        """The token of a new run, which has no pictures yet."""
        with self._lock:
            for token, run in list(self._runs.items()):
                if not run.running and time.monotonic() - run.touched > IDLE:
                    self.discard(token)
            if len(self._runs) >= self.bounds.runs:
                raise ValueError(f"this server keeps {self.bounds.runs} runs, and all are taken; try again in an hour.")
            token = secrets.token_urlsafe(16)
            run = Run(Path(self._scratch.name) / secrets.token_hex(8))
            run.pictures.mkdir(parents=True)
            self._runs[token] = run
            return token

    def __getitem__(self, token: object) -> Run:
        """The run of this token."""
        run = self._runs.get(token) if isinstance(token, str) else None
        if run is None:
            raise ValueError("this run is no longer on the server; begin another.")
        run.touched = time.monotonic()
        return run

    def add(self, token: str, pieces: list[tuple[str, Path]]) -> None:
        """Take files that were uploaded, each under its name in the visitor's folder; of a large one piece after piece."""
        run = self[token]
        if run.phase not in ("gathering", "looked", "failed"):
            raise ValueError("this run has begun; begin another for other pictures.")
        for name, piece in pieces:
            target, size = run.pictures / clean(name), piece.stat().st_size
            if run.size + size > self.bounds.bytes:
                raise ValueError(f"pictures may take {self.bounds.bytes / 2**20:,.0f} MiB here, and these take more.")
            if run.files >= self.bounds.files and not target.exists():
                raise ValueError(f"a run may have {self.bounds.files:,} files here, and these are more.")
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                run.files += not target.exists()
                with target.open("ab") as whole, piece.open("rb") as part:
                    shutil.copyfileobj(part, whole)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise ValueError(f"{name!r} is the name of a file and of a folder.") from error
            run.size += size
            piece.unlink()

    def look(self, token: str, options: dict[str, Any]) -> None:
        """Read the pictures and say what would be chosen."""
        self._launch(token, "look", options)

    def train(self, token: str, options: dict[str, Any]) -> None:
        """Train a model of them, or go on with one that was stopped."""
        self._launch(token, "train", options)

    def stop(self, token: str) -> None:
        """End training early; the best weights so far become a bundle, with which it can go on. A look is given up."""
        run = self[token]
        if run.process is not None and run.running:
            run.process.send_signal(signal.SIGTERM if run.task == "train" and run.reports else signal.SIGKILL)

    def discard(self, token: str) -> None:
        """Forget a run and its pictures. A bundle that was made stays."""
        run = self._runs.pop(token, None)
        if run is None:
            return
        if run.process is not None and run.running:
            run.process.kill()
            run.process.wait()
        if run.out is not None and run.phase != "done":
            sibling_file(run.out, "checkpoint").unlink(missing_ok=True)
        shutil.rmtree(run.folder, ignore_errors=True)

    def status(self, token: str, after: int = 0) -> dict[str, Any]:
        """How far a run is: its phase, what it printed, its reports from the one at `after`, and its preview (base64)."""
        run = self[token]
        phase, reports = run.phase, run.reports
        if phase in ("stopped", "done") and run.model is None and run.out is not None and is_bundle(run.out):
            run.model = self.catalogue.add(run.out)
        preview = None if run.out is None else sibling_file(run.out, "preview.png")
        picture = preview.read_bytes() if phase == "training" and preview is not None and preview.exists() else None
        return {
            "phase": phase,
            "files": run.files,
            "bytes": run.size,
            "name": run.name,
            "place": run.place,
            "model": run.model,
            "console": run.console,
            "from": min(after, len(reports)),
            "reports": reports[after:],
            "preview": None if picture is None else base64.b64encode(picture).decode(),
        }

    def close(self) -> None:
        """End what computes, as Ctrl-C would, and delete the pictures."""
        for run in self._runs.values():
            if run.process is not None and run.running:
                run.process.terminate()
        for run in self._runs.values():
            if run.process is not None:
                try:
                    run.process.wait(20)
                except subprocess.TimeoutExpired:
                    run.process.kill()
        self._scratch.cleanup()

    def _launch(self, token: str, task: Literal["look", "train"], options: dict[str, Any]) -> None:
        """Start a run's process; what it prints goes into a file."""
        with self._lock:
            run = self[token]
            if any(other.running for other in self._runs.values()):
                mine = "this one" if run.running else "another one"
                raise ValueError(f"one run computes at a time, and {mine} does now; try again when it has ended.")
            if not run.files:
                raise ValueError("there are no pictures yet; drop a folder or a .zip file of them.")
            going_on = task == "train" and run.phase == "stopped"
            if not going_on:
                run.name = str(options.get("name") or "pictures").strip()
                check_name(run.name)
                chosen, run.out = checked_options(options, self.bounds), free_folder(self.folder, run.name)
                run.options = TrainingOptions(data=str(run.source), out=run.out, name=run.name, checkpoint_every=15.0, **chosen)
            assert run.options is not None
            words = replace(run.options, resume=going_on).arguments()
            command = [sys.executable, "-m", "explorer", "train", *words, *(["--dry-run"] if task == "look" else [])]
            run.task, run.model = task, None
            with (run.folder / "console.txt").open("ab" if going_on else "wb") as console:
                run.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    # The page breaks lines. A Ctrl-C in the terminal is the server's, which ends its runs itself.
                    env={**os.environ, "COLUMNS": "1000", "PYTHONUNBUFFERED": "1"},
                    start_new_session=True,
                )
            if hasattr(os, "setpriority"):  # the page's visitors come first
                os.setpriority(os.PRIO_PROCESS, run.process.pid, 10)


def clean(name: object) -> str:
    """A file's name in its visitor's folder as a relative path that stays where it belongs; ValueError for none at all.

    >>> clean("cats/../../etc/passwd")
    'cats/etc/passwd'
    """
    if not isinstance(name, str):
        raise ValueError(f"a file's name must be text; got {name!r:.100}.")
    parts = re.split(r"[/\\]", unicodedata.normalize("NFC", name))
    kept = [
        re.sub(r'[\x00-\x1f<>:"|?*]', "_", part)[-LONGEST:].strip() for part in parts if part.strip() not in ("", ".", "..")
    ]
    if not kept or len(kept) > DEEPEST:
        raise ValueError(f"a file's name must have 1 to {DEEPEST} parts; got {name!r:.100}.")
    return "/".join(kept)


def checked_options(options: dict[str, Any], bounds: Bounds) -> dict[str, Any]:
    """The training options that the page may set; ValueError for one that is out of bounds."""
    minutes = float(options.get("minutes") or min(5, bounds.minutes))
    if not 0 < minutes <= bounds.minutes:
        raise ValueError(f"minutes must be more than 0 and at most {bounds.minutes:g}; got {minutes:g}.")
    given: dict[str, Any] = {"minutes": minutes}
    for key, (least, most) in {"size": bounds.size, "latents": bounds.latents}.items():
        if (value := options.get(key)) not in (None, ""):
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{key} must be a whole number from {least} to {most}; got {value!r:.100}.")
            given[key] = value
    return given


def free_folder(folder: Path, name: str) -> Path:
    """A folder for a bundle of this name that is not there yet, nor any file of a run that made it."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "pictures"
    number = 1
    while True:
        path = folder / (plain if number == 1 else f"{plain}-{number}")
        if not any(taken.exists() for taken in (path, sibling_file(path, "checkpoint"), sibling_file(path, "log.jsonl"))):
            return path
        number += 1
