"""Tests of encoding a data set: the file has each readable picture once, in order, with its encoding."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import core
from core.bundle import encodings
from core.data.preprocessing import to_png
from explorer.app.encoded_points import EncodedPoints
from explorer.cli import main


def test_a_data_set_is_written_in_row_groups(
    bundle: core.Bundle, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encodings, "ROWS", 100)
    images = core.load_data("digits", "all").images
    np.savez(tmp_path / "digits.npz", images=images[:, 0].numpy())
    with pytest.raises(SystemExit, match="0"):
        main(["encode", str(tiny_bundle), "--data", str(tmp_path / "digits.npz"), "--out", str(tmp_path / "all.parquet")])
    file = pq.ParquetFile(tmp_path / "all.parquet")
    assert file.metadata.num_rows == 1797
    assert file.metadata.num_row_groups == 18
    table = file.read()
    mean = torch.from_numpy(np.array(table["mean"].to_pylist(), np.float32))
    torch.testing.assert_close(mean, core.encode(bundle.vae, images).mean, rtol=1e-4, atol=1e-5)
    positions = torch.tensor([table["x"].to_pylist(), table["y"].to_pylist()]).T
    assert bundle.map is not None
    torch.testing.assert_close(positions, bundle.map.place(mean), rtol=1e-3, atol=1e-3)


def test_unreadable_files_of_a_folder_are_skipped(bundle: core.Bundle, tmp_path: Path) -> None:
    images = core.load_data("digits", "test").images[:5]
    for i, image in enumerate(images):
        (tmp_path / f"{i}.png").write_bytes(to_png(image))
    (tmp_path / "2.png").write_bytes(b"broken")
    assert encodings.write(bundle, str(tmp_path), tmp_path.with_suffix(".parquet")).read == 4
    table = pq.read_table(tmp_path.with_suffix(".parquet"))
    assert table["file"].to_pylist() == ["0.png", "1.png", "3.png", "4.png"]
    expected = core.encode(bundle.vae, images[[0, 1, 3, 4]])
    torch.testing.assert_close(torch.tensor(table["mean"].to_pylist()), expected.mean, rtol=1e-4, atol=1e-5)


def written(bundle: core.Bundle, source: Path, scores: bool = False) -> pa.Table:
    out = source.with_name("written.parquet")
    encodings.write(bundle, str(source), out, scores=scores)
    return pq.read_table(out)


def test_labels_of_a_table_are_joined_on_file_names(
    bundle: core.Bundle, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture without a row gets null labels. Arrays have no file names, so joining raises an error."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, image in enumerate(core.load_data("digits", "all").images[:4]):
        (photos / f"{i}.png").write_bytes(to_png(image))
    (tmp_path / "photos.csv").write_text("picture,weight,mood\n0.png,1.5,calm\n3.png,2.5,wild\n1.png,0.5,calm\n")
    out = tmp_path / "photos.parquet"
    joined = ["--labels", str(tmp_path / "photos.csv"), "--out", str(out)]
    with pytest.raises(SystemExit, match="0"):
        main(["encode", str(tiny_bundle), "--data", str(photos), *joined])
    rows = {row["file"]: (row["weight"], row["mood"]) for row in pq.read_table(out).to_pylist()}
    assert rows == {"0.png": (1.5, "calm"), "1.png": (0.5, "calm"), "2.png": (None, None), "3.png": (2.5, "wild")}
    assert list(EncodedPoints(out, bundle).labels)[:2] == ["weight", "mood"]
    with pytest.raises(SystemExit):
        main(["encode", str(tiny_bundle), "--data", "digits", *joined])
    assert "joined on the names of picture files; digits holds arrays" in capsys.readouterr().err


def test_without_scores_only_the_encoder_outputs_are_written(bundle: core.Bundle, tiny_bundle: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "digits.npz", images=core.load_data("digits", "all").images[:, 0].numpy())
    lean, whole = (written(bundle, tmp_path / "digits.npz", scores) for scores in (False, True))
    assert lean.column_names == ["file", "mean", "log_variance", "x", "y"]
    assert whole.column_names == [*encodings.OWN_COLUMNS]
    assert lean.equals(whole.select(lean.column_names))
    assert lean.schema.field("mean").type == pa.list_(pa.float32(), 4)
    command = ["encode", str(tiny_bundle), "--data", str(tmp_path / "digits.npz"), "--out", str(tmp_path / "a.parquet")]
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--no-scores"])
    assert pq.read_table(tmp_path / "a.parquet").equals(lean)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_does_not_change_the_file_and_is_restored(
    bundle: core.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(encodings, "ROWS", 64)
    np.savez(tmp_path / "digits.npz", images=core.load_data("digits", "all").images[:, 0].numpy())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        table = written(bundle, tmp_path / "digits.npz")
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert table["file"].to_pylist() == [f"row {i}" for i in range(1797)]
    mean = torch.from_numpy(np.array(table["mean"].to_pylist(), np.float32))
    torch.testing.assert_close(mean, core.encode(bundle.vae, core.load_data("digits", "all").images).mean, rtol=1e-4, atol=1e-5)


def test_labels_keep_their_names_and_numeric_labels_their_type(bundle: core.Bundle, tmp_path: Path) -> None:
    digits = core.load_data("digits", "test")
    arrays = {"factors": np.stack([np.arange(599), np.arange(599) / 2], 1), "factor_names": np.array(["x", "size"])}
    np.savez(tmp_path / "a.npz", images=digits.images[:, 0].numpy(), labels=digits.labels["label"], **arrays)
    table = written(bundle, tmp_path / "a.npz")
    assert table.column_names[5:] == ["label", "x (given)", "size"]
    assert table["label"].to_pylist() == digits.labels["label"].tolist()
    assert table["size"].to_pylist() == (np.arange(599) / 2).tolist()
    assert [str(table.schema.field(name).type) for name in ("label", "x (given)")] == ["string", "double"]


def test_idx_files_are_written_one_after_another(bundle: core.Bundle, tmp_path: Path) -> None:
    digits = core.load_data("digits", "all")
    for name, part in (("train", slice(0, 1000)), ("t10k", slice(1000, None))):
        for kind, array in (("images-idx3", digits.images[part, 0].numpy()), ("labels-idx1", np.arange(1797)[part] % 7)):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (tmp_path / f"{name}-{kind}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())
    table = written(bundle, tmp_path)
    assert table["file"].to_pylist() == [f"row {i}" for i in range(1797)]
    assert table["label"].to_pylist() == [str(i % 7) for i in range(1797)]


def test_subfolders_are_labels_and_a_flat_folder_has_no_labels(
    bundle: core.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the first subfolder appears after the first row group."""
    monkeypatch.setattr(encodings, "ROWS", 64)
    images = core.load_data("digits", "test").images[:200]
    (tmp_path / "all" / "zebras").mkdir(parents=True)
    for i, image in enumerate(images):
        (tmp_path / "all" / f"{i:03d}.png").write_bytes(to_png(image))
    assert written(bundle, tmp_path / "all").column_names == ["file", "mean", "log_variance", "x", "y"]
    (tmp_path / "all" / "199.png").rename(tmp_path / "all" / "zebras" / "a.png")
    table = written(bundle, tmp_path / "all")
    assert table["label"].to_pylist() == [""] * 199 + ["zebras"]
    assert table["file"].to_pylist()[-1] == "zebras/a.png"


