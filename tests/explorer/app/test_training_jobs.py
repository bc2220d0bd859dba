"""Laws of the workshop: what visitors bring is kept apart and within bounds, and a run is the real command at work."""

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
def bring(tmp_path: Path):
    """A function: pieces as if they had been uploaded."""

    def pieces(contents: list[tuple[str, bytes]]) -> list[tuple[str, Path]]:
        made = []
        for i, (name, content) in enumerate(contents):
            path = tmp_path / f"{i}.part"
            path.write_bytes(content)
            made.append((name, path))
        return made

    return pieces


@pytest.fixture(scope="module")
def pictures(digits: core.Data) -> list[tuple[str, bytes]]:
    """A folder of 300 digits, one folder for each class, and two files that are no pictures."""
    found = zip(digits.images[:300], digits.labels["label"], strict=False)
    files = [(f"{label}/{i}.png", to_png(image)) for i, (image, label) in enumerate(found)]
    return [*files, ("notes.txt", b"no picture"), ("3/torn.png", b"\x89PNG")]


def wait(jobs: TrainingJobs, token: str, *phases: str, reports: int = 0) -> dict:
    """The run's status once it is in one of these phases, with so many reports."""
    end, status = time.monotonic() + 180, jobs.status(token)
    while status["phase"] not in phases or len(status["reports"]) < reports:
        assert status["phase"] != "failed", status["console"]
        assert time.monotonic() < end, f"the run is still {status['phase']}: {status['console']}"
        time.sleep(0.1)
        status = jobs.status(token)
    return status


def test_a_large_file_is_put_together_of_its_pieces(jobs: TrainingJobs, bring) -> None:
    token = jobs.begin()
    content = bytes(range(256)) * 100
    for start in range(0, len(content), 10_000):
        jobs.add(token, bring([("folder/a.bin", content[start : start + 10_000])]))
    assert (jobs[token].pictures / "folder" / "a.bin").read_bytes() == content
    assert (jobs[token].files, jobs[token].size) == (1, len(content))


@pytest.mark.parametrize(
    ("name", "kept"),
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
def test_a_name_stays_in_its_folder(name: str, kept: str) -> None:
    assert clean(name) == kept


@pytest.mark.parametrize("name", ["", "/", "..", "a/b/c/d/e/f/g/h/i.png", 7, None])
def test_a_name_that_is_none_is_refused(name: object) -> None:
    with pytest.raises(ValueError, match="a file's name must"):
        clean(name)


def test_bounds_are_kept_and_told(jobs: TrainingJobs, bring) -> None:
    token = jobs.begin()
    with pytest.raises(ValueError, match="pictures may take 1 MiB here"):
        jobs.add(token, bring([("a.png", b"x" * (1 << 20)), ("b.png", b"x")]))
    with pytest.raises(ValueError, match="a run may have 400 files here"):
        jobs.add(jobs.begin(), bring([(f"{i}.png", b"x") for i in range(401)]))
    with pytest.raises(ValueError, match="is the name of a file and of a folder"):
        jobs.add(token, bring([("a.png/b.png", b"")]))
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


def test_a_run_is_its_visitors_own(jobs: TrainingJobs, bring) -> None:
    token = jobs.begin()
    jobs.add(token, bring([("a.png", b"x")]))
    folder = jobs[token].folder
    for foreign in ("", "x" * 22, None, 3):
        with pytest.raises(ValueError, match="no longer on the server"):
            jobs.status(foreign)  # pyright: ignore[reportArgumentType]
    jobs.discard(token)
    assert not folder.exists()
    with pytest.raises(ValueError, match="no longer on the server"):
        jobs.status(token)


def test_pictures_are_looked_at_then_trained_on_stopped_and_trained_on(jobs: TrainingJobs, bring, pictures) -> None:
    token, other = jobs.begin(), jobs.begin()
    jobs.add(token, bring(pictures))
    jobs.add(other, bring(pictures[:20]))
    options = {"name": "numbers", "minutes": 0.4, "latents": 4}
    jobs.look(token, options)
    with pytest.raises(ValueError, match="one run computes at a time, and another one does now"):
        jobs.look(other, {})
    said = "\n".join(wait(jobs, token, "looked")["console"])
    assert "Read 300 pictures; left out 2:" in said
    assert "torn.png" in said
    assert "4 latents" in said
    assert not (jobs.folder / "numbers").exists()

    jobs.train(token, options)
    begun = wait(jobs, token, "training", reports=3)
    assert begun["reports"][0]["log_likelihood"] < 0
    with pytest.raises(ValueError, match="this run has started"):
        jobs.add(token, bring([("late.png", b"x")]))
    jobs.stop(token)
    stopped = wait(jobs, token, "stopped")
    assert jobs.catalogue[stopped["model"]].bundle.architecture.latents == 4
    gallery = jobs.catalogue["numbers"].bundle.gallery
    assert gallery is not None
    assert set(gallery.labels["label"]) <= set("0123456789")

    jobs.train(token, {})
    further = wait(jobs, token, "training", reports=len(stopped["reports"]) + 2)
    epochs = [report["epoch"] for report in further["reports"]]
    assert epochs == sorted(epochs)
    assert [len(report["kl_per_latent"]) for report in further["reports"] if report["kl_per_latent"]][:1] == [4]
    assert not [line for line in further["console"] if str(jobs.folder) in line or "latentscape-training" in line]
    jobs.discard(token)
    assert core.load(jobs.folder / "numbers").name == "numbers"
    jobs.look(other, {"name": "numbers", "minutes": 0.4})
    assert jobs.status(other)["place"] == "runs/numbers-2"  # nothing takes its place


def test_a_zip_file_is_read_as_it_is_and_what_holds_no_picture_fails_in_words(jobs: TrainingJobs, bring, pictures) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in pictures[:60]:
            archive.writestr(f"all/{name}", content)
    token = jobs.begin()
    jobs.add(token, bring([("pictures.zip", packed.getvalue())]))
    jobs.look(token, {})
    assert "Read 60 pictures." in wait(jobs, token, "looked")["console"]
    token = jobs.begin()
    jobs.add(token, bring([("notes.txt", b"no picture")]))
    jobs.look(token, {})
    assert "there are no pictures that can be read" in wait(jobs, token, "failed")["console"][-1]


def test_strangers_may_not_train_unless_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert is_private("127.0.0.1", False)
    assert not is_private("0.0.0.0", False)
    assert not is_private("127.0.0.1", True)
    monkeypatch.setenv("SPACE_ID", "ada/walk")
    assert not is_private("127.0.0.1", False)
