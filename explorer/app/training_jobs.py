"""Training jobs of the Train tab: uploaded pictures, and one `latentscape train` process per run.

The page shows what that command prints, its log and its preview.
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

IDLE_SECONDS = 3600
"""A run that is not training is deleted with its pictures after this time without a request."""
MAX_PARTS, MAX_PART_LENGTH = 8, 120
"""Limits of a picture's name: path parts, and characters per part."""


@dataclass(frozen=True)
class Bounds:
    """Limits of a run."""

    files: int = 100_000
    bytes: int = 2 << 30
    minutes: float = 120.0
    size: tuple[int, int] = (8, 256)
    """Smallest and largest side of the model's images, in pixels."""
    latents: tuple[int, int] = (1, 256)
    runs: int = 20
    """Runs that exist at once; only one of them computes."""


@dataclass
class Run:
    """A visitor's pictures, and the process and bundle made from them."""

    folder: Path
    files: int = 0
    size: int = 0
    """Total size of the pictures, in bytes."""
    touched: float = field(default_factory=time.monotonic)
    name: str = ""
    out: Path | None = None
    task: Literal["look", "train"] | None = None
    process: subprocess.Popen[bytes] | None = None
    options: TrainingOptions | None = None
    model: str | None = None
    """The finished bundle's name in the catalogue."""

    @property
    def place(self) -> str:
        """The last two parts of the bundle's path. Visitors do not see the rest."""
        return "" if self.out is None else f"{self.out.parent.name}/{self.out.name}"

    @property
    def pictures(self) -> Path:
        """The folder of the uploaded pictures."""
        return self.folder / "pictures"

    @property
    def source(self) -> Path:
        """The data to train on: the folder, or the only file in it if that is a zip file."""
        found = list(self.pictures.iterdir())
        return found[0] if len(found) == 1 and zipfile.is_zipfile(found[0]) else self.pictures

    @property
    def running(self) -> bool:
        """Whether its process is running."""
        return self.process is not None and self.process.poll() is None

    @property
    def phase(self) -> Phase:
        """The current phase."""
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
        """The lines that the command has printed, with the server's paths replaced."""
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
        lines = log.read_text(encoding="utf-8").split("\n")[:-1]  # the last line may be incomplete
        return [json.loads(line) for line in lines]


class TrainingJobs:
    """The runs of all visitors, each found by its secret token. Only one run computes at a time.

    A finished bundle is saved in `folder` under an unused name and added to the catalogue. Methods raise ValueError for errors
    that a visitor can correct.
    """

    def __init__(self, folder: Path, catalogue: Catalogue, bounds: Bounds | None = None) -> None:
        self.folder, self.catalogue, self.bounds = folder.absolute(), catalogue, bounds or Bounds()
        self._runs: dict[str, Run] = {}
        self._scratch = tempfile.TemporaryDirectory(prefix="latentscape-training-")
        self._lock = threading.RLock()

    def begin(self) -> str:
        """Create a run without pictures; return its token."""
        with self._lock:
            for token, run in list(self._runs.items()):
                if not run.running and time.monotonic() - run.touched > IDLE_SECONDS:
                    self.discard(token)
            if len(self._runs) >= self.bounds.runs:
                raise ValueError(f"this server keeps {self.bounds.runs} runs, and all are taken; try again in an hour.")
            token = secrets.token_urlsafe(16)
            run = Run(Path(self._scratch.name) / secrets.token_hex(8))
            run.pictures.mkdir(parents=True)
            self._runs[token] = run
            return token

    def __getitem__(self, token: object) -> Run:
        """The run of a token."""
        run = self._runs.get(token) if isinstance(token, str) else None
        if run is None:
            raise ValueError("this run is no longer on the server; start a new one.")
        run.touched = time.monotonic()
        return run

    def add(self, token: str, pieces: list[tuple[str, Path]]) -> None:
        """Add uploaded files, as pairs of name and file. The pieces of a large file arrive in order and are joined."""
        run = self[token]
        if run.phase not in ("gathering", "looked", "failed"):
            raise ValueError("this run has started; start a new run for other pictures.")
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
        """Read the pictures and print the settings that would be used."""
        self._launch(token, "look", options)

    def train(self, token: str, options: dict[str, Any]) -> None:
        """Train a model, or resume a stopped run."""
        self._launch(token, "train", options)

    def stop(self, token: str) -> None:
        """Stop the process. Training saves its best weights as a bundle and can be resumed; reading pictures is cancelled."""
        run = self[token]
        if run.process is not None and run.running:
            run.process.send_signal(signal.SIGTERM if run.task == "train" and run.reports else signal.SIGKILL)

    def discard(self, token: str) -> None:
        """Delete a run and its pictures, but not its bundle."""
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
        """A run's phase, printed lines, reports from index `after` on, and preview (base64 of a PNG file), as plain JSON."""
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
        """Terminate running processes and delete all pictures."""
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
        """Start a run's process, with its output in a file."""
        with self._lock:
            run = self[token]
            if any(other.running for other in self._runs.values()):
                which = "this one" if run.running else "another one"
                raise ValueError(f"one run computes at a time, and {which} does now; try again when it has ended.")
            if not run.files:
                raise ValueError("there are no pictures yet; drop a folder or a .zip file of them.")
            resume = task == "train" and run.phase == "stopped"
            if not resume:
                run.name = str(options.get("name") or "pictures").strip()
                check_name(run.name)
                chosen, run.out = checked_options(options, self.bounds), free_folder(self.folder, run.name)
                run.options = TrainingOptions(data=str(run.source), out=run.out, name=run.name, checkpoint_every=15.0, **chosen)
            assert run.options is not None
            arguments = replace(run.options, resume=resume).arguments()
            command = [sys.executable, "-m", "explorer", "train", *arguments, *(["--dry-run"] if task == "look" else [])]
            run.task, run.model = task, None
            with (run.folder / "console.txt").open("ab" if resume else "wb") as console:
                run.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    # The page wraps long lines. A new session, because the server itself stops its runs after Ctrl-C.
                    env={**os.environ, "COLUMNS": "1000", "PYTHONUNBUFFERED": "1"},
                    start_new_session=True,
                )
            if hasattr(os, "setpriority"):  # serving the page has priority
                os.setpriority(os.PRIO_PROCESS, run.process.pid, 10)


def clean(name: object) -> str:
    """Turn an uploaded file's name into a safe relative path. Raises ValueError if nothing is left of it.

    >>> clean("cats/../../etc/passwd")
    'cats/etc/passwd'
    """
    if not isinstance(name, str):
        raise ValueError(f"a file's name must be text; got {name!r:.100}.")
    parts = re.split(r"[/\\]", unicodedata.normalize("NFC", name))
    kept = [
        re.sub(r'[\x00-\x1f<>:"|?*]', "_", part)[-MAX_PART_LENGTH:].strip()
        for part in parts
        if part.strip() not in ("", ".", "..")
    ]
    if not kept or len(kept) > MAX_PARTS:
        raise ValueError(f"a file's name must have 1 to {MAX_PARTS} parts; got {name!r:.100}.")
    return "/".join(kept)


def checked_options(options: dict[str, Any], bounds: Bounds) -> dict[str, Any]:
    """The training options that the page may set. Raises ValueError if one is out of bounds."""
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
    """An unused folder for a bundle of this name, without files of an earlier run next to it."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "pictures"
    number = 1
    while True:
        path = folder / (plain if number == 1 else f"{plain}-{number}")
        if not any(taken.exists() for taken in (path, sibling_file(path, "checkpoint"), sibling_file(path, "log.jsonl"))):
            return path
        number += 1
