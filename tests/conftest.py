"""Fixtures of all tests. The shapes in core's signatures are checked in every test."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import jaxtyping
import pytest
from filelock import FileLock

# Networks of this size are fastest on one thread. Subprocesses of tests inherit the setting.
os.environ.setdefault("OMP_NUM_THREADS", "1")
jaxtyping.install_import_hook("core", "beartype.beartype")

import torch  # noqa: E402

import core  # noqa: E402
from explorer.app.onnx_runtime import FILES, INSTALL, VERSION, Runtime  # noqa: E402


@pytest.fixture(scope="session")
def digits() -> core.Data:
    """The training split of scikit-learn's digits: 1,198 images of 1x8x8."""
    return core.load_data("digits", "train")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, worker_id: str, digits: core.Data) -> Path:
    """The folder of a bundle: five epochs on digits, four latents, 300 test images on a UMAP. All pytest workers share it."""
    base = tmp_path_factory.getbasetemp()
    path = (base if worker_id == "master" else base.parent) / "bundles" / "tiny"
    with FileLock(f"{path.parent}.lock"):
        if not path.exists():
            make_tiny_bundle(path, digits)
    return path


def make_tiny_bundle(path: Path, digits: core.Data) -> None:
    """Train, evaluate and save `tiny_bundle`."""
    architecture = core.Architecture(1, 8, 8, latents=4, network="mlp")
    torch.manual_seed(0)
    vae = architecture.build()
    for _ in core.train(vae, digits.images, core.Settings(epochs=5.0, batch_size=32, learning_rate=5e-3)):
        pass
    record = {
        "command": "latentscape train digits",
        "settings": {"seed": 0},
        "images": 1079,
        "held_out": 119,
        "epochs": 5.0,
        "seconds": 1.0,
    }
    preprocessing = core.Preprocessing.measure(digits.images)
    test = core.load_data("digits", "test")
    bundle = core.make_bundle("tiny", vae, architecture, preprocessing, test, {**record, "machine": "a test"}, gallery_size=300)
    bundle.save(path)


@pytest.fixture(scope="session")
def bundle(tiny_bundle: Path) -> core.Bundle:
    """`tiny_bundle`, loaded. Tests must not change it."""
    return core.load(tiny_bundle)


@pytest.fixture(scope="session")
def plain_server() -> Callable[[Path], AbstractContextManager[str]]:
    """A context manager that serves a folder with Python's `http.server` and yields the address."""

    @contextmanager
    def serve(folder: Path) -> Iterator[str]:
        command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/")
        try:
            assert process.stdout is not None
            found = re.search(r"port (\d+)", process.stdout.readline())
            assert found is not None
            yield f"http://127.0.0.1:{found.group(1)}/"
        finally:
            process.terminate()
            process.wait(30)

    return serve


@pytest.fixture(scope="session")
def runtime() -> Path:
    """A folder with the files of ONNX Runtime Web: LATENTSCAPE_RUNTIME, or a folder that npm installs once.

    Without npm or network, the tests that use it are skipped. In CI they fail.
    """
    named = os.environ.get("LATENTSCAPE_RUNTIME")
    folder = Path(named) if named else Path.home() / ".cache" / f"latentscape-runtime-{VERSION}"
    if not named and not folder.exists():
        npm, part = shutil.which("npm"), folder.with_suffix(f".{os.getpid()}.part")
        command = [npm or "npm", *INSTALL.replace("--prefix runtime", f"--prefix {part}").split()[1:]]
        part.mkdir(parents=True, exist_ok=True)
        if npm is None or subprocess.run(command, capture_output=True).returncode:
            assert not os.environ.get("CI"), f"CI must be able to run: {INSTALL}"
            pytest.skip(f"no ONNX Runtime Web, and npm could not fetch it: {INSTALL}")
        try:
            part.rename(folder)
        except OSError:  # another pytest worker was faster
            shutil.rmtree(part)
    found = Runtime.of(str(folder)).folder
    assert found is not None
    assert all((found / name).exists() for name in FILES)
    return found
