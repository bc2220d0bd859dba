"""Every test runs with the shapes in core's signatures checked, and makes its own data."""

import os
from pathlib import Path

import jaxtyping
import pytest

# Networks of this size are fastest on one thread, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
jaxtyping.install_import_hook("core", "beartype.beartype")

import torch  # noqa: E402

import core  # noqa: E402


@pytest.fixture(scope="session")
def digits() -> core.Data:
    """The training split of scikit-learn's digits: 1,198 images of 1x8x8."""
    return core.load_data("digits", "train")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, digits: core.Data) -> Path:
    """A folder with a real bundle: five epochs on digits, four latents, 300 test images on a UMAP."""
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
    path = tmp_path_factory.mktemp("bundles") / "tiny"
    made = core.make_bundle("tiny", vae, architecture, preprocessing, test, {**record, "machine": "a test"}, gallery_size=300)
    made.save(path)
    return path


@pytest.fixture(scope="session")
def bundle(tiny_bundle: Path) -> core.Bundle:
    """`tiny_bundle`, opened. Nothing may change it."""
    return core.load(tiny_bundle)
