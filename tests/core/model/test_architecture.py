"""Laws of the architecture: names in, modules out."""

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


def test_an_architecture_is_its_dictionary() -> None:
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
def test_a_wrong_setting_is_named_with_the_choices(settings: dict[str, int | str], parts: list[str]) -> None:
    with pytest.raises(ValueError, match=parts[0]) as caught:
        Architecture(**{"channels": 1, "height": 8, "width": 8, **settings})
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize(("network", "usual"), [("mlp", 300), ("conv", 32), ("resnet", 32)])
def test_the_width_of_a_network_is_its_own_unless_given(network: str, usual: int) -> None:
    def weights(width: int | None) -> int:
        return sum(p.numel() for p in Architecture(1, 16, 16, 2, network, network_width=width).build().parameters())

    assert weights(None) == weights(usual) > 2 * weights(usual // 2)


@pytest.mark.parametrize("side", [8, 256])
def test_the_smallest_and_largest_sides_are_allowed(side: int) -> None:
    assert Architecture(1, side, side, 2, "mlp").shape == (1, side, side)
