"""Tests of the gallery and its parquet file."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from core import Gallery
from core.bundle.gallery import COLUMNS, png_header, to_pngs

Damage = Callable[[Gallery], Gallery]


def gallery(n: int = 6, channels: int = 1) -> Gallery:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, channels, 9, 10), generator=generator).to(torch.uint8)
    mean, log_variance = torch.randn(2, n, 3, generator=generator)
    labels = {
        "label": np.array([f"kind {i % 2}, ä" for i in range(n)]),
        "scale": np.linspace(0, 1, n),
        "count": np.arange(n),
    }
    return Gallery(to_pngs(images), mean, log_variance, torch.randn(n, 2, generator=generator), labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gallery_is_bitwise_equal_after_writing_and_reading(tmp_path: Path, channels: int) -> None:
    written = gallery(channels=channels)
    written.write(tmp_path / "gallery.parquet")
    read = Gallery.read(tmp_path / "gallery.parquet")
    assert len(read) == 6
    assert read.pngs == written.pngs
    for name in ("mean", "log_variance", "xy", "images"):
        assert torch.equal(getattr(read, name), getattr(written, name))
        assert getattr(read, name).dtype == getattr(written, name).dtype
    assert list(read.labels) == ["label", "scale", "count"]
    for name, values in written.labels.items():
        assert (read.labels[name] == values).all()
        assert read.labels[name].dtype.kind == values.dtype.kind


def test_file_names_are_read_back_as_valid_text(tmp_path: Path) -> None:
    """File names can be invalid Unicode, and long."""
    names = ["a.png", "be\u0301ta/IMG 1.jpg", "\udcff.png", "x" * 5000 + ".png", "", "日本"]
    replace(gallery(), names=names).write(tmp_path / "gallery.parquet")
    read = Gallery.read(tmp_path / "gallery.parquet")
    assert read.names == ["a.png", "be\u0301ta/IMG 1.jpg", "?.png", "x" * 246 + ".png", "", "日本"]
    assert list(read.labels) == ["label", "scale", "count"]
    gallery().write(tmp_path / "gallery.parquet")
    assert Gallery.read(tmp_path / "gallery.parquet").names is None


def test_pandas_reads_the_gallery(tmp_path: Path) -> None:
    """The columns are exactly image, mean, log_variance, x, y, then the labels; images are PNG files."""
    written = gallery()
    written.write(tmp_path / "gallery.parquet")
    table = pd.read_parquet(tmp_path / "gallery.parquet")
    assert tuple(table.columns) == (*COLUMNS, "label", "scale", "count")
    assert COLUMNS == ("image", "mean", "log_variance", "x", "y")
    assert all(png.startswith(b"\x89PNG\r\n") for png in table["image"])
    assert table["mean"][2].tolist() == written.mean[2].tolist()
    assert table["x"].tolist() == written.xy[:, 0].tolist()
    assert table["y"].tolist() == written.xy[:, 1].tolist()
    schema = pq.read_schema(tmp_path / "gallery.parquet")
    assert schema.field("image").type == pa.binary()
    assert pa.types.is_list(schema.field("log_variance").type)
    assert schema.field("x").type == pa.float32()


def test_with_positions_changes_only_the_positions() -> None:
    before, xy = gallery(), torch.zeros(6, 2)
    after = before.with_positions(xy)
    assert torch.equal(after.xy, xy)
    assert not torch.equal(before.xy, xy)
    assert after.pngs == before.pngs


def test_invalid_labels_raise_an_error() -> None:
    valid = gallery()
    with pytest.raises(ValueError, match=r"a label cannot be named mean: .*Rename it"):
        Gallery(valid.pngs, valid.mean, valid.log_variance, valid.xy, {"mean": np.zeros(6)})
    with pytest.raises(ValueError, match=r"a label cannot be named file"):
        Gallery(valid.pngs, valid.mean, valid.log_variance, valid.xy, {"file": np.zeros(6)})
    with pytest.raises(ValueError, match="label kind has 5 entries for 6 images"):
        Gallery(valid.pngs, valid.mean, valid.log_variance, valid.xy, {"kind": np.zeros(5)})


@pytest.mark.parametrize("missing", COLUMNS)
def test_a_missing_column_raises_an_error_that_names_it(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "gallery.parquet"
    gallery().write(path)
    pq.write_table(pq.read_table(path).drop_columns([missing]), path)
    with pytest.raises(ValueError, match=rf"must have the columns image, mean.*it lacks {missing}\."):
        Gallery.read(path)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("mean", [1.0] * 6),
        ("mean", [[1.0], [1.0, 2.0], [], [], [], []]),
        ("x", ["left"] * 6),
        ("mean", ["1, 2"] * 6),
    ],
)
def test_a_column_of_the_wrong_type_raises_an_error(tmp_path: Path, column: str, values: list) -> None:
    path = tmp_path / "gallery.parquet"
    gallery().write(path)
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(column), column, pa.array(values)), path)
    with pytest.raises(ValueError, match="a column of the wrong type"):
        Gallery.read(path)


def test_a_file_that_is_not_parquet_raises_an_error(tmp_path: Path) -> None:
    path = tmp_path / "gallery.parquet"
    gallery().write(path)
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-20]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or not a parquet file"):
            Gallery.read(path)


# --- Decompression bombs: small files with huge contents ----------------------------------------------------------------------


def table(rows: int, **columns: pa.Array) -> pa.Table:
    """A table with the columns of a gallery; `columns` replaces or adds some."""
    zeros = pa.array(np.zeros(rows, np.float32))
    lists = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32)), zeros)
    given = {"image": pa.array([b""] * rows, pa.binary()), "mean": lists, "log_variance": lists, "x": zeros, "y": zeros}
    return pa.table({**given, **columns})


def repeated(value: bytes | str, rows: int) -> pa.Array:
    """The same value in every row, stored once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value]))


