"""Browser tests of a map with more points than Plotly's WebGL can move: raster, lasso, search and colours."""

import base64
import io
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

import core
from core.bundle import encodings
from core.data.preprocessing import to_bytes

from .test_explore import map_position, screen_position, wait_until_idle

COPIES = 14


@pytest.fixture(scope="module")
def bundle() -> core.Bundle:
    return core.load("digits")


@pytest.fixture(scope="module")
def file(bundle: core.Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encodings of 25,158 digits: each digit of scikit-learn 14 times with different noise."""
    folder = tmp_path_factory.mktemp("large")
    whole = core.load_data("digits", "all")
    images = whole.images.repeat(COPIES, 1, 1, 1).to(torch.int16)
    noise = torch.randint(-12, 13, images.shape, generator=torch.Generator().manual_seed(0))
    labels = np.tile(whole.labels["label"], COPIES).astype(np.int64)
    noisy = (images + noise).clamp(0, 255).to(torch.uint8)[:, 0].numpy()
    np.savez(folder / "digits.npz", images=noisy, labels=labels)
    encodings.write(bundle, str(folder / "digits.npz"), folder / "digits.parquet")
    return folder / "digits.parquet"


@pytest.fixture(scope="module")
def points(file: Path) -> np.ndarray:
    table = pq.read_table(file, columns=["x", "y"])
    return np.stack([table["x"].to_numpy(), table["y"].to_numpy()], 1)


@pytest.fixture(scope="module")
def large_map_server(file: Path, start_explorer: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """The address of a server with these encodings on the map."""
    with start_explorer("digits", "--encodings", str(file), runtime="none") as address:
        yield address


def points_in_polygon(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return which points are inside a polygon, by the even-odd rule."""
    odd = np.zeros(len(points), bool)
    x, y = points.astype(float).T
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, 1, 0), strict=True):
        if y0 != y1:
            odd ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return odd


def draw_loop(page: Page) -> np.ndarray:
    """Draw a lasso around a part of the map and return its corners."""
    box = page.locator("#map .nsewdrag").bounding_box()
    assert box is not None
    shares = [(0.2, 0.3), (0.5, 0.1), (0.8, 0.4), (0.6, 0.9), (0.55, 0.4), (0.3, 0.8)]
    spots = [(round(box["x"] + a * box["width"]), round(box["y"] + b * box["height"])) for a, b in shares]
    page.click("#lasso")
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot)
    page.mouse.up()
    return np.array([map_position(page, *spot) for spot in spots])


def group_size(page: Page) -> int:
    """Return the size of the selected group that the page shows."""
    page.locator("#group").wait_for()
    found = re.match(r"([\d,]+) of", page.locator("#group-count").inner_text())
    return int(found.group(1).replace(",", "")) if found else 0


def raster(page: Page) -> np.ndarray:
    """Return the pixels of the raster, (H, W, 4)."""
    address = page.locator("#raster").evaluate("(canvas) => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA"))


def most_isolated_row(points: np.ndarray) -> int:
    """Return the row that is farthest from all others on the map, so that a click selects only it."""
    distance, _ = core.neighbours(torch.from_numpy(points), torch.from_numpy(points), 2)
    return int(distance[:, 1].argmax())


def test_raster_contains_all_points_at_every_zoom(visit, large_map_server: str, points: np.ndarray) -> None:
    page = visit(address=large_map_server).open()
    expect(page.locator("#facts")).to_contain_text("25,158 images on the map")
    expect(page.locator("#map .gl-canvas")).to_have_count(0)
    expect(page.locator("#map .legendtext")).to_have_count(10)
    for zoom in (0, -300):
        if zoom:
            page.mouse.move(*screen_position(page, *points[most_isolated_row(points)].tolist()))
            page.mouse.wheel(0, zoom)
            page.wait_for_timeout(1000)
        box = page.locator("#raster").bounding_box()
        assert box is not None
        pixels = raster(page)
        spots = np.array([screen_position(page, *position) for position in points[::500].tolist()]) - [box["x"], box["y"]]
        inside = ((spots > 3) & (spots < [box["width"] - 3, box["height"] - 3])).all(1)
        assert inside.any()
        # A point may be one pixel large_map_server, and the page and this test round its position separately.
        for left, top in spots[inside].astype(int):
            assert pixels[top - 1 : top + 2, left - 1 : left + 2, 3].max() > 0
    assert (raster(page)[..., 3] > 0).mean() < 0.5


