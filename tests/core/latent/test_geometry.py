"""Tests of interpolation and nearest neighbours."""

import inspect
from collections.abc import Callable
from typing import Literal

import pytest
import torch

from core import interpolate, neighbours


@pytest.mark.parametrize("method", ["linear", "spherical"])
@pytest.mark.parametrize("steps", [2, 3, 17])
def test_a_path_starts_and_ends_exactly_at_its_end_points(method: Literal["linear", "spherical"], steps: int) -> None:
    torch.manual_seed(0)
    for _ in range(50):
        start, end = torch.randn(16), 3 * torch.randn(16)
        path = interpolate(start, end, steps, method)
        assert path.shape == (steps, 16)
        assert torch.equal(path[0], start)
        assert torch.equal(path[-1], end)


def test_a_linear_path_has_steps_of_equal_length() -> None:
    path = interpolate(torch.randn(5), torch.randn(5), 9)
    torch.testing.assert_close(path.diff(dim=0), path.diff(dim=0)[:1].expand(8, -1))


def test_a_spherical_path_keeps_the_norm_and_has_equal_angles() -> None:
    start, end = torch.randn(2, 6)
    path = interpolate(start, end * start.norm() / end.norm(), 11, "spherical")
    torch.testing.assert_close(path.norm(dim=1), start.norm().expand(11), rtol=1e-5, atol=1e-5)
    cosines = torch.nn.functional.cosine_similarity(path[1:], path[:-1])
    torch.testing.assert_close(cosines, cosines[:1].expand(10), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.0])
def test_spherical_equals_linear_interpolation_for_collinear_vectors(factor: float) -> None:
    start = torch.tensor([1.0, 2.0, -1.0])
    torch.testing.assert_close(interpolate(start, factor * start, 5, "spherical"), interpolate(start, factor * start, 5))
    torch.testing.assert_close(interpolate(factor * start, start, 5, "spherical"), interpolate(factor * start, start, 5))


def test_a_path_of_one_step_raises_an_error() -> None:
    with pytest.raises(ValueError, match=r"at least 2 steps.*got 1"):
        interpolate(torch.zeros(2), torch.ones(2), 1)


@pytest.mark.parametrize("d", [1, 2, 16])
@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_neighbours_equal_those_of_brute_force(d: int, chunk: int) -> None:
    torch.manual_seed(0)
    query, points = torch.randn(40, d), torch.randn(90, d)
    distance, index = neighbours(query, points, 5, chunk)
    distances = (query[:, None].double() - points[None].double()).norm(dim=-1)
    expected = distances.sort(dim=1)
    torch.testing.assert_close(distance.double(), expected.values[:, :5], rtol=1e-5, atol=1e-6)
    assert torch.equal(index, expected.indices[:, :5])


SETS = {
    "spread": lambda: torch.randn(3000, 16),
    "in clusters": lambda: torch.randn(30, 16).repeat(100, 1) + 1e-3 * torch.randn(3000, 16),
    "far from the origin": lambda: torch.randn(3000, 16) + 1000,
    "on a grid": lambda: torch.cartesian_prod(torch.arange(60.0), torch.arange(50.0)),
    "each four times": lambda: torch.randn(750, 16).repeat(4, 1),
    "each forty times": lambda: torch.randn(75, 16).repeat(40, 1),
    "all equal": lambda: torch.ones(3000, 3),
    "almost equal": lambda: 1 + 1e-6 * torch.randn(3000, 2),
    "one outlier": lambda: torch.cat([torch.randn(2999, 16), torch.full((1, 16), 1e6)]),
    "in one dimension": lambda: torch.randn(3000, 1),
}


@pytest.mark.parametrize("points", SETS.values(), ids=SETS)
@pytest.mark.parametrize("k", [1, 16, 31])
def test_the_blocked_search_equals_brute_force(points: Callable[[], torch.Tensor], k: int) -> None:
    """Distances are bitwise equal. Of points at equal distance either may be returned, but none twice."""
    torch.manual_seed(0)
    x = points()
    query = torch.cat([x[:100], x[:100] + 1e-4 * torch.randn(100, x.shape[1]), torch.randn(57, x.shape[1])])
    distance, index = neighbours(query, x, k)
    distances = torch.cdist(query, x, compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.equal(distance, distances.topk(k, largest=False).values)
    assert torch.equal(distance, distances.gather(1, index))
    assert (index.sort(1).values.diff(dim=1) > 0).all()


def test_queries_that_are_not_finite_do_not_affect_the_others() -> None:
    query = torch.randn(40, 3)
    query[3], query[5, 1] = float("nan"), float("inf")
    distance, _ = neighbours(query, torch.randn(2000, 3), 4)
    assert distance[3].isnan().all()
    assert distance[5].isinf().all()
    assert distance.isfinite().sum() == 38 * 4


def test_each_point_is_its_own_nearest_neighbour_at_distance_zero() -> None:
    """Also far from the origin, where distances computed by a matrix product are inaccurate."""
    points = torch.randn(200, 16) + 100
    distance, index = neighbours(points, points, 2)
    assert torch.equal(index[:, 0], torch.arange(200))
    assert (distance[:, 0] == 0).all()
    assert (distance[:, 1] > 0).all()


def test_an_empty_query_returns_no_neighbours() -> None:
    distance, index = neighbours(torch.empty(0, 3), torch.randn(5, 3), 2)
    assert distance.shape == index.shape == (0, 2)


@pytest.mark.parametrize("k", [0, 6, -1])
def test_k_out_of_range_raises_an_error(k: int) -> None:
    with pytest.raises(ValueError, match=rf"from 1 to the number of points, 5; got {k}"):
        neighbours(torch.zeros(1, 2), torch.zeros(5, 2), k)


def test_a_path_needs_end_points_of_equal_size_and_a_known_method() -> None:
    """Called without the type checks of the tests, as by a user."""
    unchecked = inspect.unwrap(interpolate)
    with pytest.raises(ValueError, match=r"same latents; got \(2,\) and \(3,\)"):
        unchecked(torch.zeros(2), torch.zeros(3), 4)
    with pytest.raises(ValueError, match=r"linear or spherical; got 'bent'"):
        unchecked(torch.zeros(2), torch.zeros(2), 4, "bent")
