"""The posterior q(z|x): from an encoder network's output to a normal distribution."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal


def to_float32(h: Tensor) -> Tensor:
    """Upcast half-precision tensors, the outputs of autocast, to float32; densities need the precision."""
    return h.float() if h.is_floating_point() and h.element_size() == 2 else h


def posterior(encoder: nn.Module, x: Float[Tensor, "n c h w"]) -> Normal:
    """Return q(z|x) = N(mean, variance), batch shape (N, latents), from the encoder's (N, 2 latents): means, log-variances."""
    mean, log_variance = to_float32(encoder(x)).chunk(2, dim=-1)
    # Trained posteriors stay far within standard deviations e^±8; the limit prevents overflow in the first steps.
    return Normal(mean, (0.5 * log_variance.clamp(-16, 16)).exp(), validate_args=False)
