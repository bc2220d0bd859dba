"""ONNX Runtime Web, which decodes in the browser: its version, files and source.

It has 14 MB and is not part of this package. The page fetches it from a local folder, which `npm install` fills, or from a
public CDN, and checks the hash of every file before use. If it cannot be fetched, the server decodes.
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
"""The files that the page needs → their hashes (W3C Subresource Integrity)."""
GRAPHICS = {
    "ort.webgpu.bundle.min.mjs": "sha384-1ntMeyj+z5diX6vBR5h+zlJBPc4iNvhCxE6nlammh8daBYcLBZkzrwDkuJjhwI+f",
    "ort-wasm-simd-threaded.asyncify.wasm": "sha384-EPVDLTxuO663dkZO/pcKJF6vOyyfq/5z9FY1oksN0UWFX2ABH4wDDZQHeNoUleWR",
}
"""The version for WebGPU (27 MB), loaded if WebAssembly is too slow and the browser has WebGPU."""
CDN = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"
NONE = "none"
"""The value of --runtime that makes the server decode."""
INSTALL = f"npm install --prefix runtime onnxruntime-web@{VERSION}"


@dataclass(frozen=True)
class Runtime:
    """The source of the runtime: a local folder, the CDN (`folder` is None), or none (`wanted` is False)."""

    folder: Path | None = None
    wanted: bool = True

    @classmethod
    def of(cls, choice: str | None) -> "Runtime":
        """Parse the value of --runtime: a folder, "none", or None for the CDN.

        Raises ValueError if the folder does not contain this version.
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
                f"version. Fill one ({INSTALL}) and name it (--runtime runtime), or use --runtime {NONE}."
            )
        return cls(folder)

    @property
    def files(self) -> list[Path]:
        """The required files, if they are served from a folder."""
        return [] if self.folder is None else [self.folder / name for name in FILES]

    @property
    def graphics(self) -> list[Path]:
        """The WebGPU files that the folder contains."""
        return [] if self.folder is None else [self.folder / name for name in GRAPHICS if (self.folder / name).is_file()]

    def describe(self) -> dict[str, Any] | None:
        """The runtime's version and file addresses for the page, as plain JSON; None if the server decodes."""
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
