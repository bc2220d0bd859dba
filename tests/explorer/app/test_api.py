"""Tests of the API endpoints as plain functions."""

from pathlib import Path

import numpy as np
import pytest
import torch

import core
from core import Bundle
from core.data.preprocessing import to_pil
from explorer.app.api import anomaly, decode_latents, encode_image, interpolate, models, neighbours, sample
from explorer.app.catalogue import Catalogue
from explorer.describe import decode, describe


def test_models_lists_names_shapes_and_latents(catalogue: Catalogue) -> None:
    assert models(catalogue) == [{"name": "tiny", "shape": [1, 8, 8], "latents": 4}]


def test_decode_returns_the_model_image_size(catalogue: Catalogue, bundle: Bundle) -> None:
    picture = decode_latents(catalogue, "tiny", [0.5, 0, -1, 2])
    assert picture.size == (8, 8)
    assert (np.asarray(picture) == decode(bundle, torch.tensor([[0.5, 0, -1, 2]]))[0, 0].numpy()).all()


def test_encode_returns_the_record_of_describe(catalogue: Catalogue, bundle: Bundle, tmp_path: Path) -> None:
    assert bundle.gallery is not None
    to_pil(bundle.gallery.images[8]).save(tmp_path / "a.png")
    assert encode_image(catalogue, "tiny", str(tmp_path / "a.png")) == describe(bundle, bundle.gallery.images[8:9])[0]


def test_sample_draws_from_the_prior_with_the_seed(catalogue: Catalogue, bundle: Bundle) -> None:
    assert sample(catalogue, "tiny", 5, 7) == bundle.vae.prior.sample(5, torch.Generator().manual_seed(7)).tolist()
    assert len(sample(catalogue, "tiny")) == 1


@pytest.mark.parametrize("method", ["linear", "spherical"])
def test_interpolate_matches_core(catalogue: Catalogue, method: str) -> None:
    start, end = [1.0, 0.0, -1.0, 2.0], [0.0, 3.0, 0.5, 0.0]
    path = core.interpolate(torch.tensor(start), torch.tensor(end), 4, method)  # pyright: ignore[reportArgumentType]
    assert interpolate(catalogue, "tiny", start, end, 4, method) == path.tolist()


def test_neighbours_are_the_nearest_gallery_images_with_position_and_labels(catalogue: Catalogue, bundle: Bundle) -> None:
    z = bundle.gallery.mean[17]
    found = neighbours(catalogue, "tiny", z.tolist(), 5)
    distance = (bundle.gallery.mean - z).norm(dim=1)
    assert [each["index"] for each in found] == distance.argsort()[:5].tolist()
    assert found[0]["distance"] == 0
    assert [found[0]["x"], found[0]["y"]] == bundle.gallery.xy[17].tolist()
    assert found[0]["labels"]["label"] == bundle.gallery.labels["label"][17]
    assert len(neighbours(catalogue, "tiny", z.tolist(), 100)) == 100


def test_anomaly_matches_the_bundle(tmp_path: Path) -> None:
    digits = core.load("digits")
    to_pil(digits.gallery.images[8]).save(tmp_path / "a.png")
    found = anomaly(Catalogue.of(["digits"]), "digits", str(tmp_path / "a.png"))
    expected = digits.anomaly(digits.gallery.images[8:9])
    assert (found["p_value"], found["score"]) == (expected.p_value.item(), expected.score.item())
    assert found["verdict"].startswith("Looks normal") == (found["p_value"] >= 0.05)


def test_bad_requests_raise_value_errors_with_the_rule(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model must be one of tiny"):
        decode_latents(catalogue, "huge", [0.0] * 4)
    with pytest.raises(ValueError, match="z must be 4 finite numbers"):
        decode_latents(catalogue, "tiny", [0.0] * 3)
    for wrong in (0, 101, 2.5, True, "3", None):
        with pytest.raises(ValueError, match="count must be a whole number from 1 to 100"):
            sample(catalogue, "tiny", wrong)  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match="steps must be a whole number from 2 to 100"):
            interpolate(catalogue, "tiny", [0.0] * 4, [1.0] * 4, wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="method must be one of linear, spherical"):
        interpolate(catalogue, "tiny", [0.0] * 4, [1.0] * 4, 5, "scenic")
    to_pil(torch.zeros(1, 8, 8, dtype=torch.uint8)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match="no anomaly calibration"):
        anomaly(catalogue, "tiny", str(tmp_path / "b.png"))
    with pytest.raises(ValueError, match="image is missing"):
        encode_image(catalogue, "tiny", "")
    with pytest.raises(ValueError, match="no image file"):
        encode_image(catalogue, "tiny", str(tmp_path / "a.png"))
