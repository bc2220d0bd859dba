"""Folders: where bundles lie, by their names and paths, and how one takes another's place."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.bundle import hub, manifest

FORMAT = "latentscape"
VERSION = 1
PRETRAINED = Path(__file__).parents[2] / "pretrained"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new folder to fill, which then takes the place of whatever is at `path`; an error leaves that as it was.

    What was there is moved aside before the new folder moves in, and deleted after it: whenever the process is killed, one of
    the two is whole, and `restore` finds it. Everybody may read what is in the new one, as a web server must, whatever wrote
    it: safetensors lets nobody else."""
    restore(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield partial
        for inside in (partial, *partial.rglob("*")):
            inside.chmod(0o755 if inside.is_dir() else 0o644)
        shutil.rmtree(replaced_folder(path), ignore_errors=True)  # of a replacement that was killed before its last step
        if path.exists():
            os.replace(path, replaced_folder(path))
        os.replace(partial, path)
        shutil.rmtree(replaced_folder(path), ignore_errors=True)
    finally:
        restore(path)
        shutil.rmtree(partial, ignore_errors=True)


def replaced_folder(path: Path) -> Path:
    """Where the folder at `path` is kept while another takes its place."""
    return path.absolute().with_name(f".{path.absolute().name}.replaced")


def restore(path: Path) -> None:
    """Put back what was at `path` where a replacement ended between its two moves."""
    if not path.exists() and replaced_folder(path).exists():
        os.replace(replaced_folder(path), path)


def check_target(path: Path) -> None:
    """Raise a ValueError unless a bundle can be saved here without harm: nothing, an empty folder, or another bundle."""
    restore(path)
    if path.exists() and not is_bundle(path) and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} is not a bundle and not empty; it is left alone. Choose another folder.")


def is_bundle(path: Path) -> bool:
    """Whether a folder says that it is a bundle."""
    try:
        return json.loads((path / "config.json").read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def pretrained() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def locate(name_or_path: str | Path) -> Path:
    """The folder of a bundle, given by its path, a pretrained model's name, or "hf:owner/name", which is fetched first.

    Raises ValueError if there is none.
    """
    if str(name_or_path).startswith(hub.PREFIX):
        return hub.fetch(str(name_or_path))
    restore(Path(name_or_path))
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    if str(name_or_path) in pretrained():
        return PRETRAINED / str(name_or_path)
    names = ", ".join(pretrained()) or "(no pretrained models found)"
    raise ValueError(f"a bundle is a folder or one of {names}, or hf:owner/name on the hub; got {str(name_or_path)!r}.")


def read_config(path: Path) -> dict[str, Any]:
    """A bundle's config.json; ValueError that says what is wrong if it is missing, damaged or foreign."""
    file = path / "config.json"
    if not file.exists():
        raise ValueError(f"{path} is not a bundle: it has no config.json. A bundle is what `latentscape train --out` writes.")
    config = manifest.read_json(file)
    if config.get("format") != FORMAT:
        raise ValueError(f'{file} is not of a bundle: it must say "format": "{FORMAT}".')
    if config.get("version") != VERSION:
        raise ValueError(f"{path} is a bundle of version {config.get('version')}; this program reads {VERSION}. Update it.")
    missing = [key for key in ("name", "architecture", "preprocessing", "training", "evaluation", "map") if key not in config]
    if missing:
        raise ValueError(f"{file} is damaged: it lacks {', '.join(missing)}.")
    objects = ("architecture", "preprocessing", "training", "evaluation")
    if not all(isinstance(config[key], dict) for key in objects) or not isinstance(config["map"], dict | None):
        raise ValueError(f"{file} is damaged: {', '.join(objects)} and map must be objects.")
    check_name(config["name"])
    return config


def check_name(name: object) -> None:
    """Raise a ValueError unless a model may be called so: up to 200 printable characters, and nothing like a path."""
    if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable() or set(name) & set("/\\"):
        raise ValueError(f"a model's name must be 1 to 200 printable characters without / and \\; got {name!r:.300}.")
