"""Laws of the map."""

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
    """500 points on a curved sheet in 6 dimensions, with a little noise."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 500, generator=generator)
    sheet = torch.stack([a, b, a * b, a.sin(), b.cos(), a + b], 1)
    return sheet + 0.05 * torch.randn(sheet.shape, generator=generator)


@pytest.fixture(scope="module")
def neighbour_map(latents: torch.Tensor) -> NeighbourMap:
    """A map by neighbours whose anchors lie where the sheet's own coordinates say: made without umap."""
    return NeighbourMap(latents, 3 * latents[:, :2].tanh() + 5)


def test_umap_of_a_real_gallery_is_trustworthy_and_says_so(bundle: Bundle) -> None:
    assert isinstance(bundle.map, NeighbourMap)
    assert bundle.map.method == "umap"
    assert 0.5 < bundle.map.trustworthiness <= 1
    assert 0 <= bundle.map.round_trip < 0.1
    stored = bundle.config["map"]
    assert (stored["trustworthiness"], stored["round_trip"]) == (bundle.map.trustworthiness, bundle.map.round_trip)


def test_umaps_anchors_are_placed_exactly(bundle: Bundle) -> None:
    assert bundle.map is not None
    assert bundle.gallery is not None
    assert torch.equal(bundle.map.place(bundle.gallery.mean), bundle.gallery.xy)


def test_umap_is_the_same_for_the_same_seed(bundle: Bundle) -> None:
    assert bundle.gallery is not None
    _, xy = fit_map(bundle.gallery.mean, "umap", seed=0)
    _, other = fit_map(bundle.gallery.mean, "umap", seed=1)
    assert torch.equal(xy, bundle.gallery.xy)
    assert not torch.equal(other, xy)


def test_fitting_leaves_torchs_threads_alone(bundle: Bundle) -> None:
    """Numba would set them, and sums on another number of threads differ in the last bit."""
    assert bundle.gallery is not None
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            fit_map(bundle.gallery.mean[:60], "umap")
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_held_out_points_come_near_their_neighbours(bundle: Bundle) -> None:
    """Half of the gallery, placed by the other half's map, lands nearer to its own places than a shuffle does."""
    assert bundle.gallery is not None
    mean, xy = bundle.gallery.mean, bundle.gallery.xy
    blind = NeighbourMap(mean[::2], xy[::2])
    error = (blind.place(mean[1::2]) - xy[1::2]).norm(dim=1).median()
    shuffled = (xy[1::2].roll(1, 0) - xy[1::2]).norm(dim=1).median()
    assert error < 0.15 * shuffled
    lifted = (blind.lift(xy[1::2]) - mean[1::2]).norm(dim=1).median()
    assert lifted < 0.6 * (mean[1::2].roll(1, 0) - mean[1::2]).norm(dim=1).median()


