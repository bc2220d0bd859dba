"""The log of a training run: what is seen of it while it runs, and the JSON lines that are left beside its bundle."""

import json
import math
import signal
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

import core
from core.training.loop import Run
from explorer.runs.preview import Preview


class Log:
    """A file with one JSON object per report: the fields of `core.Progress`, null for what is not yet known; the KL of each
    latent only where it is new.

    A run that goes on with another drops what that one had reported beyond the checkpoint. A file that cannot be written never
    ends a run.
    """

    def __init__(self, path: Path, resume: bool = False) -> None:
        self.path, self.resume, self.begun = path, resume, False
        self.kl_per_latent: tuple[float, ...] = ()

    def add(self, report: core.Progress) -> None:
        """Write one report."""
        unknown = {key for key, value in asdict(report).items() if isinstance(value, float) and not math.isfinite(value)}
        values = {**asdict(report), **dict.fromkeys(unknown)}
        is_new = report.kl_per_latent != self.kl_per_latent
        values["kl_per_latent"] = [round(kl, 4) for kl in report.kl_per_latent] if is_new else []
        self.kl_per_latent = report.kl_per_latent
        try:
            if not self.begun:
                self._begin(report.epoch)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values, allow_nan=False) + "\n")
        except OSError:
            return

    def _begin(self, epoch: float) -> None:
        """Leave in the file what was reported before this epoch; nothing, for a new run."""
        kept: list[str] = []
        if self.resume and self.path.exists():
            for text in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    earlier = json.loads(text)["epoch"] < epoch
                except (ValueError, KeyError, TypeError):  # a line that a kill cut short
                    continue
                if earlier:
                    kept.append(text)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(text + "\n" for text in kept), encoding="utf-8")
        self.begun = True


def follow(
    progress: Run,
    console: Console,
    objective: str = "elbo",
    log: Log | None = None,
    go_on: str = "",
    preview: Preview | None = None,
) -> core.Progress | None:
    """Show a run's progress until it ends, or until Ctrl-C or a polite kill ends it early; returns the last report.

    On a terminal that is a bar; in a log it is a line at every twentieth of the run. `go_on` is the command that goes on with
    a run that was stopped.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    last = None
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task, printed = bar.add_task("starting", total=1.0), 0
        try:
            for report in progress:
                last = report
                if log:
                    log.add(report)
                if preview:
                    preview.look()
                if report.note:
                    console.print(report.note, soft_wrap=True, markup=False)
                bar.update(task, completed=report.fraction, description=line(report, objective))
                if not console.is_terminal and int(20 * report.fraction) > printed:
                    printed = int(20 * report.fraction)
                    console.print(f"{report.fraction:4.0%}  {line(report, objective)}", soft_wrap=True)
        except KeyboardInterrupt:
            progress.close()
            console.print("Stopped early; the best weights so far are kept.")
            if go_on:
                console.print(f"The run is saved. Go on with it:  {go_on}", soft_wrap=True, markup=False, highlight=False)
    return last


def line(report: core.Progress, objective: str = "elbo") -> str:
    """One report in one line. Of another objective than the ELBO, the KL is as that objective weighs it."""
    name = "ELBO" if objective == "elbo" else objective
    scored = not np.isnan(report.validation_elbo)
    validation = f"validation ELBO {report.validation_elbo:.2f}  active {report.active_latents}  " if scored else ""
    if np.isnan(report.elbo):  # nothing was left to train, so that there is nothing else to tell
        return f"epoch {report.epoch:.1f}  had come to its end when it was saved  {validation}".rstrip()
    left = time.strftime("%H:%M:%S", time.gmtime(report.seconds_left))
    return (
        f"epoch {report.epoch:.1f}  {name} {report.elbo:.2f}  log-lik. {report.log_likelihood:.2f}  KL {report.kl:.2f}  "
        f"{validation}{report.images_per_second:,.0f} images/s  {left} left"
    )