def test_columns_of_a_parquet_file_are_labels_also_with_missing_values(
    bundle: core.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers stay numbers. A column that is empty in the first row group becomes text."""
    monkeypatch.setattr(encodings, "ROWS", 64)
    images = [
        {"bytes": to_png(image), "path": f"{i}.png"} for i, image in enumerate(core.load_data("digits", "test").images[:100])
    ]
    columns = {
        "year": [None, *range(99)],
        "late": [None] * 99 + [7],
        "name": [f"n{i}" if i else None for i in range(100)],
        "good": [True] * 100,
        "elbo": [0.5] * 100,
    }
    pq.write_table(pa.table({"image": images, **columns}), tmp_path / "a.parquet")
    table = written(bundle, tmp_path / "a.parquet")
    assert table["year"].to_pylist() == columns["year"]
    assert table["late"].to_pylist() == [None] * 99 + ["7"]
    assert table["name"].to_pylist() == columns["name"]
    assert table["good"].to_pylist() == ["true"] * 100
    assert table["elbo (given)"].to_pylist() == columns["elbo"]


def test_a_failed_run_leaves_no_file(bundle: core.Bundle, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(ValueError, match="holds no pictures that can be read"):
        encodings.write(bundle, str(tmp_path / "set"), tmp_path / "a.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    for wrong in (["--data", "digits"], [], ["--data", "digits", "x.png"]):
        with pytest.raises(SystemExit, match="2"):
            main(["encode", str(tiny_bundle), *wrong])
