"""Laws of the gallery and its parquet file."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from core import Gallery
from core.gallery import COLUMNS, pack


def gallery(n: int = 6, channels: int = 1) -> Gallery:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, channels, 9, 10), generator=generator).to(torch.uint8)
    mean, log_variance = torch.randn(2, n, 3, generator=generator)
    labels = {
        "label": np.array([f"kind {i % 2}, ä" for i in range(n)]),
        "scale": np.linspace(0, 1, n),
        "count": np.arange(n),
    }
    return Gallery(pack(images), mean, log_variance, torch.randn(n, 2, generator=generator), labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_written_gallery_is_read_back_bit_by_bit(tmp_path: Path, channels: int) -> None:
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


def test_any_dataframe_tool_can_open_it(tmp_path: Path) -> None:
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


def test_a_gallery_moves_without_changing_otherwise() -> None:
    before, xy = gallery(), torch.zeros(6, 2)
    after = before.moved(xy)
    assert torch.equal(after.xy, xy)
    assert not torch.equal(before.xy, xy)
    assert after.pngs == before.pngs


def test_labels_must_fit() -> None:
    g = gallery()
    with pytest.raises(ValueError, match=r"a label cannot be named mean: .*Rename it"):
        Gallery(g.pngs, g.mean, g.log_variance, g.xy, {"mean": np.zeros(6)})
    with pytest.raises(ValueError, match="label kind has 5 entries for 6 images"):
        Gallery(g.pngs, g.mean, g.log_variance, g.xy, {"kind": np.zeros(5)})


@pytest.mark.parametrize("missing", COLUMNS)
def test_a_missing_column_is_named(tmp_path: Path, missing: str) -> None:
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
def test_a_column_of_the_wrong_kind_is_refused(tmp_path: Path, column: str, values: list) -> None:
    path = tmp_path / "gallery.parquet"
    gallery().write(path)
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(column), column, pa.array(values)), path)
    with pytest.raises(ValueError, match="a column of the wrong kind"):
        Gallery.read(path)


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gallery.parquet"
    gallery().write(path)
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-20]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or not a parquet file"):
            Gallery.read(path)
