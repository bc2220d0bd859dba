"""Tests of the catalogue: names, model descriptions and the files for the page."""

import json
import shutil
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from page_requests import with_values
from PIL import Image

from core import Bundle
from core.bundle import manifest
from core.evaluation.scores import ACTIVE_VARIANCE
from core.latent.projection import LIFT, PLACE
from explorer.app.catalogue import Catalogue, OpenModel


def test_concurrent_requests_open_a_model_once(tiny_bundle: Path) -> None:
    catalogue = Catalogue.of([str(tiny_bundle)])
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: catalogue["tiny"], range(16)))
    assert len({id(model) for model in opened}) == 1


def test_models_with_the_same_name_get_a_number(tiny_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "other")
    catalogue = Catalogue.of([str(tiny_bundle), str(tmp_path / "other"), str(tiny_bundle)])
    assert catalogue.names == ["tiny", "tiny (2)"]
    assert catalogue["tiny (2)"].name == "tiny (2)"


def test_adding_a_bundle_again_reopens_it(tiny_bundle: Path, tmp_path: Path) -> None:
    catalogue, later = Catalogue.of([str(tiny_bundle)]), tmp_path / "later"
    shutil.copytree(tiny_bundle, later)
    name = catalogue.add(later)
    before = catalogue[name]
    assert (name, catalogue.add(later)) == ("tiny (2)", name)
    after = catalogue[name]
    assert after is not before
    assert after.points != before.points


