"""Tests of the command line, partly with the installed program."""

import contextlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from PIL import Image

import core
from core.data.preprocessing import to_png
from core.model.architecture import LIKELIHOODS, NETWORKS
from explorer.app.catalogue import Catalogue
from explorer.cli import app, avoid_spinning, main
from explorer.describe import decode, describe

PROGRAM = Path(sys.executable).with_name("latentscape")
COMMANDS = [
    "explore",
    "list",
    "train",
    "evaluate",
    "encode",
    "decode",
    "project",
    "calibrate",
    "recipes",
    "export",
    "publish",
    "pull",
]


def latentscape(*arguments: object) -> str:
    """Run the installed program, assert exit status 0 and return its output."""
    run = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs the command line in this process: exit status, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def pictures(bundle: core.Bundle, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three gallery images as files."""
    assert bundle.gallery is not None
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, bundle.gallery.images[:3], strict=True):
        path.write_bytes(to_png(image))
    return paths


# --- The commands ---------------------------------------------------------------------------------------------------------


def test_train_and_evaluate_work_with_one_latent(tmp_path: Path) -> None:
    """A map needs two latents, so this model has none."""
    options = ("--network", "mlp", "--latents", 1, "--epochs", 1, "--name", "thin", "--notes", "Just a test.")
    assert "Test ELBO" in latentscape("train", "digits", "--out", tmp_path / "run", *options)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["name"] == "thin"
    assert config["training"]["command"].startswith("latentscape train digits --out")
    assert config["training"]["images"] + config["training"]["held_out"] == 1198
    assert "Just a test." in (tmp_path / "run" / "README.md").read_text()
    scores = json.loads(latentscape("evaluate", tmp_path / "run", "--data", "digits", "--json"))
    assert scores["elbo"] == pytest.approx(config["evaluation"]["elbo"], rel=1e-5)
    assert scores["images"] == 599


def test_training_twice_with_one_seed_gives_the_same_bundle(call: Call, tmp_path: Path, digits: core.Data) -> None:
    """From an .npz file, with named classes, a Gaussian likelihood and a map."""
    np.savez(tmp_path / "set.npz", images=digits.images[:90, 0].numpy(), labels=np.arange(90) % 2)
    options = ("--network", "mlp", "--likelihood", "gaussian", "--latents", 3, "--epochs", 2, "--label-names", "cat, dog")
    out = ""
    for name in "ab":
        status, out, err = call("train", tmp_path / "set.npz", "--out", tmp_path / name, *options, "--name", "n", "--seed", 5)
        assert status == 0, err
        assert "of 3 latents active" in out
    # The commands that the output suggests work.
    encode, explore = (shlex.split(line) for line in out.rpartition("on the map:")[2].split("&&"))
    assert "90 images in" in call(*encode[1:])[1]
    assert explore[:2] == ["latentscape", "explore"]
    assert len(Catalogue.of([explore[2]], Path(explore[4]))["n"].encoded or []) == 90
    for file in ("model.safetensors", "gallery.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    bundle = core.load(tmp_path / "a")
    assert bundle.gallery is not None
    assert set(bundle.gallery.labels["label"]) == {"cat", "dog"}
    assert bundle.config["architecture"]["likelihood"] == "gaussian"
    assert bundle.config["map"]["method"] == "umap"
    again = ("train", tmp_path / "set.npz", "--out", tmp_path / "a", *options, "--name", "other", "--seed", 6)
    status, _, err = call(*again)
    assert status == 2
    assert "is already a bundle and is not changed" in err
    assert core.load(tmp_path / "a").name == "n"
    assert call(*again, "--replace")[0] == 0
    assert core.load(tmp_path / "a").name == "other"


def test_evaluate_prints_the_scores_of_all_images(call: Call, tiny_bundle: Path, bundle: core.Bundle) -> None:
    scores = json.loads(call("evaluate", tiny_bundle, "--data", "digits", "--split", "all", "--json")[1])
    expected_keys = {"elbo", "log_likelihood", "kl", "kl_per_latent", "active_units", "bits_per_dim", "images", "likelihood"}
    assert expected_keys <= set(scores)
    assert scores["images"] == 1797
    assert scores["bits_per_dim"] is None
    expected = core.evaluate(bundle.vae, core.load_data("digits", "all").images)
    assert scores["elbo"] == pytest.approx(expected.elbo, rel=1e-5)
    assert scores["kl_per_latent"] == pytest.approx(expected.kl_per_latent, rel=1e-4)


def test_evaluate_without_data_scores_the_gallery_whatever_the_batch_size(call: Call, tiny_bundle: Path) -> None:
    answers = [json.loads(call("evaluate", tiny_bundle, "--json", "--batch-size", n)[1]) for n in (7, 512)]
    assert answers[0]["images"] == answers[1]["images"] == 300
    assert answers[0]["active_units"] == answers[1]["active_units"]
    assert answers[0]["elbo"] == pytest.approx(answers[1]["elbo"], rel=1e-5)
    assert answers[0]["split"] == "gallery"
    status, out, _ = call("evaluate", tiny_bundle)
    assert status == 0
    shown = " ".join(out.split())
    for words in ("300 images of its gallery", "ELBO", "active latents", "KL of each latent", "not a likelihood"):
        assert words in shown


def test_encode_describes_each_picture(tiny_bundle: Path, bundle: core.Bundle, pictures: list[Path]) -> None:
    assert bundle.gallery is not None
    records = json.loads(latentscape("encode", tiny_bundle, *pictures, "--json"))
    expected = describe(bundle, bundle.gallery.images[:3])
    for record, path, other in zip(records, pictures, expected, strict=True):
        assert record.pop("file") == str(path)
        assert set(record) >= {"mean", "log_variance", "elbo", "x", "y"}
        assert record["mean"] == pytest.approx(other["mean"], rel=1e-4, abs=1e-5)
        assert record["elbo"] == pytest.approx(other["elbo"], rel=1e-4)
        assert (record["x"], record["y"]) == pytest.approx((other["x"], other["y"]), rel=1e-3, abs=1e-3)


def test_encode_reports_unreadable_pictures_and_encodes_the_rest(
    call: Call, tiny_bundle: Path, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "notes.png").write_text("not a picture")
    bad = (tmp_path / "notes.png", tmp_path / "gone.png")
    status, out, err = call("encode", tiny_bundle, pictures[0], *bad, pictures[1], "--json")
    assert status == 1
    assert [record["file"] for record in json.loads(out)] == [str(pictures[0]), str(pictures[1])]
    status, out, _ = call("encode", tiny_bundle, pictures[0], pictures[0], "--json")
    assert (status, len(json.loads(out))) == (0, 2)
    assert err.count("left out") == 2
    assert "notes.png is not an image that can be read" in err
    assert "no image file at" in err
    status, _, err = call("encode", tiny_bundle, *bad)
    assert status == 2
    assert "none of the 2 pictures can be read" in err


def test_encode_folder_reports_omitted_files_and_names_classes(
    call: Call, tiny_bundle: Path, pictures: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    for number, path in enumerate(pictures):
        (folder / str(number % 2)).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / str(number % 2) / path.name)
    (folder / "0" / "notes.txt").write_text("not a picture")
    (folder / "1" / "cut.png").write_bytes(pictures[0].read_bytes()[:60])
    (tmp_path / "table.csv").write_text("name,mood\n0.png,calm\n9.png,wild\n")
    options = ("--label-names", "cat, dog", "--labels", tmp_path / "table.csv", "--out", tmp_path / "a.parquet")
    status, out, err = call("encode", tiny_bundle, "--data", folder, *options)
    assert (status, out.strip()) == (0, f"3 images in {tmp_path / 'a.parquet'}"), err
    messages = " ".join(err.split())
    for words in (
        "left out 2:",
        "1 not an image: 0/notes.txt",
        "1 broken: 1/cut.png",
        "2 pictures without a row, 1 rows",
    ):
        assert words in messages, messages
    table = pd.read_parquet(tmp_path / "a.parquet").set_index("file")
    assert table["label"].to_dict() == {"0/0.png": "cat", "0/2.png": "cat", "1/1.png": "dog"}
    assert table["mood"].to_dict()["0/0.png"] == "calm"


def test_encode_is_deterministic_and_writes_the_same_as_parquet(
    call: Call, tiny_bundle: Path, pictures: list[Path], tmp_path: Path
) -> None:
    first, second = (call("encode", tiny_bundle, *pictures, "--json")[1] for _ in range(2))
    assert first == second
    status, out, _ = call("encode", tiny_bundle, *pictures, "--out", tmp_path / "codes.parquet")
    assert status == 0
    assert "3 images" in out
    table = pd.read_parquet(tmp_path / "codes.parquet")
    records = json.loads(first)
    assert table["file"].tolist() == [record["file"] for record in records]
    assert table["elbo"].tolist() == [record["elbo"] for record in records]
    assert [values.tolist() for values in table["log_variance"]] == [record["log_variance"] for record in records]
    status, out, _ = call("encode", tiny_bundle, pictures[0])
    assert status == 0
    assert all(word in out for word in ("ELBO", "nats", "map (", "mean", "sigma"))


def test_decode_writes_a_png_of_the_models_size(tiny_bundle: Path, bundle: core.Bundle, tmp_path: Path) -> None:
    latentscape("decode", tiny_bundle, "--z", "-0.5, 1,2e-1,0", "--out", tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    assert (picture.format, picture.size) == ("PNG", (8, 8))
    expected = decode(bundle, torch.tensor([[-0.5, 1, 0.2, 0]]))[0, 0].numpy()
    assert np.abs(np.asarray(picture).astype(int) - expected).max() <= 1


def test_project_replaces_only_the_map(tiny_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "b")
    assert "pca map in" in latentscape("project", tmp_path / "b", "--method", "pca")
    before, after = core.load(tiny_bundle), core.load(tmp_path / "b")
    assert after.map is not None
    assert after.map.method == "pca"
    assert before.gallery is not None
    assert after.gallery is not None
    assert torch.equal(after.gallery.xy, after.map.place(after.gallery.mean))
    assert torch.equal(before.gallery.mean, after.gallery.mean)
    assert before.config["evaluation"] == after.config["evaluation"]


def test_project_saves_to_another_folder(call: Call, tiny_bundle: Path, tmp_path: Path) -> None:
    status, _, _ = call("project", tiny_bundle, "--method", "latents", "--pair", "2,0", "--out", tmp_path / "new")
    assert status == 0
    new, old = core.load(tmp_path / "new"), core.load(tiny_bundle)
    assert new.gallery is not None
    assert old.map is not None
    torch.testing.assert_close(new.gallery.xy, new.gallery.mean[:, [2, 0]] - new.gallery.mean.mean(0)[[2, 0]])
    assert old.map.method == "umap"


def test_list_names_the_pretrained_models(call: Call) -> None:
    status, out, _ = call("list", "--json")
    assert status == 0
    assert [model["name"] for model in json.loads(out)] == core.pretrained()
    table = latentscape("list")
    assert all(name in table for name in ["latents", "test ELBO", *core.pretrained()])


# --- Help and errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_every_command_shows_an_example(call: Call, command: str, flag: str) -> None:
    status, out, err = call(command, flag)
    assert (status, err) == (0, "")
    assert f"Example: latentscape {command}" in " ".join(out.split())


def test_train_help_names_every_likelihood_and_network(call: Call) -> None:
    """The help repeats the names because it must not import torch; the dicts are the reference."""
    parameters = {p.name: p for p in typer.main.get_command(app).commands["train"].params}  # pyright: ignore[reportAttributeAccessIssue]
    for option, choices in (("likelihood", LIKELIHOODS), ("network", NETWORKS)):
        named = re.split(r"[^a-z-]+", parameters[option].help)
        assert set(choices) <= set(named), option


def test_help_lists_every_command(call: Call) -> None:
    status, out, _ = call("--help")
    assert status == 0
    assert all(command in out for command in COMMANDS)


def mistakes(tiny: str, folder: str) -> dict[str, tuple[list[str], str]]:
    """User errors by name: the arguments and a part of the expected message."""
    run = ["train", "digits", "--out", f"{folder}/run"]
    picture = f"{folder}/white.png"
    return {
        "unknown bundle": (["evaluate", "no-such"], "a bundle is a folder or one of"),
        "unknown bundle to explore": (["explore", "no-such"], "got 'no-such'"),
        "unknown bundle without command": (["no-such"], "got 'no-such'"),
        "not a bundle": (["evaluate", folder], "has no config.json"),
        "z too short": (["decode", tiny, "--z", "1,2", "--out", f"{folder}/a.png"], "4 finite numbers"),
        "z no number": (["decode", tiny, "--z", "1,2,x,4", "--out", f"{folder}/a.png"], "'x'"),
        "z not finite": (["decode", tiny, "--z", "1,2,nan,4", "--out", f"{folder}/a.png"], "4 finite numbers"),
        "no folder for the picture": (["decode", tiny, "--z", "1,2,3,4", "--out", f"{folder}/no/a.png"], "there is no folder"),
        "no such picture": (["encode", tiny, f"{folder}/gone.png"], "no image file"),
        "broken picture": (["encode", tiny, f"{folder}/broken.png"], "is not an image"),
        "no folder for the table": (["encode", tiny, picture, "--out", f"{folder}/no/a.parquet"], "there is no folder"),
        "unknown network": ([*run, "--network", "gpt"], "network must be one of mlp, conv, resnet; got 'gpt'"),
        "unknown likelihood": ([*run, "--likelihood", "cauchy"], "likelihood must be one of"),
        "both lengths": ([*run, "--epochs", "1", "--minutes", "1"], "one of the two"),
        "no length": ([*run, "--epochs", "0"], "epochs must be above 0"),
        "no batch": ([*run, "--batch-size", "0"], "batch_size must be at least 1"),
        "negative step": ([*run, "--learning-rate", "-1"], "learning_rate must be above 0"),
        "no latents": ([*run, "--latents", "0"], "--latents"),
        "unknown device": ([*run, "--device", "quantum"], "device 'quantum' is not available"),
        "too few names": ([*run, "--label-names", "a,b"], "--label-names must name the classes 0 to 1"),
        "no such data": (
            ["train", f"{folder}/no", "--out", f"{folder}/run"],
            "DATA must be digits, dsprites, an .npz file, a folder of IDX files, or pictures",
        ),
        "no pictures": (["train", f"{folder}/empty", "--out", f"{folder}/run"], "there are no pictures that can be read"),
        "a foreign folder": (["train", "digits", "--out", f"{folder}/thesis"], "not a bundle and not empty"),
        "nowhere to save": (["train", "digits"], "--out"),
        "wrong shape": (["evaluate", tiny, "--data", f"{folder}/big.npz"], "(N, 1, 8, 8), for this model"),
        "no such pair": (["project", tiny, "--method", "latents", "--pair", "0,9", "--out", f"{folder}/p"], "from 0 to 3"),
        "no pair": (["project", tiny, "--pair", "0", "--out", f"{folder}/p"], "--pair must be two latents such as 0,3"),
        "unknown option": (["list", "--colour"], "--colour"),
        "missing argument": (["evaluate"], "'bundle'"),
        "port no number": (["explore", "--port", "http"], "'--port'"),
        "port too high": (["explore", "--port", "70000"], "65535"),
    }


def wrong_choices(tiny: str, folder: str) -> dict[str, tuple[list[str], str]]:
    """Invalid values of options that are Literal types in core, where the type checks of the tests would raise first."""
    run = ["train", f"{folder}/big.npz", "--out", f"{folder}/run"]
    return {
        "split": (["evaluate", tiny, "--data", "digits", "--split", "both"], "split must be one of train, test, all"),
        "polarity": (["encode", tiny, f"{folder}/white.png", "--polarity", "up"], "polarity must be one of auto, keep, invert"),
        "method": (["project", tiny, "--method", "tsne", "--out", f"{folder}/p"], "method must be one of umap, pca, latents"),
        "fit of a folder": (["train", f"{folder}/good", "--out", f"{folder}/run", "--fit", "squeeze"], "fit must be one of"),
        "precision": ([*run, "--precision", "int4", "--epochs", "1"], "precision must be one of float32, bfloat16"),
        "binarization": (
            [*run, "--binarization", "often", "--epochs", "1"],
            "binarization must be one of none, static, dynamic",
        ),
    }


@pytest.fixture(scope="module")
def bad_inputs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with invalid and unsuitable inputs."""
    folder = tmp_path_factory.mktemp("mess")
    (folder / "empty").mkdir()
    (folder / "good").mkdir()
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter.txt").write_text("years of work")
    (folder / "broken.png").write_bytes(b"x")
    for path in ("white.png", "good/0.png", "good/1.png", "good/2.png", "good/3.png"):
        Image.new("L", (20, 20), 255).save(folder / path)
    np.savez(folder / "big.npz", images=np.zeros((30, 28, 28), np.uint8))
    return str(folder)


def is_one_line_error(status: int, out: str, err: str) -> bool:
    return status == 2 and out == "" and err.startswith("latentscape: ") and err.count("\n") == 1 and err.endswith("\n")


@pytest.mark.parametrize("mistake", mistakes("", ""))
def test_mistakes_print_one_line_and_exit_with_status_2(call: Call, tiny_bundle: Path, bad_inputs: str, mistake: str) -> None:
    arguments, expected_text = mistakes(str(tiny_bundle), bad_inputs)[mistake]
    status, out, err = call(*arguments)
    assert is_one_line_error(status, out, err), (status, out, err)
    assert expected_text in err
    assert not Path(bad_inputs, "run").exists()
    assert not Path(bad_inputs, "a.png").exists()


def test_wrong_choices_print_one_line_and_exit_with_status_2(tiny_bundle: Path, bad_inputs: str) -> None:
    """All cases run in one subprocess without the type checks of the tests."""
    program = """
import contextlib, io, json, sys
from explorer.cli import app, avoid_spinning, main
for arguments in json.loads(sys.stdin.read()):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ended:
            status = ended.code
        except BaseException as error:
            status = repr(error)
    print(json.dumps([status, out.getvalue(), err.getvalue()]))
"""
    cases = wrong_choices(str(tiny_bundle), bad_inputs)
    arguments = json.dumps([case[0] for case in cases.values()])
    run = subprocess.run([sys.executable, "-c", program], input=arguments, capture_output=True, text=True, check=True)
    answers: list[list[Any]] = [json.loads(line) for line in run.stdout.splitlines()]
    for (name, (_, expected_text)), answer in zip(cases.items(), answers, strict=True):
        assert is_one_line_error(*answer), (name, answer)
        assert expected_text in answer[2], (name, answer)


def test_installed_program_prints_errors_in_one_line(tiny_bundle: Path) -> None:
    run = subprocess.run(
        [PROGRAM, "decode", tiny_bundle, "--z", "1", "--out", "a.png"], capture_output=True, text=True, check=False
    )
    assert is_one_line_error(run.returncode, run.stdout, run.stderr), run


def test_busy_explicit_port_is_an_error(call: Call, tiny_bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, out, err = call("explore", tiny_bundle, "--port", port, "--no-browser")
    assert is_one_line_error(status, out, err), (status, out, err)
    assert f"port {port} is busy" in err


def test_busy_default_port_falls_back_to_the_next_free_one() -> None:
    from explorer.app.server import FIRST_PORT, choose_port

    first = choose_port("127.0.0.1", None)
    assert FIRST_PORT <= first < FIRST_PORT + 100
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # a server of another test may use the port now
            taken.bind(("127.0.0.1", first))
            taken.listen()
        assert choose_port("127.0.0.1", None) > first
    with pytest.raises(ValueError, match="host must be an address of this machine"):
        choose_port("no.such.host.invalid", None)


def test_evaluate_options_samples_limit_and_save(call: Call, tiny_bundle: Path, tmp_path: Path) -> None:
    """--samples, --limit, and --save, which writes the same scores to the bundle and its card."""
    copy = tmp_path / "copy"
    shutil.copytree(tiny_bundle, copy)
    status, out, _ = call("evaluate", str(copy), "--data", "digits", "--samples", "20", "--limit", "90", "--save", "--json")
    assert status == 0
    scores = json.loads(out)
    assert (scores["images"], scores["nll_samples"]) == (90, 20)
    images = core.load_data("digits", "test").images[:90]
    expected = core.evaluate(core.load(copy).vae, images, samples=20)
    assert scores["nll"] == pytest.approx(expected.nll, rel=1e-6)
    assert scores["nll"] < -scores["elbo"]
    saved = core.load(copy).config["evaluation"]
    assert saved == {key: value for key, value in scores.items() if key != "model"}
    assert f"{scores['nll']:.2f} nats, 20 importance samples an image" in (copy / "README.md").read_text()


def test_encode_prints_the_p_value_after_calibrate(call: Call, tiny_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    status, out, _ = call("calibrate", str(tiny_bundle), "--data", "digits", "--out", str(copy))
    assert status == 0
    assert "Calibrated on 119 held-out images" in out
    noise_file = tmp_path / "noise.png"
    noise = torch.randint(0, 256, (1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    noise_file.write_bytes(to_png(noise))
    records = json.loads(call("encode", str(copy), str(noise_file), "--json")[1])
    assert records[0]["p_value"] == pytest.approx(core.load(copy).anomaly(noise[None]).p_value.item())
    assert records[0]["p_value"] < 0.05


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_avoid_spinning_does_not_override_user_settings(
    given: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores the variable
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    avoid_spinning()
    assert {name: os.environ[name] for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT") if name in os.environ} == expected


def test_importing_the_cli_does_not_import_torch() -> None:
    """The thread variables that it sets have an effect only before torch is imported."""
    script = "import sys, explorer.cli; print([name for name in ('torch', 'core', 'gradio') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
