"""Recipes: named settings with measured results, for `latentscape train DATA --out DIR --recipe NAME`."""

from dataclasses import dataclass
from typing import Any

from core.model.architecture import check_choice


@dataclass(frozen=True)
class Recipe:
    """Options of `latentscape train`. Options on the command line override them."""

    description: str
    data: str
    """The data set of the measured result, as on the command line."""
    options: dict[str, Any]
    duration: str
    """How long training took, and on what hardware."""
    result: str

    def command(self, name: str) -> str:
        """The command line that trains with this recipe."""
        return f"latentscape train {self.data} --out runs/{name} --recipe {name}"


SMALL_CONV = {"network": "conv", "network_width": 16, "likelihood": "bernoulli", "batch_size": 128}
DIGITS = {**SMALL_CONV, "latents": 8}


def digits_variant(description: str, result: str, **options: Any) -> Recipe:
    """A small run on digits that differs from "digits-bernoulli" only in `options`, to show their effect."""
    options, duration = {**DIGITS, "epochs": 100.0, "gallery": 0, **options}, "half a minute on one of two busy cores"
    return Recipe(description, "digits", options, duration, f"{result} (599 test images, 1,000 importance samples)")


SPRITES = {**SMALL_CONV, "prior": "normal", "latents": 10}
SPRITES_MLP = {**SPRITES, "network": "mlp", "network_width": 200, "batch_size": 64, "kl_warm_up": 0.0, "epochs": 2.0}
PUBLISHED_MLP = {"network": "mlp", "likelihood": "bernoulli", "batch_size": 128, "latents": 40, "binarization": "dynamic"}
"""The network of published results: two gated layers of 300 units (Tomczak & Welling, 2018, arXiv 1705.07120)."""
WEIGHTS_ONLY = {"gallery": 0, "calibrate": False}
"""Options of a run that is only scored or continued: no gallery, anomaly detector or label classifier."""

RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        description="scikit-learn's digits, 8x8: small and quick, for a first try.",
        data="digits",
        options={**DIGITS, "epochs": 300.0},
        duration="2 minutes on one busy core",
        result="test ELBO -23.87 nats, grey pixels taken as probabilities",
    ),
    "fashion-mnist": Recipe(
        description="Fashion-MNIST with 16 latents. Stage 1 of 2: standard normal prior.",
        data="DIR",
        options={"network": "conv", "likelihood": "bernoulli", "batch_size": 128, "latents": 16, "epochs": 72.0}
        | {"precision": "bfloat16"},
        duration="47 minutes on one of two busy cores",
        result="test ELBO -234.51 nats, grey pixels taken as probabilities",
    ),
    "fashion-mnist-flow": Recipe(
        description="Stage 2 of 2, from fashion-mnist: flow prior. The app opens with this model.",
        data="DIR",
        options={"start": "runs/fashion-mnist", "prior": "flow", "batch_size": 128, "learning_rate": 1e-3, "epochs": 11.0},
        duration="14 minutes on one of two busy cores",
        result="test ELBO -232.95 nats, grey pixels taken as probabilities",
    ),
    "personas": Recipe(
        description="Cartoon faces, 64x64 in colour, with a Gaussian likelihood of learned scale. Stage 1 of 2.",
        data="personas.npz",
        options={"network": "conv", "likelihood": "gaussian", "batch_size": 64, "latents": 32, "epochs": 120.0}
        | {"precision": "bfloat16"},
        duration="65 minutes on one of two busy cores",
        result="ELBO 42,296 nats on the 900 held-out training images: a continuous density, so it can be positive",
    ),
    "personas-flow": Recipe(
        description="Stage 2 of 2, from personas: flow prior, so that samples from the prior look like faces.",
        data="personas.npz",
        options={"start": "runs/personas", "prior": "flow", "batch_size": 64, "learning_rate": 1e-3, "epochs": 15.0}
        | {"precision": "bfloat16"},
        duration="8 minutes on one of two busy cores",
        result="test ELBO 42,587 nats; precision 0.957, recall 0.821 of samples from the prior",
    ),
    "glyphs": Recipe(
        description="Letters in many fonts, 32x32; tested on other font families. The model card describes the file.",
        data="glyphs-by-family.npz",
        options={"network": "conv", "likelihood": "bernoulli", "batch_size": 128, "prior": "flow", "latents": 32}
        | {"epochs": 30.0, "precision": "bfloat16"},
        duration="28 minutes on one of two busy cores",
        result="test ELBO -59.60 nats, grey pixels taken as probabilities; 98.5 % of reconstructions classified correctly",
    ),
    "dsprites-axes": Recipe(
        description="dSprites, stage 1 of 3: at this high KL weight only x, y and scale are encoded, each in one latent.",
        data="dsprites",
        options={**SPRITES, **WEIGHTS_ONLY, "objective": "beta", "strength": 40.0, "kl_warm_up": 0.0, "epochs": 0.15},
        duration="5 minutes on one of two busy cores",
        result="test ELBO -236.16 nats (-235.14 in another run); single latents explain 94 % of x, 93 % of y, 83 % of scale",
    ),
    "dsprites-awake": Recipe(
        description="Stage 2 of 3: one free nat per latent activates the other seven, which learn the remaining factors.",
        data="dsprites",
        options={
            **SPRITES,
            **WEIGHTS_ONLY,
            "start": "runs/dsprites-axes",
            "objective": "free-bits",
            "strength": 1.0,
            "epochs": 0.15,
        },
        duration="8 minutes on one of two busy cores",
        result="test ELBO -112.75 nats (-113.30 in another run), 10 of 10 latents active",
    ),
    "dsprites": Recipe(
        description="Stage 3 of 3: beta-TC keeps the latents independent and lets unneeded ones become inactive.",
        data="dsprites",
        options={**SPRITES, "start": "runs/dsprites-awake", "objective": "beta-tc", "strength": 4.0, "epochs": 2.0}
        | {"gallery": 2500},
        duration="58 minutes on one of two busy cores",
        result="test ELBO -57.88 nats; single latents explain 99 % of position x, 99 % of position y, 93 % of scale",
    ),
    "dsprites-elbo": Recipe(
        description="dSprites with the plain ELBO and a small MLP: the baseline for disentanglement. Set --seed.",
        data="dsprites",
        options={**SPRITES_MLP, **WEIGHTS_ONLY},
        duration="13 minutes, two runs side by side on two cores",
        result="test ELBO -69.09 nats; FactorVAE score 0.679, MIG 0.025 (seed 1: -67.68; 0.491, 0.008)",
    ),
    "dsprites-beta-tc": Recipe(
        description="As dsprites-elbo, but with beta-TC from the first step. Set --seed.",
        data="dsprites",
        options={**SPRITES_MLP, **WEIGHTS_ONLY, "objective": "beta-tc", "strength": 6.0},
        duration="13 minutes, two runs side by side on two cores",
        result="test ELBO -111.85 nats; FactorVAE score 0.760, MIG 0.200 (seed 1: -108.60; 0.665, 0.171)",
    ),
    "fashion-mnist-binarized": Recipe(
        description="Dynamically binarized Fashion-MNIST, as in published results: convolutions, 40 latents, flow prior.",
        data="DIR",
        options={"network": "conv", "likelihood": "bernoulli", "batch_size": 128, "prior": "flow", "latents": 40}
        | {"binarization": "dynamic", "gallery": 0, "minutes": 85.0},
        duration="85 minutes on one of two busy cores",
        result="test ELBO -228.49 nats, -log p(x) 226.56 nats with 1,000 importance samples",
    ),
    "mlp-normal": Recipe(
        description="As fashion-mnist-binarized, but the published MLP with a normal prior. Published -log p(x): 228.70 nats.",
        data="DIR",
        options={**PUBLISHED_MLP, **WEIGHTS_ONLY, "prior": "normal", "epochs": 150.0},
        duration="40 minutes on one of two busy cores",
        result="test ELBO -231.46 nats, -log p(x) 229.46 nats with 1,000 importance samples",
    ),
    "mlp-vamp": Recipe(
        description="As mlp-normal, but with a VampPrior of 500 pseudo-inputs. Published -log p(x): 227.35 nats.",
        data="DIR",
        options={**PUBLISHED_MLP, **WEIGHTS_ONLY, "prior": "vamp", "epochs": 60.0},
        duration="43 minutes on one of two busy cores",
        result="test ELBO -230.59 nats, -log p(x) 229.16 nats with 1,000 importance samples",
    ),
}

