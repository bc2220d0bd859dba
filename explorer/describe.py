"""Encoding, scoring and decoding of pictures with a bundle, shared by the command line, the API and the Encode tab."""

from typing import Any

import torch
from PIL import Image
from torch.distributions import Normal

import core
from core.data.preprocessing import Polarity, Prepared, to_bytes

VERDICT = {"odd": 0.05, "very_odd": 0.01, "few": 100}
"""P-values below which an image is odd and very odd; number of normal images below which a verdict warns of a small sample."""


def prepare(bundle: core.Bundle, picture: Image.Image, polarity: Polarity = "auto", trim: bool = True) -> Prepared:
    """Preprocess a picture for the model of this bundle."""
    return bundle.preprocessing.prepare(picture, polarity, trim)


def describe(bundle: core.Bundle, images: torch.Tensor) -> list[dict[str, Any]]:
    """Encode and score 8-bit images (N, C, H, W) and return one record per image, as plain JSON.

    A record has the posterior `mean` and `log_variance` (lists); `elbo`, `log_likelihood` and `kl` in nats, from one fixed draw
    of z; `p_value`, the fraction of normal images that are at least as odd (None without an anomaly detector); and the position
    `x`, `y` of the mean on the map (None without a map). Raises ValueError for images of another shape.
    """
    # Images are encoded separately, so that each gets the same draw of z and its record does not depend on the others.
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
    """Describe the p-value (1 + k) / (1 + normal) in words, where k of the `normal` images are at least as odd.

    >>> verdict(0.37, 1999)
    'Looks normal: 739 of 1,999 normal images are at least as odd.'
    >>> verdict(1 / 27, 26)
    'Odd: none of 26 normal images is at least as odd. This sample is small; train on more pictures.'
    """
    word = "Looks normal" if p_value >= VERDICT["odd"] else "Odd" if p_value >= VERDICT["very_odd"] else "Very odd"
    as_odd = round(p_value * (1 + normal)) - 1
    count, are = (f"{as_odd:,}" if as_odd else "none"), ("are" if as_odd > 1 else "is")
    few = " This sample is small; train on more pictures." if normal < VERDICT["few"] else ""
    return f"{word}: {count} of {normal:,} normal images {are} at least as odd.{few}"


def parse_latents(bundle: core.Bundle, values: list[float]) -> torch.Tensor:
    """Convert a list of finite numbers, one per latent, to a tensor (1, latents). Raises ValueError for anything else."""
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
    """Decode latents (N, latents) into 8-bit mean images (N, C, H, W)."""
    return to_bytes(bundle.vae.decode(z).mean)
