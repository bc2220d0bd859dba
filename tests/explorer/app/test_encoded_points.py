"""Tests of encoded images on the map: positions, decoding, colours and search."""

import base64
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from page_requests import ask, picture, with_values

from core import Bundle
from core.bundle import encodings
from explorer.app import encoded_points, explore
from explorer.app.catalogue import Catalogue
from explorer.app.encoded_points import EncodedPoints
from explorer.cli import main
from explorer.describe import decode


@pytest.fixture(scope="module")
def file(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encodings of all digits, in row groups of 500."""
    out = tmp_path_factory.mktemp("encoded") / "digits.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encodings, "ROWS", 500)
        encodings.write(bundle, "digits", out)
    return out


@pytest.fixture(scope="module")
def table(file: Path) -> pa.Table:
    return pq.read_table(file)


@pytest.fixture(scope="module")
def encoded_catalogue(tiny_bundle: Path, file: Path) -> Catalogue:
    return Catalogue.of([str(tiny_bundle)], file)


def matrix(table: pa.Table, name: str) -> np.ndarray:
    return np.array(table[name].to_pylist(), np.float32)


def test_map_shows_every_row_at_its_position(encoded_catalogue: Catalogue, table: pa.Table) -> None:
    description = ask(explore.open_model, encoded_catalogue)["encoded"]
    assert description["rows"] == 1797
    assert description["labels"] == {
        "label": "classes",
        "log_likelihood": "amount",
        "kl": "amount",
        "elbo": "amount",
    }
    places = np.fromfile(description["points"], "<f4").reshape(-1, 2)
    assert (places == np.stack([table["x"].to_numpy(), table["y"].to_numpy()], 1)).all()
    assert ask(explore.open_model, encoded_catalogue)["images"] == 300  # the map is still computed from the gallery


def test_colour_needs_of_map_or_gallery(encoded_catalogue: Catalogue) -> None:
    for of in ("rows", None, 3, ["map"]):
        assert (
            "of must be map or gallery"
            in explore.colour(encoded_catalogue, {"model": "tiny", "by": "label", "of": of})["error"]
        )


def test_decode_row_uses_the_posterior_mean_of_the_row(encoded_catalogue: Catalogue, table: pa.Table, bundle: Bundle) -> None:
    means = matrix(table, "mean")
    for index in (0, 499, 500, 1796):
        answer = ask(explore.decode_row, encoded_catalogue, index=index)
        assert answer["z"] == means[index].tolist()
        assert answer["file"] == table["file"][index].as_py()
        assert (picture(answer) == decode(bundle, torch.from_numpy(means[index])[None]).numpy()[:, 0]).all()
        assert [answer["x"], answer["y"]] == [table["x"][index].as_py(), table["y"][index].as_py()]
    for index in (1797, -1, 1.0, True, "0", None):
        assert (
            "index must be from 0 to 1796" in explore.decode_row(encoded_catalogue, {"model": "tiny", "index": index})["error"]
        )


def test_colour_columns_match_the_rows(encoded_catalogue: Catalogue, table: pa.Table, bundle: Bundle) -> None:
    by = with_values(ask(explore.colour, encoded_catalogue, by="label"))
    assert by["classes"] == [str(digit) for digit in range(10)]
    assert [by["classes"][code] for code in by["codes"]] == table["label"].to_pylist()
    assert with_values(ask(explore.colour, encoded_catalogue, by="elbo"))["values"] == table["elbo"].to_pylist()
    assert with_values(ask(explore.colour, encoded_catalogue, by="z2"))["values"] == matrix(table, "mean")[:, 2].tolist()
    active_latents = encoded_catalogue["tiny"].active
    sigma = np.exp(matrix(table, "log_variance")[:, active_latents] / 2)
    expected = sigma.prod(1) ** (1 / active_latents.sum())
    assert with_values(ask(explore.colour, encoded_catalogue, by="posterior width"))["values"] == pytest.approx(
        expected, rel=1e-4
    )
    # The labels of the gallery are independent of the rows.
    own = with_values(ask(explore.colour, encoded_catalogue, by="label", of="gallery"))
    assert bundle.gallery is not None
    assert [own["classes"][code] for code in own["codes"]] == bundle.gallery.labels["label"].tolist()


def found(catalogue: Catalogue, text: str) -> np.ndarray:
    answer = ask(explore.find, catalogue, text=text)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(answer["found"]), np.uint8), bitorder="little")
    rows = len(catalogue["tiny"].encoded or []) or 300
    assert not bits[rows:].any()
    assert bits.sum() == answer["count"]
    return bits[:rows].astype(bool)


def test_find_matches_labels_and_names(encoded_catalogue: Catalogue, table: pa.Table) -> None:
    names, labels = (np.array(table[name].to_pylist()) for name in ("file", "label"))
    for text in ("7", "ROW 1", "row 12", "nothing"):
        expected = [text.lower() in name.lower() or text in label for name, label in zip(names, labels, strict=True)]
        assert (found(encoded_catalogue, text) == expected).all()
    for text in ("", "x" * 201, 7, None):
        assert "text must be a string of 1 to 200" in explore.find(encoded_catalogue, {"model": "tiny", "text": text})["error"]


def test_labels_may_be_missing_unique_or_numeric(bundle: Bundle, table: pa.Table, tmp_path: Path) -> None:
    rows = len(table)
    more = {
        "holes": pa.array([None if i % 3 else "a" for i in range(rows)], pa.string()),
        "unique": pa.array([f"picture {i}" for i in range(rows)]),
        "age": pa.array([None if i == 5 else i / 2 for i in range(rows)], pa.float64()),
        "count": pa.array(range(rows), pa.int32()),
    }
    for name, column in more.items():
        table = table.append_column(name, column)
    path = tmp_path / "more.parquet"
    pq.write_table(table, path, row_group_size=700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoded_points, "MAX_CLASSES", 1000)
        opened = EncodedPoints(path, bundle)
        labels = opened.labels
    assert "unique" not in labels
    holes = labels["holes"]
    assert isinstance(holes, encoded_points.CategoricalColumn)
    assert [holes.names[code] for code in holes.codes[:4]] == ["a", "", "", "a"]
    age, count = labels["age"], labels["count"]
    assert isinstance(age, encoded_points.NumericColumn)
    assert isinstance(count, encoded_points.NumericColumn)
    assert np.isnan(age.values[5])
    assert count.values.tolist() == list(range(rows))
    assert opened.find("picture 1796").nonzero()[0].tolist() == [1796]


def test_arrow_column_types_are_supported_or_ignored(bundle: Bundle, table: pa.Table, tmp_path: Path) -> None:
    at = table.schema.get_field_index("label")
    table = table.set_column(at, "label", table["label"].cast(pa.large_string()))
    table = table.set_column(0, "file", table["file"].cast(pa.large_string()))
    table = table.append_column("when", pa.array([0] * len(table), pa.timestamp("s")))
    table = table.append_column("box", pa.array([[1, 2]] * len(table)))
    table = table.append_column("good", pa.array([True] * len(table)))
    pq.write_table(table, tmp_path / "frame.parquet")
    opened = EncodedPoints(tmp_path / "frame.parquet", bundle)
    assert set(opened.labels) == {"label", "good", "log_likelihood", "kl", "elbo"}
    assert opened.find("row 1796").sum() == 1


def test_changed_or_deleted_file_raises(bundle: Bundle, table: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    pq.write_table(table, path)
    opened = EncodedPoints(path, bundle)
    opened.row(0)
    pq.write_table(table.slice(100), path)
    os.utime(path, ns=(0, 0))
    for ask_again in (lambda: opened.row(0), lambda: opened.find("7"), lambda: opened.latent(0)):
        with pytest.raises(ValueError, match="has changed or is gone"):
            ask_again()
    path.unlink()
    with pytest.raises(ValueError, match="has changed or is gone"):
        opened.row(0)


def test_files_that_do_not_match_the_model_are_refused(
    bundle: Bundle, tiny_bundle: Path, table: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "odd.parquet"
    with pytest.raises(ValueError, match="is not a parquet file"):
        EncodedPoints(path, bundle)
    (tmp_path / "notes.parquet").write_text("notes")
    with pytest.raises(ValueError, match="is not a parquet file"):
        EncodedPoints(tmp_path / "notes.parquet", bundle)
    far = pa.array(table["x"].to_numpy() + 100)
    wide = pa.array([[0.0] * 9] * len(table), pa.list_(pa.float32(), 9))
    for odd, error in (
        (table.drop_columns(["mean", "y"]), "lacks mean, y. Write it with: latentscape encode tiny --data DATA --out"),
        (table.slice(0, 0), "has no rows"),
        (table.set_column(table.schema.get_field_index("x"), "x", far), "was written with another model or map than tiny has"),
        (table.set_column(table.schema.get_field_index("mean"), "mean", wide), "has 9 latents, tiny 4"),
    ):
        pq.write_table(odd, path)
        with pytest.raises(ValueError, match=error):
            EncodedPoints(path, bundle)
    with pytest.raises(ValueError, match="--encodings belongs to one model"):
        Catalogue.of([str(tiny_bundle), "digits"], path)
    with pytest.raises(SystemExit, match="2"):
        main([str(tiny_bundle), "--no-browser", "--encodings", str(path)])
    assert "has 9 latents, tiny 4" in capsys.readouterr().err


def test_model_without_encodings_has_no_rows(catalogue: Catalogue) -> None:
    assert ask(explore.open_model, catalogue)["encoded"] is None
    assert "was opened without --encodings" in explore.decode_row(catalogue, {"model": "tiny", "index": 0})["error"]
    gallery = catalogue["tiny"].bundle.gallery
    assert gallery is not None
    assert (found(catalogue, "3") == (gallery.labels["label"] == "3")).all()
