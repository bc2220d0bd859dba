"""Tests of the map."""

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch

from core import Bundle, fit_map
from core.latent.geometry import neighbours
from core.latent.projection import LinearMap, Method, NeighbourMap, cached_compilation, neighbour_mean, width


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    """500 points on a curved surface in 6 dimensions, with a little noise."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 500, generator=generator)
    surface = torch.stack([a, b, a * b, a.sin(), b.cos(), a + b], 1)
    return surface + 0.05 * torch.randn(surface.shape, generator=generator)


@pytest.fixture(scope="module")
def neighbour_map(latents: torch.Tensor) -> NeighbourMap:
    """A map by neighbours, made without umap: its anchors' positions come from the surface's coordinates."""
    return NeighbourMap(latents, 3 * latents[:, :2].tanh() + 5)


def test_the_map_of_a_real_gallery_is_trustworthy_and_its_scores_are_stored(bundle: Bundle) -> None:
    assert isinstance(bundle.map, NeighbourMap)
    assert bundle.map.method == "umap"
    assert 0.5 < bundle.map.trustworthiness <= 1
    assert 0 <= bundle.map.round_trip < 0.1
    stored = bundle.config["map"]
    assert (stored["trustworthiness"], stored["round_trip"]) == (bundle.map.trustworthiness, bundle.map.round_trip)


def test_the_map_places_its_anchors_exactly(bundle: Bundle) -> None:
    assert bundle.map is not None
    assert bundle.gallery is not None
    assert torch.equal(bundle.map.place(bundle.gallery.mean), bundle.gallery.xy)


def test_umap_is_deterministic_for_a_seed(bundle: Bundle) -> None:
    assert bundle.gallery is not None
    _, xy = fit_map(bundle.gallery.mean, "umap", seed=0)
    _, other = fit_map(bundle.gallery.mean, "umap", seed=1)
    assert torch.equal(xy, bundle.gallery.xy)
    assert not torch.equal(other, xy)


def test_fitting_does_not_change_torchs_number_of_threads(bundle: Bundle) -> None:
    """Numba sets it, and sums with another number of threads differ in the last bit."""
    assert bundle.gallery is not None
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            fit_map(bundle.gallery.mean[:60], "umap")
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_held_out_points_are_placed_near_their_own_positions(bundle: Bundle) -> None:
    """One half of the gallery is placed by the map of the other half. The error is smaller than that of shuffled positions."""
    assert bundle.gallery is not None
    mean, xy = bundle.gallery.mean, bundle.gallery.xy
    half_map = NeighbourMap(mean[::2], xy[::2])
    error = (half_map.place(mean[1::2]) - xy[1::2]).norm(dim=1).median()
    shuffled = (xy[1::2].roll(1, 0) - xy[1::2]).norm(dim=1).median()
    assert error < 0.15 * shuffled
    lifted = (half_map.lift(xy[1::2]) - mean[1::2]).norm(dim=1).median()
    assert lifted < 0.6 * (mean[1::2].roll(1, 0) - mean[1::2]).norm(dim=1).median()


def test_place_is_exact_at_the_anchors(neighbour_map: NeighbourMap) -> None:
    torch.testing.assert_close(neighbour_map.place(neighbour_map.latents), neighbour_map.xy, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("direction", ["place", "lift"])
def test_results_are_between_the_values_of_the_neighbours(neighbour_map: NeighbourMap, direction: str) -> None:
    """Weights are positive and sum to one, so distant queries are not extrapolated."""
    points, values, k = neighbour_map.latents, neighbour_map.xy, 15
    function = neighbour_map.place
    if direction == "lift":
        points, values, function, k = values, points, neighbour_map.lift, 30
    query = 10 * torch.randn(300, points.shape[1])
    _, index = neighbours(query, points, k)
    nearest, results = values[index], function(query)
    assert (results >= nearest.amin(1) - 1e-5).all()
    assert (results <= nearest.amax(1) + 1e-5).all()


def test_lift_has_a_lower_error_than_the_nearest_anchor() -> None:
    """Dimensions that the plane does not show are noise: one neighbour errs by twice their variance, a mean by about once."""
    generator = torch.Generator().manual_seed(0)
    xy, hidden = torch.rand(1000, 2, generator=generator), torch.randn(1000, 4, generator=generator)
    latents = torch.cat([xy, hidden], 1)
    half_map = NeighbourMap(latents[::2], xy[::2])
    lifted = half_map.lift(xy[1::2])
    _, index = neighbours(xy[1::2], half_map.xy, 1)
    nearest = (half_map.latents[index[:, 0]] - latents[1::2]).square().sum(1).mean()
    assert (lifted - latents[1::2]).square().sum(1).mean() < 0.65 * nearest
    assert (lifted[:, :2] - xy[1::2]).norm(dim=1).median() < 0.03


@pytest.mark.parametrize("direction", ["place", "lift"])
def test_place_and_lift_are_continuous(neighbour_map: NeighbourMap, direction: str) -> None:
    """With ten times finer steps, the largest change along a path is several times smaller."""
    torch.manual_seed(1)
    if direction == "place":
        ends, function = torch.randn(2, 6), neighbour_map.place
    else:
        ends, function = torch.tensor([[2.5, 3.0], [7.5, 6.5]]), neighbour_map.lift
    largest = [
        function(torch.lerp(ends[0], ends[1], torch.linspace(0, 1, steps)[:, None])).diff(dim=0).norm(dim=1).max()
        for steps in (3001, 30001)
    ]
    assert largest[0] > 0
    assert largest[1] < 0.3 * largest[0]


@pytest.mark.parametrize("fitted", ["neighbours", "pca", "latents"])
def test_place_and_lift_are_deterministic_and_independent_of_the_batch(
    neighbour_map: NeighbourMap, latents: torch.Tensor, fitted: Method | Literal["neighbours"]
) -> None:
    fitted_map = neighbour_map if fitted == "neighbours" else fit_map(latents, fitted)[0]
    query = torch.randn(50, 6)
    xy = fitted_map.place(query)
    assert xy.shape == (50, 2)
    assert torch.equal(xy, fitted_map.place(query))
    torch.testing.assert_close(torch.cat([fitted_map.place(point[None]) for point in query]), xy, rtol=1e-5, atol=1e-5)
    lifted = fitted_map.lift(xy)
    assert lifted.shape == (50, 6)
    assert torch.equal(lifted, fitted_map.lift(xy))
    torch.testing.assert_close(torch.cat([fitted_map.lift(point[None]) for point in xy]), lifted, rtol=1e-4, atol=1e-4)


def test_pca_finds_the_plane_of_maximum_variance(latents: torch.Tensor) -> None:
    """Orthonormal axes; the two largest eigenvalues of the covariance are the variances along x and y."""
    fitted, xy = fit_map(latents, "pca")
    assert isinstance(fitted, LinearMap)
    torch.testing.assert_close(fitted.axes @ fitted.axes.T, torch.eye(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(fitted.place(latents), xy)
    torch.testing.assert_close(xy.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    largest = torch.linalg.eigvalsh(latents.T.cov()).flip(0)[:2]
    torch.testing.assert_close(xy.var(0), largest, rtol=1e-4, atol=1e-4)
    assert (fitted.axes.gather(1, fitted.axes.abs().argmax(1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("method", ["pca", "latents"])
def test_linear_maps_are_inverted_in_their_plane(latents: torch.Tensor, method: Method) -> None:
    """place(lift(xy)) = xy for every xy. lift(place(z)) is the projection of z onto the plane; a second one changes nothing."""
    fitted, _ = fit_map(latents, method, pair=(4, 1))
    xy = 20 * torch.randn(100, 2)
    torch.testing.assert_close(fitted.place(fitted.lift(xy)), xy, rtol=1e-4, atol=1e-4)
    projected = fitted.lift(fitted.place(latents))
    torch.testing.assert_close(fitted.lift(fitted.place(projected)), projected, rtol=1e-4, atol=1e-4)
    assert fitted.round_trip < 1e-5
    assert 0.5 < fitted.trustworthiness <= 1


def test_a_map_of_two_latents_shows_these_two(latents: torch.Tensor) -> None:
    """`lift` sets the others to their mean."""
    fitted, xy = fit_map(latents, "latents", pair=(4, 1))
    centre = latents.mean(0)
    torch.testing.assert_close(xy, latents[:, [4, 1]] - centre[[4, 1]])
    lifted = fitted.lift(torch.tensor([[0.5, -2.0]]))[0]
    expected = centre.clone()
    expected[4] += 0.5
    expected[1] -= 2.0
    torch.testing.assert_close(lifted, expected)
    assert fitted.method == "latents"


def test_equal_distances_and_duplicates_give_finite_results() -> None:
    """All anchors are equal, or all have the same distance. The result is between the values."""
    values = torch.arange(20.0)[:, None]
    duplicates = neighbour_mean(torch.ones(1, 3), torch.zeros(20, 3), values, k=15, sharpness=2)
    circle = torch.linspace(0, 2 * torch.pi, 21)[:20]
    equidistant = neighbour_mean(torch.zeros(1, 2), torch.stack([circle.cos(), circle.sin()], 1), values, k=15, sharpness=0)
    for result in (duplicates, equidistant):
        assert result.isfinite().all()
        assert 0 <= result.item() <= 19


def test_a_map_can_have_fewer_anchors_than_neighbours() -> None:
    small = NeighbourMap(torch.randn(5, 3), torch.randn(5, 2))
    torch.testing.assert_close(small.place(small.latents), small.xy, rtol=1e-5, atol=1e-5)
    assert small.place(torch.randn(4, 3)).isfinite().all()


def test_width_is_the_longer_side() -> None:
    assert width(torch.tensor([[0.0, 1.0], [3.0, -4.0], [1.0, 0.0]])) == 5


def test_invalid_arguments_of_fit_map_raise_an_error() -> None:
    with pytest.raises(ValueError, match="at least 2 latents; got 1"):
        fit_map(torch.randn(10, 1), "pca")
    with pytest.raises(ValueError, match="at least 4 images; got 3"):
        fit_map(torch.randn(3, 5), "pca")
    for pair in ((0, 0), (0, 5), (-1, 2)):
        with pytest.raises(ValueError, match=r"two different latents from 0 to 4; got"):
            fit_map(torch.randn(10, 5), "latents", pair)
    with pytest.raises(ValueError, match="umap, pca, latents; got 'tsne'"):
        inspect.unwrap(fit_map)(torch.randn(10, 5), "tsne")


def test_loading_and_using_a_map_imports_neither_umap_nor_numba_nor_sklearn(tiny_bundle: Path) -> None:
    program = """
import sys, torch, core
bundle = core.load(sys.argv[1])
bundle.map.lift(bundle.map.place(torch.randn(3, 4)))
print(*sorted({name.split(".")[0] for name in sys.modules} & {"umap", "numba", "sklearn", "gradio", "plotly", "explorer"}))
"""
    run = subprocess.run([sys.executable, "-c", program, str(tiny_bundle)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


@pytest.mark.parametrize("writable", [True, False])
def test_compiled_functions_are_cached_if_a_folder_is_writable(
    writable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numba
    import numba.core.caching

    source = tmp_path / "code" / "doubling.py"
    source.parent.mkdir()
    source.write_text("def double(x):\n    return 2 * x\n")
    spec = importlib.util.spec_from_file_location("doubling", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    if not writable:
        monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    original = numba.njit
    for hits in (0, 1):
        with cached_compilation():
            compiled = numba.njit(fastmath=True)(module.double)
        assert compiled(21) == 42
        assert sum(compiled.stats.cache_hits.values()) == (hits if writable else 0)
    assert numba.njit is original
