"""The map: a 2-D projection of the latent space, with an approximate inverse.

A map is fitted once. After that, `place` and `lift` are deterministic, need only torch and work on any device.
"""

import inspect
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.latent.geometry import neighbours

Method = Literal["umap", "pca", "latents"]

PLACE, LIFT = {"k": 15, "sharpness": 2}, {"k": 30, "sharpness": 0}
"""Arguments of `neighbour_mean` in `NeighbourMap.place` and in `NeighbourMap.lift`."""

MIN_DIST = 0.1
"""Default of UMAP's `min_dist`: the minimum distance of two images, relative to the size of a neighbourhood."""


class Map:
    """A projection of latents (N, latents) to positions (N, 2), and back.

    `trustworthiness` measures whether neighbours on the map are neighbours in the latent space; 1 is best (Venna & Kaski,
    2001). `round_trip` is the median distance between a position p and `place(lift(p))`, as a share of the map's width,
    for points that the map was not fitted to.
    """

    method: Method
    trustworthiness: float
    round_trip: float

    def place(self, latents: Float[Tensor, "n latents"] | Float[np.ndarray, "n latents"]) -> Float[Tensor, "n 2"]:
        """Return the positions of these latents on the map."""
        raise NotImplementedError

    def lift(self, xy: Float[Tensor, "n 2"] | Float[np.ndarray, "n 2"]) -> Float[Tensor, "n latents"]:
        """Return latents whose images belong at these positions."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON record for config.json."""
        return {"method": self.method, "trustworthiness": self.trustworthiness, "round_trip": self.round_trip}


@dataclass(frozen=True)
class NeighbourMap(Map):
    """A map given by the latents and positions of anchors (UMAP of the gallery), extended by weighted neighbours.

    `place` interpolates: the latent of an anchor has exactly the anchor's position. `lift` smooths: neighbours on the map
    differ in latent directions that the plane does not show, and their mean decodes closer to the images around that
    position than any single neighbour does.
    """

    latents: Float[Tensor, "m latents"]
    xy: Float[Tensor, "m 2"]
    method: Method = "umap"
    trustworthiness: float = float("nan")
    round_trip: float = float("nan")

    def place(self, latents: Float[Tensor, "n latents"] | Float[np.ndarray, "n latents"]) -> Float[Tensor, "n 2"]:
        return neighbour_mean(torch.as_tensor(latents, dtype=torch.float32), self.latents, self.xy, **PLACE)

    def lift(self, xy: Float[Tensor, "n 2"] | Float[np.ndarray, "n 2"]) -> Float[Tensor, "n latents"]:
        return neighbour_mean(torch.as_tensor(xy, dtype=torch.float32), self.xy, self.latents, **LIFT)


@dataclass(frozen=True)
class LinearMap(Map):
    """An orthogonal projection: xy = (z - centre) @ axes.T, with orthonormal axes (PCA, or two latents)."""

    centre: Float[Tensor, " latents"]
    axes: Float[Tensor, "2 latents"]
    method: Method = "pca"
    trustworthiness: float = float("nan")
    round_trip: float = float("nan")

    def place(self, latents: Float[Tensor, "n latents"] | Float[np.ndarray, "n latents"]) -> Float[Tensor, "n 2"]:
        return (torch.as_tensor(latents, dtype=torch.float32) - self.centre) @ self.axes.T

    def lift(self, xy: Float[Tensor, "n 2"] | Float[np.ndarray, "n 2"]) -> Float[Tensor, "n latents"]:
        return self.centre + torch.as_tensor(xy, dtype=torch.float32) @ self.axes

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "centre": self.centre.tolist(), "axes": self.axes.tolist()}


def neighbour_mean(
    query: Float[Tensor, "n d"], points: Float[Tensor, "m d"], values: Float[Tensor, "m v"], k: int, sharpness: int
) -> Float[Tensor, "n v"]:
    """Return the mean of the k nearest points' values, weighted by (1 - distance / R)^2 / distance^sharpness.

    R is the distance of neighbour k + 1. So the weight of a point is zero where it enters or leaves the k nearest, and the
    result is continuous. With sharpness 2 this is modified Shepard interpolation (Franke & Nielson, 1980), exact at the
    points; with 0 it is a smooth mean.
    """
    k = min(k, len(points) - 1)
    distance, index = neighbours(query, points, k + 1)
    distance, index, radius = distance[:, :k], index[:, :k], distance[:, k:].clamp_min(1e-12)
    weight = (1 - distance / radius).clamp_min(0) ** 2 / distance.clamp_min(1e-12) ** sharpness
    # If all neighbours are equally far, all weights are zero: use the nearest.
    weight[:, 0] += (weight.sum(1) == 0).to(weight.dtype)
    return torch.einsum("nk,nkv->nv", weight / weight.sum(1, keepdim=True), values[index])


def fit_map(
    latents: Float[Tensor, "m latents"],
    method: Method = "umap",
    pair: tuple[int, int] = (0, 1),
    seed: int = 0,
    min_dist: float = MIN_DIST,
) -> tuple[Map, Float[Tensor, "m 2"]]:
    """Fit a map to latents; return it with their positions.

    "umap" is McInnes et al., 2018, arXiv 1802.03426, with a fixed seed; a larger `min_dist` (0 to 1) spreads groups out, a
    smaller one packs neighbours more tightly. "pca" uses the two directions of largest variance, "latents" the given `pair`.
    Raises ValueError for an unknown method, parameters out of range, fewer than 4 images or fewer than 2 latents.
    """
    if not 0 <= min_dist <= 1:
        raise ValueError(f"min_dist must be from 0 to 1; got {min_dist}.")
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}; got {method!r}.")
    m, dimensions = latents.shape
    if dimensions < 2:
        raise ValueError(f"a map needs at least 2 latents; got {dimensions}.")
    if m < 4:
        raise ValueError(f"a map needs at least 4 images; got {m}.")
    if method == "umap":
        xy = _umap(latents, seed, min_dist)
        fitted: Map = NeighbourMap(latents, xy)
    else:
        fitted = _linear(latents, method, pair)
        xy = fitted.place(latents)
    return type(fitted)(
        **{**vars(fitted), "trustworthiness": _trustworthiness(latents, xy), "round_trip": _round_trip(fitted, latents, xy)}
    ), xy


