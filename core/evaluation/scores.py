"""Evaluation of a VAE on images: ELBO, KL, reconstruction error and further figures, each image counted once."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from core.data.preprocessing import Images, to_unit
from core.distributed import SINGLE_PROCESS, ProcessGroup
from core.evaluation import importance
from core.evaluation.classifier import LabelClassifier
from core.evaluation.disentanglement import Disentanglement, disentanglement
from core.evaluation.quality import Quality, quality
from core.model.vae import VAE

ACTIVE_VARIANCE = 0.01
"""A latent is active when its posterior mean varies more than this over the data (Burda et al., 2016, arXiv 1509.00519)."""


@dataclass(frozen=True)
class Evaluation:
    """Means over images, in nats per image. The KL weight is always 1, also for models trained with another one."""

    elbo: float
    log_likelihood: float
    kl: float
    kl_per_latent: list[float]
    """KL(q(z_i|x) || N(0, 1)); under the standard normal prior these add up to `kl`."""
    active_units: int
    reconstruction_rmse: float
    """Root of the mean squared error of the decoder's mean at the posterior's mean, for pixels in [0, 1]."""
    aggregated_posterior_mismatch: float
    """Energy distance between aggregated posterior and prior, see `mismatch`."""
    nll: float | None
    """Minus the importance-sampled log p(x) (see `core.evaluation.importance`); None if no samples were requested."""
    nll_samples: int
    nll_standard_error: float | None
    """Standard error of the mean `nll` from the finite number of images."""
    nll_monte_carlo_error: float | None
    """Standard error of the mean `nll` from the finite number of samples per image."""
    bits_per_dim: float | None
    """`nll`, or minus the ELBO if there is none, in bits per pixel and channel. None unless the likelihood is a probability
    mass on these images."""
    disentanglement: Disentanglement | None
    """None if the images' factors are unknown: see `core.evaluation.disentanglement`."""
    quality: Quality | None
    """None without a classifier: see `core.evaluation.quality`."""
    likelihood: str
    images: int


@dataclass(frozen=True)
class Encodings:
    """The posterior of each image and the two terms of its ELBO in nats."""

    mean: Float[Tensor, "n latents"]
    log_variance: Float[Tensor, "n latents"]
    log_likelihood: Float[Tensor, " n"]
    kl: Float[Tensor, " n"]
    is_mass: bool
    """Whether the likelihood is a probability mass on all these images."""

    @property
    def elbo(self) -> Float[Tensor, " n"]:
        """The evidence lower bound of each image, in nats."""
        return self.log_likelihood - self.kl

    @property
    def active_units(self) -> int:
        """Number of active latents, see `ACTIVE_VARIANCE`."""
        return int((self.mean.double().var(0, unbiased=False) > ACTIVE_VARIANCE).sum())


