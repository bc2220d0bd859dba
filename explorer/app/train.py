"""The Train tab: upload pictures, review the settings, and watch a training run."""

from typing import Any

from explorer.app.training_jobs import TrainingJobs
from explorer.app.wire import Answer, Request, component, errors_as_answers, uploaded

MAX_REQUEST = 8 << 20
"""Bytes of pictures per request of the page; fewer if the server's upload limit is lower."""


@errors_as_answers
def begin_run(jobs: TrainingJobs, request: Request) -> Answer:
    """{} → the token of a new run."""
    return {"run": jobs.begin()}


@errors_as_answers
def add_pictures(jobs: TrainingJobs, request: Request) -> Answer:
    """{run, pieces: [[name, path], …]} → the number of files and bytes so far. Pieces with the same name are joined."""
    pieces = [(name, uploaded(path)) for name, path in request["pieces"]]
    jobs.add(request["run"], pieces)
    return counts(jobs, request)


@errors_as_answers
def look_at_pictures(jobs: TrainingJobs, request: Request) -> Answer:
    """{run, options} → the number of files and bytes. Starts reading the pictures; `watch_run` returns the result."""
    jobs.look(request["run"], options(request))
    return counts(jobs, request)


@errors_as_answers
def train_run(jobs: TrainingJobs, request: Request) -> Answer:
    """{run, options} → the number of files and bytes. Starts or resumes training. Options: name, minutes, size, latents."""
    jobs.train(request["run"], options(request))
    return counts(jobs, request)


@errors_as_answers
def watch_run(jobs: TrainingJobs, request: Request) -> Answer:
    """{run, after} → `TrainingJobs.status`."""
    return jobs.status(request["run"], max(0, int(request.get("after", 0))))


@errors_as_answers
def stop_run(jobs: TrainingJobs, request: Request) -> Answer:
    """{run} → the number of files and bytes. Stops the run."""
    jobs.stop(request["run"])
    return counts(jobs, request)


@errors_as_answers
def discard_run(jobs: TrainingJobs, request: Request) -> Answer:
    """{run} → nothing. Deletes the run and its pictures."""
    jobs.discard(request["run"])
    return {}


def counts(jobs: TrainingJobs, request: Request) -> Answer:
    """The number of files and bytes of a run."""
    run = jobs[request["run"]]
    return {"files": run.files, "bytes": run.size}


def options(request: Request) -> dict[str, Any]:
    """The options in a request. Raises ValueError if they are not an object."""
    given = request.get("options") or {}
    if not isinstance(given, dict):
        raise ValueError("options must be an object.")
    return given


def build(jobs: TrainingJobs, max_upload: int) -> None:
    """Add the tab to the page."""
    functions = (begin_run, add_pictures, look_at_pictures, train_run, watch_run, stop_run, discard_run)
    bounds = {key: getattr(jobs.bounds, key) for key in ("files", "bytes", "minutes", "size", "latents")}
    component("train", jobs, *functions, bounds={**bounds, "request": min(MAX_REQUEST, max_upload)})
