"""manifest.json: the size and SHA-256 of a bundle's files, so that a changed, lost or added one is seen before it is read.

It guards against damage and tampering on the way, not against the author of a hostile bundle, who can write a manifest that
fits; whatever reads a file of a bundle therefore checks what is in it as well.
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
"""All that a bundle is read from, in the order of the manifest."""
CARD = "README.md"
DOCUMENT_SUFFIXES = frozenset({".md", ".txt", ".png", ".jpg", ".jpeg", ".gif", ".webp"})
"""Kinds of file that may lie beside those, for people; they are never read. So may LICENSE, and names that begin with a dot."""
MAX_JSON = 4 << 20
"""Bytes that a bundle's JSON may have at most."""


def write(folder: Path) -> None:
    """Write the manifest of the files that are there."""
    files = {name: _size_and_hash(folder / name) for name in FILES if (folder / name).exists()}
    (folder / NAME).write_text(json.dumps({"files": files}, indent=2) + "\n", encoding="utf-8")


def verify(folder: Path) -> bool:
    """Whether there is a manifest, with which every file agrees: a bundle saved before there were manifests has none.

    Raises ValueError that names a file which no bundle has, or one that is not as the manifest says.
    """
    check_names([f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir()], str(folder))
    if not (folder / NAME).exists():
        return False
    expected = read_json(folder / NAME).get("files")
    if not isinstance(expected, dict) or not set(expected) <= set(FILES):
        raise ValueError(f"{folder / NAME} is damaged: it must list files named {', '.join(FILES)}. Fetch a whole copy.")
    for name in FILES:
        file = folder / name
        if name not in expected and file.exists():
            raise ValueError(
                f"{folder} holds {name}, which its manifest does not know: it was added later. Fetch a whole copy."
            )
        if name in expected and not file.is_file():
            raise ValueError(f"{folder} lacks {name}, which its manifest lists. Fetch a whole copy.")
        if name in expected and _size_and_hash(file) != expected[name]:
            raise ValueError(
                f"{file} is damaged or was changed: its size and SHA-256 are not those in {NAME}. "
                "Fetch a whole copy, or train the model again."
            )
    return True


def check_names(names: Iterable[str], where: str) -> None:
    """Raise a ValueError if one of these names, of files in a folder or a repository, has no business in a bundle."""
    for name in names:
        known = name in FILES or name in (NAME, CARD, "LICENSE") or name.startswith(".")
        if not known and ("/" in name or Path(name).suffix.lower() not in DOCUMENT_SUFFIXES):
            raise ValueError(
                f"{where} holds {name!r}, which no bundle has: nothing of it is opened, since a bundle is JSON, safetensors, "
                "ONNX, parquet and texts alone. Take that file away if you trust the rest."
            )


def read_json(file: Path) -> dict[str, Any]:
    """The object in a bundle's JSON file; ValueError for anything else, NaN and more than 4 MiB included."""
    try:
        if file.stat().st_size > MAX_JSON:
            raise ValueError(f"it has {file.stat().st_size:,} bytes, and may have {MAX_JSON:,}")
        value = json.loads(file.read_text(encoding="utf-8"), parse_constant=_reject_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged: {error}. Train the model again or fetch a whole copy.") from error
    if not isinstance(value, dict):
        raise ValueError(f"{file} is damaged: it holds no JSON object. Train the model again or fetch a whole copy.")
    return value


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _size_and_hash(file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}
