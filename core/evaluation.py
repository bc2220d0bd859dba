"""Evaluation: what a VAE scores on images, every image once, with the kind of each number stated."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from core.images import to_unit
from core.vae import VAE

ACTIVE_VARIANCE = 0.01
"""A latent is active when its posterior mean varies more than this over the data (Burda et al., 2016, arXiv 1509.00519)."""


@dataclass(frozen=True)
class Evaluation:
    """Means over images, in nats per image. The KL weight is always 1, whatever the model was trained with."""

    elbo: float
    log_likelihood: float
    kl: float
    kl_per_latent: list[float]
    """KL(q(z_i|x) || N(0, 1)); under the standard normal prior these add up to `kl`."""
    active_units: int
    bits_per_dim: float | None
    """Minus the ELBO in bits per pixel and channel: only where the likelihood is a probability mass on the images scored."""
    likelihood: str
    images: int


@dataclass(frozen=True)
class Encodings:
    """The posterior of each image, and its two ELBO terms in nats."""

    mean: Float[Tensor, "n latents"]
    log_variance: Float[Tensor, "n latents"]
    log_likelihood: Float[Tensor, " n"]
    kl: Float[Tensor, " n"]
    is_mass: bool

    @property
    def elbo(self) -> Float[Tensor, " n"]:
        """The evidence lower bound of each image, in nats."""
        return self.log_likelihood - self.kl


@torch.no_grad()
def encode(
    vae: VAE,
    images: UInt8[Tensor, "n c h w"],
    seed: int = 0,
    batch_size: int = 512,
    device: torch.device | str | None = None,
    advance: Callable[[int], None] = lambda images: None,
) -> Encodings:
    """Encode 8-bit images, each once, in order. Mean and variance are deterministic; the ELBO terms use one draw of z.

    The draw for image i depends on the seed and i alone, neither on the batch size nor on how many images follow. The model
    is moved to `device` if one is given. `advance` is told the images done.
    """
    noise = draws(len(images), vae.prior.latents, seed)
    vae = vae if device is None else vae.to(device)
    device, training = next(vae.parameters()).device, vae.training
    vae.eval()
    parts: list[tuple[Tensor, ...]] = []
    is_mass = len(images) > 0
    for batch, draw in zip(images.split(batch_size), noise.split(batch_size), strict=True):
        x = to_unit(batch.to(device))
        posterior = vae.posterior(x)
        z = posterior.mean + posterior.stddev * draw.to(device)
        log_likelihood, kl = vae.decode(z).log_prob(x), vae.prior.kl(posterior, z)
        parts.append((posterior.mean, 2 * posterior.stddev.log(), log_likelihood, kl))
        is_mass = is_mass and vae.likelihood.is_mass_on(x)
        advance(len(batch))
    vae.train(training)
    mean, log_variance, log_likelihood, kl = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    return Encodings(mean, log_variance, log_likelihood, kl, is_mass)


def draws(n: int, latents: int, seed: int, block: int = 1024) -> Float[Tensor, "{n} {latents}"]:
    """Standard normal noise whose first rows are the same for every n: torch.randn's own depend on how many are asked for."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([torch.randn(block, latents, generator=generator) for _ in range(0, max(n, 1), block)])[:n]


def kl_per_latent(mean: Float[Tensor, "n latents"], log_variance: Float[Tensor, "n latents"]) -> Float[Tensor, "n latents"]:
    """KL(q(z_i|x) || N(0, 1)) of each image and latent, in nats (Kingma & Welling, 2013, arXiv 1312.6114, appendix B)."""
    posterior = Normal(mean, (0.5 * log_variance).exp(), validate_args=False)
    return kl_divergence(posterior, Normal(torch.zeros_like(mean), torch.ones_like(mean), validate_args=False))


def evaluate(
    vae: VAE,
    images: UInt8[Tensor, "n c h w"],
    seed: int = 0,
    batch_size: int = 512,
    device: torch.device | str | None = None,
    advance: Callable[[int], None] = lambda images: None,
) -> Evaluation:
    """Score a VAE on 8-bit images. Raises ValueError when there are none."""
    if len(images) == 0:
        raise ValueError("evaluation needs at least one image; got none.")
    return summarize(vae, encode(vae, images, seed, batch_size, device, advance), images.shape[1:].numel())


def summarize(vae: VAE, encodings: Encodings, dimensions: int) -> Evaluation:
    """The evaluation that a set of encodings amounts to; `dimensions` is channels x height x width."""
    # Sums in float64, so that the order and size of batches cannot show in the figures.
    elbo = encodings.elbo.double().mean().item()
    return Evaluation(
        elbo=elbo,
        log_likelihood=encodings.log_likelihood.double().mean().item(),
        kl=encodings.kl.double().mean().item(),
        kl_per_latent=kl_per_latent(encodings.mean, encodings.log_variance).double().mean(0).tolist(),
        active_units=int((encodings.mean.double().var(0, unbiased=False) > ACTIVE_VARIANCE).sum()),
        bits_per_dim=-elbo / (math.log(2) * dimensions) if encodings.is_mass else None,
        likelihood=vae.likelihood.kind_on(encodings.is_mass),
        images=len(encodings.mean),
    )
