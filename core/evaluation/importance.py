"""The importance-sampled log-likelihood: an estimate of log p(x) itself where the ELBO is a bound of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from core.data.preprocessing import Images, to_unit
from core.distributed import SINGLE_PROCESS, ProcessGroup
from core.model.vae import VAE

BLOCK = 256
"""Images that are encoded, and given their noise, together; fixed, so that no figure depends on the memory at hand."""
DECODED = 512
"""Latents decoded at once: more of them leave the processor's caches, and take half as long again."""


@dataclass(frozen=True)
class Likelihoods:
    """log p(x) of each image, in nats, and the standard error of each that comes from the finite number of samples."""

    value: Float[Tensor, " n"]
    standard_error: Float[Tensor, " n"]
    samples: int


@torch.no_grad()
def log_likelihood(
    vae: VAE,
    images: Images,
    samples: int,
    seed: int = 0,
    device: torch.device | str | None = None,
    advance: Callable[[int], None] = lambda images: None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Likelihoods:
    """log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x), for 8-bit images and K = `samples`.

    In the mean a lower bound of log p(x) that rises towards it with K, never below the ELBO (Burda et al., 2016,
    arXiv 1509.00519, whose figures use K = 5,000). Each image is encoded once; its draws depend on the seed and on its
    position alone. `advance` is told the images done. Of several processes each does its part, and all get the whole. Raises
    ValueError for fewer than one sample.
    """
    if samples < 1:
        raise ValueError(f"importance sampling needs at least 1 sample per image; got {samples}.")
    vae = vae if device is None else vae.to(device)
    device, training = next(vae.parameters()).device, vae.training
    vae.eval()
    values: list[Tensor] = [torch.empty(0, dtype=torch.float64)]
    errors: list[Tensor] = [torch.empty(0, dtype=torch.float64)]
    mine = group.shard(len(images), BLOCK)
    for start in range(mine.start, mine.stop, BLOCK):
        x = to_unit(images[start : min(start + BLOCK, mine.stop)].to(device))
        posterior = vae.posterior(x)
        generator = torch.Generator().manual_seed(1_000_003 * seed + start // BLOCK)
        weights: list[Tensor] = []
        for step in range(0, samples, chunk := max(1, DECODED // BLOCK)):
            k = min(chunk, samples - step)
            noise = torch.randn(k, BLOCK, vae.prior.latents, generator=generator)[:, : len(x)].to(device)
            z = posterior.mean + posterior.stddev * noise
            given = vae.decode(z.flatten(0, 1)).log_prob(x.repeat(k, 1, 1, 1)).unflatten(0, (k, len(x)))
            weights.append(given + vae.prior.log_prob(z) - posterior.log_prob(z).sum(-1))
        log_weight = torch.cat(weights).double()
        values.append((log_weight.logsumexp(0) - math.log(samples)).cpu())
        share = log_weight.softmax(0)
        # The delta method: the relative error of a mean of weights is the error of its logarithm.
        errors.append((share.square().sum(0) - 1 / samples).clamp_min(0).sqrt().cpu())
        advance(len(x))
    vae.train(training)
    return Likelihoods(group.gather(torch.cat(values)), group.gather(torch.cat(errors)), samples)
