"""Tests of dSprites: the effect of each factor, and rendered images equal images in memory."""

import math

import numpy as np
import pytest
import torch

from core import Architecture, Preprocessing, Settings, encode, load_data, train
from core.data.dsprites import COUNT, FACTORS, SIZES, DSprites, dsprites_split, sprites


@pytest.fixture(scope="module")
def images() -> DSprites:
    return DSprites()


def index_of(*factors: int) -> int:
    """The index of the image with these factors."""
    return int(np.ravel_multi_index(factors, SIZES))


def some(images: DSprites, n: int) -> torch.Tensor:
    return images[torch.randint(COUNT, (n,), generator=torch.Generator().manual_seed(0))]


def content(sprite: torch.Tensor) -> tuple[tuple[int, ...], bytes]:
    """A sprite cropped to its content, so that shifted copies are equal."""
    rows, columns = sprite.any(1).nonzero(), sprite.any(0).nonzero()
    cropped = sprite[int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1]
    return tuple(cropped.shape), cropped.numpy().tobytes()


def test_every_combination_of_factors_occurs_once_and_the_last_varies_fastest(images: DSprites) -> None:
    assert len(images) == COUNT == 737_280
    assert images.shape == (737_280, 1, 64, 64)
    factors = images.factors()
    assert factors.shape == (737_280, 5)
    assert (factors.amax(0) + 1).tolist() == list(SIZES) == [3, 6, 40, 32, 32]
    assert torch.equal(torch.from_numpy(np.ravel_multi_index(factors.T.numpy(), SIZES)), torch.arange(COUNT))


def test_all_images_differ_except_at_the_full_turn(images: DSprites) -> None:
    """Sprites differ after removing shifts, and each position shifts them differently. So all images differ."""
    drawn = sprites()
    assert torch.equal(drawn[:, :, 0], drawn[:, :, 39])
    assert len({content(sprite) for sprite in drawn[:, :, :39].flatten(0, 2)}) == 3 * 6 * 39
    every_position = images[index_of(2, 0, 0, 0, 0) : index_of(2, 0, 1, 0, 0)]
    assert len({image.numpy().tobytes() for image in every_position}) == 32 * 32


def test_images_are_binary_and_contain_the_whole_sprite(images: DSprites) -> None:
    index = torch.randint(COUNT, (2000,), generator=torch.Generator().manual_seed(1))
    drawn = images[index]
    assert drawn.dtype == torch.uint8
    assert drawn.unique().tolist() == [0, 255]
    shape, scale, orientation = images.factors(index)[:, :3].T
    assert torch.equal((drawn > 0).sum((1, 2, 3)), sprites()[shape, scale, orientation].sum((1, 2)))


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_a_step_of_position_shifts_the_sprite_by_one_pixel(images: DSprites, shape: int) -> None:
    here, right, down = (images[index_of(shape, 5, 7, *xy)] for xy in ((10, 20), (11, 20), (10, 21)))
    assert torch.equal(here.roll(1, -1), right)
    assert torch.equal(here.roll(1, -2), down)


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_areas_grow_with_the_square_of_the_scale_and_not_with_the_orientation(shape: int) -> None:
    area = sprites()[shape].sum((-1, -2)).double()
    scale = torch.from_numpy(FACTORS["scale"])
    relative = area / area[5].mean() / scale.square()[:, None]
    assert (relative - 1).abs().max() < 0.09
    torch.testing.assert_close(area.mean(1) / area[5].mean(), scale.square(), rtol=0.01, atol=0)


def test_the_orientation_is_the_counter_clockwise_angle_of_the_ellipses_long_axis() -> None:
    """The axis comes from the covariance of the pixels. An ellipse is the same after half a turn."""
    for scale in range(6):
        for k, angle in enumerate(FACTORS["orientation"]):
            row, column = sprites()[1, scale, k].nonzero().double().T
            axis = torch.linalg.eigh(torch.cov(torch.stack([column, -row]))).eigenvectors[:, 1]
            difference = math.atan2(float(axis[1]), float(axis[0])) - angle
            assert abs(math.remainder(difference, math.pi)) < 0.07


def test_an_index_can_be_a_tensor_a_slice_or_a_number(images: DSprites) -> None:
    assert torch.equal(images[100:400:100], images[torch.tensor([100, 200, 300])])
    assert images[5].shape == (1, 64, 64)
    assert torch.equal(images[5], images[5:6][0])
    assert images[:0].shape == (0, 1, 64, 64)
    subset = DSprites(torch.tensor([7, 300_000, 4]))
    assert subset.shape == (3, 1, 64, 64)
    assert torch.equal(subset[torch.tensor([2, 1])], images[torch.tensor([4, 300_000])])
    assert torch.equal(subset.factors(), images.factors(torch.tensor([7, 300_000, 4])))
    with pytest.raises(IndexError):
        subset[torch.tensor([3])]


def test_the_split_is_disjoint_complete_and_deterministic() -> None:
    training, test = dsprites_split()
    assert len(test) == 10_000
    assert torch.equal(torch.cat([training, test]).sort().values, torch.arange(COUNT))
    assert torch.equal(test, dsprites_split()[1])


def test_the_labels_of_the_data_set_are_the_factors(images: DSprites) -> None:
    training, test, whole = (load_data("dsprites", split) for split in ("train", "test", "all"))
    assert (len(training.images), len(test.images), len(whole.images)) == (727_280, 10_000, 737_280)
    assert isinstance(test.images, torch.Tensor)
    for data, positions in ((training, dsprites_split()[0]), (test, dsprites_split()[1]), (whole, torch.arange(COUNT))):
        assert list(data.labels) == ["shape", "scale", "orientation", "posX", "posY"]
        assert torch.equal(data.images[20:30], images[positions[20:30]])
        for i, factors in zip(range(20, 30), images.factors(positions[20:30]).tolist(), strict=True):
            assert [column[i] for column in data.labels.values()] == [
                values[k] for values, k in zip(FACTORS.values(), factors, strict=True)
            ]
    assert set(test.labels["shape"]) == {"square", "ellipse", "heart"}
    assert training.take(torch.tensor([3, 1])).labels["posX"].tolist() == training.labels["posX"][[3, 1]].tolist()


def test_preprocessing_is_measured_and_checked_on_rendered_images(images: DSprites) -> None:
    measured = Preprocessing.measure(images)
    assert (measured.shape, measured.background) == ((1, 64, 64), (0,))
    assert len(load_data("dsprites", "train", measured).images) == 727_280
    with pytest.raises(ValueError, match=r"\(N, 1, 28, 28\), for this model"):
        load_data("dsprites", "train", Preprocessing(1, 28, 28))


def test_training_and_encoding_rendered_images_equals_images_in_memory() -> None:
    subset = DSprites(torch.randint(COUNT, (300,), generator=torch.Generator().manual_seed(2)))
    weights, means = [], []
    for images in (subset, subset[:]):
        torch.manual_seed(0)
        vae = Architecture(1, 64, 64, 3, "mlp").build()
        for _ in train(vae, images, Settings(epochs=2.0, batch_size=64)):
            pass
        weights.append(torch.cat([parameter.flatten() for parameter in vae.parameters()]))
        means.append(encode(vae, images, batch_size=128).mean)
    assert torch.equal(*weights)
    assert torch.equal(*means)
