"""Recipes: settings that are known to work, each with what they gave. `latentscape train DATA --out DIR --recipe NAME`."""

from dataclasses import dataclass
from typing import Any

from core.model.architecture import check_choice


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


SMALL = {"network": "conv", "network_width": 16, "likelihood": "bernoulli", "batch_size": 128}
DIGITS = {**SMALL, "latents": 8}


def on_digits(about: str, score: str, **options: Any) -> Recipe:
    """A small run that shows what one part does, beside "digits-bernoulli", which differs from it in that part alone."""
    options, took = {**DIGITS, "epochs": 100.0, "gallery": 0, **options}, "half a minute on one of two busy cores"
    return Recipe(about, "digits", options, took, f"{score} (599 test images, 1,000 importance samples)")


SPRITES = {**SMALL, "prior": "normal", "latents": 10}
SPRITES_MLP = {**SPRITES, "network": "mlp", "network_width": 200, "batch_size": 64, "kl_warm_up": 0.0, "epochs": 2.0}
PUBLISHED_MLP = {"network": "mlp", "likelihood": "bernoulli", "batch_size": 128, "latents": 40, "binarization": "dynamic"}
"""The network of published figures: two gated layers of 300 units (Tomczak & Welling, 2018, arXiv 1705.07120)."""
STAGE = {"gallery": 0, "calibrate": False}
"""Of a run that only another starts from."""

RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        about="scikit-learn's digits, 8x8: the small one, for a first try.",
        data="digits",
        options={**DIGITS, "epochs": 300.0},
        took="2 minutes on one busy core",
        score="test ELBO -23.87 nats, pixels read as probabilities",
    ),
    "fashion-mnist": Recipe(
        about="Fashion-MNIST with 16 latents to slide: the first half, with a standard normal prior.",
        data="DIR",
        options={"network": "conv", "likelihood": "bernoulli", "batch_size": 128, "latents": 16, "epochs": 72.0}
        | {"precision": "bfloat16"},
        took="47 minutes on one of two busy cores",
        score="test ELBO -234.51 nats, pixels read as probabilities",
    ),
    "fashion-mnist-flow": Recipe(
        about="The second half: on from there with a flow prior. What the page opens on.",
        data="DIR",
        options={"start": "runs/fashion-mnist", "prior": "flow", "batch_size": 128, "learning_rate": 1e-3, "epochs": 11.0},
        took="14 minutes on one of two busy cores",
        score="test ELBO -232.95 nats, likewise",
    ),
    "personas": Recipe(
        about="Cartoon faces, 64x64 in colour, crisp by a Gaussian of learned scale: the first half.",
        data="personas.npz",
        options={"network": "conv", "likelihood": "gaussian", "batch_size": 64, "latents": 32, "epochs": 120.0}
        | {"precision": "bfloat16"},
        took="65 minutes on one of two busy cores",
        score="ELBO 42,296 nats on the 900 images held out of training: a density, not bits",
    ),
    "personas-flow": Recipe(
        about="The second half: a flow prior, so that draws from it are faces.",
        data="personas.npz",
        options={"start": "runs/personas", "prior": "flow", "batch_size": 64, "learning_rate": 1e-3, "epochs": 15.0}
        | {"precision": "bfloat16"},
        took="8 minutes on one of two busy cores",
        score="test ELBO 42,587 nats; precision 0.957, recall 0.821 of draws from the prior",
    ),
    "glyphs": Recipe(
        about="Letters in many fonts, 32x32, held out by family (the bundle's card says how the file is made).",
        data="glyphs-by-family.npz",
        options={"network": "conv", "likelihood": "bernoulli", "batch_size": 128, "prior": "flow", "latents": 32}
        | {"epochs": 30.0, "precision": "bfloat16"},
        took="28 minutes on one of two busy cores",
        score="test ELBO -59.60 nats, pixels read as probabilities; 98.5 % of reconstructed letters read rightly",
    ),
    "dsprites-axes": Recipe(
        about="dSprites, first stage: a KL so dear that position x, position y and scale alone are told, each by one latent.",
        data="dsprites",
        options={**SPRITES, **STAGE, "objective": "beta", "strength": 40.0, "kl_warm_up": 0.0, "epochs": 0.15},
        took="5 minutes on one of two busy cores",
        score="test ELBO -236.16 nats (-235.14 in another run); a latent each tells 94 % of x, 93 % of y, 83 % of scale",
    ),
    "dsprites-awake": Recipe(
        about="Second stage: a free nat in each latent wakes the other seven, which learn what is left.",
        data="dsprites",
        options={**SPRITES, **STAGE, "start": "runs/dsprites-axes", "objective": "free-bits", "strength": 1.0, "epochs": 0.15},
        took="8 minutes on one of two busy cores",
        score="test ELBO -112.75 nats (-113.30 in another run), 10 of 10 latents active",
    ),
    "dsprites": Recipe(
        about="Third stage: beta-TC, which keeps the latents apart and lets those sleep that are not needed.",
        data="dsprites",
        options={**SPRITES, "start": "runs/dsprites-awake", "objective": "beta-tc", "strength": 4.0, "epochs": 2.0}
        | {"gallery": 2500},
        took="58 minutes on one of two busy cores",
        score="test ELBO -57.88 nats; a latent each tells 99 % of position x, 99 % of position y, 93 % of scale",
    ),
    "dsprites-elbo": Recipe(
        about="dSprites by the ELBO alone, of a small MLP: what disentanglement is measured against. Give --seed.",
        data="dsprites",
        options={**SPRITES_MLP, **STAGE},
        took="13 minutes, two runs side by side on two cores",
        score="test ELBO -69.09 nats; FactorVAE score 0.679, MIG 0.025 (seed 1: -67.68; 0.491, 0.008)",
    ),
    "dsprites-beta-tc": Recipe(
        about="The same by beta-TC from the first step. Give --seed.",
        data="dsprites",
        options={**SPRITES_MLP, **STAGE, "objective": "beta-tc", "strength": 6.0},
        took="13 minutes, two runs side by side on two cores",
        score="test ELBO -111.85 nats; FactorVAE score 0.760, MIG 0.200 (seed 1: -108.60; 0.665, 0.171)",
    ),
    "fashion-mnist-binarized": Recipe(
        about="Fashion-MNIST dynamically binarized, the protocol of published figures: convolutions, 40 latents, flow prior.",
        data="DIR",
        options={"network": "conv", "likelihood": "bernoulli", "batch_size": 128, "prior": "flow", "latents": 40}
        | {"binarization": "dynamic", "gallery": 0, "minutes": 85.0},
        took="85 minutes on one of two busy cores",
        score="test ELBO -228.49 nats, -log p(x) 226.56 by 1,000 importance samples",
    ),
    "mlp-normal": Recipe(
        about="The published MLP with a standard normal prior, for comparison: 228.70 there.",
        data="DIR",
        options={**PUBLISHED_MLP, **STAGE, "prior": "normal", "epochs": 150.0},
        took="40 minutes on one of two busy cores",
        score="test ELBO -231.46 nats, -log p(x) 229.46 by 1,000 importance samples",
    ),
    "mlp-vamp": Recipe(
        about="The same with a VampPrior of 500 pseudo-inputs: 227.35 there.",
        data="DIR",
        options={**PUBLISHED_MLP, **STAGE, "prior": "vamp", "epochs": 60.0},
        took="43 minutes on one of two busy cores",
        score="test ELBO -230.59 nats, -log p(x) 229.16 by 1,000 importance samples",
    ),
}