def test_hover_and_click_on_a_point_decode_its_mean_and_show_its_label(
    visit, large_map_server: str, file: Path, bundle: core.Bundle, pixels
) -> None:
    page = visit(address=large_map_server).open()
    table = pq.read_table(file)
    row = most_isolated_row(np.stack([table["x"].to_numpy(), table["y"].to_numpy()], 1))
    position = table["x"][row].as_py(), table["y"][row].as_py()
    page.mouse.move(*screen_position(page, *position))
    expect(page.locator("#decoded-caption")).to_have_text(f"preview of this dot: row {row}")
    expect(page.locator("#map-tip figcaption")).to_have_text(table["label"][row].as_py())
    page.mouse.click(*screen_position(page, *position))
    wait_until_idle(page)
    with torch.no_grad():
        expected = to_bytes(bundle.vae.decode(torch.tensor([table["mean"][row].as_py()])).mean)[0, 0].numpy()
    assert np.abs(pixels(page, "#decoded").astype(int) - expected).max() <= 1


def test_lasso_counts_exactly_the_visible_points_inside(visit, large_map_server: str, points: np.ndarray, file: Path) -> None:
    page = visit(address=large_map_server).open()
    before = raster(page)
    corners = draw_loop(page)
    expected = points_in_polygon(corners, points)
    assert 1000 < expected.sum() < 24_000
    assert group_size(page) == expected.sum()
    assert page.locator(".ls-loop").get_attribute("d")
    page.wait_for_timeout(300)
    assert raster(page).tobytes() != before.tobytes()
    # Hidden points are not group_size.
    page.keyboard.press("Escape")
    page.locator("#map .legendtoggle").nth(3).click()
    page.wait_for_timeout(1000)  # Plotly waits for a second click
    corners = draw_loop(page)
    labels = np.array(pq.read_table(file)["label"].to_pylist())
    assert group_size(page) == (points_in_polygon(corners, points) & (labels != "3")).sum()
    assert "3 " not in page.locator("#group-parts").inner_text().replace("more", "")[:2]
    page.click("#ungroup")
    expect(page.locator("#group")).to_be_hidden()
    expect(page.locator("#lasso")).to_have_attribute("aria-pressed", "false")


def test_search_counts_the_matching_points(visit, large_map_server: str, file: Path) -> None:
    page = visit(address=large_map_server).open()
    table = pq.read_table(file)
    names, labels = table["file"].to_pylist(), table["label"].to_pylist()
    for word in ("7", "row 123"):
        page.fill("#find", word)
        expected = sum(word in name or word in label for name, label in zip(names, labels, strict=True))
        expect(page.locator("#group-count")).to_have_text(f"{expected:,} of 25,158 images")
    page.fill("#find", "zebra")
    expect(page.locator("#group-count")).to_have_text("No label or name contains “zebra”")
    page.fill("#find", "")
    expect(page.locator("#group")).to_be_hidden()


def test_runtime_loads_when_a_latent_is_moved(
    visit, start_explorer: Callable[..., AbstractContextManager[str]], file: Path, runtime: Path
) -> None:
    """Until then the memory is reserved for the map."""
    with start_explorer("digits", "--encodings", str(file), runtime=str(runtime)) as address:
        page = visit(address=address).open()
        engine = page.locator("#engine")
        expect(engine).to_have_attribute("title", re.compile("once you move a latent"), timeout=60_000)
        page.wait_for_timeout(1000)
        expect(engine).to_have_attribute("data-at", "server")
        page.locator("#sliders input[type=range]").first.press("ArrowRight")
        expect(engine).to_have_attribute("data-at", "page", timeout=60_000)


