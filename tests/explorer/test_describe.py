"""Tests of the records that describe pictures."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch.distributions import Normal

from core import Bundle, encode, load
from core.data.preprocessing import to_pil
from explorer.describe import decode, describe, parse_latents, prepare


def test_record_contains_posterior_elbo_and_position(bundle: Bundle) -> None:
    assert bundle.gallery is not None
    assert bundle.map is not None
    images = bundle.gallery.images[:7]
    records, encodings = describe(bundle, images), encode(bundle.vae, images)
    assert json.loads(json.dumps(records)) == records
    places = bundle.map.place(encodings.mean)
    for i, record in enumerate(records):
        assert list(record) == ["mean", "log_variance", "elbo", "log_likelihood", "kl", "p_value", "x", "y"]
        assert record["mean"] == pytest.approx(encodings.mean[i].tolist(), rel=1e-5, abs=1e-6)
        assert record["log_variance"] == pytest.approx(encodings.log_variance[i].tolist(), rel=1e-5, abs=1e-6)
        assert record["elbo"] == pytest.approx(record["log_likelihood"] - record["kl"], rel=1e-5)
        assert [record["x"], record["y"]] == pytest.approx(places[i].tolist())


def test_record_does_not_depend_on_the_batch(bundle: Bundle) -> None:
    assert bundle.gallery is not None
    whole = describe(bundle, bundle.gallery.images[:9])
    for n in (1, 2, 5):
        for part, expected in zip(describe(bundle, bundle.gallery.images[n : n + 3]), whole[n : n + 3], strict=True):
            assert part["elbo"] == pytest.approx(expected["elbo"], rel=1e-5)
            assert part["mean"] == pytest.approx(expected["mean"], rel=1e-4, abs=1e-5)


def test_gallery_image_has_its_stored_posterior(bundle: Bundle) -> None:
    assert bundle.gallery is not None
    prepared = prepare(bundle, to_pil(bundle.gallery.images[5]))
    assert torch.equal(prepared.image, bundle.gallery.images[5])
    assert describe(bundle, prepared.image[None])[0]["mean"] == pytest.approx(bundle.gallery.mean[5].tolist(), abs=1e-5)


def test_record_without_a_map_has_no_position(bundle: Bundle) -> None:
    assert bundle.gallery is not None
    record = describe(replace(bundle, map=None), bundle.gallery.images[:1])[0]
    assert record["x"] is None
    assert record["y"] is None


def test_pictures_of_any_mode_and_size_can_be_described(bundle: Bundle) -> None:
    for picture in (Image.new("RGBA", (31, 5), (255, 0, 0, 90)), Image.new("L", (1, 1)), Image.new("CMYK", (200, 100))):
        record = describe(bundle, prepare(bundle, picture).image[None])[0]
        assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_arrays_of_another_shape_raise(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match=r"\(N, 1, 8, 8\), for this model; got \(2, 1, 9, 8\)"):
        describe(bundle, torch.zeros(2, 1, 9, 8, dtype=torch.uint8))


def test_decode_returns_the_mean_image_in_8_bits(bundle: Bundle) -> None:
    z = torch.randn(3, 4)
    with torch.no_grad():
        mean = bundle.vae.decode(z).mean
    pictures = decode(bundle, z)
    assert pictures.dtype == torch.uint8
    assert (pictures.float() / 255 - mean).abs().max() <= 0.5 / 255 + 1e-6


def test_parse_latents_accepts_numbers_and_strings(bundle: Bundle) -> None:
    values: list[Any] = [1, -2.5, "3e-1", "0"]
    assert parse_latents(bundle, values).tolist() == [[1.0, -2.5, pytest.approx(0.3), 0.0]]


@pytest.mark.parametrize(
    ("values", "got"),
    [
        ([1.0] * 3, "got 3 values"),
        ([1.0] * 5, "got 5 values"),
        ([], "got 0 values"),
        ("1,2,3,4", "got str"),
        (None, "got NoneType"),
        ({"a": 1}, "got dict"),
        ([1, 2, 3, float("nan")], "nan"),
        ([1, 2, 3, float("inf")], "inf"),
        ([1, 2, 3, 1e300], "1e[+]300"),
        ([1, 2, 3, 10**400], "too large"),
        ([1, 2, 3, "x"], "'x'"),
        ([1, 2, 3, None], "NoneType"),
        ([1, 2, 3, [4]], "list"),
    ],
)
def test_parse_latents_refuses_invalid_values_with_the_rule(bundle: Bundle, values: list, got: str) -> None:
    with pytest.raises(ValueError, match=rf"z must be 4 finite numbers, one per latent of tiny; .*{got}"):
        parse_latents(bundle, values)


def test_describe_encodes_once_and_matches_the_anomaly_of_the_image() -> None:
    bundle, calls = load("digits"), []
    assert bundle.gallery is not None
    for image in bundle.gallery.images[:20].split(1):
        expected, encodings = bundle.anomaly(image), encode(bundle.vae, image)
        hook = bundle.vae.encoder.register_forward_hook(lambda *_: calls.append(1))
        record = describe(bundle, image)[0]
        known = bundle.anomaly(image, Normal(encodings.mean, (0.5 * encodings.log_variance).exp()))
        hook.remove()
        assert record["p_value"] == expected.p_value.item()
        assert known.score.item() == pytest.approx(expected.score.item(), rel=1e-6, abs=1e-6)
    assert len(calls) == 20