def test_unknown_models_raise_with_the_available_names(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model must be one of tiny; got 'huge'"):
        catalogue["huge"]
    with pytest.raises(ValueError, match="got 'no-such-model'"):
        Catalogue.of(["no-such-model"])
    with pytest.raises(ValueError, match=r"has no config\.json"):
        Catalogue.of([str(tmp_path)])


def test_description_is_plain_json_with_latents_sorted_by_kl(catalogue: Catalogue) -> None:
    description = catalogue["tiny"].describe()
    assert json.loads(json.dumps(description, allow_nan=False)) == description
    kl = [latent["kl"] for latent in description["latents"]]
    assert kl == sorted(kl, reverse=True)
    assert sorted(latent["index"] for latent in description["latents"]) == [0, 1, 2, 3]
    gallery = catalogue["tiny"].bundle.gallery
    assert gallery is not None
    for latent in description["latents"]:
        assert latent["active"] == bool(gallery.mean[:, latent["index"]].var() > ACTIVE_VARIANCE)
    assert all(0 < sum(latent["histogram"]) <= 300 for latent in description["latents"])
    assert description["shape"] == [1, 8, 8]
    assert description["prior"] == "normal"
    assert description["map"] == {**catalogue["tiny"].bundle.config["map"], "place": PLACE, "lift": LIFT}
    assert description["images"] == 300
    assert description["labels"] == {"label": "classes", "log_likelihood": "amount"}
    assert len(description["start"]) == 4


def test_points_file_contains_the_map_positions(catalogue: Catalogue, bundle: Bundle) -> None:
    assert bundle.gallery is not None
    points = np.fromfile(catalogue["tiny"].points, "<f4").reshape(-1, 2)
    assert (points == bundle.gallery.xy.numpy()).all()
    assert catalogue["tiny"].points.is_relative_to(catalogue.folder)


def test_means_file_contains_posterior_means_in_half_precision(catalogue: Catalogue, bundle: Bundle) -> None:
    assert bundle.gallery is not None
    means = np.fromfile(catalogue["tiny"].means, "<f2").reshape(-1, 4)
    assert (means == bundle.gallery.mean.numpy().astype(np.float16)).all()


def test_decoder_file_is_a_public_copy(catalogue: Catalogue, tiny_bundle: Path, tmp_path: Path) -> None:
    decoder = catalogue["tiny"].decoder
    assert decoder is not None
    assert decoder.is_relative_to(catalogue.folder)
    assert decoder.read_bytes() == (tiny_bundle / "decoder.onnx").read_bytes()
    old = Path(shutil.copytree(tiny_bundle, tmp_path / "old"))
    (old / "decoder.onnx").unlink()
    manifest.write(old)
    without = Catalogue.of([str(old)])
    assert without["tiny"].describe()["decoder"] is None


def test_latent_ranges_come_from_the_aggregated_posterior(catalogue: Catalogue, bundle: Bundle) -> None:
    """Centre and standard deviation match those of draws z ~ q(z|x) with x from the gallery."""
    gallery = bundle.gallery
    assert gallery is not None
    noise = torch.randn(400, *gallery.mean.shape, generator=torch.Generator().manual_seed(0))
    z = (gallery.mean + (0.5 * gallery.log_variance).exp() * noise).reshape(-1, 4)
    for latent in catalogue["tiny"].describe()["latents"]:
        draws = z[:, latent["index"]]
        assert latent["centre"] == pytest.approx(draws.mean().item(), abs=0.02)
        assert latent["sd"] == pytest.approx(draws.std().item(), rel=0.02)


@pytest.mark.parametrize("prior", ["normal", "vamp", "flow"])
def test_middle_is_zero_for_a_normal_prior_else_the_mean_of_posteriors(bundle: Bundle, tmp_path: Path, prior: str) -> None:
    architecture = {**bundle.config["architecture"], "prior": prior}
    model = OpenModel("tiny", replace(bundle, config={**bundle.config, "architecture": architecture}), tmp_path)
    description = model.describe()
    assert bundle.gallery is not None
    expected = torch.zeros(4) if prior == "normal" else bundle.gallery.mean.mean(0)
    assert description["middle"] == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("shown", [1, 10, 300])
def test_sprite_contains_every_image_losslessly_in_its_cell(bundle: Bundle, tmp_path: Path, shown: int) -> None:
    """The last row may be incomplete."""
    whole = bundle.gallery
    assert whole is not None
    gallery = replace(
        whole,
        pngs=whole.pngs[:shown],
        mean=whole.mean[:shown],
        log_variance=whole.log_variance[:shown],
        xy=whole.xy[:shown],
        labels={name: values[:shown] for name, values in whole.labels.items()},
    )
    model = OpenModel("few", replace(bundle, gallery=gallery), tmp_path)
    sheet, columns = np.asarray(Image.open(model.sprite).convert("L")), model.sprite_columns
    assert columns == int(np.ceil(shown**0.5))
    for i in (0, shown // 2, shown - 1):
        row, column = divmod(i, columns)
        assert (sheet[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] == gallery.images[i, 0].numpy()).all()


def test_colour_columns_match_the_gallery(catalogue: Catalogue, bundle: Bundle) -> None:
    """Classes are names and codes; numeric columns, latents and widths are one number per image."""
    model, gallery = catalogue["tiny"], bundle.gallery
    assert gallery is not None
    label = with_values(model.column("label"))
    assert [label["classes"][code] for code in label["codes"]] == gallery.labels["label"].tolist()
    assert with_values(model.column("z2"))["values"] == pytest.approx(gallery.mean[:, 2].tolist(), abs=1e-4)
    assert with_values(model.column("log_likelihood"))["values"] == pytest.approx(
        gallery.labels["log_likelihood"].tolist(), abs=1e-4
    )
    active = model.active
    sigma = np.exp(0.5 * gallery.log_variance.numpy())[:, active]
    assert with_values(model.column("posterior width"))["values"] == pytest.approx(
        sigma.prod(1) ** (1 / active.sum()), abs=1e-4
    )
    for name in ("z4", "z-1", "mean", ""):
        with pytest.raises(ValueError, match=r"colour must be one of label, log_likelihood, posterior width, z0"):
            model.column(name)
    assert model.column("label") is model.column("label")


def test_collapsed_model_has_no_active_latents_and_a_finite_width(bundle: Bundle, tmp_path: Path) -> None:
    assert bundle.gallery is not None
    flat = replace(bundle.gallery, mean=torch.zeros_like(bundle.gallery.mean))
    model = OpenModel("flat", replace(bundle, gallery=flat), tmp_path)
    assert not any(latent["active"] for latent in model.describe()["latents"])
    assert np.isfinite(with_values(model.column("posterior width"))["values"]).all()


def test_find_matches_labels(catalogue: Catalogue, bundle: Bundle) -> None:
    gallery = bundle.gallery
    assert gallery is not None
    labels = gallery.labels["label"]
    for text, hit in (("3", labels == "3"), ("", labels != ""), ("x", labels == "x")):
        assert (catalogue["tiny"].find(text) == hit).all()


def test_find_matches_file_names_ignoring_case_and_unicode_form(bundle: Bundle, tmp_path: Path) -> None:
    """Matching ignores case and Unicode normalization: macOS stores file names decomposed."""
    assert bundle.gallery is not None
    names = [f"{'été' if i % 2 else unicodedata.normalize('NFD', 'Été')}/IMG_{i:04}.jpg" for i in range(len(bundle.gallery))]
    model = OpenModel("named", replace(bundle, gallery=replace(bundle.gallery, names=names)), tmp_path)
    for text, count in (("img_0007", 1), ("été", 300), (unicodedata.normalize("NFD", "été"), 300), (".JPG", 300), ("none", 0)):
        assert model.find(text).sum() == count, text
    assert json.loads(Path(model.describe()["names"]).read_text(encoding="utf-8")) == names


def test_description_of_a_model_without_gallery(bundle: Bundle, tmp_path: Path) -> None:
    model = OpenModel("bare", replace(bundle, gallery=None, map=None), tmp_path)
    description = json.loads(json.dumps(model.describe()))
    assert [description[key] for key in ("images", "map", "labels", "points", "means", "sprite")] == [
        0,
        None,
        {},
        None,
        None,
        None,
    ]
    assert description["start"] == [0.0] * 4
    by_index = {latent["index"]: latent["kl"] for latent in description["latents"]}
    assert all((latent["centre"], latent["sd"]) == (0, 1) for latent in description["latents"])
    assert [by_index[i] for i in range(4)] == bundle.config["evaluation"]["kl_per_latent"]
    with pytest.raises(ValueError, match="bare has no gallery"):
        model.column("label")
