"""Tests of training jobs: uploads, limits, tokens and real training runs."""

import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import core
from core.data.preprocessing import to_png
from explorer.app.catalogue import Catalogue
from explorer.app.training_jobs import Bounds, TrainingJobs, clean
from explorer.commands.explore import is_private


@pytest.fixture
def jobs(tmp_path: Path, tiny_bundle: Path) -> Iterator[TrainingJobs]:
    bounds = Bounds(files=400, bytes=1 << 20, minutes=1, runs=3)
    made = TrainingJobs(tmp_path / "runs", Catalogue.of([str(tiny_bundle)]), bounds)
    yield made
    made.close()


@pytest.fixture
def upload_chunks(tmp_path: Path):
    """Return a function that writes upload chunks as Gradio does."""

    def write_chunks(contents: list[tuple[str, bytes]]) -> list[tuple[str, Path]]:
        made = []
        for i, (name, content) in enumerate(contents):
            path = tmp_path / f"{i}.part"
            path.write_bytes(content)
            made.append((name, path))
        return made

    return write_chunks


@pytest.fixture(scope="module")
def pictures(digits: core.Data) -> list[tuple[str, bytes]]:
    """A folder of 300 digits, one folder for each class, and two files that are not pictures."""
    found = zip(digits.images[:300], digits.labels["label"], strict=False)
    files = [(f"{label}/{i}.png", to_png(image)) for i, (image, label) in enumerate(found)]
    return [*files, ("notes.txt", b"no picture"), ("3/torn.png", b"\x89PNG")]


def wait_for_phase(jobs: TrainingJobs, token: str, *phases: str, reports: int = 0) -> dict:
    """The run's status as soon as it is in one of these phases with at least this many reports."""
    end, status = time.monotonic() + 180, jobs.status(token)
    while status["phase"] not in phases or len(status["reports"]) < reports:
        assert status["phase"] != "failed", status["console"]
        assert time.monotonic() < end, f"the run is still {status['phase']}: {status['console']}"
        time.sleep(0.1)
        status = jobs.status(token)
    return status


def test_upload_chunks_are_joined_to_one_file(jobs: TrainingJobs, upload_chunks) -> None:
    token = jobs.begin()
    content = bytes(range(256)) * 100
    for start in range(0, len(content), 10_000):
        jobs.add(token, upload_chunks([("folder/a.bin", content[start : start + 10_000])]))
    assert (jobs[token].pictures / "folder" / "a.bin").read_bytes() == content
    assert (jobs[token].files, jobs[token].size) == (1, len(content))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cats/1.png", "cats/1.png"),
        ("/etc/passwd", "etc/passwd"),
        ("../../../x.png", "x.png"),
        ("..\\..\\x.png", "x.png"),
        ("a//./b.png", "a/b.png"),
        ("a\x00b\n.png", "a_b_.png"),
        ("C:\\x.png", "C_/x.png"),
    ],
)
def test_clean_names_stay_in_the_folder(name: str, expected: str) -> None:
    assert clean(name) == expected


@pytest.mark.parametrize("name", ["", "/", "..", "a/b/c/d/e/f/g/h/i.png", 7, None])
def test_invalid_names_are_refused(name: object) -> None:
    with pytest.raises(ValueError, match="a file's name must"):
        clean(name)


def test_limits_are_enforced_with_a_message(jobs: TrainingJobs, upload_chunks) -> None:
    token = jobs.begin()
    with pytest.raises(ValueError, match="pictures may take 1 MiB here"):
        jobs.add(token, upload_chunks([("a.png", b"x" * (1 << 20)), ("b.png", b"x")]))
    with pytest.raises(ValueError, match="a run may have 400 files here"):
        jobs.add(jobs.begin(), upload_chunks([(f"{i}.png", b"x") for i in range(401)]))
    with pytest.raises(ValueError, match="is the name of a file and of a folder"):
        jobs.add(token, upload_chunks([("a.png/b.png", b"")]))
    for minutes in (-1, 1.5):
        with pytest.raises(ValueError, match="minutes must be more than 0 and at most 1"):
            jobs.train(token, {"minutes": minutes})
    with pytest.raises(ValueError, match="size must be a whole number from 8 to 256"):
        jobs.train(token, {"minutes": 1, "size": "large"})
    with pytest.raises(ValueError, match="a model's name must be"):
        jobs.train(token, {"minutes": 1, "name": "../x"})
    with pytest.raises(ValueError, match="there are no pictures yet"):
        jobs.look(jobs.begin(), {})
    with pytest.raises(ValueError, match="this server keeps 3 runs"):
        jobs.begin()


