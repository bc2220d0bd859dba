"""The posterior q(z|x): what an encoder network's output means."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal


def to_float32(h: Tensor) -> Tensor:
    """Half-precision numbers, as networks emit them under autocast, in float32; densities need the digits."""
    return h.float() if h.is_floating_point() and h.element_size() == 2 else h


def posterior(encoder: nn.Module, x: Float[Tensor, "n c h w"]) -> Normal:
    """q(z|x) = N(mean, variance) with batch shape (N, latents); the encoder emits (N, 2 latents): means, log-variances."""
    mean, log_variance = to_float32(encoder(x)).chunk(2, dim=-1)
    # e^±8 is far outside what a trained posterior uses; inside it, nothing overflows on a wild first step.
    return Normal(mean, (0.5 * log_variance.clamp(-16, 16)).exp(), validate_args=False)
