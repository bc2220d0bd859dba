"""A Gradio Space as a folder: card, app.py, requirements, the code and one bundle. It runs wherever Python does."""

import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import core
from core.bundle import hub
from core.bundle.folders import locate, read_config, replacing

NEEDS = ("jaxtyping", "numpy", "pillow", "plotly", "pyarrow", "safetensors", "torch", "zuko")
"""What serving takes beside Gradio, which the Space's sdk_version installs. Training and saving take more."""
CODE = Path(__file__).parents[2]
WHEELS = "https://download.pytorch.org/whl/cpu"

APP = '''"""The Space: the explorer on the bundle beside this file. `python app.py` runs it anywhere."""

import os
from pathlib import Path

if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # before torch

    @spaces.GPU
    def unused() -> None:
        """ZeroGPU starts no Space without such a function. Nothing here needs a GPU, and none is ever asked for."""


from explorer.app.server import serve

if __name__ == "__main__":
    serve(
        [str(Path(__file__).resolve().parent / "bundle")],
        host=os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1"),
        port=int(os.environ["GRADIO_SERVER_PORT"]) if "GRADIO_SERVER_PORT" in os.environ else None,
        browser=False,
        runtime=os.environ.get("LATENTSCAPE_RUNTIME"),
        auth=os.environ.get("LATENTSCAPE_AUTH"),
    )
'''

MEMORY = 525
"""Megabytes that the server held with fashion-mnist open, measured by tests/bench/space.py."""

HARDWARE = f"""| hardware | what it needs | tested |
|---|---|---|
| CPU basic (2 vCPU, 16 GB) | this folder as it is; {MEMORY} MB of memory after a visit | as a process, not on the hub itself |
| CPU upgrade | this folder as it is; more cores serve more uploads at once | no |
| ZeroGPU | requirements.txt without its first line, with a torch that ZeroGPU offers (2.9 to 2.11), and Python 3.12; app.py \
declares the function that ZeroGPU asks for, and uses no GPU | **untested** |
| T4, L4, A10G, A100… | requirements.txt without its first line; nothing is gained, as nothing runs on the GPU | no |
| static Space | not this folder, which needs Python | |

The first line of requirements.txt ({WHEELS}) keeps CUDA, some gigabytes, out of the image."""


def write(bundle: str, folder: Path, licence: str | None = None) -> None:
    """Write the Space of a bundle (a name, a folder or hf:owner/name) into a new or empty folder; all of it or nothing.

    Raises ValueError for a bundle that cannot be opened or has no gallery, and for a folder that holds anything.
    """
    check_empty(folder)
    source = locate(bundle)
    if core.load(source).gallery is None:
        raise ValueError(f"{bundle} has no gallery, so there is nothing to walk through; train it with one (--gallery).")
    config = read_config(source)
    with replacing(folder.absolute()) as partial:
        for package in ("core", "explorer"):
            shutil.copytree(CODE / package, partial / package, ignore=shutil.ignore_patterns("__pycache__", "*.pyi"))
        (partial / "bundle").mkdir()
        hub.copy(source, partial / "bundle")
        (partial / "app.py").write_text(APP, encoding="utf-8")
        (partial / "requirements.txt").write_text(requirements(), encoding="utf-8")
        (partial / "README.md").write_text(card(config, bundle, licence), encoding="utf-8")


def check_empty(folder: Path) -> None:
    """Raise a ValueError unless a folder can be written here without harm to anything: there is none, or it is empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty; it is left alone. Choose another folder, or empty it.")


def requirements() -> str:
    """requirements.txt: the versions that run here, torch from the index of its CPU wheels."""
    pins = (f"{name}=={version(name).partition('+')[0]}" for name in NEEDS)
    return "\n".join([f"--extra-index-url {WHEELS}", *pins, ""])


def card(config: dict[str, Any], bundle: str, licence: str | None = None) -> str:
    """README.md: the front matter that Spaces read, and what a visitor or an owner wants to know."""
    name, evaluation = config["name"], config["evaluation"]
    values: dict[str, Any] = {
        "title": f"Latentscape: {name}",
        "emoji": "🗺️",
        "colorFrom": "blue",
        "colorTo": "indigo",
        "sdk": "gradio",
        "sdk_version": version("gradio"),
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "app_file": "app.py",
        "short_description": "Walk through the latent space of an autoencoder",
        "license": licence or config.get("license", "unknown"),
        "tags": ["variational-autoencoder", "latent-space", "latentscape"],
    }
    if bundle.startswith(hub.PREFIX):
        values["models"] = [bundle.removeprefix(hub.PREFIX).partition("@")[0]]
    # Every value is JSON, which YAML holds: no name can break out of its line.
    front = "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return f"""---
{front}
---

# {name}

The latent space of a variational autoencoder, to walk through: drag a latent, click on the map, upload a picture, morph between
two. Test ELBO {evaluation["elbo"]:.2f} nats; everything measured about the model is on its card, `bundle/README.md`.

Pictures are decoded in the visitor's browser; the server hands out the page and the map, and encodes uploads. It runs as it is
anywhere: `pip install gradio=={version("gradio")} -r requirements.txt && python app.py`.

## Hardware

{HARDWARE}
"""
