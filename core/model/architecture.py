"""Architecture: the names in a bundle's config.json, and the VAE that they describe.

NETWORKS, PRIORS and LIKELIHOODS map these names to classes.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

from torch import nn

from core.model.likelihoods import LIKELIHOODS
from core.model.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, Shape
from core.model.priors import FlowPrior, Prior, StandardNormal, VampPrior
from core.model.vae import VAE


class Builder(Protocol):
    """Builds an encoder, images → (N, size), or a decoder, (N, size) → images, with layers of `width` units or channels."""

    def __call__(self, shape: Shape, size: int, /, *, width: int = ...) -> nn.Module: ...


NETWORKS: dict[str, tuple[Builder, Builder]] = {
    "mlp": (MLPEncoder, MLPDecoder),
    "conv": (ConvEncoder, ConvDecoder),
    "resnet": (partial(ConvEncoder, blocks=1), partial(ConvDecoder, blocks=1)),
}

MAX_LATENTS, MAX_WIDTH = 4096, 4096
"""Upper limits: config.json is untrusted input, and larger networks could exhaust the memory."""

PRIORS: dict[str, Callable[[int, nn.Module, Shape], Prior]] = {
    "normal": lambda latents, encoder, shape: StandardNormal(latents),
    "vamp": VampPrior,
    "flow": lambda latents, encoder, shape: FlowPrior(latents),
}


def check_choice(name: str, value: str, choices: dict[str, Any]) -> None:
    """Raise ValueError, listing the choices, unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")


@dataclass(frozen=True)
class Architecture:
    """Everything needed to build an untrained VAE for images of one size.

    `height` and `width` are in pixels, 8 to 256. `latents` is the number of dimensions of z. `network_width` is the number of
    units in each hidden layer of an mlp (default 300), or of channels of a convolutional network at half the resolution; its
    other layers have multiples of it (default 32). Raises ValueError for values out of range and for unknown names.
    """

    channels: int
    height: int
    width: int
    latents: int = 16
    network: str = "conv"
    likelihood: str = "bernoulli"
    prior: str = "normal"
    network_width: int | None = None

    def __post_init__(self) -> None:
        for side in (self.height, self.width):
            if not 8 <= side <= 256:
                raise ValueError(
                    f"images must be 8 to 256 pixels on each side; got {self.height}x{self.width}. "
                    "Resize them (--size), or pad small ones."
                )
        if not 1 <= self.channels <= 4 or not 1 <= self.latents <= MAX_LATENTS:
            raise ValueError(
                f"channels must be 1 to 4 and latents 1 to {MAX_LATENTS:,}; got {self.channels} and {self.latents}."
            )
        if self.network_width is not None and not 1 <= self.network_width <= MAX_WIDTH:
            raise ValueError(f"network_width must be 1 to {MAX_WIDTH:,}, or None for the default; got {self.network_width}.")
        check_choice("network", self.network, NETWORKS)
        check_choice("likelihood", self.likelihood, LIKELIHOODS)
        check_choice("prior", self.prior, PRIORS)

    @property
    def shape(self) -> Shape:
        """Channels, height and width of one image."""
        return self.channels, self.height, self.width

    def build(self) -> VAE:
        """Return a VAE with random initial weights, drawn from torch's global generator."""
        make_encoder, make_decoder = NETWORKS[self.network]
        likelihood = LIKELIHOODS[self.likelihood]()
        width = {} if self.network_width is None else {"width": self.network_width}
        encoder = make_encoder(self.shape, 2 * self.latents, **width)
        decoder = make_decoder((likelihood.channels_out(self.channels), *self.shape[1:]), self.latents, **width)
        return VAE(PRIORS[self.prior](self.latents, encoder, self.shape), encoder, decoder, likelihood)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for config.json."""
        return asdict(self)
