"""Tests of the automatic configuration for data sets of all sizes, and of options that override it."""

import io
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import core
from core.data.reading import Options
from core.model.likelihoods import LIKELIHOODS
from explorer.cli import main
from explorer.runs import throughput
from explorer.runs.auto_config import MAX_MINUTES, DatasetStats, Machine, choose, duration, epochs, specified_duration
from explorer.runs.fit import print_choices, read_data

COUNTS = [3, 10, 100, 1_000, 20_000, 1_000_000]
MACHINES = [Machine("cpu", 2), Machine("cuda", 8)]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 64, 64), (3, 40, 128)])
@pytest.mark.parametrize("components", [1, 11, 500])
def test_chosen_configuration_is_valid_for_every_data_set_size(
    machine: Machine, shape: tuple[int, int, int], components: int
) -> None:
    before = None
    for n in COUNTS:
        choices = choose(DatasetStats(n, shape, 0.2, components), machine)
        made = {name: choice.value for name, choice in choices.items()}
        assert all(choice.reason for choice in choices.values())
        assert core.Architecture(*shape, latents=made["latents"], network=made["network"], likelihood=made["likelihood"])
        assert 2 <= made["latents"] <= 64
        assert 4 <= made["batch_size"] <= 512
        assert n < 32 or n / made["batch_size"] >= 8
        if before:  # more images never mean a smaller model or batch
            assert made["latents"] >= before["latents"]
            assert made["batch_size"] >= before["batch_size"]
        before = made


def test_chosen_duration_is_at_most_max_minutes() -> None:
    for n in COUNTS:
        data = DatasetStats(n, (1, 28, 28), 0.2, 11)
        seen = []
        for rate in (1.0, 100.0, 1e4, 1e6):
            unit, choice = duration(data, MACHINES[0], rate)
            minutes = choice.value if unit == "minutes" else choice.value * n / rate / 60
            assert 0 < minutes <= MAX_MINUTES
            seen.append(minutes * 60 * rate)
        assert all(fewer <= more * (1 + 1e-9) for fewer, more in pairwise(seen))


@pytest.mark.parametrize("images", [1, 30, 1198, 54_000, 60_000, 10**7])
def test_number_of_epochs_decreases_with_the_number_of_images(images: int) -> None:
    chosen = epochs(DatasetStats(images, (1, 28, 28), 0.2, 11))
    assert 20 <= chosen <= 1000
    assert chosen in (20, 1000) or chosen * images == pytest.approx(1_200_000, rel=0.01)


@pytest.mark.parametrize("directions", [1, 3, 9])
def test_principal_components_are_counted(directions: int) -> None:
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(256, directions, generator=generator)).Q
    amounts = torch.randn(400, directions, generator=generator)
    images = (128 + 150 * amounts @ basis.T).clamp(0, 255).reshape(-1, 1, 16, 16).to(torch.uint8)
    assert 0.7 * directions <= DatasetStats.of(images).components <= directions
    assert DatasetStats.of(torch.zeros(5, 3, 9, 9, dtype=torch.uint8)).components == 1


def test_binary_images_are_distinguished_from_grey_and_colour() -> None:
    noise = torch.randint(0, 256, (50, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    black_and_white = (noise[:, :1] > 99).to(torch.uint8) * 255
    for images, expected in ((black_and_white, "bernoulli"), (noise[:, :1], "gaussian"), (noise, "gaussian")):
        assert choose(DatasetStats.of(images), MACHINES[0])["likelihood"].value == expected
        assert expected in LIKELIHOODS
    assert "black or white" in choose(DatasetStats.of(black_and_white), MACHINES[0])["likelihood"].reason


def test_throughput_measurement_has_no_side_effects() -> None:
    images = torch.zeros(40, 1, 8, 8, dtype=torch.uint8)
    before = torch.get_rng_state()
    assert 10 < throughput.measure(core.Architecture(1, 8, 8, 2, "mlp"), images, 16, torch.device("cpu"), seconds=0.1) < 1e7
    assert torch.equal(torch.get_rng_state(), before)


def write_pictures(folder: Path, n: int, size: tuple[int, int] = (20, 16)) -> Path:
    """Write n colour pictures to a folder."""
    folder.mkdir()
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 256, (*size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_training_on_ten_pictures_prints_every_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_pictures(tmp_path / "pictures", 10)
    (folder / "notes.txt").write_text("not a picture")
    with pytest.raises(SystemExit, match="0"):
        main(["train", str(folder), "--out", str(tmp_path / "run"), "--epochs", "2"])
    printed = " ".join(capsys.readouterr().err.split())
    read = "Read 10 pictures; left out 1: 1 not an image: notes.txt"
    model = ("network conv (", "latents 2 (", "likelihood gaussian (", "batch size 4 (")
    for words in (read, "size 20x16 (", "channels colour (", *model, "images in memory ("):
        assert words in printed
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["training"]["pictures"] == {"read": 10, "left_out": {"not an image": 1}}
    assert config["architecture"]["likelihood"] == "gaussian"
    gallery = core.load(tmp_path / "run").gallery
    assert gallery is not None
    assert gallery.names is not None
    for name, png in zip(gallery.names, gallery.pngs, strict=True):
        assert (np.asarray(Image.open(folder / name)) == np.asarray(Image.open(io.BytesIO(png)))).all()


def test_specified_duration_is_reported_in_the_other_unit() -> None:
    data, machine = DatasetStats(600, (1, 28, 28), 0.0, 10), Machine("cpu", 2)
    minutes = specified_duration(data, machine, 100.0, {"minutes": 3.0})
    assert (minutes.value, minutes.reason) == ("3 minutes", "about 30.0 passes over 600 images; about 100 images/s on 2 cores")
    assert specified_duration(data, machine, 100.0, {"epochs": 20.0}).reason.startswith("about 2.0 minutes; ")


def test_specified_options_are_not_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_pictures(tmp_path / "pictures", 12)
    model = {"channels": 1, "network": "mlp", "latents": 3, "likelihood": "continuous-bernoulli"}
    given = {**model, "size": 9, "batch-size": 5, "epochs": 1, "gallery": 0, "background": "white"}
    options = [str(part) for name, value in given.items() for part in (f"--{name}", value)]
    with pytest.raises(SystemExit, match="0"):
        main(["train", str(folder), "--out", str(tmp_path / "run"), *options])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert {**model, "height": 9, "width": 9}.items() <= config["architecture"].items()
    assert config["training"]["settings"]["batch_size"] == 5
    assert config["preprocessing"]["paper"] == [255, 255, 255]
    printed = capsys.readouterr().err
    for name in ("size ", "channels", "network ", "latents ", "likelihood ", "batch size"):
        assert f"\n  {name}" not in printed


def test_images_on_disk_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTSCAPE_CACHE", str(tmp_path / "cache"))
    screen, options = io.StringIO(), Options(memory=0)
    console = Console(file=screen, width=200)
    _, _, _, reading = read_data(str(write_pictures(tmp_path / "pictures", 6)), options, None, "none", console)
    print_choices({}, reading, options, console)
    assert "images       on disk (0 MiB, more than the memory limit" in screen.getvalue()
