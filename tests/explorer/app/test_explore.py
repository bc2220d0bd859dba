"""Tests of the server functions of the Explore tab, which map JSON to JSON."""

import base64
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from page_requests import ask, awaited, picture

from core import Bundle
from explorer.app import explore, wire
from explorer.app.catalogue import Catalogue
from explorer.describe import decode


def expected(bundle: Bundle, z: Any) -> np.ndarray:
    return decode(bundle, torch.as_tensor(z).reshape(-1, 4)).numpy()[:, 0]


def test_decode_image_returns_image_and_position_of_a_gallery_point(catalogue: Catalogue, bundle: Bundle) -> None:
    assert bundle.gallery is not None
    for index in (0, 17, 299):
        answer = ask(explore.decode_image, catalogue, index=index)
        assert answer["z"] == bundle.gallery.mean[index].tolist()
        assert (picture(answer) == expected(bundle, bundle.gallery.mean[index])).all()
        assert [answer["x"], answer["y"]] == bundle.gallery.xy[index].tolist()
        assert answer["nearest"] == {"index": index, "distance": 0.0}


def test_decode_point_returns_image_position_and_nearest_gallery_image(catalogue: Catalogue, bundle: Bundle) -> None:
    assert bundle.gallery is not None
    assert bundle.map is not None
    z = [0.5, -1.0, 2.0, 0.25]
    answer = ask(explore.decode_point, catalogue, z=z)
    assert answer["z"] == z
    assert (picture(answer) == expected(bundle, z)).all()
    assert [answer["x"], answer["y"]] == bundle.map.place(torch.tensor([z]))[0].tolist()
    distances = (bundle.gallery.mean - torch.tensor(z)).norm(dim=1)
    assert answer["nearest"]["index"] == int(distances.argmin())
    assert answer["nearest"]["distance"] == pytest.approx(float(distances.min()), rel=1e-5)


def test_decode_points_returns_only_images(catalogue: Catalogue, bundle: Bundle) -> None:
    points = torch.randn(5, 4)
    answer = ask(explore.decode_points, catalogue, z=points.tolist())
    assert set(answer) == {"pixels"}
    assert np.abs(picture(answer, 5).astype(int) - expected(bundle, points)).max() <= 1


def test_decode_place_decodes_the_lifted_position(catalogue: Catalogue, bundle: Bundle) -> None:
    assert bundle.gallery is not None
    assert bundle.map is not None
    xy = bundle.gallery.xy.mean(0) + 0.3
    answer = ask(explore.decode_place, catalogue, x=xy[0].item(), y=xy[1].item())
    lifted = bundle.map.lift(xy[None])
    assert answer["z"] == pytest.approx(lifted[0].tolist(), abs=1e-6)
    assert (picture(answer) == expected(bundle, lifted)).all()
    assert [answer["x"], answer["y"]] == xy.tolist()
    assert answer["gap"] == pytest.approx(float((bundle.gallery.xy - xy).norm(dim=1).min()), rel=1e-5)


def test_samples_depend_on_the_seed_and_scale_with_the_temperature(catalogue: Catalogue, bundle: Bundle) -> None:
    whole = ask(explore.draw_samples, catalogue, seed=3, temperature=1, count=9)
    again = ask(explore.draw_samples, catalogue, seed=3, temperature=1, count=9)
    other = ask(explore.draw_samples, catalogue, seed=4, temperature=1, count=9)
    half = ask(explore.draw_samples, catalogue, seed=3, temperature=0.5, count=9)
    assert whole == again
    assert whole["z"] != other["z"]
    assert np.allclose(2 * np.array(half["z"]), whole["z"])
    assert (picture(whole, 9) == expected(bundle, whole["z"])).all()
    cold = ask(explore.draw_samples, catalogue, seed=3, temperature=0, count=2)
    assert cold["z"] == [[0.0] * 4] * 2


def test_temperature_scales_learned_prior_samples_around_the_mean_posterior(catalogue: Catalogue, bundle: Bundle) -> None:
    learned = Catalogue(dict(catalogue.paths))
    architecture = {**bundle.config["architecture"], "prior": "flow"}
    model = learned["tiny"]
    model.bundle = replace(bundle, config={**bundle.config, "architecture": architecture})
    z = {t: np.array(ask(explore.draw_samples, learned, seed=3, temperature=t, count=5)["z"]) for t in (0, 0.5, 1)}
    assert bundle.gallery is not None
    assert np.allclose(z[0], bundle.gallery.mean.mean(0).numpy(), atol=1e-6)
    assert np.allclose(z[0.5], (z[0] + z[1]) / 2, atol=1e-6)
    assert z[1].tolist() == ask(explore.draw_samples, catalogue, seed=3, temperature=1, count=5)["z"]


def test_open_model_and_colour_return_the_catalogue_data(catalogue: Catalogue) -> None:
    assert ask(explore.open_model, catalogue) == catalogue["tiny"].describe()
    assert ask(explore.colour, catalogue, by="label") == catalogue["tiny"].column("label")