def test_place_is_exact_at_the_anchors(neighbour_map: NeighbourMap) -> None:
    torch.testing.assert_close(neighbour_map.place(neighbour_map.latents), neighbour_map.xy, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("direction", ["place", "lift"])
def test_answers_lie_among_those_of_the_neighbours(neighbour_map: NeighbourMap, direction: str) -> None:
    """Weights are positive and add up to one: nothing is extrapolated, however far away."""
    points, values, k = neighbour_map.latents, neighbour_map.xy, 15
    function = neighbour_map.place
    if direction == "lift":
        points, values, function, k = values, points, neighbour_map.lift, 30
    query = 10 * torch.randn(300, points.shape[1])
    _, index = neighbours(query, points, k)
    corners, answers = values[index], function(query)
    assert (answers >= corners.amin(1) - 1e-5).all()
    assert (answers <= corners.amax(1) + 1e-5).all()


def test_lift_errs_less_than_the_nearest_anchor_about_what_the_plane_does_not_show() -> None:
    """Of what is noise to the plane, one neighbour is off by twice the variance, a mean of many by little over once."""
    generator = torch.Generator().manual_seed(0)
    xy, hidden = torch.rand(1000, 2, generator=generator), torch.randn(1000, 4, generator=generator)
    latents = torch.cat([xy, hidden], 1)
    blind = NeighbourMap(latents[::2], xy[::2])
    lifted = blind.lift(xy[1::2])
    _, index = neighbours(xy[1::2], blind.xy, 1)
    nearest = (blind.latents[index[:, 0]] - latents[1::2]).square().sum(1).mean()
    assert (lifted - latents[1::2]).square().sum(1).mean() < 0.65 * nearest
    assert (lifted[:, :2] - xy[1::2]).norm(dim=1).median() < 0.03


@pytest.mark.parametrize("direction", ["place", "lift"])
def test_nothing_jumps_along_a_path(neighbour_map: NeighbourMap, direction: str) -> None:
    """Ten times finer steps have largest changes several times smaller; a map that jumps would keep them."""
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
def test_place_and_lift_are_deterministic_and_take_points_one_by_one(
    neighbour_map: NeighbourMap, latents: torch.Tensor, fitted: Method | Literal["neighbours"]
) -> None:
    made = neighbour_map if fitted == "neighbours" else fit_map(latents, fitted)[0]
    query = torch.randn(50, 6)
    xy = made.place(query)
    assert xy.shape == (50, 2)
    assert torch.equal(xy, made.place(query))
    torch.testing.assert_close(torch.cat([made.place(point[None]) for point in query]), xy, rtol=1e-5, atol=1e-5)
    lifted = made.lift(xy)
    assert lifted.shape == (50, 6)
    assert torch.equal(lifted, made.lift(xy))
    torch.testing.assert_close(torch.cat([made.lift(point[None]) for point in xy]), lifted, rtol=1e-4, atol=1e-4)


def test_pca_finds_the_plane_of_largest_variance(latents: torch.Tensor) -> None:
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
def test_flat_maps_are_inverted_in_the_plane(latents: torch.Tensor, method: Method) -> None:
    """place(lift(xy)) = xy everywhere; lift(place(z)) is z's foot in the plane, so doing it twice changes nothing."""
    fitted, _ = fit_map(latents, method, pair=(4, 1))
    xy = 20 * torch.randn(100, 2)
    torch.testing.assert_close(fitted.place(fitted.lift(xy)), xy, rtol=1e-4, atol=1e-4)
    foot = fitted.lift(fitted.place(latents))
    torch.testing.assert_close(fitted.lift(fitted.place(foot)), foot, rtol=1e-4, atol=1e-4)
    assert fitted.round_trip < 1e-5
    assert 0.5 < fitted.trustworthiness <= 1


def test_a_map_of_two_latents_is_those_two(latents: torch.Tensor) -> None:
    """The others stay at their mean."""
    fitted, xy = fit_map(latents, "latents", pair=(4, 1))
    centre = latents.mean(0)
    torch.testing.assert_close(xy, latents[:, [4, 1]] - centre[[4, 1]])
    lifted = fitted.lift(torch.tensor([[0.5, -2.0]]))[0]
    expected = centre.clone()
    expected[4] += 0.5
    expected[1] -= 2.0
    torch.testing.assert_close(lifted, expected)
    assert fitted.method == "latents"


def test_equal_distances_and_duplicates_still_give_a_place() -> None:
    """All anchors in one place, or all equally far: finite, and among the values."""
    values = torch.arange(20.0)[:, None]
    together = neighbour_mean(torch.ones(1, 3), torch.zeros(20, 3), values, k=15, sharpness=2)
    circle = torch.linspace(0, 2 * torch.pi, 21)[:20]
    equal = neighbour_mean(torch.zeros(1, 2), torch.stack([circle.cos(), circle.sin()], 1), values, k=15, sharpness=0)
    for answer in (together, equal):
        assert answer.isfinite().all()
        assert 0 <= answer.item() <= 19


def test_fewer_anchors_than_neighbours_will_do() -> None:
    small = NeighbourMap(torch.randn(5, 3), torch.randn(5, 2))
    torch.testing.assert_close(small.place(small.latents), small.xy, rtol=1e-5, atol=1e-5)
    assert small.place(torch.randn(4, 3)).isfinite().all()


def test_width_is_the_longer_side() -> None:
    assert width(torch.tensor([[0.0, 1.0], [3.0, -4.0], [1.0, 0.0]])) == 5


def test_maps_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 latents; got 1"):
        fit_map(torch.randn(10, 1), "pca")
    with pytest.raises(ValueError, match="at least 4 images; got 3"):
        fit_map(torch.randn(3, 5), "pca")
    for pair in ((0, 0), (0, 5), (-1, 2)):
        with pytest.raises(ValueError, match=r"two different latents from 0 to 4; got"):
            fit_map(torch.randn(10, 5), "latents", pair)
    with pytest.raises(ValueError, match="umap, pca, latents; got 'tsne'"):
        inspect.unwrap(fit_map)(torch.randn(10, 5), "tsne")


def test_opening_and_using_a_map_imports_neither_umap_nor_numba_nor_sklearn(tiny_bundle: Path) -> None:
    program = """
import sys, torch, core
bundle = core.load(sys.argv[1])
bundle.map.lift(bundle.map.place(torch.randn(3, 4)))
print(*sorted({name.split(".")[0] for name in sys.modules} & {"umap", "numba", "sklearn", "gradio", "plotly", "explorer"}))
"""
    run = subprocess.run([sys.executable, "-c", program, str(tiny_bundle)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


@pytest.mark.parametrize("writable", [True, False])
def test_compiled_functions_are_cached_where_a_folder_is_writable(
    writable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numba

    source = tmp_path / "code" / "doubling.py"
    source.parent.mkdir()
    source.write_text("def double(x):\n    return 2 * x\n")
    spec = importlib.util.spec_from_file_location("doubling", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    if not writable:
        monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    plain = numba.njit
    for hits in (0, 1):
        with cached_compilation():
            compiled = numba.njit(fastmath=True)(module.double)
        assert compiled(21) == 42
        assert sum(compiled.stats.cache_hits.values()) == (hits if writable else 0)
    assert numba.njit is plain
