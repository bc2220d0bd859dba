"""Progress of a training run: a progress bar or log lines on the console, and a JSON Lines file next to the bundle."""

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
    """A JSON Lines file with one object per report: the fields of `core.Progress`.

    Values that are not known yet are null. `kl_per_latent` is empty if it has not changed. A resumed run first removes the
    reports after its checkpoint. If the file cannot be written, the run continues.
    """

    def __init__(self, path: Path, resume: bool = False) -> None:
        self.path, self.resume, self.started = path, resume, False
        self.kl_per_latent: tuple[float, ...] = ()

    def add(self, report: core.Progress) -> None:
        """Write one report."""
        unknown = {key for key, value in asdict(report).items() if isinstance(value, float) and not math.isfinite(value)}
        values = {**asdict(report), **dict.fromkeys(unknown)}
        is_new = report.kl_per_latent != self.kl_per_latent
        values["kl_per_latent"] = [round(kl, 4) for kl in report.kl_per_latent] if is_new else []
        self.kl_per_latent = report.kl_per_latent
        try:
            if not self.started:
                self._start(report.epoch)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values, allow_nan=False) + "\n")
        except OSError:
            return

    def _start(self, epoch: float) -> None:
        """Remove the reports from this epoch on; all of them for a new run."""
        lines: list[str] = []
        if self.resume and self.path.exists():
            for text in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    is_earlier = json.loads(text)["epoch"] < epoch
                except (ValueError, KeyError, TypeError):  # an incomplete line of a process that was killed
                    continue
                if is_earlier:
                    lines.append(text)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(text + "\n" for text in lines), encoding="utf-8")
        self.started = True


def show_progress(
    progress: Run,
    console: Console,
    objective: str = "elbo",
    log: Log | None = None,
    resume_command: str = "",
    preview: Preview | None = None,
) -> core.Progress | None:
    """Run training to its end, or until SIGINT (Ctrl-C) or SIGTERM, and show its progress. Returns the last report.

    A terminal shows a progress bar; other outputs get a line every 5 % of the run. `resume_command` is printed when the run is
    stopped early.
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
                    preview.update()
                if report.note:
                    console.print(report.note, soft_wrap=True, markup=False)
                bar.update(task, completed=report.fraction, description=format_report(report, objective))
                if not console.is_terminal and int(20 * report.fraction) > printed:
                    printed = int(20 * report.fraction)
                    console.print(f"{report.fraction:4.0%}  {format_report(report, objective)}", soft_wrap=True)
        except KeyboardInterrupt:
            progress.close()
            console.print("Stopped early with the best weights so far.")
            if resume_command:
                console.print(f"To continue the run:  {resume_command}", soft_wrap=True, markup=False, highlight=False)
    return last


def format_report(report: core.Progress, objective: str = "elbo") -> str:
    """A report as one line. With an objective other than the ELBO, the KL is weighted as in that objective."""
    name = "ELBO" if objective == "elbo" else objective
    scored = not np.isnan(report.validation_elbo)
    validation = f"validation ELBO {report.validation_elbo:.2f}  active {report.active_latents}  " if scored else ""
    if np.isnan(report.elbo):  # a resumed run that had no steps left
        return f"epoch {report.epoch:.1f}  was already complete at its checkpoint  {validation}".rstrip()
    left = time.strftime("%H:%M:%S", time.gmtime(report.seconds_left))
    return (
        f"epoch {report.epoch:.1f}  {name} {report.elbo:.2f}  log-lik. {report.log_likelihood:.2f}  KL {report.kl:.2f}  "
        f"{validation}{report.images_per_second:,.0f} images/s  {left} left"
    )
