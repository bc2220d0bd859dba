"""Tests of Architecture: it builds modules from names."""

import pytest
import torch

from core import Architecture


def test_the_same_seed_builds_the_same_weights() -> None:
    architecture = Architecture(3, 16, 16, 5, "resnet", "gaussian")
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(architecture.build().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_an_architecture_equals_its_dictionary_round_trip() -> None:
    architecture = Architecture(3, 16, 20, 5, "mlp", "gaussian")
    assert Architecture(**architecture.as_dict()) == architecture
    assert architecture.shape == (3, 16, 20)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"height": 7}, ["8 to 256 pixels", "7x8", "Resize"]),
        ({"width": 257}, ["8 to 256 pixels", "8x257", "Resize"]),
        ({"channels": 0}, ["1 to 4 ", "got 0 and 16"]),
        ({"latents": 0}, ["latents 1 to 4,096", "got 1 and 0"]),
        ({"network_width": 5000}, ["network_width must be 1 to 4,096", "got 5000"]),
        ({"network": "transformer"}, ["network must be one of", "mlp, conv, resnet", "'transformer'"]),
        ({"likelihood": "poisson"}, ["likelihood must be one of", "bernoulli, gaussian", "'poisson'"]),
        ({"prior": "uniform"}, ["prior must be one of", "normal, vamp, flow", "'uniform'"]),
    ],
)
def test_an_invalid_setting_raises_an_error_that_lists_the_choices(settings: dict[str, int | str], parts: list[str]) -> None:
    with pytest.raises(ValueError, match=parts[0]) as caught:
        Architecture(**{"channels": 1, "height": 8, "width": 8, **settings})
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize(("network", "default"), [("mlp", 300), ("conv", 32), ("resnet", 32)])
def test_each_network_has_its_own_default_width(network: str, default: int) -> None:
    def parameter_count(width: int | None) -> int:
        return sum(p.numel() for p in Architecture(1, 16, 16, 2, network, network_width=width).build().parameters())

    assert parameter_count(None) == parameter_count(default) > 2 * parameter_count(default // 2)


@pytest.mark.parametrize("side", [8, 256])
def test_the_minimum_and_maximum_side_are_accepted(side: int) -> None:
    assert Architecture(1, side, side, 2, "mlp").shape == (1, side, side)
