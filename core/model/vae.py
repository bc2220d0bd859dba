"""The variational autoencoder (Kingma & Welling, 2013, arXiv 1312.6114; Rezende et al., 2014, arXiv 1401.4082)."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from core.model.likelihoods import Likelihood
from core.model.posterior import posterior, to_float32
from core.model.priors import Prior


class Elbo(NamedTuple):
    """The two terms of the evidence lower bound (ELBO), per image, in nats: log p(x) >= log_likelihood - kl."""

    log_likelihood: Float[Tensor, " n"]
    kl: Float[Tensor, " n"]

    @property
    def value(self) -> Float[Tensor, " n"]:
        """The bound, log_likelihood - kl."""
        return self.log_likelihood - self.kl


class VAE(nn.Module):
    """A variational autoencoder: prior p(z), encoder for q(z|x) = N(mean, variance), decoder and likelihood for p(x|z).

    Images are float32 in [0, 1], shaped (N, C, H, W). Latents are float32, shaped (N, latents).

    >>> import torch
    >>> from core import Architecture
    >>> vae = Architecture(channels=1, height=8, width=8, latents=2, network="mlp").build()
    >>> x = torch.rand(5, 1, 8, 8)
    >>> vae.posterior(x).mean.shape, vae.decode(vae.prior.sample(3)).mean.shape
    (torch.Size([5, 2]), torch.Size([3, 1, 8, 8]))
    >>> vae.elbo(x).value.shape
    torch.Size([5])
    """

    def __init__(self, prior: Prior, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood) -> None:
        super().__init__()
        self.prior = prior
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood

    def posterior(self, x: Float[Tensor, "n c h w"]) -> Normal:
        """Return q(z|x): a normal with batch shape (N, latents). Its mean is the encoding of x."""
        return posterior(self.encoder, x)

    def decode(self, z: Float[Tensor, "n latents"]) -> Distribution:
        """Return p(x|z): a distribution over images with `.mean` (N, C, H, W), `.log_prob(x)` (N,) in nats, and `.sample()`."""
        return self.likelihood(to_float32(self.decoder(z)))

    def elbo(
        self,
        x: Float[Tensor, "n c h w"],
        noise: Float[Tensor, "n latents"] | None = None,
        encoder_input: Float[Tensor, "n c h w"] | None = None,
    ) -> Elbo:
        """Return the evidence lower bound of each image, from one reparameterized draw z = mean + sigma * noise.

        `noise` is standard normal; without it, z is drawn from torch's global generator. `encoder_input` replaces x as the
        input of the encoder; the result is a bound of log p(x) for any such input (Im et al., 2015, arXiv 1511.06406).
        """
        posterior = self.posterior(x if encoder_input is None else encoder_input)
        z = posterior.rsample() if noise is None else posterior.mean + posterior.stddev * noise
        return Elbo(log_likelihood=self.decode(z).log_prob(x), kl=self.prior.kl(posterior, z))
