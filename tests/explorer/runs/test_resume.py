"""Tests of `latentscape train --resume` with real processes and signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from explorer.cli import main

OPTIONS = ["--network", "mlp", "--latents", "4", "--likelihood", "bernoulli", "--gallery", "0"]
OPTIONS += ["--epochs", "20", "--batch-size", "64", "--checkpoint-every", "0"]


def train(out: Path, *more: str) -> int:
    """Run `latentscape train` and return its exit status."""
    with pytest.raises(SystemExit) as end:
        main(["train", "digits", "--out", str(out), *OPTIONS, *more])
    return int(str(end.value))


def test_interrupted_and_resumed_run_gives_the_bundle_of_an_uninterrupted_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone, out = tmp_path / "alone", tmp_path / "out"
    assert train(alone) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "alone.log.jsonl"]
    capsys.readouterr()
    for number in (signal.SIGINT, signal.SIGKILL):
        command = [sys.executable, "-m", "explorer", "train", "digits", "--out", str(out), *OPTIONS]
        command += ["--resume"] if number == signal.SIGKILL else []
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "300"})
        log, seen = tmp_path / "out.log.jsonl", len((tmp_path / "out.log.jsonl").read_text()) if number == signal.SIGKILL else 0
        while process.poll() is None and not (log.exists() and len(log.read_text()) > seen + 1200):
            time.sleep(0.01)
        assert process.poll() is None, "the run was over before it could be stopped"
        process.send_signal(number)
        _, stderr_text = process.communicate()
        if number == signal.SIGINT:
            assert process.returncode == 0
            assert "Stopped early with the best weights so far." in stderr_text
            assert f"To continue the run:  latentscape train digits --out {out}" in stderr_text
            assert "--resume" in stderr_text
            assert (out / "config.json").exists()
            assert train(out) == 2
            assert "a run that has not finished" in capsys.readouterr().err
            assert train(out, "--resume", "--learning-rate", "0.01") == 2
            assert "learning_rate was 0.002, now it is 0.01" in capsys.readouterr().err
    assert train(out, "--resume") == 0
    assert (out / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()
    ended, resumed_config = (json.loads((path / "config.json").read_text()) for path in (alone, out))
    assert ended["training"]["validation_elbo"] == resumed_config["training"]["validation_elbo"]
    assert ended["evaluation"] == resumed_config["evaluation"]
    epochs = [json.loads(line)["epoch"] for line in (tmp_path / "out.log.jsonl").read_text().splitlines()]
    assert epochs == sorted(epochs)
    assert epochs[-1] >= 20
    assert not (tmp_path / "out.checkpoint").exists()
    capsys.readouterr()
    assert train(out, "--resume") == 2
    assert "has finished, so it cannot be resumed" in capsys.readouterr().err


def test_run_killed_after_its_last_step_is_evaluated_on_resume(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "explorer", "train", "digits", "--out", str(out), *OPTIONS]
    environment = {**os.environ, "COLUMNS": "300", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    assert any("Scoring" in line for line in process.stderr)
    process.kill()
    process.wait()
    assert not out.exists()
    ended = subprocess.run([*command, "--resume"], capture_output=True, text=True, env=environment, check=True)
    assert "epoch 20.0  was already complete at its checkpoint  validation ELBO" in ended.stderr
    assert "nan" not in ended.stderr
    assert (out / "config.json").exists()
