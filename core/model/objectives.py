"""Objectives: what training maximizes. Each is a function `objective(vae, x, noise, seen) -> Elbo`, per image, in nats.

`noise` is standard normal, (n, latents), with one more leading axis where an objective takes several draws per image;
`seen`, where it is not None, is what the encoder gets to see instead of x (see `VAE.elbo`).
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
    """The objective, marked as one whose terms for an image depend on the others of its batch: processes cannot share it."""
    objective.batchwise = True  # pyright: ignore[reportFunctionMemberAccess]
    return objective


def is_batchwise(objective: Objective) -> bool:
    """Whether it is marked so."""
    return getattr(objective, "batchwise", False)


def elbo(vae: VAE, x: Tensor, noise: Tensor, seen: Tensor | None = None) -> Elbo:
    """The evidence lower bound itself (Kingma & Welling, 2013, arXiv 1312.6114)."""
    return vae.elbo(x, noise, seen)


def beta(weight: float) -> Objective:
    """log-likelihood - weight * KL (Higgins et al., 2017, beta-VAE). A bound of log p(x) only for a weight of 1 or more."""

    def objective(vae: VAE, x: Tensor, noise: Tensor, seen: Tensor | None = None) -> Elbo:
        log_likelihood, kl = vae.elbo(x, noise, seen)
        return Elbo(log_likelihood, weight * kl)

    return objective


def free_bits(nats: float) -> Objective:
    """log-likelihood - sum_j max(KL_j, nats): of each latent the batch's mean KL costs nothing up to so many nats, so that none
    is switched off before it has found a use, and one that was comes back (Kingma et al., 2016, arXiv 1606.04934, each latent
    being a group). Under a learned prior, whose KL is of all latents at once, they share what is free."""

    @batchwise
    def objective(vae: VAE, x: Tensor, noise: Tensor, seen: Tensor | None = None) -> Elbo:
        posterior = vae.posterior(x if seen is None else seen)
        z = posterior.mean + posterior.stddev * noise
        terms = vae.prior.kl_terms(posterior, z)
        free = nats * vae.prior.latents / terms.shape[-1]
        return Elbo(vae.decode(z).log_prob(x), terms.sum(-1) + (free - terms.mean(0)).clamp_min(0).sum())

    return objective


def beta_tc(weight: float, images: int) -> Objective:
    """log-likelihood - KL - (weight - 1) * TC, TC being the total correlation of the aggregated posterior (beta-TCVAE, Chen
    et al., 2018, arXiv 1802.04942). `images` is the size of the training set, which the estimate of q(z) needs."""

    @batchwise
    def objective(vae: VAE, x: Tensor, noise: Tensor, seen: Tensor | None = None) -> Elbo:
        posterior = vae.posterior(x if seen is None else seen)
        z = posterior.mean + posterior.stddev * noise
        kl = vae.prior.kl(posterior, z)
        return Elbo(vae.decode(z).log_prob(x), kl + (weight - 1) * total_correlation(posterior, z, images))

    return objective


def total_correlation(posterior: Normal, z: Float[Tensor, "n latents"], images: int) -> Float[Tensor, " n"]:
    """log q(z) - sum_j log q(z_j) at each z, q being the mixture of the posteriors of all `images` images.

    Estimated from the batch by stratified sampling: of the other images, n - 1 stand for all (Chen et al., 2018, appendix C).
    """
    n = len(z)
    # densities[i, k, j] = log q(z_i,j | x_k): draw i under the posterior of image k
    densities = Normal(posterior.mean, posterior.stddev, validate_args=False).log_prob(z[:, None])
    own = torch.eye(n, dtype=torch.bool, device=z.device)
    others = max(n - 1, 1)
    log_weight = torch.full((n, n), math.log((images - 1) / (images * others)), device=z.device)
    log_weight = torch.where(own, -math.log(images), log_weight)
    joint = (log_weight + densities.sum(-1)).logsumexp(1)
    marginals = (log_weight[..., None] + densities).logsumexp(1)
    return joint - marginals.sum(-1)


def iwae(vae: VAE, x: Tensor, noise: Float[Tensor, "*k n latents"], seen: Tensor | None = None) -> Elbo:
    """The importance-weighted bound log 1/K sum_k p(x, z_k) / q(z_k|x) (Burda et al., 2016, arXiv 1509.00519), its encoder
    gradients doubly reparameterized (Tucker et al., 2018, arXiv 1810.04152): they do not fade as K grows.

    The log-likelihood reported is that of the weighted draws, and the KL what separates it from the bound.
    """
    noise = noise.reshape(-1, *noise.shape[-2:])
    k, n, latents = noise.shape
    posterior = vae.posterior(x if seen is None else seen)
    z = posterior.mean + posterior.stddev * noise
    log_likelihood = vae.decode(z.reshape(k * n, latents)).log_prob(x.repeat(k, 1, 1, 1)).reshape(k, n)
    fixed = Normal(posterior.mean.detach(), posterior.stddev.detach(), validate_args=False)
    log_weight = log_likelihood + vae.prior.log_prob(z) - fixed.log_prob(z).sum(-1)
    share = log_weight.detach().softmax(0)
    if z.requires_grad:
        # The bound's own gradient weighs each draw by its share; on its way to the encoder it is weighed a second time.
        z.register_hook(lambda gradient: share[..., None] * gradient)
    surrogate = (share * log_weight).sum(0)
    bound = log_weight.detach().logsumexp(0) - math.log(k) + surrogate - surrogate.detach()
    weighted = (share * log_likelihood).sum(0)
    return Elbo(weighted, weighted - bound)


OBJECTIVES: dict[str, Callable[[float, int], Objective]] = {
    "elbo": lambda strength, images: elbo,
    "beta": lambda strength, images: beta(strength),
    "free-bits": lambda strength, images: free_bits(strength),
    "beta-tc": beta_tc,
    "iwae": lambda strength, images: iwae,
}
"""Names on the command line → an objective, given its strength (a weight or nats) and the number of training images."""
