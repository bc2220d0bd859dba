"""Export of a bundle as a Gradio Space: a folder with the card, app.py, requirements.txt, the code and the bundle."""

import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import core
from core.bundle import hub
from core.bundle.folders import locate, read_config, replacing

REQUIREMENTS = ("jaxtyping", "numpy", "pillow", "plotly", "pyarrow", "safetensors", "torch", "zuko")
"""Packages that the server needs. The Space installs Gradio itself. Training and saving need more packages."""
SOURCE = Path(__file__).parents[2]
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"

APP = '''"""Serve the explorer with the bundle in this folder. Run it with `python app.py`."""

import os
from pathlib import Path

if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # has to come before torch

    @spaces.GPU
    def unused() -> None:
        """ZeroGPU requires a Space to declare a GPU function. The explorer uses no GPU and never calls it."""


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

MEMORY_MB = 525
"""Memory of the server with fashion-mnist open, in megabytes, measured by tests/bench/space.py."""

HARDWARE = f"""| hardware | required changes | tested |
|---|---|---|
| CPU basic (2 vCPU, 16 GB) | none; the server takes {MEMORY_MB} MB of memory after a visit | as a local process |
| CPU upgrade | none; more cores serve more uploads at once | no |
| ZeroGPU | remove the first line of requirements.txt; use a torch that ZeroGPU supports (2.9 to 2.11) and Python 3.12; \
app.py declares the function that ZeroGPU requires and uses no GPU | **untested** |
| T4, L4, A10G, A100… | remove the first line of requirements.txt; there is no benefit, because nothing runs on the GPU | no |
| static Space | not possible with this folder, because it needs Python | |

The first line of requirements.txt ({CPU_WHEELS}) selects torch without CUDA, which saves several gigabytes."""


def write(bundle: str, folder: Path, licence: str | None = None) -> None:
    """Write the Space of a bundle (a name, a folder or hf:owner/name) to a new or empty folder, atomically.

    Raises ValueError if the bundle cannot be opened or has no gallery, or if the folder is not empty.
    """
    check_empty(folder)
    source = locate(bundle)
    if core.load(source).gallery is None:
        raise ValueError(f"{bundle} has no gallery, so there is nothing to explore. Train it with one (--gallery).")
    config = read_config(source)
    with replacing(folder.absolute()) as partial:
        for package in ("core", "explorer"):
            shutil.copytree(SOURCE / package, partial / package, ignore=shutil.ignore_patterns("__pycache__", "*.pyi"))
        (partial / "bundle").mkdir()
        hub.copy(source, partial / "bundle")
        (partial / "app.py").write_text(APP, encoding="utf-8")
        (partial / "requirements.txt").write_text(requirements(), encoding="utf-8")
        (partial / "README.md").write_text(card(config, bundle, licence), encoding="utf-8")


def check_empty(folder: Path) -> None:
    """Raise ValueError unless the folder is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty and is not changed. Choose another folder, or empty it.")


def requirements() -> str:
    """The text of requirements.txt: the installed versions, with torch from its index of CPU wheels."""
    pins = (f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS)
    return "\n".join([f"--extra-index-url {CPU_WHEELS}", *pins, ""])


def card(config: dict[str, Any], bundle: str, licence: str | None = None) -> str:
    """The text of README.md: front matter for the hub, a description, and a table of hardware."""
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
        "short_description": "Explore the latent space of an autoencoder",
        "license": licence or config.get("license", "unknown"),
        "tags": ["variational-autoencoder", "latent-space", "latentscape"],
    }
    if bundle.startswith(hub.PREFIX):
        values["models"] = [bundle.removeprefix(hub.PREFIX).partition("@")[0]]
    # JSON is valid YAML, so a name cannot break out of its line.
    front = "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return f"""---
{front}
---

# {name}

Explore the latent space of a variational autoencoder: move a latent, click on the map, upload a picture, or morph between two
points. Test ELBO {evaluation["elbo"]:.2f} nats. The model card, `bundle/README.md`, lists all scores.

The visitor's browser decodes the pictures. The server sends the page and the map, and encodes uploads. To run it elsewhere:
`pip install gradio=={version("gradio")} -r requirements.txt && python app.py`.

## Hardware

{HARDWARE}
"""
