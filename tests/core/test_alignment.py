"""Laws of turning a latent space: the model draws and scores what it did, and a label lies along one latent."""

import pytest
import torch

from core import VAE, Architecture
from core.alignment import align, rotation, turn, upright


def model(network: str = "mlp", prior: str = "normal", latents: int = 5) -> VAE:
    torch.manual_seed(0)
    vae = Architecture(1, 8, 8, latents=latents, network=network, likelihood="bernoulli", prior=prior).build().eval()
    with torch.no_grad():  # untrained encoders say nearly the same of all images
        last = [module for module in vae.encoder.modules() if isinstance(module, torch.nn.Linear)][-1]
        last.weight.mul_(20)
    return vae


def any_rotation(d: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]


@pytest.mark.parametrize("network", ["mlp", "conv", "resnet"])
def test_turned_latents_draw_the_same_pictures_and_have_the_same_prior_density(network: str) -> None:
    vae, by = model(network), any_rotation(5)
    x, z = torch.rand(6, 1, 8, 8), torch.randn(6, 5)
    turned_z = (z.double() @ by.T).float()
    with torch.no_grad():
        mean, pictures = vae.posterior(x).mean, vae.decode(z).mean
        turn(vae, by)
        torch.testing.assert_close(vae.posterior(x).mean, (mean.double() @ by.T).float(), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(vae.decode(turned_z).mean, pictures, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vae.prior.log_prob(turned_z), vae.prior.log_prob(z), rtol=1e-4, atol=1e-4)


def test_a_rotation_has_its_rows_where_they_belong_and_leaves_the_rest_near() -> None:
    directions = upright(torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    made = rotation(directions, [3, 0])
    torch.testing.assert_close(made @ made.T, torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(made[[3, 0]], directions)
    # No other rows at right angles to the two are nearer to the unit vectors.
    others = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0] @ made[[1, 2, 4]]
    units = torch.eye(5, dtype=torch.float64)[[1, 2, 4]]
    assert (made[[1, 2, 4]] - units).norm() <= (others - units).norm()


def test_what_moved_two_latents_moves_one_afterwards() -> None:
    """The means of two labels' values, as far apart as they were, lie along the labels' latents."""
    vae = model()
    images = (255 * torch.rand(2000, 1, 8, 8, generator=torch.Generator().manual_seed(0))).byte()
    with torch.no_grad():
        means = vae.posterior(images / 255).mean.double()
    labels = {"sum": means[:, 1] + means[:, 3], "other": means[:, 0]}
    moved = {name: (column - column.mean()) @ (means - means.mean(0)) for name, column in labels.items()}
    taken = align(vae, images, labels)
    with torch.no_grad():
        turned = vae.posterior(images / 255).mean.double()
    assert len(set(taken.values())) == 2
    for name, column in labels.items():
        after = (column - column.mean()) @ (turned - turned.mean(0))
        assert float(after.norm()) == pytest.approx(float(moved[name].norm()), rel=1e-3)
        if name == "sum":
            assert float(after[taken[name]]) == pytest.approx(float(after.norm()), rel=1e-4)
        else:  # at a right angle to the first
            others = [i for i in range(5) if i not in taken.values()]
            assert after[others].norm() < 1e-3 * after.norm()


@pytest.mark.parametrize(
    ("prior", "labels", "rule"),
    [
        ("flow", {"a": torch.arange(20.0)}, "only a standard normal prior"),
        ("normal", {}, "labels must be 1 to 5"),
        ("normal", {"a": torch.ones(20)}, "a label must be numbers that change; a does not"),
    ],
)
def test_what_cannot_be_aligned_says_why(prior: str, labels: dict[str, torch.Tensor], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        align(model(prior=prior), torch.zeros(20, 1, 8, 8, dtype=torch.uint8), labels)