def test_numeric_colouring_changes_the_raster_and_the_group_summary(visit, large_map_server: str) -> None:
    page = visit(address=large_map_server).open()
    by_class = raster(page)
    latent = next(name for name in page.locator("#colour-by option").all_inner_texts() if re.match(r"z\d", name))
    page.select_option("#colour-by", latent)
    expect(page.locator("#map .infolayer text", has_text=re.compile(f"^{latent}$"))).to_be_visible()
    page.wait_for_function("document.querySelectorAll('#map .legendtext').length === 0")
    page.wait_for_timeout(300)
    assert raster(page).tobytes() != by_class.tobytes()
    draw_loop(page)
    expect(page.locator("#group-parts")).to_have_text(re.compile(rf"^mean {latent} -?\d\.\d\d \(all: -?\d\.\d\d\)$"))


def test_lasso_and_search_work_on_a_small_map(visit, pixels) -> None:
    gallery = core.load("fashion-mnist").gallery
    assert gallery is not None
    page = visit().open()
    corners = draw_loop(page)
    assert group_size(page) == points_in_polygon(corners, gallery.xy.numpy()).sum()
    page.fill("#find", "sandal")
    expect(page.locator("#group-count")).to_have_text(f"{(gallery.labels['label'] == 'Sandal').sum():,} of 10,000 images")
    expect(page.locator("#group-parts")).to_have_text("Sandal 100 %")
    page.keyboard.press("Escape")
    page.locator("#map").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#group")).to_be_hidden()
    # Letters typed in the search field are not keyboard shortcuts.
    page.locator("#find").press_sequentially("pullover")
    expect(page.locator("#group-parts")).to_have_text("Pullover 100 %")
    expect(page.locator("#morph")).to_be_hidden()
    page.click("#ungroup")
    # A lasso that ends at its start is not a click.
    before = pixels(page, "#decoded")
    box = page.locator("#map .nsewdrag").bounding_box()
    start = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.click("#lasso")
    page.mouse.move(*start)
    page.mouse.down()
    for across, down in ((90, 0), (90, 90), (0, 90), (2, 1)):
        page.mouse.move(start[0] + across, start[1] + down)
    page.mouse.up()
    expect(page.locator("#group")).to_be_visible()
    page.mouse.move(5, 5)
    wait_until_idle(page)
    assert (pixels(page, "#decoded") == before).all()
    page.click("#ungroup")
    page.locator("#map").focus()
    # A click selects a point even if the lasso is active.
    page.keyboard.press("l")
    expect(page.locator("#lasso")).to_have_attribute("aria-pressed", "true")
    before = pixels(page, "#decoded")
    page.mouse.click(*screen_position(page, *gallery.xy[1].tolist()))
    page.wait_for_timeout(500)
    wait_until_idle(page)
    assert (pixels(page, "#decoded") != before).any()
    expect(page.locator("#group")).to_be_hidden()


@pytest.mark.parametrize("fault", ["a script is lost", "no workers"])
def test_worker_failure_shows_a_message_and_sliders_still_work(visit, large_map_server: str, pixels, fault: str) -> None:
    visitor = visit(address=large_map_server)
    page = visitor.page
    if fault == "no workers":
        page.add_init_script("Worker = class { constructor() { throw new Error('no workers here'); } };")
    else:
        page.route("**/cells_worker.js", lambda route: route.abort())
    page.goto(large_map_server)
    expect(page.locator("#status")).to_contain_text("The map could not be drawn", timeout=60_000)
    before = pixels(page, "#decoded")
    page.locator("#sliders input[type=range]").first.press("End")
    page.wait_for_timeout(500)
    wait_until_idle(page)
    assert (pixels(page, "#decoded") != before).any()
    # The browser itself logs the failed request.
    visitor.errors = [error for error in visitor.errors if "net::ERR_FAILED" not in error]