def test_runs_need_the_token_of_their_visitor(jobs: TrainingJobs, upload_chunks) -> None:
    token = jobs.begin()
    jobs.add(token, upload_chunks([("a.png", b"x")]))
    folder = jobs[token].folder
    for foreign in ("", "x" * 22, None, 3):
        with pytest.raises(ValueError, match="no longer on the server"):
            jobs.status(foreign)  # pyright: ignore[reportArgumentType]
    jobs.discard(token)
    assert not folder.exists()
    with pytest.raises(ValueError, match="no longer on the server"):
        jobs.status(token)


def test_inspect_train_stop_and_continue_a_run(jobs: TrainingJobs, upload_chunks, pictures) -> None:
    token, other = jobs.begin(), jobs.begin()
    jobs.add(token, upload_chunks(pictures))
    jobs.add(other, upload_chunks(pictures[:20]))
    options = {"name": "numbers", "minutes": 0.4, "latents": 4}
    jobs.look(token, options)
    with pytest.raises(ValueError, match="one run computes at a time, and another one does now"):
        jobs.look(other, {})
    console_text = "\n".join(wait_for_phase(jobs, token, "looked")["console"])
    assert "Read 300 pictures; left out 2:" in console_text
    assert "torn.png" in console_text
    assert "4 latents" in console_text
    assert not (jobs.folder / "numbers").exists()

    jobs.train(token, options)
    running = wait_for_phase(jobs, token, "training", reports=3)
    assert running["reports"][0]["log_likelihood"] < 0
    with pytest.raises(ValueError, match="this run has started"):
        jobs.add(token, upload_chunks([("late.png", b"x")]))
    jobs.stop(token)
    stopped = wait_for_phase(jobs, token, "stopped")
    assert jobs.catalogue[stopped["model"]].bundle.architecture.latents == 4
    gallery = jobs.catalogue["numbers"].bundle.gallery
    assert gallery is not None
    assert set(gallery.labels["label"]) <= set("0123456789")

    jobs.train(token, {})
    continued = wait_for_phase(jobs, token, "training", reports=len(stopped["reports"]) + 2)
    epochs = [report["epoch"] for report in continued["reports"]]
    assert epochs == sorted(epochs)
    assert [len(report["kl_per_latent"]) for report in continued["reports"] if report["kl_per_latent"]][:1] == [4]
    assert not [line for line in continued["console"] if str(jobs.folder) in line or "latentscape-training" in line]
    jobs.discard(token)
    assert core.load(jobs.folder / "numbers").name == "numbers"
    jobs.look(other, {"name": "numbers", "minutes": 0.4})
    assert jobs.status(other)["place"] == "runs/numbers-2"  # an existing run is not overwritten


def test_zip_files_are_read_and_uploads_without_pictures_fail_with_a_message(
    jobs: TrainingJobs, upload_chunks, pictures
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in pictures[:60]:
            archive.writestr(f"all/{name}", content)
    token = jobs.begin()
    jobs.add(token, upload_chunks([("pictures.zip", packed.getvalue())]))
    jobs.look(token, {})
    assert "Read 60 pictures." in wait_for_phase(jobs, token, "looked")["console"]
    token = jobs.begin()
    jobs.add(token, upload_chunks([("notes.txt", b"no picture")]))
    jobs.look(token, {})
    assert "there are no pictures that can be read" in wait_for_phase(jobs, token, "failed")["console"][-1]


def test_training_is_private_to_the_local_machine_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert is_private("127.0.0.1", False)
    assert not is_private("0.0.0.0", False)
    assert not is_private("127.0.0.1", True)
    monkeypatch.setenv("SPACE_ID", "ada/walk")
    assert not is_private("127.0.0.1", False)
