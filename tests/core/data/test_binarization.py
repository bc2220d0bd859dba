"""Laws of the binarized views."""

import pytest
import torch

from core import Architecture, Data, Settings, binarize, train
from core.data.binarization import BLOCK, resample
from core.data.preprocessing import Preprocessing

IMAGES = torch.randint(0, 256, (2 * BLOCK + 9, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_the_fixed_view_is_black_and_white_and_never_changes() -> None:
    view = binarize(IMAGES, 0)
    assert view.dtype == torch.uint8
    assert set(view.unique().tolist()) == {0, 255}
    assert torch.equal(view, binarize(IMAGES, 0))
    assert not torch.equal(view, binarize(IMAGES, 1))
    for n in (0, 1, BLOCK, BLOCK + 5):
        assert torch.equal(binarize(IMAGES[:n]), view[:n])
    # What `evaluate` scores must be the same on every machine and in every version.
    assert int((view[:100].long() // 255 * torch.arange(6400).reshape(100, 1, 8, 8)).sum()) == 10_437_227


def test_a_pixel_is_white_as_often_as_it_is_bright() -> None:
    levels = torch.arange(256, dtype=torch.uint8).repeat(4000, 1).reshape(4000, 1, 16, 16)
    share = (binarize(levels) == 255).float().mean(0).flatten()
    brightness = torch.arange(256) / 255
    error = (brightness * (1 - brightness) / 4000).sqrt()
    assert ((share - brightness).abs() <= 5 * error).all()
    again = (
        resample(levels.float() / 255, torch.rand(levels.shape, generator=torch.Generator().manual_seed(1))).mean(0).flatten()
    )
    assert ((again - brightness).abs() <= 5 * error).all()


def test_the_view_of_a_model_follows_its_preprocessing() -> None:
    images = IMAGES[:3]
    assert torch.equal(Preprocessing(1, 8, 8).evaluation_images(images)[:], images)
    for protocol in ("static", "dynamic"):
        assert torch.equal(Preprocessing(1, 8, 8, binarization=protocol).evaluation_images(images)[:], binarize(images))


@pytest.mark.parametrize(("protocol", "samples_of_an_image"), [("none", 1), ("static", 1), ("dynamic", 6)])
def test_training_sees_each_image_as_its_protocol_says(digits: Data, protocol: str, samples_of_an_image: int) -> None:
    """Three images for six epochs: grey as they are, one fixed sample each, or a new one each time."""
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