def test_colour_images_are_sent_channels_last() -> None:
    images = torch.arange(24, dtype=torch.uint8).reshape(1, 3, 2, 4)
    sent = np.frombuffer(base64.b64decode(explore.pixels(images)), np.uint8).reshape(2, 4, 3)
    assert (sent == images[0].permute(1, 2, 0).numpy()).all()


Z = [0.0] * 4


@pytest.mark.parametrize(
    ("function", "request_", "error"),
    [
        (explore.open_model, {"model": "huge"}, "model must be one of tiny; got 'huge'"),
        (explore.open_model, {"model": None}, "model must be one of tiny; got None"),
        (explore.open_model, {"model": ["tiny"]}, "model must be one of tiny; got ['tiny']"),
        (explore.open_model, {}, "model is missing."),
        (explore.open_model, [], "a request must be an object."),
        (explore.open_model, None, "a request must be an object."),
        (explore.decode_point, {"model": "tiny"}, "z is missing."),
        (explore.decode_point, {"model": "tiny", "z": [0.0] * 3}, "z must be 4 finite numbers"),
        (explore.decode_point, {"model": "tiny", "z": [*Z[:3], math.nan]}, "z must be 4 finite numbers"),
        (explore.decode_point, {"model": "tiny", "z": [*Z[:3], 10**400]}, "z must be 4 finite numbers"),
        (explore.decode_point, {"model": "tiny", "z": "0,0,0,0"}, "z must be 4 finite numbers"),
        (explore.decode_points, {"model": "tiny", "z": []}, "z must be a list of 1 to 64 points; got 0"),
        (explore.decode_points, {"model": "tiny", "z": [Z] * 65}, "z must be a list of 1 to 64 points; got 65"),
        (explore.decode_points, {"model": "tiny", "z": 3}, "z must be a list of 1 to 64 points; got int"),
        (explore.decode_points, {"model": "tiny", "z": [Z, Z[:2]]}, "z must be 4 finite numbers"),
        (explore.decode_image, {"model": "tiny", "index": 300}, "index must be from 0 to 299; got 300"),
        (explore.decode_image, {"model": "tiny", "index": -1}, "index must be from 0 to 299; got -1"),
        (explore.decode_image, {"model": "tiny", "index": 1.5}, "index must be from 0 to 299; got 1.5"),
        (explore.decode_image, {"model": "tiny", "index": True}, "index must be from 0 to 299; got True"),
        (explore.decode_image, {"model": "tiny", "index": "0"}, "index must be from 0 to 299; got '0'"),
        (explore.decode_place, {"model": "tiny", "x": 0.0}, "y is missing."),
        (explore.decode_place, {"model": "tiny", "x": 0.0, "y": math.inf}, "x and y must be finite"),
        (explore.decode_place, {"model": "tiny", "x": 0.0, "y": 1e300}, "x and y must be finite"),
        (explore.decode_place, {"model": "tiny", "x": "left", "y": 0.0}, "left"),
        (explore.decode_place, {"model": "tiny", "x": None, "y": 0.0}, "NoneType"),
        (explore.draw_samples, {"model": "tiny", "seed": 0, "temperature": 3, "count": 1}, "temperature must be from 0 to 2"),
        (explore.draw_samples, {"model": "tiny", "seed": 0, "temperature": math.nan, "count": 1}, "temperature must be"),
        (explore.draw_samples, {"model": "tiny", "seed": 0, "temperature": 1, "count": 101}, "count from 1 to 100"),
        (explore.draw_samples, {"model": "tiny", "seed": 0, "temperature": 1, "count": 0}, "count from 1 to 100"),
        (explore.draw_samples, {"model": "tiny", "seed": -1, "temperature": 1, "count": 1}, "seed from 0"),
        (explore.draw_samples, {"model": "tiny", "seed": math.inf, "temperature": 1, "count": 1}, "infinity"),
        (explore.colour, {"model": "tiny", "by": "taste"}, "colour must be one of label"),
        (explore.colour, {"model": "tiny", "by": None}, "colour must be one of label"),
    ],
)
def test_bad_requests_return_an_error(catalogue: Catalogue, function: Callable[..., Any], request_: Any, error: str) -> None:
    answer = awaited(function(catalogue, request_))
    assert list(answer) == ["error"]
    assert error in answer["error"]
    assert answer["error"]


def test_model_without_a_map_decodes(bundle: Bundle, catalogue: Catalogue) -> None:
    bare = Catalogue(dict(catalogue.paths))
    model = bare["tiny"]
    model.bundle = replace(bundle, gallery=None, map=None)
    answer = ask(explore.decode_point, bare, z=Z)
    assert set(answer) == {"z", "pixels"}
    assert "has no map" in explore.decode_place(bare, {"model": "tiny", "x": 0, "y": 0})["error"]
    assert "index must be" in explore.decode_image(bare, {"model": "tiny", "index": 0})["error"]


def test_server_functions_have_names_and_one_argument(catalogue: Catalogue) -> None:
    """Gradio identifies a server function by its name."""
    functions = wire.server_functions(catalogue, explore.decode_point, explore.open_model)
    assert [function.__name__ for function in functions] == ["decode_point", "open_model"]
    assert functions[0]({"model": "tiny", "z": Z}) == explore.decode_point(catalogue, {"model": "tiny", "z": Z})
