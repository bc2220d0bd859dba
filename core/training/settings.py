"""Settings: how to train, with what is refused and why."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from core.data.binarization import Binarization

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Settings:
    """How to train. Give `epochs` or `minutes`; the step size decays over whichever is given."""

    epochs: float | None = None
    minutes: float | None = None
    batch_size: int = 128
    learning_rate: float = 2e-3
    warm_up: float = 0.02
    """Share of the run over which the step size rises from zero; then it falls as a cosine to zero."""
    kl_warm_up: float = 0.1
    """Share of the run over which the weight of the KL rises from zero to one, where it stays: latents that are switched off
    before they have learned anything rarely come back (Sønderby et al., 2016, arXiv 1602.02282)."""
    corruption: float = 0.0
    """Share of pixels that the encoder, in training alone, sees as a coin flip of their brightness. An encoder learns its
    training images by heart long before a decoder does; this keeps it from that (Im et al., 2015, arXiv 1511.06406)."""
    samples: int = 1
    """Draws of z per image and step; only the importance-weighted bound takes more than one."""
    weight_decay: float = 0.01
    clip: float = 200.0
    """Largest norm of the gradient of the batch's mean ELBO, in nats."""
    averaging: float = 0.999
    """Decay of the exponential moving average of the weights; the average is what is validated and kept."""
    validation: int = 2000
    """Training images held out to choose the best checkpoint (at most a tenth of them)."""
    validations: int = 20
    """How often, in the whole run, the held-out images are scored."""
    binarization: Binarization = "none"
    """Whether images are made black and white, and when: see `core.data.binarization`."""
    precision: Precision = "float32"
    """Of the networks' arithmetic in training; weights, densities and the validation stay in float32."""
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.minutes is None):
            raise ValueError("give the length of training as epochs or as minutes, one of the two.")
        for name in ("epochs", "minutes"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be above 0; got {value}.")
        for name in ("batch_size", "samples", "validation", "validations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name, choices in (("precision", get_args(Precision)), ("binarization", get_args(Binarization))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}.")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate}.")
