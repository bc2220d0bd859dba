"""Recipes: settings that are known to work, each with what they gave. `latentscape train DATA --out DIR --recipe NAME`."""

from dataclasses import dataclass
from typing import Any

from core.architecture import check_choice


@dataclass(frozen=True)
class Recipe:
    """Options of `latentscape train`, by name, which options on the command line override."""

    about: str
    data: str
    """What it was made for."""
    options: dict[str, Any]
    took: str
    score: str

    def command(self, name: str) -> str:
        """What a person types."""
        return f"latentscape train {self.data} --out runs/{name} --recipe {name}"


RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        about="scikit-learn's digits, 8x8: the small one, for a first try.",
        data="digits",
        options={
            "network": "conv",
            "network_width": 16,
            "likelihood": "bernoulli",
            "batch_size": 128,
            "latents": 8,
            "epochs": 300.0,
        },
        took="2 minutes on one busy core",
        score="test ELBO -23.87 nats, pixels read as probabilities",
    ),
    "glyphs": Recipe(
        about="Letters in many fonts, 32x32, held out by family (the bundle's card says how the file is made).",
        data="glyphs-by-family.npz",
        options={
            "network": "conv",
            "likelihood": "bernoulli",
            "batch_size": 128,
            "prior": "flow",
            "latents": 32,
            "epochs": 30.0,
            "precision": "bfloat16",
        },
        took="28 minutes on one of two busy cores",
        score="test ELBO -59.60 nats, pixels read as probabilities; 98.5 % of reconstructed letters read rightly",
    ),
    "fashion-mnist-binarized": Recipe(
        about="Fashion-MNIST dynamically binarized, the protocol of published figures: convolutions, 40 latents, flow prior.",
        data="DIR",
        options={
            "network": "conv",
            "likelihood": "bernoulli",
            "batch_size": 128,
            "prior": "flow",
            "latents": 40,
            "binarization": "dynamic",
            "gallery": 0,
            "minutes": 85.0,
        },
        took="85 minutes on one of two busy cores",
        score="test ELBO -228.49 nats, -log p(x) 226.56 by 1,000 importance samples",
    ),
}


def find(name: str) -> Recipe:
    """The recipe of this name; ValueError that lists them if there is none."""
    check_choice("recipe", name, RECIPES)
    return RECIPES[name]
