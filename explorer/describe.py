"""What a model says about pictures: the records that the command line prints, the API returns and the Encode tab shows."""

from typing import Any

import torch
from PIL import Image
from torch.distributions import Normal

import core
from core.data.preprocessing import Polarity, Prepared, to_bytes

FEW = 100
"""Normal images below which a verdict says that it rests on few."""


def prepare(bundle: core.Bundle, picture: Image.Image, polarity: Polarity = "auto", trim: bool = True) -> Prepared:
    """The picture as this model sees it."""
    return bundle.preprocessing.prepare(picture, polarity, trim)


def describe(bundle: core.Bundle, images: torch.Tensor) -> list[dict[str, Any]]:
    """One record per 8-bit image: posterior `mean` and `log_variance` (lists), `elbo`, `log_likelihood` and `kl` in nats
    (one fixed draw of z), `p_value`, the share of normal images at least as odd (None where the model was not calibrated),
    and the place `x`, `y` of the mean on the map (None without a map)."""
    # One by one: every picture gets the same draw, so that its record does not depend on the pictures beside it.
    return [_record(bundle, image) for image in bundle.preprocessing.check(images).split(1)]


def _record(bundle: core.Bundle, image: torch.Tensor) -> dict[str, Any]:
    encodings = core.encode(bundle.vae, image)
    posterior = Normal(encodings.mean, (0.5 * encodings.log_variance).exp(), validate_args=False)
    x, y = bundle.map.place(encodings.mean)[0].tolist() if bundle.map is not None else (None, None)
    return {
        "mean": encodings.mean[0].tolist(),
        "log_variance": encodings.log_variance[0].tolist(),
        "elbo": encodings.elbo.item(),
        "log_likelihood": encodings.log_likelihood.item(),
        "kl": encodings.kl.item(),
        "p_value": None if bundle.detector is None else bundle.anomaly(image, posterior).p_value.item(),
        "x": x,
        "y": y,
    }


def verdict(p_value: float, normal: int) -> str:
    """A p-value in words: (1 + k) / (1 + normal), where k of so many normal images are at least as odd.

    >>> verdict(0.37, 1999)
    'Looks normal: 739 of 1,999 normal images are at least as odd.'
    >>> verdict(1 / 27, 26)
    'Odd: none of 26 normal images is at least as odd. So few to compare with say little; train on more pictures.'
    """
    word = "Looks normal" if p_value >= 0.05 else "Odd" if p_value >= 0.01 else "Very odd"
    as_odd = round(p_value * (1 + normal)) - 1
    count, are = (f"{as_odd:,}" if as_odd else "none"), ("are" if as_odd > 1 else "is")
    few = " So few to compare with say little; train on more pictures." if normal < FEW else ""
    return f"{word}: {count} of {normal:,} normal images {are} at least as odd.{few}"


def parse_latents(bundle: core.Bundle, values: list[float]) -> torch.Tensor:
    """A list of finite numbers, one per latent, as (1, latents); ValueError otherwise."""
    latents = bundle.vae.prior.latents
    rule = f"z must be {latents} finite numbers, one per latent of {bundle.name}"
    if not isinstance(values, list | tuple) or len(values) != latents:
        got = f"{len(values)} values" if isinstance(values, list | tuple) else type(values).__name__
        raise ValueError(f"{rule}; got {got}.")
    try:
        z = torch.tensor([float(value) for value in values])[None]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{rule}; {error}.") from error
    if not z.isfinite().all():
        raise ValueError(f"{rule}; got {values}.")
    return z


@torch.no_grad()
def decode(bundle: core.Bundle, z: torch.Tensor) -> torch.Tensor:
    """The decoder's mean images (N, C, H, W) at latents (N, latents), in 8 bits."""
    return to_bytes(bundle.vae.decode(z).mean)
