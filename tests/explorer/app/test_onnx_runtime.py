"""Tests of the sources of ONNX Runtime Web: CDN, folder, none."""

import shutil
from pathlib import Path

import pytest

from explorer.app.onnx_runtime import CDN, FILES, GRAPHICS, INSTALL, VERSION, Runtime


def test_default_runtime_is_the_cdn_with_pinned_version_and_hashes() -> None:
    described = Runtime.of(None).describe()
    assert described is not None
    assert not described["local"]
    assert VERSION in CDN
    assert [(file["at"], file["integrity"]) for file in described["files"]] == [(CDN + n, h) for n, h in FILES.items()]
    assert Runtime.of("").describe() == described
    assert Runtime.of(None).files == []


def test_none_disables_the_runtime() -> None:
    assert Runtime.of("none").describe() is None
    assert Runtime.of("none").files == []


def test_runtime_folder_may_contain_the_files_or_node_modules(runtime: Path, tmp_path: Path) -> None:
    assert Runtime.of(str(runtime)).files == [runtime / name for name in FILES]
    installed = tmp_path / "node_modules" / "onnxruntime-web" / "dist"
    installed.mkdir(parents=True)
    for name in FILES:
        shutil.copy(runtime / name, installed / name)
    found = Runtime.of(str(tmp_path))
    assert found.folder == installed
    described = found.describe()
    assert described is not None
    assert described["local"]
    assert all(Path(file["at"]).is_file() for file in described["files"])
    assert described["graphics"] is None  # WebGPU needs all of its files
    for name in GRAPHICS:
        shutil.copy(runtime / name, installed / name)
    graphics = Runtime.of(str(tmp_path)).describe()["graphics"]
    assert {Path(file["at"]) for file in graphics} == {installed / name for name in GRAPHICS}
    assert {file["name"]: file["integrity"] for file in graphics} == GRAPHICS


def test_wrong_version_or_missing_folder_raises_with_the_install_command(runtime: Path, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes((runtime / name).read_bytes()[:-1])
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=f"onnxruntime-web {VERSION}") as error:
            Runtime.of(str(folder))
        assert INSTALL in str(error.value)
