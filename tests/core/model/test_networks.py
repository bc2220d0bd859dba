"""Tests of the networks."""

import itertools

import pytest
import torch

from core.model.architecture import NETWORKS
from core.model.networks import ResidualBlock, SubpixelConv, TransposedConv, pyramid


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 31), (1, 15, 9), (2, 17, 33)])
def test_encoders_and_decoders_accept_any_image_shape(network: str, shape: tuple[int, int, int]) -> None:
    encoder, decoder = (build(shape, 6) for build in NETWORKS[network])
    assert encoder(torch.rand(2, *shape)).shape == (2, 6)
    assert decoder(torch.randn(2, 6)).shape == (2, *shape)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_pixel_depends_on_the_latents_and_affects_the_posterior(network: str) -> None:
    """No row or column is lost at odd sizes."""
    shape = (1, 13, 21)
    torch.manual_seed(0)
    encoder, decoder = (build(shape, 6) for build in NETWORKS[network])
    decoded = decoder(torch.randn(8, 6))
    assert (decoded.std(0) > 0).all()
    x = torch.rand(1, *shape, requires_grad=True)
    encoder(x).square().sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).all()


def test_the_pyramid_halves_sizes_rounding_up_down_to_at_most_seven() -> None:
    for side in range(8, 257):
        sizes = pyramid(side, 256)
        assert sizes[0] == (side, 256)
        assert all(low == ((high[0] + 1) // 2, (high[1] + 1) // 2) for high, low in itertools.pairwise(sizes))
        assert 4 <= min(sizes[-1]) <= 7


def test_a_new_residual_block_is_almost_the_identity() -> None:
    """The weights of its last convolution start at zero; only the bias remains."""
    block, h = ResidualBlock(4), torch.randn(2, 4, 5, 5)
    change = block(h) - h
    assert block.second.bias is not None
    torch.testing.assert_close(change, block.second.bias.view(1, -1, 1, 1).expand_as(change), atol=1e-6, rtol=0)


@pytest.mark.parametrize("layer", [TransposedConv, SubpixelConv])
@pytest.mark.parametrize("size", [(10, 14), (9, 14), (10, 13), (9, 13)])
def test_upsampling_layers_double_the_size_and_crop(
    layer: type[TransposedConv] | type[SubpixelConv], size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    upsample = layer(2, 3, (10, 14))
    h = torch.randn(1, 2, 5, 7)
    whole = upsample(h)
    assert whole.shape == (1, 3, 10, 14)
    upsample.size = size
    assert torch.equal(upsample(h), whole[..., : size[0], : size[1]])
