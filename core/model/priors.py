"""Priors p(z): the distribution over the latent space that new images are drawn from."""

import math

import torch
import zuko
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from core.model.posterior import posterior


class Prior(nn.Module):
    """A distribution over latents.

    A prior that has no closed-form divergence overrides only `log_prob` and `sample`; its `kl` is then the one-sample
    Monte Carlo estimate log q(z|x) - log p(z), unbiased, and a single term.
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
        return self.kl_terms(posterior, z).sum(-1)

    def kl_terms(self, posterior: Normal, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch terms"]:
        """The terms that the KL is the sum of: one for each latent where the prior takes them one by one, else one for all."""
        return (posterior.log_prob(z).sum(-1) - self.log_prob(z))[..., None]


def noise(n: int, latents: int, generator: torch.Generator | None) -> Float[Tensor, "{n} {latents}"]:
    """Standard normal draws on the generator's own device (the CPU by default): a seed means the same picture everywhere."""
    device = generator.device if generator is not None else "cpu"
    return torch.randn(n, latents, generator=generator, device=device)


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
        return noise(n, self.latents, generator).to(self.zero)

    def kl_terms(self, posterior: Normal, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch latents"]:
        return (posterior.mean.square() + posterior.variance - 1) / 2 - posterior.stddev.log()


class VampPrior(Prior):
    """The mixture of the posteriors of `components` learned images, p(z) = 1/K sum_k q(z|u_k).

    The pseudo-inputs u_k are as many images in [0, 1], trained with the rest (Tomczak & Welling, 2018, arXiv 1705.07120).
    `encoder` is the VAE's own.
    """

    def __init__(self, latents: int, encoder: nn.Module, shape: tuple[int, int, int], components: int = 500) -> None:
        super().__init__(latents)
        # Kept in a tuple: a submodule of the VAE already, it must not be saved, or stepped, a second time.
        self._encoder = (encoder,)
        self.pseudo_inputs = nn.Parameter(torch.randn(components, *shape) * 0.5)

    @property
    def components(self) -> Normal:
        """The posteriors of the pseudo-inputs, (K, latents)."""
        return posterior(self._encoder[0], self.pseudo_inputs.sigmoid())

    def log_prob(self, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
        # ((z - m) / s)^2 multiplied out: three matrix products, where the difference itself would be K numbers for each of z's.
        # They cancel, and so are taken in double precision where the device has it.
        precise = torch.float32 if z.device.type == "mps" else torch.float64
        q = self.components
        mean, stddev, at = q.mean.to(precise), q.stddev.to(precise), z.to(precise)
        inverse = stddev**-2
        squares = at.square() @ inverse.T - 2 * at @ (mean * inverse).T + (mean.square() * inverse).sum(-1)
        scale = stddev.log().sum(-1) + self.latents / 2 * math.log(2 * math.pi) + math.log(len(mean))
        return (-squares / 2 - scale).logsumexp(-1).to(z.dtype)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "{n} latents"]:
        q = self.components
        chosen = torch.randint(len(q.mean), (n,), generator=generator).to(q.mean.device)
        return q.mean[chosen] + q.stddev[chosen] * noise(n, self.latents, generator).to(q.mean)


REACH = 10.0
"""Far outside of where a trained posterior puts anything."""


def clamp_inputs(module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    """What a flow's network gets to see of latents."""
    return (given[0].clamp(-REACH, REACH),)


class FlowPrior(Prior):
    """A normal pulled into shape by a masked autoregressive flow (Papamakarios et al., 2017, arXiv 1705.07057).

    Learned with the rest, it takes the form of the aggregated posterior, which the KL then no longer pays for: the cheapest
    known route to a better bound over one latent vector (Xu et al., 2019, arXiv 1905.13452). A density costs one pass through
    `transforms` networks of two layers of `width` units, a draw `latents` passes.

    Beyond `REACH` a latent no longer changes how the others are scaled: the density stays one, and its logarithm falls as a
    square. Without this bound it falls as the square of an exponential, and a run whose first steps throw the codes far out,
    as a sharp likelihood of many pixels does while the KL counts for little, never finds back.
    """

    def __init__(self, latents: int, transforms: int = 4, width: int = 128) -> None:
        super().__init__(latents)
        self.flow = zuko.flows.MAF(latents, transforms=transforms, hidden_features=(width, width))
        for module in self.flow.modules():
            if isinstance(module, zuko.nn.MaskedMLP):
                module.register_forward_pre_hook(clamp_inputs)

    def log_prob(self, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
        # Under autocast the flow's own layers would compute in half precision; a density needs the digits.
        with torch.autocast(z.device.type, enabled=False):
            return self.flow().log_prob(z)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "{n} latents"]:
        flow = self.flow()
        return flow.transform.inv(noise(n, self.latents, generator).to(next(self.parameters())))
