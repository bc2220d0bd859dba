"""Priors p(z): the distributions over latents from which new images are sampled."""

import math

import torch
import zuko
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from core.model.posterior import posterior


class Prior(nn.Module):
    """A distribution over latents.

    A prior without a closed-form KL implements only `log_prob` and `sample`. Its KL is then a single term, the unbiased
    one-sample Monte Carlo estimate log q(z|x) - log p(z).
    """

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.latents = latents

    def log_prob(self, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
        """Return the log density at z, in nats."""
        raise NotImplementedError

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "{n} latents"]:
        """Draw n independent latents."""
        raise NotImplementedError

    def kl(self, posterior: Normal, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
        """Return KL(posterior || prior) per example, in nats; z is a draw from the posterior."""
        return self.kl_terms(posterior, z).sum(-1)

    def kl_terms(self, posterior: Normal, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch terms"]:
        """Return the terms whose sum is the KL: one per latent if the prior is factorized, else a single one."""
        return (posterior.log_prob(z).sum(-1) - self.log_prob(z))[..., None]


def normal_noise(n: int, latents: int, generator: torch.Generator | None) -> Float[Tensor, "{n} {latents}"]:
    """Draw standard normal noise on the generator's device (default: CPU), so a seed gives the same images on every device."""
    device = generator.device if generator is not None else "cpu"
    return torch.randn(n, latents, generator=generator, device=device)


class StandardNormal(Prior):
    """p(z) = N(0, I), with the closed-form KL (Kingma & Welling, 2013, arXiv 1312.6114, appendix B)."""

    zero: Tensor
    one: Tensor

    def __init__(self, latents: int) -> None:
        super().__init__(latents)
        self.register_buffer("zero", torch.zeros(()), persistent=False)
        self.register_buffer("one", torch.ones(()), persistent=False)

    @property
    def distribution(self) -> Normal:
        """The distribution of each latent."""
        return Normal(self.zero, self.one, validate_args=False)

    def log_prob(self, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
        return self.distribution.log_prob(z).sum(-1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "{n} latents"]:
        return normal_noise(n, self.latents, generator).to(self.zero)

    def kl_terms(self, posterior: Normal, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch latents"]:
        return (posterior.mean.square() + posterior.variance - 1) / 2 - posterior.stddev.log()


class VampPrior(Prior):
    """The mixture of the posteriors of K = `components` pseudo-inputs, p(z) = 1/K sum_k q(z|u_k).

    The pseudo-inputs u_k are images in [0, 1], trained with the other weights (Tomczak & Welling, 2018, arXiv 1705.07120).
    `encoder` is the encoder of the same VAE.
    """

    def __init__(self, latents: int, encoder: nn.Module, shape: tuple[int, int, int], components: int = 500) -> None:
        super().__init__(latents)
        # In a tuple, because the encoder is already a submodule of the VAE: it must not be saved or optimized twice.
        self._encoder = (encoder,)
        self.pseudo_inputs = nn.Parameter(torch.randn(components, *shape) * 0.5)

    @property
    def posteriors(self) -> Normal:
        """The posteriors of the pseudo-inputs, (K, latents)."""
        return posterior(self._encoder[0], self.pseudo_inputs.sigmoid())

    def log_prob(self, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
        # ((z - mean) / stddev)^2 is expanded into matrix products; the differences would take K times the memory of z.
        # The terms cancel, which needs float64 where the device supports it.
        dtype = torch.float32 if z.device.type == "mps" else torch.float64
        q = self.posteriors
        mean, stddev, point = q.mean.to(dtype), q.stddev.to(dtype), z.to(dtype)
        precision = stddev**-2
        squares = point.square() @ precision.T - 2 * point @ (mean * precision).T + (mean.square() * precision).sum(-1)
        log_normalizer = stddev.log().sum(-1) + self.latents / 2 * math.log(2 * math.pi) + math.log(len(mean))
        return (-squares / 2 - log_normalizer).logsumexp(-1).to(z.dtype)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "{n} latents"]:
        q = self.posteriors
        chosen = torch.randint(len(q.mean), (n,), generator=generator).to(q.mean.device)
        return q.mean[chosen] + q.stddev[chosen] * normal_noise(n, self.latents, generator).to(q.mean)


MAX_FLOW_INPUT = 10.0
"""Largest absolute value of a latent in the input of a flow's networks, far outside the range of trained posteriors."""


def clamp_inputs(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Clamp the latents that a flow's network receives; a forward pre-hook."""
    return (inputs[0].clamp(-MAX_FLOW_INPUT, MAX_FLOW_INPUT),)


class FlowPrior(Prior):
    """A standard normal transformed by a masked autoregressive flow (Papamakarios et al., 2017, arXiv 1705.07057).

    Trained with the VAE, it approximates the aggregated posterior, which lowers the KL: the cheapest known way to a better
    bound with one latent vector (Xu et al., 2019, arXiv 1905.13452). A density takes one pass through `transforms` networks
    with two layers of `width` units; a draw takes `latents` passes.

    The networks receive latents clamped to ±MAX_FLOW_INPUT. The density is still normalized, and its logarithm falls
    quadratically far out. Without the clamp it falls as the square of an exponential. Then training cannot recover if its first
    steps move posteriors far out, which happens with a sharp likelihood of many pixels while the weight of the KL is small.
    """

    def __init__(self, latents: int, transforms: int = 4, width: int = 128) -> None:
        super().__init__(latents)
        self.flow = zuko.flows.MAF(latents, transforms=transforms, hidden_features=(width, width))
        for module in self.flow.modules():
            if isinstance(module, zuko.nn.MaskedMLP):
                module.register_forward_pre_hook(clamp_inputs)

    def log_prob(self, z: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
        # Autocast would compute the flow's layers in half precision; densities need float32.
        with torch.autocast(z.device.type, enabled=False):
            return self.flow().log_prob(z)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "{n} latents"]:
        flow = self.flow()
        return flow.transform.inv(normal_noise(n, self.latents, generator).to(next(self.parameters())))
