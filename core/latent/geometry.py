"""Geometry of the latent space: paths between points, and the points nearest to a point."""

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


MIN_QUERIES = 16
"""Queries, and points for each neighbour, below which a search of everything is as quick as a sieve."""
EXTRA_CANDIDATES = 4
"""Candidates of a sieve beyond k: with them, rounding leaves hardly a query in doubt."""
GROUP_SIZE = 8
"""Points, or groups of points, in a group of a sieve."""
QUERY_CHUNK = 128
"""Queries that a sieve takes at once: what it makes of them and 10,000 points, 5 MB, stays in the processor's cache."""


def neighbours(
    query: Float[Tensor, "n d"], points: Float[Tensor, "m d"], k: int, chunk: int = 1024
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Euclidean distances to, and indices of, the k nearest points of each query, nearest first. Exact; k <= m.

    `chunk` is how many queries, at most, are compared with all points at once. Raises ValueError when k is out of range.
    """
    if not 1 <= k <= len(points):
        raise ValueError(f"k must be from 1 to the number of points, {len(points)}; got {k}.")
    # Elsewhere than on a CPU a search of everything is quick, and products of matrices may have fewer digits than they seem to.
    blocked = (
        min(len(query), chunk) >= MIN_QUERIES
        and len(points) >= MIN_QUERIES * (k + EXTRA_CANDIDATES)
        and query.device.type == "cpu"
        and torch.get_float32_matmul_precision() == "highest"
    )
    search = BlockedNeighbours(points, k).search if blocked else partial(_search, points=points, k=k)
    found = [search(part) for part in query.split(min(chunk, QUERY_CHUNK) if blocked else chunk)]
    if not found:
        return query.new_empty(0, k), torch.empty(0, k, dtype=torch.long, device=query.device)
    return torch.cat([distance for distance, _ in found]), torch.cat([index for _, index in found])


def _search(
    query: Float[Tensor, "n d"], points: Float[Tensor, "m d"], k: int
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    # The matrix-product form loses half the digits near zero, where the nearest neighbours are.
    found = torch.cdist(query, points, compute_mode="donot_use_mm_for_euclid_dist").topk(k, largest=False)
    return found.values, found.indices


class BlockedNeighbours:
    """A search for the k nearest of many points: candidates by a product of matrices, then their distances as they are.

    |q - p|^2 = |q|^2 + (|p|^2 - 2 q.p), and the bracket, here the form, is one product. Its smallest values are found as in a
    tournament: points are dealt into groups of a few, groups into groups, and the smallest lie in the groups with the smallest
    minima, so that nothing long is ever sorted. What the product's rounding leaves in doubt is searched in full.
    """

    def __init__(self, points: Float[Tensor, "m d"], k: int) -> None:
        self.points, self.k, self.kept = points, k, k + EXTRA_CANDIDATES
        self.centre = points.mean(0)  # rounding grows with the distance from the origin
        near = points - self.centre
        square = near.square().sum(1, keepdim=True)
        self.reach = square.max().sqrt()
        self.rounds = max(0, math.ceil(math.log(len(points) / (self.kept * GROUP_SIZE), GROUP_SIZE)))
        # Whole groups, the last ones filled up with what is infinitely far.
        whole = GROUP_SIZE**self.rounds
        table = points.new_zeros(whole * math.ceil(len(points) / whole), points.shape[1] + 1)
        table[:, -1] = math.inf
        table[: len(points)] = torch.cat([near, square], 1)
        self.table = table.T.contiguous()

    def search(self, query: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
        """Distances to, and indices of, the k nearest points of each query."""
        near = query - self.centre
        levels = [torch.cat([-2 * near, near.new_ones(len(near), 1)], 1) @ self.table]
        for _ in range(self.rounds):
            levels.append(levels[-1].view(len(near), GROUP_SIZE, -1).amin(1))
        best, index = levels[-1].topk(self.kept, largest=False, sorted=False)
        for level in levels[-2::-1]:
            width = level.shape[1] // GROUP_SIZE
            members = (index[:, None] + width * torch.arange(GROUP_SIZE)[:, None]).flatten(1)
            best, chosen = level.gather(1, members).topk(self.kept, largest=False, sorted=False)
            index = members.gather(1, chosen)
        index = index.clamp_max(len(self.points) - 1)
        exact = torch.cdist(query[:, None], self.points[index], compute_mode="donot_use_mm_for_euclid_dist")[:, 0]
        distance, chosen = exact.topk(self.k, largest=False)
        index = index.gather(1, chosen)
        # No other point has a smaller form than the last candidate, and all rounding is below (3d + 12) eps (|q| + |p|)^2.
        square = near.square().sum(1)
        doubt = (3 * query.shape[1] + 12) * torch.finfo(query.dtype).eps * (square.sqrt() + self.reach).square()
        sure = distance[:, -1].square() + doubt < square + best.amax(1)
        if not sure.all():
            distance[~sure], index[~sure] = _search(query[~sure], self.points, self.k)
        return distance, index
