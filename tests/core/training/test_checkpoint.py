"""Tests of interrupted runs: a resumed run equals an uninterrupted one."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import core
from core.model.objectives import Objective
from core.model.vae import Elbo
from core.training.checkpoint import Checkpoint, read
from core.training.loop import SNAPSHOT_STEPS

TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(digits: core.Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 digits in an .npy file."""
    path = tmp_path_factory.mktemp("data") / "digits.npy"
    np.save(path, digits.images[:500].numpy())
    return path


def fresh() -> core.VAE:
    torch.manual_seed(0)
    return core.Architecture(1, 8, 8, latents=4, network="mlp", network_width=64).build()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_killed_ten_times_is_bitwise_equal_to_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    """SIGKILL at random times. Equal are weights, averaged and best weights, scores, optimizer and generators."""
    done = subprocess.run([sys.executable, TESTS / "kill.py", data, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    saved = json.loads(done.stdout)["steps_saved"]
    assert len(saved) >= 5, "the run ended before five kills"
    assert len(set(saved)) >= 3, "fewer than three kills happened at different steps"
    (expected, about), (got, about_too) = read(tmp_path / "uninterrupted"), read(tmp_path / "killed")
    assert about == about_too
    assert same(expected.tensors, got.tensors)
    assert expected.numbers | {"seconds": 0} == got.numbers | {"seconds": 0}
    assert expected.numbers["steps"] == 40 * 29  # of 450 images


@pytest.mark.parametrize("stop", ["close", "interrupt"])
def test_a_stopped_run_saves_a_checkpoint_and_resumes_bitwise(tmp_path: Path, digits: core.Data, stop: str) -> None:
    settings = core.Settings(epochs=15.0, batch_size=100)
    expected = fresh()
    for _ in core.train(expected, digits.images, settings):
        pass
    training = core.train(fresh(), digits.images, settings, report_every=0.0, checkpoint=Checkpoint(tmp_path / "c", every=1e9))
    next(report for report in training if report.epoch >= 12)
    if stop == "close":
        training.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            training.throw(KeyboardInterrupt())
    assert read(tmp_path / "c")[0].numbers["steps"] == SNAPSHOT_STEPS  # of 132: at most SNAPSHOT_STEPS steps are repeated
    torch.manual_seed(7)
    vae = core.Architecture(1, 8, 8, latents=4, network="mlp", network_width=64).build()
    reports = list(core.train(vae, digits.images, settings, checkpoint=Checkpoint(tmp_path / "c", resume=True)))
    assert reports[0].epoch > SNAPSHOT_STEPS * 100 / 1079
    assert same(vae.state_dict(), expected.state_dict())


def test_a_resumed_run_counts_the_minutes_before_the_interruption(tmp_path: Path, digits: core.Data) -> None:
    settings = core.Settings(minutes=0.08, batch_size=1)
    training = core.train(fresh(), digits.images, settings, report_every=0.0, checkpoint=Checkpoint(tmp_path / "c", every=0.0))
    next(report for report in training if report.fraction > 0.5)
    training.close()
    before, start = read(tmp_path / "c")[0].numbers["seconds"], time.monotonic()
    last = list(core.train(fresh(), digits.images, settings, checkpoint=Checkpoint(tmp_path / "c", resume=True)))[-1]
    assert last.fraction == 1
    assert last.seconds >= 4.8
    assert 0 < last.seconds - before <= time.monotonic() - start


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"learning_rate": 1e-3}}, r"learning_rate was 0.002, now it is 0.001"),
        ({"settings": {"epochs": 2.0}}, r"epochs was 1.0, now it is 2.0"),
        ({"about": {"network": "conv"}}, r"network was mlp, now it is conv"),
        ({"pixel": (3, 0, 2, 2)}, r"images was 1198x1x8x8 \w+, now it is 1198x1x8x8 \w+"),
        ({"resume": False}, r"a run that has not finished.*--resume"),
    ],
)
def test_a_run_resumes_only_with_its_own_data_and_settings(
    tmp_path: Path, digits: core.Data, change: dict[str, Any], message: str
) -> None:
    """The error comes before the first step, and the checkpoint is unchanged."""
    settings: dict[str, Any] = {"epochs": 1.0}
    about = {"network": "mlp"}
    for _ in core.train(fresh(), digits.images, core.Settings(**settings), checkpoint=Checkpoint(tmp_path / "c", about=about)):
        pass
    before, images = (tmp_path / "c").read_bytes(), digits.images.clone()
    if "pixel" in change:
        images[change["pixel"]] += 1
    checkpoint = Checkpoint(tmp_path / "c", resume=change.get("resume", True), about=change.get("about", about))
    with pytest.raises(ValueError, match=message):
        core.train(fresh(), images, core.Settings(**{**settings, **change.get("settings", {})}), checkpoint=checkpoint)
    assert (tmp_path / "c").read_bytes() == before


