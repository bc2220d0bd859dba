"""Laws of encoding a whole data set: each picture that can be read once, in order, as the model encodes it."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import core
from core.images import to_png
from explorer import encodings
from explorer.cli import main


def test_a_data_set_is_written_a_row_group_at_a_time(
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
    places = torch.tensor([table["x"].to_pylist(), table["y"].to_pylist()]).T
    assert bundle.map is not None
    torch.testing.assert_close(places, bundle.map.place(mean), rtol=1e-3, atol=1e-3)


def test_a_folder_is_encoded_without_what_cannot_be_read(bundle: core.Bundle, tmp_path: Path) -> None:
    images = core.load_data("digits", "test").images[:5]
    for i, image in enumerate(images):
        (tmp_path / f"{i}.png").write_bytes(to_png(image))
    (tmp_path / "2.png").write_bytes(b"broken")
    assert encodings.write(bundle, str(tmp_path), tmp_path.with_suffix(".parquet")) == 4
    table = pq.read_table(tmp_path.with_suffix(".parquet"))
    assert table["file"].to_pylist() == ["0.png", "1.png", "3.png", "4.png"]
    expected = core.encode(bundle.vae, images[[0, 1, 3, 4]])
    torch.testing.assert_close(torch.tensor(table["mean"].to_pylist()), expected.mean, rtol=1e-4, atol=1e-5)


def test_a_failure_leaves_no_file(bundle: core.Bundle, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(ValueError, match="holds no pictures that can be read"):
        encodings.write(bundle, str(tmp_path / "set"), tmp_path / "a.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    for wrong in (["--data", "digits"], [], ["--data", "digits", "x.png"]):
        with pytest.raises(SystemExit, match="2"):
            main(["encode", str(tiny_bundle), *wrong])