@torch.no_grad()
def encode(
    vae: VAE,
    images: Images,
    seed: int = 0,
    batch_size: int = 512,
    device: torch.device | str | None = None,
    advance: Callable[[int], None] = lambda images: None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Encodings:
    """Encode 8-bit images in order. Mean and variance are deterministic; the ELBO terms use one draw of z per image.

    The draw for image i depends only on the seed and i, not on the batch size or the number of images. The model is moved to
    `device` if one is given. `advance` is called with the number of images done. The processes of `group` share the work,
    and each returns the whole result.
    """
    noise = draws(len(images), vae.prior.latents, seed)
    is_mass = len(images) > 0

    def terms(x: Tensor, rows: slice) -> tuple[Tensor, ...]:
        nonlocal is_mass
        posterior = vae.posterior(x)
        z = posterior.mean + posterior.stddev * noise[rows].to(x.device)
        log_likelihood, kl = vae.decode(z).log_prob(x), vae.prior.kl(posterior, z)
        is_mass = is_mass and vae.likelihood.is_mass_on(x)
        return posterior.mean, log_variance(posterior), log_likelihood, kl

    mean, variance, log_likelihood, kl = _map_batches(vae, images, terms, batch_size, device, advance, group)
    return Encodings(mean, variance, log_likelihood, kl, group.all(is_mass))


@torch.no_grad()
def posteriors(
    vae: VAE,
    images: Images,
    batch_size: int = 512,
    device: torch.device | str | None = None,
    advance: Callable[[int], None] = lambda images: None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> tuple[Float[Tensor, "n latents"], Float[Tensor, "n latents"]]:
    """Return the mean and log-variance of each image's posterior, as `encode` does, but without running the decoder."""

    def terms(x: Tensor, rows: slice) -> tuple[Tensor, ...]:
        posterior = vae.posterior(x)
        return posterior.mean, log_variance(posterior)

    mean, variance = _map_batches(vae, images, terms, batch_size, device, advance, group)
    return mean, variance


def log_variance(posterior: Normal) -> Tensor:
    """Return 2 log sigma of a posterior."""
    return 2 * posterior.stddev.log()


def _map_batches(
    vae: VAE,
    images: Images,
    terms: Callable[[Tensor, slice], tuple[Tensor, ...]],
    batch_size: int,
    device: torch.device | str | None,
    advance: Callable[[int], None],
    group: ProcessGroup,
) -> tuple[Tensor, ...]:
    """Apply `terms` to each batch of images in [0, 1] and its slice of rows; return the concatenated results on the CPU."""
    vae = vae if device is None else vae.to(device)
    device, training = next(vae.parameters()).device, vae.training
    vae.eval()
    if device.type == "cpu":
        # glibc returns the memory of each batch to the system and requests it again, which takes up to a quarter of the time.
        # Freeing one block just below 32 MiB raises its thresholds, and it then keeps up to twice that much.
        torch.empty(31 * 2**20, dtype=torch.uint8)
    parts: list[tuple[Tensor, ...]] = []
    shard, valid = group.shard_or_first(len(images))
    for rows in batches(shard, batch_size):
        batch = images[rows]
        parts.append(terms(to_unit(batch.to(device)), rows))
        advance(len(batch))
    vae.train(training)
    return tuple(group.gather(torch.cat(part).cpu()[: None if valid else 0]) for part in zip(*parts, strict=True))


def batches(rows: slice, size: int) -> Iterator[slice]:
    """Split a slice of rows into consecutive slices of at most `size` rows.

    >>> list(batches(slice(5, 10), 3))
    [slice(5, 8, None), slice(8, 10, None)]
    """
    for start in range(rows.start, rows.stop, size):
        yield slice(start, min(start + size, rows.stop))


def draws(n: int, latents: int, seed: int, block: int = 1024) -> Float[Tensor, "{n} {latents}"]:
    """Return standard normal noise whose first rows do not depend on n, unlike those of torch.randn."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([torch.randn(block, latents, generator=generator) for _ in range(0, max(n, 1), block)])[:n]


def kl_per_latent(mean: Float[Tensor, "n latents"], log_variance: Float[Tensor, "n latents"]) -> Float[Tensor, "n latents"]:
    """Return KL(q(z_i|x) || N(0, 1)) per image and latent, in nats (Kingma & Welling, 2013, arXiv 1312.6114, appendix B)."""
    posterior = Normal(mean, (0.5 * log_variance).exp(), validate_args=False)
    return kl_divergence(posterior, Normal(torch.zeros_like(mean), torch.ones_like(mean), validate_args=False))


def evaluate(
    vae: VAE,
    images: Images,
    seed: int = 0,
    batch_size: int = 512,
    device: torch.device | str | None = None,
    advance: Callable[[int], None] = lambda images: None,
    samples: int = 0,
    factors: Int[Tensor, "n factors"] | None = None,
    classifier: LabelClassifier | None = None,
    labels: dict[str, np.ndarray] | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Evaluation:
    """Evaluate a VAE on 8-bit images.

    `samples` is the number of importance samples per image for the log-likelihood (0: none). Disentanglement is measured if
    the images' `factors` are given, and sample quality if a `classifier` is given; it uses the `labels` it was trained on.
    `advance` is called with the number of images done; with importance samples each image counts twice. The processes of
    `group` share the work, and each returns all figures. Raises ValueError if there are no images.
    """
    if len(images) == 0:
        raise ValueError("evaluation needs at least one image; got none.")
    encodings = encode(vae, images, seed, batch_size, device, advance, group)
    estimate = importance.log_likelihood(vae, images, samples, seed, device, advance, group) if samples else None
    sample_quality = None if classifier is None else quality(vae, classifier, images, labels or {}, seed)
    return summarize(vae, images, encodings, estimate, factors, sample_quality, seed, batch_size, group)


def summarize(
    vae: VAE,
    images: Images,
    encodings: Encodings,
    estimate: importance.Likelihoods | None = None,
    factors: Int[Tensor, "n factors"] | None = None,
    sample_quality: Quality | None = None,
    seed: int = 0,
    batch_size: int = 512,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Evaluation:
    """Return the evaluation of images from their encodings, and from the other results if given."""
    # Sum in float64, so that order and size of batches do not change the figures.
    elbo = encodings.elbo.double().mean().item()
    n, nll = len(images), None if estimate is None else -estimate.value.mean().item()
    bits = (-elbo if nll is None else nll) / (math.log(2) * images.shape[1:].numel())
    return Evaluation(
        elbo=elbo,
        log_likelihood=encodings.log_likelihood.double().mean().item(),
        kl=encodings.kl.double().mean().item(),
        kl_per_latent=kl_per_latent(encodings.mean, encodings.log_variance).double().mean(0).tolist(),
        active_units=encodings.active_units,
        reconstruction_rmse=reconstruction_error(vae, images, encodings.mean, batch_size, group).square().mean().sqrt().item(),
        aggregated_posterior_mismatch=mismatch(vae, encodings, seed),
        nll=nll,
        nll_samples=0 if estimate is None else estimate.samples,
        nll_standard_error=None if estimate is None or n < 2 else (estimate.value.std() / math.sqrt(n)).item(),
        nll_monte_carlo_error=None if estimate is None else (estimate.standard_error.square().sum().sqrt() / n).item(),
        bits_per_dim=bits if encodings.is_mass else None,
        disentanglement=None if factors is None else disentanglement(encodings.mean, factors, seed),
        quality=sample_quality,
        likelihood=vae.likelihood.kind_on(encodings.is_mass),
        images=n,
    )


@torch.no_grad()
def reconstruction_error(
    vae: VAE, images: Images, mean: Float[Tensor, "n latents"], batch_size: int = 512, group: ProcessGroup = SINGLE_PROCESS
) -> Float[Tensor, " n"]:
    """Return the root mean squared error between each image in [0, 1] and the decoder's mean at its posterior mean."""
    device = next(vae.parameters()).device
    errors: list[Tensor] = []
    shard, valid = group.shard_or_first(len(images))
    for rows in batches(shard, batch_size):
        difference = vae.decode(mean[rows].to(device)).mean - to_unit(images[rows].to(device))
        errors.append(difference.square().flatten(1).double().mean(1).sqrt().cpu())
    return group.gather(torch.cat(errors)[: None if valid else 0])


@torch.no_grad()
def mismatch(vae: VAE, encodings: Encodings, seed: int = 0, max_images: int = 2000) -> float:
    """Return the energy distance between draws from the aggregated posterior q(z), one per image, and from the prior p(z)."""
    index = torch.randperm(len(encodings.mean), generator=torch.Generator().manual_seed(seed))[:max_images]
    sigma = (0.5 * encodings.log_variance[index]).exp()
    z = encodings.mean[index] + sigma * draws(len(encodings.mean), encodings.mean.shape[1], seed)[index]
    return energy_distance(z, vae.prior.sample(len(index), torch.Generator().manual_seed(seed + 1)).cpu())


def energy_distance(a: Float[Tensor, "n latents"], b: Float[Tensor, "m latents"]) -> float:
    """Return 1 - (E|a - a'| + E|b - b'|) / 2E|a - b|: 0 for samples of the same distribution, at most 1, without units.

    The expectations are estimated without bias, so the result can be below 0 by chance (Székely & Rizzo, 2013, "Energy
    statistics").
    """

    def mean_distance(s: Tensor) -> Tensor:
        return torch.cdist(s, s).double().sum() / max(len(s) * (len(s) - 1), 1)

    between = torch.cdist(a, b).double().mean()
    return (1 - (mean_distance(a) + mean_distance(b)) / (2 * between)).item() if between else 0.0
