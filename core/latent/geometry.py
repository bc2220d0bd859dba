"""Interpolation paths and exact nearest-neighbour search in the latent space."""

import math
from functools import partial
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
    """Return `steps` points from start to end, both included.

    "linear" is the straight line. "spherical" follows the great circle, so that the norm does not shrink in the middle
    (White, 2016, arXiv 1609.04468); if both points are on one line through the origin, it is the straight line.
    Raises ValueError if `steps` < 2, if the shapes differ or if the method is unknown.

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
    # Kahan's formula: the arc cosine loses half the digits near 0 and pi, the cases detected below.
    angle = 2 * torch.atan2((a - b).norm(), (a + b).norm())
    if angle.sin().abs() < 1e-4 or not (start.any() and end.any()):
        return torch.lerp(start[None], end[None], t)
    # Each weight is divided by the sine, not the sum, so that the weights are exactly 1 and 0 at the ends.
    return ((1 - t) * angle).sin() / angle.sin() * start + (t * angle).sin() / angle.sin() * end


MIN_QUERIES = 16
"""Minimum number of queries, and of points per neighbour, for a blocked search; below it a full search is as fast."""
EXTRA_CANDIDATES = 4
"""Number of candidates of a blocked search beyond k; with them, rounding leaves few queries undecided."""
GROUP_SIZE = 8
"""Points per group, and groups per larger group, in a blocked search."""
QUERY_CHUNK = 128
"""Queries per step of a blocked search; with 10,000 points its arrays take 5 MB and fit the processor's cache."""


def neighbours(
    query: Float[Tensor, "n d"], points: Float[Tensor, "m d"], k: int, chunk: int = 1024
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Return the Euclidean distances and the indices of the k nearest points of each query, nearest first.

    The result is exact. `chunk` is the maximum number of queries that are compared with all points at once.
    Raises ValueError unless 1 <= k <= m.
    """
    if not 1 <= k <= len(points):
        raise ValueError(f"k must be from 1 to the number of points, {len(points)}; got {k}.")
    # On other devices a full search is fast, and matrix products may have reduced precision.
    blocked = (
        min(len(query), chunk) >= MIN_QUERIES
        and len(points) >= MIN_QUERIES * (k + EXTRA_CANDIDATES)
        and query.device.type == "cpu"
        and torch.get_float32_matmul_precision() == "highest"
    )
    search = BlockedNeighbours(points, k).search if blocked else partial(_search, points=points, k=k)
    results = [search(part) for part in query.split(min(chunk, QUERY_CHUNK) if blocked else chunk)]
    if not results:
        return query.new_empty(0, k), torch.empty(0, k, dtype=torch.long, device=query.device)
    return torch.cat([distance for distance, _ in results]), torch.cat([index for _, index in results])


def _search(
    query: Float[Tensor, "n d"], points: Float[Tensor, "m d"], k: int
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    # Computing distances by a matrix product loses half the digits near zero, where the nearest neighbours are.
    nearest = torch.cdist(query, points, compute_mode="donot_use_mm_for_euclid_dist").topk(k, largest=False)
    return nearest.values, nearest.indices


class BlockedNeighbours:
    """Exact k-nearest-neighbour search: candidates by a matrix product, then their exact distances.

    |q - p|^2 = |q|^2 + (|p|^2 - 2 q.p). The bracket, called the score here, is one matrix product. Its smallest values are
    found in a tree of group minima: points form groups, groups form larger groups, and the smallest scores are in the groups
    with the smallest minima. So only short lists are sorted. A query whose result rounding could change is searched in full.
    """

    def __init__(self, points: Float[Tensor, "m d"], k: int) -> None:
        self.points, self.k, self.candidates = points, k, k + EXTRA_CANDIDATES
        self.centre = points.mean(0)  # rounding grows with the distance from the origin
        centred = points - self.centre
        square = centred.square().sum(1, keepdim=True)
        self.radius = square.max().sqrt()
        self.levels = max(0, math.ceil(math.log(len(points) / (self.candidates * GROUP_SIZE), GROUP_SIZE)))
        # Pad to whole groups with points at infinite distance.
        group = GROUP_SIZE**self.levels
        table = points.new_zeros(group * math.ceil(len(points) / group), points.shape[1] + 1)
        table[:, -1] = math.inf
        table[: len(points)] = torch.cat([centred, square], 1)
        self.table = table.T.contiguous()

    def search(self, query: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
        """Return the distances and the indices of the k nearest points of each query, nearest first."""
        centred = query - self.centre
        levels = [torch.cat([-2 * centred, centred.new_ones(len(centred), 1)], 1) @ self.table]
        for _ in range(self.levels):
            levels.append(levels[-1].view(len(centred), GROUP_SIZE, -1).amin(1))
        best, index = levels[-1].topk(self.candidates, largest=False, sorted=False)
        for level in levels[-2::-1]:
            width = level.shape[1] // GROUP_SIZE
            members = (index[:, None] + width * torch.arange(GROUP_SIZE)[:, None]).flatten(1)
            best, chosen = level.gather(1, members).topk(self.candidates, largest=False, sorted=False)
            index = members.gather(1, chosen)
        index = index.clamp_max(len(self.points) - 1)
        exact = torch.cdist(query[:, None], self.points[index], compute_mode="donot_use_mm_for_euclid_dist")[:, 0]
        distance, chosen = exact.topk(self.k, largest=False)
        index = index.gather(1, chosen)
        # No other point has a smaller score than the last candidate. Rounding errors are below (3d + 12) eps (|q| + |p|)^2.
        square = centred.square().sum(1)
        rounding = (3 * query.shape[1] + 12) * torch.finfo(query.dtype).eps * (square.sqrt() + self.radius).square()
        certain = distance[:, -1].square() + rounding < square + best.amax(1)
        if not certain.all():
            distance[~certain], index[~certain] = _search(query[~certain], self.points, self.k)
        return distance, index
