"""Objectives: what training maximizes. Each is a function `objective(vae, x, noise, encoder_input) -> Elbo`, in nats per image.

`noise` is standard normal, (n, latents), or (draws, n, latents) for an objective that takes several draws per image.
`encoder_input`, if not None, replaces x as the input of the encoder (see `VAE.elbo`).
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Normal

from core.model.vae import VAE, Elbo

Objective = Callable[[VAE, Tensor, Tensor, Tensor | None], Elbo]


def batchwise(objective: Objective) -> Objective:
    """Mark an objective whose terms for one image depend on the rest of the batch, so that a batch cannot be sharded."""
    objective.batchwise = True  # pyright: ignore[reportFunctionMemberAccess]
    return objective


def is_batchwise(objective: Objective) -> bool:
    """Whether the objective is marked with `batchwise`."""
    return getattr(objective, "batchwise", False)


def elbo(vae: VAE, x: Tensor, noise: Tensor, encoder_input: Tensor | None = None) -> Elbo:
    """The evidence lower bound (Kingma & Welling, 2013, arXiv 1312.6114)."""
    return vae.elbo(x, noise, encoder_input)


def beta(weight: float) -> Objective:
    """log-likelihood - weight * KL (beta-VAE, Higgins et al., 2017). A lower bound of log p(x) only if weight >= 1."""

    def objective(vae: VAE, x: Tensor, noise: Tensor, encoder_input: Tensor | None = None) -> Elbo:
        log_likelihood, kl = vae.elbo(x, noise, encoder_input)
        return Elbo(log_likelihood, weight * kl)

    return objective


def free_bits(nats: float) -> Objective:
    """log-likelihood - sum_j max(KL_j, nats), where KL_j is the batch mean of latent j's KL (free bits, Kingma et al., 2016,
    arXiv 1606.04934, with one group per latent).

    The first `nats` of each latent are free, so latents do not collapse early and collapsed ones recover. A learned prior has
    one KL for all latents: they share latents * nats.
    """

    @batchwise
    def objective(vae: VAE, x: Tensor, noise: Tensor, encoder_input: Tensor | None = None) -> Elbo:
        posterior = vae.posterior(x if encoder_input is None else encoder_input)
        z = posterior.mean + posterior.stddev * noise
        terms = vae.prior.kl_terms(posterior, z)
        free = nats * vae.prior.latents / terms.shape[-1]
        return Elbo(vae.decode(z).log_prob(x), terms.sum(-1) + (free - terms.mean(0)).clamp_min(0).sum())

    return objective


def beta_tc(weight: float, images: int) -> Objective:
    """log-likelihood - KL - (weight - 1) * TC, where TC is the total correlation of the aggregated posterior (beta-TCVAE, Chen
    et al., 2018, arXiv 1802.04942). `images` is the size of the training set, needed to estimate q(z)."""

    @batchwise
    def objective(vae: VAE, x: Tensor, noise: Tensor, encoder_input: Tensor | None = None) -> Elbo:
        posterior = vae.posterior(x if encoder_input is None else encoder_input)
        z = posterior.mean + posterior.stddev * noise
        kl = vae.prior.kl(posterior, z)
        return Elbo(vae.decode(z).log_prob(x), kl + (weight - 1) * total_correlation(posterior, z, images))

    return objective


def total_correlation(posterior: Normal, z: Float[Tensor, "n latents"], images: int) -> Float[Tensor, " n"]:
    """Estimate log q(z) - sum_j log q(z_j) at each z, where q is the mixture of the posteriors of all `images` images.

    Stratified sampling: the batch's n - 1 other images represent all other images (Chen et al., 2018, appendix C).
    """
    n = len(z)
    # densities[i, k, j] = log q(z_i,j | x_k): the density of draw i under the posterior of image k
    densities = Normal(posterior.mean, posterior.stddev, validate_args=False).log_prob(z[:, None])
    is_own = torch.eye(n, dtype=torch.bool, device=z.device)
    others = max(n - 1, 1)
    log_weight = torch.full((n, n), math.log((images - 1) / (images * others)), device=z.device)
    log_weight = torch.where(is_own, -math.log(images), log_weight)
    joint = (log_weight + densities.sum(-1)).logsumexp(1)
    marginals = (log_weight[..., None] + densities).logsumexp(1)
    return joint - marginals.sum(-1)


def iwae(vae: VAE, x: Tensor, noise: Float[Tensor, "*k n latents"], encoder_input: Tensor | None = None) -> Elbo:
    """The importance-weighted bound log 1/K sum_k p(x, z_k) / q(z_k|x) (IWAE, Burda et al., 2016, arXiv 1509.00519).

    The encoder's gradients are doubly reparameterized (Tucker et al., 2018, arXiv 1810.04152): their signal-to-noise ratio does
    not fall as K grows. `log_likelihood` is the importance-weighted mean over the draws; `kl` is that mean minus the bound.
    """
    noise = noise.reshape(-1, *noise.shape[-2:])
    k, n, latents = noise.shape
    posterior = vae.posterior(x if encoder_input is None else encoder_input)
    z = posterior.mean + posterior.stddev * noise
    log_likelihood = vae.decode(z.reshape(k * n, latents)).log_prob(x.repeat(k, 1, 1, 1)).reshape(k, n)
    detached = Normal(posterior.mean.detach(), posterior.stddev.detach(), validate_args=False)
    log_weight = log_likelihood + vae.prior.log_prob(z) - detached.log_prob(z).sum(-1)
    importance = log_weight.detach().softmax(0)
    if z.requires_grad:
        # The surrogate weights each draw's gradient by its importance. The encoder's gradient needs the square of it.
        z.register_hook(lambda gradient: importance[..., None] * gradient)
    surrogate = (importance * log_weight).sum(0)
    bound = log_weight.detach().logsumexp(0) - math.log(k) + surrogate - surrogate.detach()
    weighted = (importance * log_likelihood).sum(0)
    return Elbo(weighted, weighted - bound)


OBJECTIVES: dict[str, Callable[[float, int], Objective]] = {
    "elbo": lambda strength, images: elbo,
    "beta": lambda strength, images: beta(strength),
    "free-bits": lambda strength, images: free_bits(strength),
    "beta-tc": beta_tc,
    "iwae": lambda strength, images: iwae,
}
"""Name on the command line → function from a strength (weight or nats) and the number of training images to an objective."""
