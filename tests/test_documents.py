"""Tests of the documents: every command and every Python block runs.

The commands run in the order of the document, in one folder with pictures to train on, with a stand-in for the hub. Training
is shorter, and ports are free ones. Commands that install packages are compared with pyproject.toml. The benchmarks take
hours, so only their options and --help are tested.
"""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import hub
import numpy as np
import pytest
import typer
from PIL import Image
from sessions import ROOT, get, serving, session, variables

from explorer.app.onnx_runtime import INSTALL
from explorer.cli import app

SHORTER = {
    "--minutes 20": "--epochs 1",
    "--multi_gpu --num_processes 8 --mixed_precision bf16": "--cpu --num_processes 2",
    "-m explorer train photos/ --out runs/photos": "-m explorer train photos/ --out runs/shared --epochs 1",
}
"""Options that take too long or need other hardware → their replacement in tests."""
PROGRAMS = ("latentscape", "accelerate", "npm", "pip", "python")
BENCHMARKS = (ROOT / "tests/bench/README.md").read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    """The contents of a document's fenced blocks in this language ("" for none)."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [code for name, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if name == language]


def commands(document: str) -> list[str]:
    """The lines of a document's blocks that start with a program."""
    lines = [part.strip() for block in blocks(document, "") for line in block.splitlines() for part in line.split("&&")]
    return [line for line in lines if line.startswith(PROGRAMS)]


def python(code: str, environment: dict[str, str], folder: Path) -> None:
    """Run a Python block as a script in this folder."""
    done = subprocess.run([sys.executable, "-c", code], env=variables(environment), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment variables of a process with a token of the stand-in hub."""
    with hub.serve() as running:
        yield running.environment(tmp_path / "home")


@pytest.fixture
def workspace(tmp_path: Path, runtime: Path) -> Path:
    """A folder with the commands' input: 500 pictures in two subfolders, another picture, ONNX Runtime Web."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:16, :16]
    for i in range(500):
        kind = ("left", "right")[i % 2]
        x, y = generator.integers(2, 7, 2) + np.array([7 * (i % 2), 0])
        grey = 255 * ((rows - y) ** 2 + (columns - x) ** 2 < generator.integers(4, 12)).astype(np.uint8)
        (tmp_path / "photos" / kind).mkdir(parents=True, exist_ok=True)
        pixels = grey ^ generator.integers(0, 16, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / kind / f"{i}.png")
    Image.fromarray(generator.integers(0, 255, (60, 40), dtype=np.uint8)).save(tmp_path / "shoe.jpg")
    (tmp_path / "runtime").symlink_to(runtime)
    return tmp_path


def run(document: str, environment: dict[str, str], workspace: Path) -> list[str]:
    """Run the commands of a document in order; return those that ran. Python blocks with a client run while a server runs."""
    clients = [block for block in blocks(document, "python") if "Client(" in block]
    waiting: list[list[str]] = []
    ran: list[str] = []

    def flush() -> None:
        done = session(environment, workspace, *waiting)
        for words, (status, _, errors) in zip(waiting, done, strict=True):
            assert status == 0, f"latentscape {shlex.join(words)}: {errors}"
            ran.append(words[0])
        waiting.clear()

    for line in commands(document):
        for long, short in SHORTER.items():
            line = line.replace(long, short)
        program, *words = shlex.split(line, comments=True)
        if program == "accelerate":
            flush()
            command = [sys.executable, "-m", "accelerate.commands.launch", *words[1:]]
            done = subprocess.run(command, env=variables(environment), cwd=workspace, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            ran.append(program)
        elif program == "latentscape" and (not words or words[0] == "explore" or words[0].startswith("--")):
            flush()
            words = re.sub(r"--port \d+", "", " ".join(words)).split()
            with serving(environment, workspace, *words) as address:
                assert b"Latentscape" in get(address)
                ran.append("explore")
                while clients and not words:
                    python(clients.pop().replace("http://127.0.0.1:7860", address), environment, workspace)
        elif program == "latentscape":
            waiting.append(words)
    flush()
    assert not clients
    return ran


def test_the_commands_and_code_of_the_readme_run(environment: dict[str, str], workspace: Path) -> None:
    ran = run("README.md", environment, workspace)
    assert ran == ["explore", "train", "explore", "publish", "publish", "export"]
    assert (workspace / "runs/photos/config.json").exists()
    assert (workspace / "site/index.html").exists()
    for block in blocks("README.md", "python"):
        python(block, environment, workspace)


@pytest.mark.slow
def test_the_commands_and_code_of_the_explorers_readme_run(environment: dict[str, str], workspace: Path) -> None:
    ran = run("explorer/README.md", environment, workspace)
    assert len(ran) == sum(line.startswith(("latentscape", "accelerate")) for line in commands("explorer/README.md"))
    for made in (
        "runs/photos.parquet",
        "runs/shared",
        "digit.png",
        "walk/app.py",
        "photos-again/config.json",
        "site/index.html",
    ):
        assert (workspace / made).exists(), made


def test_the_code_of_the_cores_readme_runs(tmp_path: Path) -> None:
    assert commands("core/README.md") == []
    found = blocks("core/README.md", "python")
    assert len(found) == 2
    python("\n".join(found), {}, tmp_path)


@pytest.mark.parametrize("document", ["README.md", "explorer/README.md"])
def test_installed_packages_match_the_declared_ones(document: str) -> None:
    """The extras of `pip install` are in pyproject.toml. npm installs the version of ONNX Runtime Web that the page uses."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    text = (ROOT / document).read_text(encoding="utf-8")
    for extra in re.findall(r'pip install (?:-e )?"[\w.]*\[(\w+)\]"', text):
        assert extra in declared
    found = [line.split("#")[0].strip() for line in commands(document) if line.startswith("npm")]
    assert found == [INSTALL]


def test_the_readme_has_at_most_110_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 110


@pytest.mark.parametrize("line", sorted(set(re.findall(r"`(latentscape [^`]+)`", BENCHMARKS))))
def test_the_commands_of_the_figures_have_valid_options(line: str) -> None:
    name, *words = shlex.split(line)[1:]
    group = typer.main.get_command(app)
    context = group.commands[name].make_context(name, words)  # pyright: ignore[reportAttributeAccessIssue]
    given = {word[2:].replace("-", "_") for word in words if word.startswith("--")}
    assert given <= set(context.params)


@pytest.mark.slow
@pytest.mark.parametrize("line", sorted(set(re.findall(r"`(python tests/bench/[^`]+)`", BENCHMARKS))))
def test_the_benchmark_commands_have_valid_options(line: str) -> None:
    script, *words = shlex.split(line)[1:]
    shown = subprocess.run([sys.executable, ROOT / script, "--help"], env=variables({}), capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    missing = [word for word in words if word.startswith("--") and word not in shown.stdout]
    assert missing == []


def test_every_benchmark_is_documented() -> None:
    scripts = {path.name for path in (ROOT / "tests/bench").glob("*.py")} - {"measure.py"}
    assert scripts == set(re.findall(r"tests/bench/(\w+\.py)", BENCHMARKS))
