"""ONNX Runtime Web, which decodes in the visitor's browser: its version, and where the page gets it from.

It is not part of this package (14 MB). It comes from a local folder, which `npm install` fills, or from a public CDN; the
page checks every file against its hash before it runs any of it. Where neither answers, the server decodes.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = "1.30.0"
FILES = {
    "ort.wasm.bundle.min.mjs": "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG",
    "ort-wasm-simd-threaded.wasm": "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM",
}
"""What the page loads, and the hash of each file (W3C Subresource Integrity)."""
GRAPHICS = {
    "ort.webgpu.bundle.min.mjs": "sha384-1ntMeyj+z5diX6vBR5h+zlJBPc4iNvhCxE6nlammh8daBYcLBZkzrwDkuJjhwI+f",
    "ort-wasm-simd-threaded.asyncify.wasm": "sha384-EPVDLTxuO663dkZO/pcKJF6vOyyfq/5z9FY1oksN0UWFX2ABH4wDDZQHeNoUleWR",
}
"""What it loads as well (27 MB) where WebAssembly is too slow and there is WebGPU: the same for the graphics processor."""
CDN = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"
NONE = "none"
"""Said instead of a folder, where the server is to decode and nobody is to be asked."""
INSTALL = f"npm install --prefix runtime onnxruntime-web@{VERSION}"


@dataclass(frozen=True)
class Runtime:
    """Where the page gets the runtime from: a local folder, the CDN (no folder), or nowhere."""

    folder: Path | None = None
    wanted: bool = True

    @classmethod
    def of(cls, choice: str | None) -> "Runtime":
        """From what --runtime says: a folder, "none", or nothing for the CDN.

        Raises ValueError for a folder that does not hold this very version.
        """
        if not choice:
            return cls()
        if choice == NONE:
            return cls(wanted=False)
        given = Path(choice)
        installed = given / "node_modules" / "onnxruntime-web" / "dist"
        folder = (installed if installed.is_dir() else given).resolve()
        wrong = [name for name, integrity in FILES.items() if _hash(folder / name) != integrity]
        if wrong:
            raise ValueError(
                f"--runtime must be a folder with onnxruntime-web {VERSION}; {given} lacks {' and '.join(wrong)} of that "
                f"version. Fill one ({INSTALL}) and name it (--runtime runtime), or say --runtime {NONE}."
            )
        return cls(folder)

    @property
    def files(self) -> list[Path]:
        """What a page cannot do without, where it is to be handed out."""
        return [] if self.folder is None else [self.folder / name for name in FILES]

    @property
    def graphics(self) -> list[Path]:
        """What a page may ask for besides, as far as the folder has it."""
        return [] if self.folder is None else [self.folder / name for name in GRAPHICS if (self.folder / name).is_file()]

    def describe(self) -> dict[str, Any] | None:
        """What the page needs to know, as plain JSON; None where the server is to decode."""
        if not self.wanted:
            return None
        base = CDN if self.folder is None else f"{self.folder}/"

        def sources(files: dict[str, str]) -> list[dict[str, str]]:
            return [{"name": name, "at": base + name, "integrity": integrity} for name, integrity in files.items()]

        whole = self.folder is None or len(self.graphics) == len(GRAPHICS)
        known = {"files": sources(FILES), "graphics": sources(GRAPHICS) if whole else None}
        return {"version": VERSION, "local": self.folder is not None, **known}


def _hash(file: Path) -> str:
    if not file.is_file():
        return ""
    return "sha384-" + base64.b64encode(hashlib.sha384(file.read_bytes()).digest()).decode()
