"""Settings: the hyperparameters of training."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from core.data.binarization import Binarization

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Settings:
    """The hyperparameters of training. Give `epochs` or `minutes`: the length of the run, over which the learning rate decays.

    Raises ValueError for a value out of range and for an unknown choice.
    """

    epochs: float | None = None
    minutes: float | None = None
    batch_size: int = 128
    learning_rate: float = 2e-3
    """Largest learning rate of the run."""
    warm_up: float = 0.02
    """Fraction of the run over which the learning rate rises from zero; it then decays to zero along a cosine."""
    kl_warm_up: float = 0.1
    """Fraction of the run over which the weight of the KL rises from zero to one. Latents that collapse early rarely recover
    (Sønderby et al., 2016, arXiv 1602.02282)."""
    corruption: float = 0.0
    """Fraction of the encoder's input pixels that are replaced by 1 with probability x, else by 0; in training only. An encoder
    overfits long before a decoder; this regularizes it (Im et al., 2015, arXiv 1511.06406)."""
    samples: int = 1
    """Draws of z per image and step. Only the importance-weighted bound (iwae) accepts more than one."""
    weight_decay: float = 0.01
    clip: float = 200.0
    """Largest norm of the gradient of the batch's mean objective, in nats."""
    averaging: float = 0.999
    """Decay of the exponential moving average of the weights. The average is validated, and is the result of training."""
    validation: int = 2000
    """Number of training images held out to select the best weights (at most a tenth of the images)."""
    validations: int = 20
    """Number of validations in the run, evenly spaced."""
    binarization: Binarization = "none"
    """Whether and when images are binarized: see `core.data.binarization`."""
    precision: Precision = "float32"
    """Precision of the networks' arithmetic in training. Weights, densities and validation are always in float32."""
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.minutes is None):
            raise ValueError(f"give epochs or minutes, one of the two; got epochs={self.epochs}, minutes={self.minutes}.")
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
