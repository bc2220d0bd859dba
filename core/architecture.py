"""The one place where names become modules: what a bundle's config.json says, and the VAE it stands for."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

from torch import nn

from core.likelihoods import LIKELIHOODS
from core.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, Shape
from core.priors import PRIORS
from core.vae import VAE


class Builder(Protocol):
    """Makes an encoder (images → size numbers) or a decoder (size numbers → images) for images of this shape."""

    def __call__(self, shape: Shape, size: int, /) -> nn.Module: ...


NETWORKS: dict[str, tuple[Builder, Builder]] = {
    "mlp": (MLPEncoder, MLPDecoder),
    "conv": (ConvEncoder, ConvDecoder),
    "resnet": (partial(ConvEncoder, blocks=1), partial(ConvDecoder, blocks=1)),
}


def check_choice(what: str, value: str, choices: dict[str, Any]) -> None:
    """Raise a ValueError that lists the choices unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}; got {value!r}.")


@dataclass(frozen=True)
class Architecture:
    """Everything needed to build an untrained VAE for images of one size.

    Sides are in pixels, from 8 to 256; `latents` counts the dimensions of z.
    """

    channels: int
    height: int
    width: int
    latents: int = 16
    network: str = "conv"
    likelihood: str = "bernoulli"
    prior: str = "normal"

    def __post_init__(self) -> None:
        for side in (self.height, self.width):
            if not 8 <= side <= 256:
                raise ValueError(
                    f"images must be 8 to 256 pixels on each side; got {self.height}x{self.width}. "
                    "Resize them (--size), or pad small ones."
                )
        if self.channels < 1 or self.latents < 1:
            raise ValueError(f"channels and latents must be at least 1; got {self.channels} and {self.latents}.")
        check_choice("network", self.network, NETWORKS)
        check_choice("likelihood", self.likelihood, LIKELIHOODS)
        check_choice("prior", self.prior, PRIORS)

    @property
    def shape(self) -> Shape:
        """Channels, height and width of one image."""
        return self.channels, self.height, self.width

    def build(self) -> VAE:
        """A VAE with fresh weights, drawn from torch's global generator."""
        encoder, decoder = NETWORKS[self.network]
        likelihood = LIKELIHOODS[self.likelihood]()
        return VAE(
            prior=PRIORS[self.prior](self.latents),
            encoder=encoder(self.shape, 2 * self.latents),
            decoder=decoder((likelihood.channels_out(self.channels), *self.shape[1:]), self.latents),
            likelihood=likelihood,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return asdict(self)