def restore_map(record: dict[str, Any], latents: Float[Tensor, "m latents"], xy: Float[Tensor, "m 2"]) -> Map:
    """Rebuild a map from its `as_dict` record and its points. Raises ValueError if the record is invalid."""
    try:
        scores = {key: record[key] for key in ("method", "trustworthiness", "round_trip")}
        if scores["method"] not in get_args(Method) or not all(math.isfinite(scores[key]) for key in list(scores)[1:]):
            raise ValueError("a known method and finite scores")
        if scores["method"] == "umap":
            return NeighbourMap(latents, xy, **scores)
        centre, axes = (torch.tensor(record[key], dtype=torch.float32) for key in ("centre", "axes"))
        shapes = [tuple(centre.shape), tuple(axes.shape)]
        if shapes != [latents.shape[1:], (2, *latents.shape[1:])] or not (centre.isfinite() & axes.isfinite()).all():
            raise ValueError("a centre and two axes of as many finite numbers as there are latents")
        return LinearMap(centre, axes, **scores)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"its map lacks {error}.") from error


def _umap(latents: Tensor, seed: int, min_dist: float) -> Tensor:
    threads = torch.get_num_threads()
    with cached_compilation(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*n_jobs value.*")  # UMAP warns that a fixed seed uses one core
        embedding = make_umap(len(latents), seed, min_dist).fit_transform(latents.numpy())
    # Numba sets OpenMP's thread count, and so torch's, to all cores; torch's sums would then differ in the last bit.
    torch.set_num_threads(threads)
    return torch.as_tensor(embedding, dtype=torch.float32).contiguous()


@contextmanager
def cached_compilation() -> Iterator[None]:
    """Store on disk what numba compiles inside this block, and load it in later processes.

    Compiling UMAP takes each process ten seconds or more, and umap-learn does not use numba's cache. Where no cache folder is
    writable, numba compiles without it.
    """
    import numba

    njit = numba.njit

    def cached(*arguments: Any, **options: Any) -> Any:
        def decorate(function: Callable[..., Any]) -> Any:
            try:
                return njit(*signatures, **{"cache": True, **options})(function)
            except RuntimeError:  # no writable cache folder
                return njit(*signatures, **options)(function)

        is_function = bool(arguments) and inspect.isfunction(arguments[0])
        signatures = () if is_function else arguments
        return decorate(arguments[0]) if is_function else decorate

    numba.njit = cached
    try:
        yield
    finally:
        numba.njit = njit


def make_umap(images: int, seed: int = 0, min_dist: float = MIN_DIST) -> Any:
    """Return an unfitted UMAP for this number of images, with this minimum distance between two of them.

    It uses 20 negative samples per positive one instead of the default 5: more repulsion keeps neighbours closer together
    (Böhm et al., 2022, arXiv 2007.08902).
    """
    import umap  # slow to import, and only fitting needs it

    return umap.UMAP(
        n_neighbors=min(15, images - 1),
        min_dist=min_dist,
        negative_sample_rate=20,
        random_state=seed,
        init="spectral" if images > 50 else "random",
    )


def _linear(latents: Tensor, method: Method, pair: tuple[int, int]) -> LinearMap:
    dimensions = latents.shape[1]
    centre = latents.double().mean(0)
    if method == "pca":
        axes = torch.linalg.svd(latents.double() - centre, full_matrices=False).Vh[:2]
        # The sign of a singular vector is arbitrary; a positive largest entry gives the same map on every machine.
        largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
        return LinearMap(centre.float(), (axes * largest.sign()).float())
    if not all(0 <= i < dimensions for i in pair) or pair[0] == pair[1]:
        raise ValueError(f"a pair must be two different latents from 0 to {dimensions - 1}; got {pair}.")
    return LinearMap(centre.float(), torch.eye(dimensions)[list(pair)], method="latents")


def _trustworthiness(latents: Tensor, xy: Tensor) -> float:
    """Trustworthiness with 15 neighbours (Venna & Kaski, 2001), on at most 10,000 points."""
    from sklearn.manifold import trustworthiness

    sample = torch.randperm(len(latents), generator=torch.Generator().manual_seed(0))[:10_000]
    return float(trustworthiness(latents[sample], xy[sample], n_neighbors=max(1, min(15, len(sample) // 2 - 1))))


def _round_trip(fitted: Map, latents: Tensor, xy: Tensor) -> float:
    """The round-trip error on a tenth of the points (at most 1,000), which are removed from a NeighbourMap first."""
    order = torch.randperm(len(latents), generator=torch.Generator().manual_seed(0))
    count = max(1, min(1000, len(order) // 10))
    test, rest = order[:count], order[count:]
    reduced = NeighbourMap(latents[rest], xy[rest]) if isinstance(fitted, NeighbourMap) else fitted
    positions = reduced.place(latents[test])
    distance = (reduced.place(reduced.lift(positions)) - positions).norm(dim=1).median()
    return float(distance / width(xy))


def width(xy: Float[Tensor, "m 2"]) -> float:
    """Return the longer side of the bounding box of the points."""
    return float((xy.max(0).values - xy.min(0).values).max().clamp_min(1e-12))
