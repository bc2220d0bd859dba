"""manifest.json: sizes and SHA-256 hashes of a bundle's files, to detect changed, missing and added files before reading.

It protects against damage and tampering in transit, but not against the author of a malicious bundle, who can write a matching
manifest. So the code that reads a file checks its content as well.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NAME = "manifest.json"
FILES = (
    "config.json",
    "model.safetensors",
    "decoder.onnx",
    "encoder.onnx",
    "gallery.parquet",
    "anomaly.safetensors",
    "features.safetensors",
)
"""The files that a bundle is read from, in the order of the manifest."""
CARD = "README.md"
DOCUMENT_SUFFIXES = frozenset({".md", ".txt", ".png", ".jpg", ".jpeg", ".gif", ".webp"})
"""Suffixes of other files that a bundle may contain, as well as LICENSE and hidden files; they are never read."""
MAX_JSON = 4 << 20
"""Maximum size of a bundle's JSON file in bytes."""


def write(folder: Path) -> None:
    """Write the manifest of the existing files."""
    files = {name: _size_and_hash(folder / name) for name in FILES if (folder / name).exists()}
    (folder / NAME).write_text(json.dumps({"files": files}, indent=2) + "\n", encoding="utf-8")


def verify(folder: Path) -> bool:
    """Check all files against the manifest. Return False if there is none, as in bundles of the first release.

    Raises ValueError with the name of a file that is not allowed in a bundle or does not match the manifest.
    """
    check_names([f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir()], str(folder))
    if not (folder / NAME).exists():
        return False
    expected = read_json(folder / NAME).get("files")
    if not isinstance(expected, dict) or not set(expected) <= set(FILES):
        raise ValueError(f"{folder / NAME} is damaged: it must list files named {', '.join(FILES)}. Download the bundle again.")
    for name in FILES:
        file = folder / name
        if name not in expected and file.exists():
            raise ValueError(
                f"{folder} holds {name}, which its manifest does not list: it was added later. Download the bundle again."
            )
        if name in expected and not file.is_file():
            raise ValueError(f"{folder} lacks {name}, which its manifest lists. Download the bundle again.")
        if name in expected and _size_and_hash(file) != expected[name]:
            raise ValueError(
                f"{file} is damaged or was changed: its size and SHA-256 are not those in {NAME}. "
                "Download the bundle again, or train the model again."
            )
    return True


def check_names(names: Iterable[str], where: str) -> None:
    """Raise ValueError if one of these file names is not allowed in a bundle. `where` names the folder or repository."""
    for name in names:
        known = name in FILES or name in (NAME, CARD, "LICENSE") or name.startswith(".")
        if not known and ("/" in name or Path(name).suffix.lower() not in DOCUMENT_SUFFIXES):
            raise ValueError(
                f"{where} holds {name!r}, which no bundle has: it is not opened, since a bundle contains only JSON, "
                "safetensors, ONNX, parquet and text files. Remove that file if you trust the rest."
            )


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a bundle's JSON file. Raises ValueError for anything else, NaN, and files of more than 4 MiB."""
    try:
        if file.stat().st_size > MAX_JSON:
            raise ValueError(f"it has {file.stat().st_size:,} bytes; at most {MAX_JSON:,} are allowed")
        value = json.loads(file.read_text(encoding="utf-8"), parse_constant=_reject_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged: {error}. Train the model again or download it again.") from error
    if not isinstance(value, dict):
        raise ValueError(f"{file} is damaged: it is not a JSON object. Train the model again or download it again.")
    return value


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")


def _size_and_hash(file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}