# One for each likelihood, prior and objective that there is. Scores of different likelihoods do not compare.
RECIPES |= {
    "digits-bernoulli": on_digits("Bernoulli, standard normal prior, ELBO.", "-log p(x) 24.04 nats, ELBO -24.30"),
    "digits-continuous-bernoulli": on_digits(
        "Continuous Bernoulli: a density, whose ELBO may be above 0.",
        "-log p(x) -139.70 nats, ELBO 136.51",
        likelihood="continuous-bernoulli",
    ),
    "digits-gaussian": on_digits("Gaussian of one learned scale.", "-log p(x) -28.98 nats, ELBO 26.03", likelihood="gaussian"),
    "digits-gaussian-fixed": on_digits(
        "Gaussian of scale 0.1.", "-log p(x) -34.78 nats, ELBO 28.72", likelihood="gaussian-fixed"
    ),
    "digits-gaussian-optimal": on_digits(
        "Gaussian of each image's best scale: an objective, not a likelihood.",
        "ELBO 34.95 nats, not to be quoted as a likelihood",
        likelihood="gaussian-optimal",
    ),
    "digits-discretized-logistic": on_digits(
        "A mass on the 256 levels, in bits.",
        "3.682 bits per dimension, -log p(x) 163.36 nats",
        likelihood="discretized-logistic",
    ),
    "digits-logistic-mixture": on_digits(
        "A mixture of five of them for each pixel.",
        "3.648 bits per dimension, -log p(x) 161.81 nats",
        likelihood="logistic-mixture",
    ),
    "digits-vamp": on_digits("VampPrior.", "-log p(x) 23.94 nats, ELBO -24.25", prior="vamp"),
    "digits-flow": on_digits("Flow prior.", "-log p(x) 23.86 nats, ELBO -24.14", prior="flow"),
    "digits-beta": on_digits(
        "The KL at twice its price: fewer latents carry more. At four times none is left.",
        "-log p(x) 25.01 nats, ELBO -25.50, 3 latents active for 4",
        objective="beta",
        strength=2.0,
    ),
    "digits-free-bits": on_digits(
        "Half a nat of KL for nothing in each latent: all stay alive.",
        "-log p(x) 24.18 nats, ELBO -24.85, 8 latents active for 4",
        objective="free-bits",
        strength=0.5,
    ),
    "digits-beta-tc": on_digits(
        "Total correlation at four times its price.",
        "-log p(x) 24.09 nats, ELBO -24.50",
        objective="beta-tc",
        strength=4.0,
    ),
    "digits-iwae": on_digits(
        "Ten draws an image: a tighter bound, a looser posterior.",
        "-log p(x) 23.74 nats, ELBO -25.43, 8 latents active for 4",
        objective="iwae",
        samples=10,
    ),
}


def find(name: str) -> Recipe:
    """The recipe of this name; ValueError that lists them if there is none."""
    check_choice("recipe", name, RECIPES)
    return RECIPES[name]
