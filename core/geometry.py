"""Geometry of the latent space: paths between points, and the points nearest to a point."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor


def interpolate(
    start: Float[Tensor, " latents"],
    end: Float[Tensor, " latents"],
    steps: int,
    method: Literal["linear", "spherical"] = "linear",
) -> Float[Tensor, "steps latents"]:
    """A path of `steps` points from start to end, both included.

    "linear" is the straight line; "spherical" follows the great circle, so that the norm does not dip in the middle (White,
    2016, arXiv 1609.04468). Where the two points lie on one line with the origin, the great circle is not defined and the
    straight line is taken.

    >>> path = interpolate(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 3, "spherical")
    >>> round(path[1].norm().item(), 4)
    1.0
    """
    if steps < 2:
        raise ValueError(f"a path needs at least 2 steps, its two ends; got {steps}.")
    if start.shape != end.shape:
        raise ValueError(f"both ends must have the same latents; got {tuple(start.shape)} and {tuple(end.shape)}.")
    t = torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device)[:, None]
    if method == "linear":
        return torch.lerp(start[None], end[None], t)
    if method != "spherical":
        raise ValueError(f"method must be linear or spherical; got {method!r}.")
    a, b = (torch.nn.functional.normalize(point, dim=0) for point in (start, end))
    # Kahan's angle: the arc cosine loses half the digits near 0 and pi, which are the cases to be told apart here.
    angle = 2 * torch.atan2((a - b).norm(), (a + b).norm())
    if angle.sin().abs() < 1e-4 or not (start.any() and end.any()):
        return torch.lerp(start[None], end[None], t)
    # The weights are divided, not the sum, so that they are exactly 1 and 0 at the ends.
    return ((1 - t) * angle).sin() / angle.sin() * start + (t * angle).sin() / angle.sin() * end


def neighbours(
    query: Float[Tensor, "n d"], points: Float[Tensor, "m d"], k: int, chunk: int = 1024
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Euclidean distances to, and indices of, the k nearest points of each query, nearest first. Exact; k <= m."""
    if not 1 <= k <= len(points):
        raise ValueError(f"k must be from 1 to the number of points, {len(points)}; got {k}.")
    found = [
        # The matrix-product form loses half the digits near zero, where the nearest neighbours are.
        torch.cdist(part, points, compute_mode="donot_use_mm_for_euclid_dist").topk(k, largest=False)
        for part in query.split(chunk)
    ]
    if not found:
        return query.new_empty(0, k), torch.empty(0, k, dtype=torch.long, device=query.device)
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])
