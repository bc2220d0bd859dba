"""Laws of the named endpoints, as plain functions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core import Bundle
from core.images import to_pil
from explorer.api import decode_latents, encode_image, models
from explorer.catalogue import Catalogue
from explorer.describe import decode, describe


def test_models_are_listed_with_their_shape(catalogue: Catalogue) -> None:
    assert models(catalogue) == [{"name": "tiny", "shape": [1, 8, 8], "latents": 4}]


def test_decode_answers_at_the_models_own_size(catalogue: Catalogue, bundle: Bundle) -> None:
    picture = decode_latents(catalogue, "tiny", [0.5, 0, -1, 2])
    assert picture.size == (8, 8)
    assert (np.asarray(picture) == decode(bundle, torch.tensor([[0.5, 0, -1, 2]]))[0, 0].numpy()).all()


def test_encode_answers_what_the_command_line_says(catalogue: Catalogue, bundle: Bundle, tmp_path: Path) -> None:
    assert bundle.gallery is not None
    to_pil(bundle.gallery.images[8]).save(tmp_path / "a.png")
    assert encode_image(catalogue, "tiny", str(tmp_path / "a.png")) == describe(bundle, bundle.gallery.images[8:9])[0]


def test_bad_requests_raise_value_errors_that_say_why(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model must be one of tiny"):
        decode_latents(catalogue, "huge", [0.0] * 4)
    with pytest.raises(ValueError, match="z must be 4 finite numbers"):
        decode_latents(catalogue, "tiny", [0.0] * 3)
    with pytest.raises(ValueError, match="image is missing"):
        encode_image(catalogue, "tiny", "")
    with pytest.raises(ValueError, match="no image file"):
        encode_image(catalogue, "tiny", str(tmp_path / "a.png"))
