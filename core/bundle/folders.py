"""Bundle folders: finding them by name or path, and replacing them atomically."""

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
    """Yield a new folder; on success it replaces whatever is at `path`, on an error that is left unchanged.

    The old folder is renamed before the new one is put in place, and deleted afterwards. If the process is killed, one of the
    two is complete, and `restore` finds it. All files become readable for everyone, which web servers need; safetensors writes
    them for the owner only.
    """
    restore(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield partial
        for inside in (partial, *partial.rglob("*")):
            inside.chmod(0o755 if inside.is_dir() else 0o644)
        shutil.rmtree(replaced_folder(path), ignore_errors=True)  # left by a replacement that was killed before its last step
        if path.exists():
            os.replace(path, replaced_folder(path))
        os.replace(partial, path)
        shutil.rmtree(replaced_folder(path), ignore_errors=True)
    finally:
        restore(path)
        shutil.rmtree(partial, ignore_errors=True)


def replaced_folder(path: Path) -> Path:
    """Return the temporary location of the folder at `path` while it is replaced."""
    return path.absolute().with_name(f".{path.absolute().name}.replaced")


def restore(path: Path) -> None:
    """Restore the folder at `path` if a replacement was killed between its two renames."""
    if not path.exists() and replaced_folder(path).exists():
        os.replace(replaced_folder(path), path)


def check_target(path: Path) -> None:
    """Raise ValueError unless `path` does not exist, is an empty folder or is a bundle, which may be replaced."""
    restore(path)
    if path.exists() and not is_bundle(path) and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} is not a bundle and not empty; it is left alone. Choose another folder.")


def is_bundle(path: Path) -> bool:
    """Return whether the config.json of a folder declares a bundle."""
    try:
        return json.loads((path / "config.json").read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def pretrained() -> list[str]:
    """Return the names of the models that are included in the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def locate(name_or_path: str | Path) -> Path:
    """Return the folder of a bundle, given a path, the name of a pretrained model, or "hf:owner/name", which is downloaded.

    Raises ValueError if it is not found.
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
    """Return a bundle's config.json. Raises ValueError with the reason if it is missing, damaged or not a bundle's."""
    file = path / "config.json"
    if not file.exists():
        raise ValueError(f"{path} is not a bundle: it has no config.json. A bundle is what `latentscape train --out` writes.")
    config = manifest.read_json(file)
    if config.get("format") != FORMAT:
        raise ValueError(f'{file} does not belong to a bundle: it must contain "format": "{FORMAT}".')
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
    """Raise ValueError unless this is a valid model name: 1 to 200 printable characters without / and \\."""
    if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable() or set(name) & set("/\\"):
        raise ValueError(f"a model's name must be 1 to 200 printable characters without / and \\; got {name!r:.300}.")
