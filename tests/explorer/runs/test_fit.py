"""Tests of the steps between the command line and training."""

import io
import json
import signal
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

import core
from core import VAE, Architecture, Data, Elbo, Settings, evaluate, train
from core.training.loop import split
from explorer.cli import main
from explorer.runs.fit import background_colour, choose_device, fit
from explorer.runs.log import show_progress
from explorer.runs.options import TrainingOptions
from explorer.runs.recipes import RECIPES


def test_choose_device_accepts_available_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="device 'quantum' is not available here"):
        choose_device("quantum")


def test_background_colour_parses_names_and_hex() -> None:
    colours = [background_colour(name) for name in ("auto", "white", "#0a141e")]
    assert colours == [None, (255, 255, 255), (10, 20, 30)]
    with pytest.raises(ValueError, match="--background must be auto, a colour such as white, or #rrggbb; got 'cake'"):
        background_colour("cake")


def test_show_progress_prints_and_returns_the_last_report(digits: Data) -> None:
    screen = io.StringIO()
    vae = Architecture(1, 8, 8, 2, "mlp").build()
    last = show_progress(train(vae, digits.images, Settings(epochs=1.0)), Console(file=screen, width=200))
    assert last is not None
    assert last.fraction == 1
    assert all(word in screen.getvalue() for word in ("epoch 1.0", "ELBO -", "log-lik. -", "KL ", "active", "images/s", "left"))


def test_interrupt_restores_the_best_weights(digits: Data) -> None:
    """A real SIGINT during a step causes no traceback, and the model has its best evaluated weights."""
    steps = 0

    def interrupted(vae: VAE, x: torch.Tensor, noise: torch.Tensor, seen: torch.Tensor | None) -> Elbo:
        nonlocal steps
        steps += 1
        if steps == 50:
            signal.raise_signal(signal.SIGINT)
        return vae.elbo(x, noise, seen)

    screen = io.StringIO()
    torch.manual_seed(0)
    vae = Architecture(1, 8, 8, 2, "mlp").build()
    last = show_progress(train(vae, digits.images, Settings(epochs=20.0), interrupted), Console(file=screen, width=200))
    assert steps == 50
    assert "Stopped early with the best weights so far." in screen.getvalue()
    assert not vae.training
    assert last is not None
    held_out = digits.images[split(len(digits.images), 2000, 0)[1]]
    assert evaluate(vae, held_out).elbo == pytest.approx(last.best_validation_elbo, rel=1e-6)


def run(data: str, out: Path, **options: Any) -> core.Bundle:
    return fit(TrainingOptions(data=data, out=out, **options))


def test_training_starts_from_a_bundle_and_the_card_lists_both_commands(tiny_bundle: Path, tmp_path: Path) -> None:
    """Weights, architecture and held-out images are the same, and short further training does not lower the ELBO much."""
    before = core.load(tiny_bundle)
    out = tmp_path / "more"
    after = run("digits", out, epochs=2.0, learning_rate=1e-3, seed=7, start=str(tiny_bundle))
    assert after.architecture == before.architecture
    assert after.config["training"]["settings"]["seed"] == before.config["training"]["settings"]["seed"]
    assert after.config["training"]["started_from"] == before.config["training"]
    assert after.config["evaluation"]["elbo"] > before.config["evaluation"]["elbo"] - 0.2
    assert (out / "README.md").read_text().count("epochs in") == 2


def test_training_from_a_bundle_needs_images_of_the_same_shape(tiny_bundle: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=np.zeros((40, 12, 12), np.uint8))
    with pytest.raises(ValueError, match="images must be 8-bit"):
        run(str(tmp_path / "data.npz"), tmp_path / "more", epochs=1.0, start=str(tiny_bundle))


def test_run_without_gallery_and_calibration_has_no_detector_or_classifier(tmp_path: Path) -> None:
    stage = run("digits", tmp_path / "stage", epochs=1.0, gallery=0, calibrate=False)
    assert (stage.detector, stage.classifier, stage.gallery) == (None, None, None)
    whole = run("digits", tmp_path / "whole", epochs=1.0, start=str(tmp_path / "stage"))
    assert whole.detector is not None
    assert whole.classifier is not None


def test_command_line_options_override_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(
            [
                "train",
                "digits",
                "--out",
                str(tmp_path / "r"),
                "--recipe",
                "digits",
                "--epochs",
                "1",
                "--network",
                "mlp",
                "--gallery",
                "0",
            ]
        )
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert config["architecture"]["latents"] == RECIPES["digits"].options["latents"]
    assert config["architecture"]["network"] == "mlp"
    assert config["training"]["settings"]["epochs"] == 1
    with pytest.raises(SystemExit, match="2"):
        main(["train", "digits", "--out", str(tmp_path / "s"), "--recipe", "cake"])
    assert "recipe must be one of digits" in capsys.readouterr().err


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_contain_only_training_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(RECIPES[name].options) <= {field.name for field in fields(TrainingOptions)}
    with pytest.raises(SystemExit, match="0"):
        main(["recipes"])
    assert RECIPES[name].command(name) in capsys.readouterr().out