# One recipe for each likelihood, prior and objective. Scores of different likelihoods cannot be compared.
RECIPES |= {
    "digits-bernoulli": digits_variant(
        "Bernoulli likelihood, standard normal prior, ELBO.", "-log p(x) 24.04 nats, ELBO -24.30"
    ),
    "digits-continuous-bernoulli": digits_variant(
        "Continuous Bernoulli likelihood: a density, so the ELBO can be positive.",
        "-log p(x) -139.70 nats, ELBO 136.51",
        likelihood="continuous-bernoulli",
    ),
    "digits-gaussian": digits_variant(
        "Gaussian likelihood with one learned scale.", "-log p(x) -28.98 nats, ELBO 26.03", likelihood="gaussian"
    ),
    "digits-gaussian-fixed": digits_variant(
        "Gaussian likelihood with scale 0.1.", "-log p(x) -34.78 nats, ELBO 28.72", likelihood="gaussian-fixed"
    ),
    "digits-gaussian-optimal": digits_variant(
        "Gaussian with the optimal scale of each image: an objective, not a likelihood.",
        "ELBO 34.95 nats, which is not a bound on a likelihood",
        likelihood="gaussian-optimal",
    ),
    "digits-discretized-logistic": digits_variant(
        "Discretized logistic likelihood over the 256 levels, in bits.",
        "3.682 bits per dimension, -log p(x) 163.36 nats",
        likelihood="discretized-logistic",
    ),
    "digits-logistic-mixture": digits_variant(
        "Mixture of five discretized logistics per pixel.",
        "3.648 bits per dimension, -log p(x) 161.81 nats",
        likelihood="logistic-mixture",
    ),
    "digits-vamp": digits_variant("VampPrior, trained with the ELBO.", "-log p(x) 23.94 nats, ELBO -24.25", prior="vamp"),
    "digits-flow": digits_variant("Flow prior, trained with the ELBO.", "-log p(x) 23.86 nats, ELBO -24.14", prior="flow"),
    "digits-beta": digits_variant(
        "beta-VAE with a KL weight of 2: fewer latents stay active. With a weight of 4, none does.",
        "-log p(x) 25.01 nats, ELBO -25.50, 3 active latents instead of 4",
        objective="beta",
        strength=2.0,
    ),
    "digits-free-bits": digits_variant(
        "Half a nat of free KL per latent: all latents stay active.",
        "-log p(x) 24.18 nats, ELBO -24.85, 8 active latents instead of 4",
        objective="free-bits",
        strength=0.5,
    ),
    "digits-beta-tc": digits_variant(
        "beta-TC with a total-correlation weight of 4.",
        "-log p(x) 24.09 nats, ELBO -24.50",
        objective="beta-tc",
        strength=4.0,
    ),
    "digits-iwae": digits_variant(
        "IWAE with ten draws per image: a tighter bound and a less exact posterior.",
        "-log p(x) 23.74 nats, ELBO -25.43, 8 active latents instead of 4",
        objective="iwae",
        samples=10,
    ),
}


def find(name: str) -> Recipe:
    """Return the recipe of this name. Raises ValueError, which lists the names, if there is none."""
    check_choice("recipe", name, RECIPES)
    return RECIPES[name]
