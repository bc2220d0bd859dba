"""Laws of where the page gets its runtime from."""

import shutil
from pathlib import Path

import pytest

from explorer.app.onnx_runtime import CDN, FILES, GRAPHICS, INSTALL, VERSION, Runtime


def test_without_a_choice_it_is_the_cdn_with_a_pinned_version_and_hashes() -> None:
    described = Runtime.of(None).describe()
    assert described is not None
    assert not described["local"]
    assert VERSION in CDN
    assert [(file["at"], file["integrity"]) for file in described["files"]] == [(CDN + n, h) for n, h in FILES.items()]
    assert Runtime.of("").describe() == described
    assert Runtime.of(None).files == []


def test_none_is_none() -> None:
    assert Runtime.of("none").describe() is None
    assert Runtime.of("none").files == []


def test_a_folder_is_the_files_own_or_the_one_npm_filled(runtime: Path, tmp_path: Path) -> None:
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
    assert described["graphics"] is None  # half of it is of no use
    for name in GRAPHICS:
        shutil.copy(runtime / name, installed / name)
    graphics = Runtime.of(str(tmp_path)).describe()["graphics"]
    assert {Path(file["at"]) for file in graphics} == {installed / name for name in GRAPHICS}
    assert {file["name"]: file["integrity"] for file in graphics} == GRAPHICS


def test_another_version_or_an_empty_folder_is_refused_with_the_way_out(runtime: Path, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes((runtime / name).read_bytes()[:-1])
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=f"onnxruntime-web {VERSION}") as error:
            Runtime.of(str(folder))
        assert INSTALL in str(error.value)