def test_a_damaged_checkpoint_raises_an_error_that_names_it(tmp_path: Path, digits: core.Data) -> None:
    settings = core.Settings(epochs=0.1)
    for _ in core.train(fresh(), digits.images, settings, checkpoint=Checkpoint(tmp_path / "c")):
        pass
    whole = (tmp_path / "c").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"PK\x03\x04" + bytes(100)):
        (tmp_path / "c").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"c is not a readable checkpoint"):
            core.train(fresh(), digits.images, settings, checkpoint=Checkpoint(tmp_path / "c", resume=True))


def test_a_checkpoint_of_another_architecture_raises_an_error(tmp_path: Path, digits: core.Data) -> None:
    settings = core.Settings(epochs=0.1)
    for _ in core.train(fresh(), digits.images, settings, checkpoint=Checkpoint(tmp_path / "c")):
        pass
    other = core.Architecture(1, 8, 8, latents=5, network="mlp").build()
    with pytest.raises(ValueError, match="of a model of another architecture"):
        list(core.train(other, digits.images, settings, checkpoint=Checkpoint(tmp_path / "c", resume=True)))


def test_a_step_that_is_not_finite_is_rolled_back_with_half_the_learning_rate(tmp_path: Path, digits: core.Data) -> None:
    """The run reports it and reaches the usual ELBO. The checkpoint counts the rollback."""
    settings = core.Settings(epochs=20.0, batch_size=100)

    def broken(at: int) -> Objective:
        step = 0

        def objective(vae: core.VAE, x: Tensor, noise: Tensor, seen: Tensor | None) -> Elbo:
            nonlocal step
            step += 1
            terms = vae.elbo(x, noise, seen)
            return terms._replace(kl=terms.kl / 0 if step == at else terms.kl)

        return objective

    vae = fresh()
    checkpoint = Checkpoint(tmp_path / "c", every=0.0)
    reports = list(core.train(vae, digits.images, settings, broken(150), report_every=0.0, checkpoint=checkpoint))
    notes = [report.note for report in reports if report.note]
    assert len(notes) == 1
    assert re.match(
        r"The ELBO stopped being finite after 19,622 images: rolled back to 9,811 .* halved the learning rate", notes[0]
    )
    assert read(tmp_path / "c")[0].numbers["rollbacks"] == 1
    assert all(torch.isfinite(torch.tensor([report.log_likelihood, report.kl])).all() for report in reports)
    plain = fresh()
    for _ in core.train(plain, digits.images, settings):
        pass
    scores = [core.evaluate(model, digits.images).elbo for model in (vae, plain)]
    assert scores[0] == pytest.approx(scores[1], abs=1.5)


def test_a_learning_rate_that_is_too_large_is_halved_until_the_run_is_finite(digits: core.Data) -> None:
    """At this learning rate, AdamW overflows float32."""
    vae, notes = fresh(), []
    for report in core.train(vae, digits.images, core.Settings(epochs=9.0, batch_size=32, learning_rate=3000.0, clip=1e30)):
        notes += filter(None, [report.note])
    assert any("halved" in note for note in notes)
    assert all(weight.isfinite().all() for weight in vae.parameters())


def test_a_full_disk_at_the_start_ends_the_run(data: Path, tmp_path: Path) -> None:
    """A subprocess limits its own file size with RLIMIT_FSIZE."""
    script = (
        "import resource, sys, kill; from pathlib import Path; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "kill.run(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", script, data, tmp_path / "c"]
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 1
    assert "could not be written" in done.stderr
    assert "there is no previous one. Free" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_later_leaves_the_last_checkpoint_and_the_run_continues(tmp_path: Path, digits: core.Data) -> None:
    """On a small tmpfs. When space is free again, the next checkpoint is written."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", disk], capture_output=True).returncode
    ):
        pytest.skip("only root may mount a small file system")
    try:
        notes, before = list[str](), b""
        settings = core.Settings(epochs=30.0, batch_size=100)
        for report in core.train(
            fresh(), digits.images, settings, report_every=0.0, checkpoint=Checkpoint(disk / "c", every=0.0)
        ):
            notes += filter(None, [report.note])
            if not before and report.epoch > 15:
                before = (disk / "c").read_bytes()
                with pytest.raises(OSError, match="No space left"):
                    (disk / "photos").write_bytes(bytes(10**8))
            if len(notes) == 1 and (disk / "photos").exists():
                assert (disk / "c").read_bytes() == before
                (disk / "photos").unlink()
        assert len(notes) == 1
        assert re.search(r"could not be written.*No space left.*previous one is unchanged.*Free .* MB.*continues", notes[0])
        assert read(disk / "c")[0].numbers["steps"] == 330
        assert [file.name for file in disk.iterdir()] == ["c"]
    finally:
        subprocess.run(["umount", disk], check=True)