BOMBS = {
    "too many rows": (lambda: table(1_000_001), "it has 1,000,001 rows; at most 1,000,000"),
    "one image in every row": (lambda: table(50_000, image=repeated(bytes(1 << 20), 50_000)), "it unpacks to more than"),
    "an image of gigabytes": (lambda: table(4, image=repeated(bytes(60 << 20), 4)), "a value of image has more than 1,048,576"),
    "a very long label": (lambda: table(1000, label=repeated("a" * 10_000_000, 1000)), "a value of label has more than 1,000"),
    "a row of many latents": (
        lambda: table(2, mean=pa.array([[0.0] * 1_000_000, [0.0]], pa.list_(pa.float32()))),
        "a row of it has more than 4,096 values",
    ),
    "many columns of zeros": (
        lambda: table(300_000, label=pa.array(np.zeros(300_000)), **{f"l{i}": pa.array(np.zeros(300_000)) for i in range(60)}),
        "it unpacks to",
    ),
    "too many columns": (lambda: table(1, **{f"l{i}": pa.array([1]) for i in range(200)}), "205 columns"),
}


def test_a_decompression_bomb_raises_an_error_before_it_fills_the_memory(tmp_path: Path) -> None:
    """A subprocess reads the files and reports the peak of its memory pool."""
    for name, (make, _) in BOMBS.items():
        pq.write_table(make(), tmp_path / name, compression="zstd", store_schema=False)
        assert (tmp_path / name).stat().st_size < 8 << 20
    code = (
        "import pathlib, pyarrow, sys\n"
        "from core.bundle.gallery import read_table\n"
        "for file in sys.argv[1:]:\n"
        "    try: read_table(pathlib.Path(file))\n"
        "    except ValueError as error: print(error)\n"
        "    else: print('was read')\n"
        "print(pyarrow.default_memory_pool().max_memory())"
    )
    command = [sys.executable, "-c", code, *(str(tmp_path / name) for name in BOMBS)]
    *messages, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for (name, (_, message)), line in zip(BOMBS.items(), messages, strict=True):
        assert message in line, name
    assert int(peak) < 1 << 30


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda g: replace(g, mean=g.mean * float("nan")), "not finite numbers"),
        (lambda g: replace(g, xy=g.xy / 0), "not finite numbers"),
        (lambda g: replace(g, pngs=[*g.pngs[:-1], b"\x80\x04."]), "gallery image 5 is not an 8-bit PNG file of 1x9x10"),
        (lambda g: replace(g, pngs=gallery(channels=3).pngs), "gallery image 0 is not"),
        (lambda g: replace(g, pngs=[png_header((1, 50_000, 50_000)), *g.pngs[1:]]), "gallery image 0 is not"),
        (
            lambda g: replace(g, mean=g.mean[:, :2], log_variance=g.log_variance[:, :2]),
            "has 2 latents, the model 3",
        ),
    ],
)
def test_a_gallery_of_another_model_or_with_damaged_images_raises_an_error(damage: Damage, message: str) -> None:
    gallery().check((1, 9, 10), 3)
    with pytest.raises(ValueError, match=message):
        damage(gallery()).check((1, 9, 10), 3)
