"""Tests of the server functions of the Encode tab."""

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import core
from core import Bundle
from core.data.preprocessing import to_pil
from explorer.app import encode
from explorer.app.catalogue import Catalogue
from explorer.app.explore import Answer
from explorer.describe import decode, describe


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder for Gradio's uploads."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads"


def pixels(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(8, 8)


def upload(catalogue: Catalogue, path: Path, **request: Any) -> Answer:
    answer = encode.encode_upload(catalogue, {"model": "tiny", "path": str(path), **request})
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    return answer


def test_uploaded_gallery_image_has_the_expected_record_and_neighbour(
    catalogue: Catalogue, bundle: Bundle, uploads: Path
) -> None:
    """The image is unchanged, has the record of `latentscape encode`, and is its own nearest neighbour."""
    gallery = bundle.gallery
    assert gallery is not None
    to_pil(gallery.images[42]).save(uploads / "digit.png")
    answer = upload(catalogue, uploads / "digit.png")
    assert answer["steps"] == []
    assert (pixels(answer["seen"]) == gallery.images[42, 0].numpy()).all()
    assert answer["neighbours"][0]["index"] == 42
    assert answer["neighbours"][0]["distance"] == pytest.approx(0, abs=1e-4)
    distances = [neighbour["distance"] for neighbour in answer["neighbours"]]
    assert len(distances) == 6
    assert distances == sorted(distances)
    record = describe(bundle, gallery.images[42:43])[0]
    assert {key: answer[key] for key in record} == record
    assert [answer["x"], answer["y"]] == pytest.approx(gallery.xy[42].tolist(), abs=1e-3)


def test_error_map_and_rmse_match_the_reconstruction(catalogue: Catalogue, bundle: Bundle, uploads: Path) -> None:
    assert bundle.gallery is not None
    to_pil(bundle.gallery.images[3]).save(uploads / "digit.png")
    answer = upload(catalogue, uploads / "digit.png")
    seen, reconstruction = (pixels(answer[key]).astype(int) for key in ("seen", "reconstruction"))
    assert (reconstruction == decode(bundle, torch.tensor([answer["mean"]]))[0, 0].numpy()).all()
    assert (pixels(answer["error_map"]) == abs(seen - reconstruction)).all()
    assert answer["rmse"] == pytest.approx(math.sqrt(np.square(seen - reconstruction).mean()) / 255, rel=1e-5)


def test_rank_is_the_share_of_gallery_images_with_a_lower_score(catalogue: Catalogue, bundle: Bundle, uploads: Path) -> None:
    assert bundle.gallery is not None
    scores = bundle.gallery.labels["log_likelihood"]
    for index in (int(scores.argmin()), int(scores.argmax())):
        to_pil(bundle.gallery.images[index]).save(uploads / "digit.png")
        answer = upload(catalogue, uploads / "digit.png")
        assert answer["rank"] == pytest.approx((scores < answer["log_likelihood"]).mean())
    assert answer["rank"] > 0.9


def test_dark_on_white_is_inverted_unless_polarity_is_keep(catalogue: Catalogue, uploads: Path) -> None:
    sheet = Image.new("L", (90, 120), 255)
    ImageDraw.Draw(sheet).line([(45, 20), (45, 100)], fill=0, width=12)
    sheet.save(uploads / "one.png")
    automatic, kept = upload(catalogue, uploads / "one.png"), upload(catalogue, uploads / "one.png", polarity="keep")
    assert automatic["steps"][0] == "inverted"
    assert "inverted" not in kept["steps"]
    assert pixels(automatic["seen"])[0, 0] == 0
    assert pixels(automatic["seen"])[4, 3:5].max() > 150
    untrimmed = upload(catalogue, uploads / "one.png", trim=False)
    assert not any(step.startswith("cut to") for step in untrimmed["steps"])


def test_crop_is_the_model_input(catalogue: Catalogue, uploads: Path) -> None:
    picture = np.zeros((16, 32), np.uint8)
    picture[:8, 8:16] = np.random.default_rng(0).integers(0, 256, (8, 8))
    Image.fromarray(picture).save(uploads / "sheet.png")
    answer = upload(catalogue, uploads / "sheet.png", crop=[0.25, 0, 0.5, 0.5])
    assert (pixels(answer["seen"]) == picture[:8, 8:16]).all()
    assert (pixels(upload(catalogue, uploads / "sheet.png", crop=None)["seen"]) != picture[:8, 8:16]).any()


def test_crop_box_has_at_least_one_pixel_inside_the_picture() -> None:
    assert encode.crop_box([0, 0, 1, 1], 30, 20) == (0, 0, 30, 20)
    assert encode.crop_box([0.999, 0.999, 1, 1], 30, 20) == (29, 19, 30, 20)
    assert encode.crop_box([0.5, 0.5, 0.5001, 0.5001], 30, 20) == (15, 10, 16, 11)


@pytest.mark.parametrize(
    "crop",
    [
        [0.5, 0, 0.5, 1],
        [0.6, 0, 0.5, 1],
        [-0.1, 0, 1, 1],
        [0, 0, 1, 1.1],
        [0, 0, math.nan, 1],
        [0, 0, 1],
        [0, 0, 1, 1, 1],
        "all",
        7,
        [None] * 4,
    ],
)
def test_bad_crops_return_an_error(catalogue: Catalogue, uploads: Path, crop: Any) -> None:
    Image.new("L", (20, 20)).save(uploads / "a.png")
    answer = encode.encode_upload(catalogue, {"model": "tiny", "path": str(uploads / "a.png"), "crop": crop})
    assert list(answer) == ["error"]
    assert answer["error"].startswith("crop must be left, top, right, bottom")


def test_only_uploaded_files_can_be_read(catalogue: Catalogue, uploads: Path, tmp_path: Path) -> None:
    """Refuses files outside the upload folder, paths with .., symbolic links, folders and system files."""
    Image.new("L", (20, 20)).save(tmp_path / "private.png")
    (uploads / "link.png").symlink_to(tmp_path / "private.png")
    (uploads / "folder").mkdir()
    attempts = [
        tmp_path / "private.png",
        uploads / ".." / "private.png",
        uploads / "link.png",
        uploads / "folder",
        uploads / "gone.png",
        Path("/etc/passwd"),
        "",
        None,
    ]
    for path in attempts:
        answer = encode.encode_upload(catalogue, {"model": "tiny", "path": path if path is None else str(path)})
        assert answer == {"error": "the picture is no longer on the server; upload it again."}


def test_unreadable_pictures_return_an_error(catalogue: Catalogue, uploads: Path) -> None:
    (uploads / "a.png").write_text("hello")
    answer = encode.encode_upload(catalogue, {"model": "tiny", "path": str(uploads / "a.png")})
    assert "is not an image that can be read" in answer["error"]
    Image.new("L", (20, 20)).save(uploads / "b.png")
    request = {"model": "tiny", "path": str(uploads / "b.png"), "polarity": "up"}
    assert "polarity" in encode.encode_upload(catalogue, request)["error"]
    assert encode.encode_upload(catalogue, {"model": "tiny"}) == {"error": "path is missing."}


def test_draw_again_samples_the_posterior_with_the_seed(catalogue: Catalogue, bundle: Bundle) -> None:
    """z = mean + sigma * epsilon, with the same epsilon for the same seed."""
    mean, log_variance = [1.0, -1.0, 0.0, 2.0], [0.0, -2.0, -4.0, 1.0]
    request = {"model": "tiny", "mean": mean, "log_variance": log_variance, "seed": 7}
    answer = encode.draw_again(catalogue, request)
    assert answer == encode.draw_again(catalogue, request)
    assert answer != encode.draw_again(catalogue, {**request, "seed": 8})
    assert (pixels(answer["pixels"]) == decode(bundle, torch.tensor([answer["z"]]))[0, 0].numpy()).all()
    draws = np.array([encode.draw_again(catalogue, {**request, "seed": seed})["z"] for seed in range(400)])
    sigma = np.exp(np.array(log_variance) / 2)
    assert np.all(abs(draws.mean(0) - mean) < 5 * sigma / 20)
    assert draws.std(0) == pytest.approx(sigma, rel=0.2)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"mean": [0.0]}, "z must be 4 finite numbers"),
        ({"log_variance": [math.nan] * 4}, "z must be 4 finite numbers"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": "x"}, "invalid literal"),
        ({"model": "huge"}, "model must be one of"),
    ],
)
def test_bad_draw_requests_return_an_error(catalogue: Catalogue, change: dict[str, Any], error: str) -> None:
    request = {"model": "tiny", "mean": [0.0] * 4, "log_variance": [0.0] * 4, "seed": 0, **change}
    answer = encode.draw_again(catalogue, request)
    assert list(answer) == ["error"]
    assert error in answer["error"]


def test_model_without_gallery_encodes(catalogue: Catalogue, tiny_bundle: Path, tmp_path: Path, uploads: Path) -> None:
    bundle = core.load(tiny_bundle)
    bare = Bundle(bundle.vae, None, None, {**bundle.config, "map": None})
    bare.save(tmp_path / "bare")
    Image.new("L", (8, 8)).save(uploads / "a.png")
    answer = upload(Catalogue.of([str(tmp_path / "bare")]), uploads / "a.png")
    assert "neighbours" not in answer
    assert answer["x"] is None
