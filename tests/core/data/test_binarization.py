"""Tests of binarization."""

import pytest
import torch

from core import Architecture, Data, Settings, binarize, train
from core.data.binarization import BLOCK, resample
from core.data.preprocessing import Preprocessing

IMAGES = torch.randint(0, 256, (2 * BLOCK + 9, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_the_static_view_is_binary_and_deterministic() -> None:
    view = binarize(IMAGES, 0)
    assert view.dtype == torch.uint8
    assert set(view.unique().tolist()) == {0, 255}
    assert torch.equal(view, binarize(IMAGES, 0))
    assert not torch.equal(view, binarize(IMAGES, 1))
    for n in (0, 1, BLOCK, BLOCK + 5):
        assert torch.equal(binarize(IMAGES[:n]), view[:n])
    # `evaluate` must score the same images on every machine and in every version.
    assert int((view[:100].long() // 255 * torch.arange(6400).reshape(100, 1, 8, 8)).sum()) == 10_437_227


def test_the_probability_of_white_equals_the_brightness() -> None:
    levels = torch.arange(256, dtype=torch.uint8).repeat(4000, 1).reshape(4000, 1, 16, 16)
    share = (binarize(levels) == 255).float().mean(0).flatten()
    brightness = torch.arange(256) / 255
    error = (brightness * (1 - brightness) / 4000).sqrt()
    assert ((share - brightness).abs() <= 5 * error).all()
    resampled = (
        resample(levels.float() / 255, torch.rand(levels.shape, generator=torch.Generator().manual_seed(1))).mean(0).flatten()
    )
    assert ((resampled - brightness).abs() <= 5 * error).all()


def test_evaluation_images_are_binarized_as_the_preprocessing_states() -> None:
    images = IMAGES[:3]
    assert torch.equal(Preprocessing(1, 8, 8).evaluation_images(images)[:], images)
    for protocol in ("static", "dynamic"):
        assert torch.equal(Preprocessing(1, 8, 8, binarization=protocol).evaluation_images(images)[:], binarize(images))


@pytest.mark.parametrize(("protocol", "samples_of_an_image"), [("none", 1), ("static", 1), ("dynamic", 6)])
def test_training_binarizes_images_by_the_protocol(digits: Data, protocol: str, samples_of_an_image: int) -> None:
    """Three images for six epochs: unchanged, one fixed sample each, or a new sample in each epoch."""
    seen: list[torch.Tensor] = []
    vae = Architecture(1, 8, 8, 2, "mlp").build()
    vae.encoder.register_forward_hook(lambda module, inputs, output: seen.extend(inputs[0]) if module.training else None)
    images = digits.images[:4]
    settings = Settings(epochs=6.0, batch_size=3, binarization=protocol)  # pyright: ignore[reportArgumentType]
    for _ in train(vae, images, settings):
        pass
    grey = all(((x > 0) & (x < 1)).any() for x in seen)
    assert grey == (protocol == "none")
    different = {tuple(x.flatten().tolist()) for x in seen}
    assert len(seen) == 18
    assert len(different) == 3 * samples_of_an_image
