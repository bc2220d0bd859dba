"""Importance-sampled log-likelihood: a tighter estimate of log p(x) than the ELBO."""

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
"""Images per encoder batch and noise block; fixed, so that results do not depend on the available memory."""
DECODER_BATCH = 512
"""Latent vectors per decoder batch; larger batches exceed the processor's caches and take 1.5 times as long."""


@dataclass(frozen=True)
class Likelihoods:
    """Estimated log p(x) of each image and its standard error from the finite number of samples, both in nats."""

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
    """Estimate log p(x) of 8-bit images by log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x), K = `samples`.

    Its expectation is a lower bound of log p(x), at least the ELBO, that rises to log p(x) with K (Burda et al., 2016,
    arXiv 1509.00519, who use K = 5,000). Each image is encoded once. The noise depends only on the seed and the image's index.
    `advance` is called with the number of images done. The processes of `group` share the work, and each returns the whole
    result. Raises ValueError for fewer than one sample.
    """
    if samples < 1:
        raise ValueError(f"importance sampling needs at least 1 sample per image; got {samples}.")
    vae = vae if device is None else vae.to(device)
    device, training = next(vae.parameters()).device, vae.training
    vae.eval()
    values: list[Tensor] = [torch.empty(0, dtype=torch.float64)]
    errors: list[Tensor] = [torch.empty(0, dtype=torch.float64)]
    shard = group.shard(len(images), BLOCK)
    for start in range(shard.start, shard.stop, BLOCK):
        x = to_unit(images[start : min(start + BLOCK, shard.stop)].to(device))
        posterior = vae.posterior(x)
        generator = torch.Generator().manual_seed(1_000_003 * seed + start // BLOCK)
        weights: list[Tensor] = []
        for step in range(0, samples, chunk := max(1, DECODER_BATCH // BLOCK)):
            k = min(chunk, samples - step)
            noise = torch.randn(k, BLOCK, vae.prior.latents, generator=generator)[:, : len(x)].to(device)
            z = posterior.mean + posterior.stddev * noise
            log_likelihood = vae.decode(z.flatten(0, 1)).log_prob(x.repeat(k, 1, 1, 1)).unflatten(0, (k, len(x)))
            weights.append(log_likelihood + vae.prior.log_prob(z) - posterior.log_prob(z).sum(-1))
        log_weight = torch.cat(weights).double()
        values.append((log_weight.logsumexp(0) - math.log(samples)).cpu())
        share = log_weight.softmax(0)
        # Delta method: the standard error of a logarithm is the relative standard error of its argument.
        errors.append((share.square().sum(0) - 1 / samples).clamp_min(0).sqrt().cpu())
        advance(len(x))
    vae.train(training)
    return Likelihoods(group.gather(torch.cat(values)), group.gather(torch.cat(errors)), samples)
