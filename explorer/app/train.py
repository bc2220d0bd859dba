"""The Train tab: pictures from the visitor's disk, what would be made of them, and a run to watch."""

from typing import Any

from explorer.app.training_jobs import TrainingJobs
from explorer.app.wire import Answer, Request, component, safe, uploaded


MAX_REQUEST = 8 << 20
"""Bytes of pictures that the page sends in one request, where the server allows as many."""


@safe
def begin_run(jobs: TrainingJobs, request: Request) -> Answer:
    """{} → the token of a new run."""
    return {"run": jobs.begin()}


@safe
def add_pictures(jobs: TrainingJobs, request: Request) -> Answer:
    """{run, pieces: [[name, path], …]} → how many files and bytes there are now. Pieces of one name are one file."""
    pieces = [(name, uploaded(path)) for name, path in request["pieces"]]
    jobs.add(request["run"], pieces)
    return counts(jobs, request)


@safe
def look_at_pictures(jobs: TrainingJobs, request: Request) -> Answer:
    """{run, options} → nothing; the pictures are being read, and `watch_run` tells what was found."""
    jobs.look(request["run"], options(request))
    return counts(jobs, request)


@safe
def train_run(jobs: TrainingJobs, request: Request) -> Answer:
    """{run, options} → nothing; training has begun, or goes on. The options are name, minutes, size and latents."""
    jobs.train(request["run"], options(request))
    return counts(jobs, request)


@safe
def watch_run(jobs: TrainingJobs, request: Request) -> Answer:
    """{run, after} → `TrainingJobs.status`."""
    return jobs.status(request["run"], max(0, int(request.get("after", 0))))


@safe
def stop_run(jobs: TrainingJobs, request: Request) -> Answer:
    """{run} → nothing; the run is ending."""
    jobs.stop(request["run"])
    return counts(jobs, request)


@safe
def discard_run(jobs: TrainingJobs, request: Request) -> Answer:
    """{run} → nothing; the run and its pictures are gone."""
    jobs.discard(request["run"])
    return {}


def counts(jobs: TrainingJobs, request: Request) -> Answer:
    """What a run has."""
    run = jobs[request["run"]]
    return {"files": run.files, "bytes": run.size}


def options(request: Request) -> dict[str, Any]:
    """What a visitor may choose; ValueError where it is no object."""
    given = request.get("options") or {}
    if not isinstance(given, dict):
        raise ValueError("options must be an object.")
    return given


def build(jobs: TrainingJobs, max_upload: int) -> None:
    """Lay the tab out."""
    functions = (begin_run, add_pictures, look_at_pictures, train_run, watch_run, stop_run, discard_run)
    bounds = {key: getattr(jobs.bounds, key) for key in ("files", "bytes", "minutes", "size", "latents")}
    component("train", jobs, *functions, bounds={**bounds, "request": min(MAX_REQUEST, max_upload)})
