"""Priors p(z): the distribution over the latent space that new images are drawn from."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence


class Prior(nn.Module):
    """A distribution over latents.

    A prior that has no closed-form divergence overrides only `log_prob` and `sample`; its `kl` is then the one-sample
    Monte Carlo estimate log q(z|x) - log p(z), unbiased.
    """

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.latents = latents

    def log_prob(self, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
        """Log density at z, in nats."""
        raise NotImplementedError

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "{n} latents"]:
        """n independent draws."""
        raise NotImplementedError

    def kl(self, posterior: Normal, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
        """KL(posterior || prior) per example, in nats; z is a draw from the posterior."""
        return posterior.log_prob(z).sum(-1) - self.log_prob(z)


class StandardNormal(Prior):
    """p(z) = N(0, I), with the analytic divergence (Kingma & Welling, 2013, arXiv 1312.6114, appendix B)."""

    zero: Tensor
    one: Tensor

    def __init__(self, latents: int) -> None:
        super().__init__(latents)
        self.register_buffer("zero", torch.zeros(()), persistent=False)
        self.register_buffer("one", torch.ones(()), persistent=False)

    @property
    def distribution(self) -> Normal:
        """One latent's distribution; all of them share it."""
        return Normal(self.zero, self.one, validate_args=False)

    def log_prob(self, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
        return self.distribution.log_prob(z).sum(-1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "{n} latents"]:
        # Drawn on the generator's own device (the CPU by default), so that a seed means the same picture everywhere.
        device = generator.device if generator is not None else "cpu"
        return torch.randn(n, self.latents, generator=generator, device=device).to(self.zero.device)

    def kl(self, posterior: Normal, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
        return kl_divergence(posterior, self.distribution).sum(-1)


PRIORS: dict[str, type[Prior]] = {"normal": StandardNormal}
