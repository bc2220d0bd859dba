"""Browser tests of the Explore tab: map, sliders, samples and buttons."""

import re

import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect

import core
from core.data.preprocessing import to_bytes


@pytest.fixture(scope="module")
def bundle() -> core.Bundle:
    return core.load("fashion-mnist")


@pytest.fixture
def decoded_pixels(pixels):
    """Return a function that reads the pixels of #decoded, (H, W), at the model's image size."""
    return lambda page: pixels(page, "#decoded")


def core_decode(bundle: core.Bundle, z: torch.Tensor) -> np.ndarray:
    """Decode one latent vector with core: (H, W) in 8 bits."""
    with torch.no_grad():
        return to_bytes(bundle.vae.decode(z.reshape(1, -1)).mean)[0, 0].numpy()


def screen_position(page: Page, x: float, y: float) -> tuple[float, float]:
    """Convert a map position to viewport coordinates in pixels."""
    return tuple(
        page.evaluate(
            """([x, y]) => { const m = document.querySelector('#map'); const b = m.getBoundingClientRect();
            const { xaxis, yaxis } = m._fullLayout;
            return [b.left + xaxis._offset + xaxis.d2p(x), b.top + yaxis._offset + yaxis.d2p(y)]; }""",
            [x, y],
        )
    )


def spot_far_from_points(page: Page, bundle: core.Bundle) -> tuple[float, float]:
    """Return the viewport position, on a grid over the map, that is farthest from every gallery point."""
    box = page.locator("#map .nsewdrag").bounding_box()
    shares = [i / 10 for i in range(1, 10)]
    spots = [(round(box["x"] + box["width"] * i), round(box["y"] + box["height"] * j)) for i in shares for j in shares]
    distance, _ = core.neighbours(torch.tensor([map_position(page, *spot) for spot in spots]), bundle.gallery.xy, 1)
    return spots[int(distance.argmax())]


def map_position(page: Page, left: float, top: float) -> list[float]:
    """Convert viewport coordinates in pixels to a map position."""
    return page.evaluate(
        """([px, py]) => { const m = document.querySelector('#map'); const b = m.getBoundingClientRect();
        const { xaxis, yaxis } = m._fullLayout;
        return [xaxis.p2d(px - b.left - xaxis._offset), yaxis.p2d(py - b.top - yaxis._offset)]; }""",
        [left, top],
    )


def most_isolated_image(bundle: core.Bundle) -> int:
    """Return the index of the gallery image that is farthest from all others on the map, so that a click selects only it."""
    assert bundle.gallery is not None
    distance, _ = core.neighbours(bundle.gallery.xy, bundle.gallery.xy, 2)
    return int(distance[:, 1].argmax())


def slider_values(page: Page, latents: int) -> list[float]:
    """Return the values of the sliders in the order of the latents."""
    return [float(page.locator(f"#sliders input[data-latent='{i}']").input_value()) for i in range(latents)]


def slider_ranges(page: Page, latents: int) -> np.ndarray:
    """Return the minima and maxima of the sliders in the order of the latents: (2, latents)."""
    sliders = [page.locator(f"#sliders input[data-latent='{i}']") for i in range(latents)]
    return np.array([slider.evaluate("(slider) => [Number(slider.min), Number(slider.max)]") for slider in sliders]).T


def wait_until_idle(page: Page) -> None:
    """Wait until no request is in progress and the page shows the current point, not a preview."""
    page.wait_for_timeout(50)
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^decoded"))


def test_click_on_a_point_decodes_its_posterior_mean(visit, bundle, decoded_pixels):
    page = visit().open()
    index = most_isolated_image(bundle)
    page.mouse.click(*screen_position(page, *bundle.gallery.xy[index].tolist()))
    page.mouse.move(5, 5)
    wait_until_idle(page)
    expected = core_decode(bundle, bundle.gallery.mean[index])
    assert np.abs(decoded_pixels(page).astype(int) - expected).max() <= 1
    latents = bundle.vae.prior.latents
    low, high = slider_ranges(page, latents)
    shown = np.clip(bundle.gallery.mean[index].numpy(), low, high)
    assert np.abs(np.array(slider_values(page, latents)) - shown).max() < 0.0051


def test_click_on_empty_map_decodes_the_lifted_position(visit, bundle, decoded_pixels):
    page = visit().open()
    spot = spot_far_from_points(page, bundle)
    before = decoded_pixels(page)
    page.mouse.click(*spot)
    page.mouse.move(5, 5)
    wait_until_idle(page)
    expected = core_decode(bundle, bundle.map.lift(torch.tensor([map_position(page, *spot)])))
    assert np.abs(decoded_pixels(page).astype(int) - expected).max() <= 1
    assert np.abs(before.astype(int) - expected).max() > 8


def test_hover_shows_a_preview_and_leaving_restores_the_current_point(visit, bundle, decoded_pixels):
    page = visit().open()
    wait_until_idle(page)
    before = decoded_pixels(page)
    position = bundle.gallery.xy[most_isolated_image(bundle)].tolist()
    page.mouse.move(*screen_position(page, *position))
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^preview"))
    expect(page.locator("#map-tip")).to_be_visible()
    assert np.abs(decoded_pixels(page).astype(int) - before).max() > 8
    page.mouse.move(5, 5)
    wait_until_idle(page)
    assert (decoded_pixels(page) == before).all()
    expect(page.locator("#map-tip")).to_be_hidden()


def test_slider_drag_updates_image_and_marker_before_release(visit, decoded_pixels):
    page = visit().open()
    wait_until_idle(page)
    before, marker = decoded_pixels(page), page.locator("#map-marker").get_attribute("style")
    slider = page.locator("#sliders input[type=range]").first
    box = slider.bounding_box()
    low, high = (float(slider.get_attribute(end)) for end in ("min", "max"))
    share = (float(slider.input_value()) - low) / (high - low)
    page.mouse.move(box["x"] + 8 + share * (box["width"] - 16), box["y"] + box["height"] / 2)
    page.mouse.down()
    target = 0.9 if share < 0.5 else 0.1
    page.mouse.move(box["x"] + target * box["width"], box["y"] + box["height"] / 2, steps=12)
    wait_until_idle(page)
    during = decoded_pixels(page)
    assert np.abs(during.astype(int) - before).max() > 8
    assert page.locator("#map-marker").get_attribute("style") != marker
    page.mouse.up()
    wait_until_idle(page)
    assert (decoded_pixels(page) == during).all()


def test_slider_drag_ends_on_its_last_value(visit, bundle, decoded_pixels):
    page = visit().open()
    page.evaluate(
        """() => { const s = document.querySelector('#sliders input');
        for (let i = 0; i <= 200; i++) { s.value = -3 + 0.03 * i; s.dispatchEvent(new Event('input', { bubbles: true })); }
        s.dispatchEvent(new Event('change', { bubbles: true })); }"""
    )
    wait_until_idle(page)
    z = page.evaluate("new URLSearchParams(location.search).get('z')").split(",")
    expected = core_decode(bundle, torch.tensor([float(value) for value in z]))
    assert np.abs(decoded_pixels(page).astype(int) - expected).max() <= 1


def test_reset_sample_and_undo_change_the_current_point(visit, bundle, decoded_pixels):
    page = visit().open()
    wait_until_idle(page)
    start = decoded_pixels(page)
    latents = bundle.vae.prior.latents
    page.locator("#reset").click()
    wait_until_idle(page)
    # This model's prior is learned: reset goes to the mean of the images' posteriors, not to z = 0.
    middle = bundle.gallery.mean.mean(0)
    expect(page.locator("#reset")).to_have_attribute("title", re.compile("mean of the images' posteriors"))
    assert np.abs(np.array(slider_values(page, latents)) - middle.numpy()).max() < 0.0051
    assert np.abs(decoded_pixels(page).astype(int) - core_decode(bundle, middle)).max() <= 1
    page.locator("#sample").click()
    wait_until_idle(page)
    assert len(set(slider_values(page, latents))) > latents // 2
    page.locator("#undo").click()
    wait_until_idle(page)
    assert np.abs(np.array(slider_values(page, latents)) - middle.numpy()).max() < 0.0051
    page.locator("#undo").click()
    wait_until_idle(page)
    assert (decoded_pixels(page) == start).all()
    expect(page.locator("#undo")).to_be_disabled()


def test_copied_link_restores_model_and_point(visit, decoded_pixels):
    first = visit()
    page = first.open()
    page.locator("#sample").click()
    wait_until_idle(page)
    page.locator("#copy").click()
    expect(page.locator("#status")).to_contain_text("Link copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.url
    again = visit().open(copied.removeprefix(first.address))
    wait_until_idle(again)
    assert np.abs(decoded_pixels(again).astype(int) - decoded_pixels(page)).max() <= 1


def test_selecting_a_model_shows_its_own_sliders(visit):
    page = visit().open()
    page.select_option("#model", "digits")
    page.wait_for_function("document.querySelector('#decoded').width === 8")
    digits = core.load("digits")
    expect(page.locator("#sliders input[type=range]")).to_have_count(digits.vae.prior.latents)
    assert "model=digits" in page.url


def test_model_strip_shows_first_gallery_images_and_selects_a_model(visit, pixels, pretrained_models):
    page = visit().open()
    expect(page.locator("#strip .ls-there")).to_have_count(len(pretrained_models))
    shown = page.locator("#strip [role=radio]")
    assert shown.evaluate_all("(buttons) => buttons.map((button) => button.dataset.model)") == pretrained_models
    for name in pretrained_models:
        first = core.load(name).gallery.first(1)[0, 0].numpy()
        assert (pixels(page, f"#strip [data-model='{name}'] img") == first).all()
    expect(page.locator("#strip [data-model='fashion-mnist']")).to_have_attribute("aria-checked", "true")
    page.locator("#strip [data-model='digits']").click()
    page.wait_for_function("document.querySelector('#decoded').width === 8")
    expect(page.locator("#model")).to_have_value("digits")
    expect(page.locator("#strip [data-model='digits']")).to_have_attribute("aria-checked", "true")


def test_sessions_are_independent(visit, decoded_pixels):
    one, two = visit().open(), visit().open()
    wait_until_idle(two)
    before = decoded_pixels(two)
    one.locator("#sample").click()
    wait_until_idle(one)
    two.wait_for_timeout(500)
    assert (decoded_pixels(two) == before).all()
    assert (decoded_pixels(one) != before).any()


def test_samples_view_shows_64_samples_and_a_click_selects_one(visit, decoded_pixels, pixels):
    page = visit().open()
    page.get_by_role("tab", name="Samples").click()
    expect(page.locator("#samples button")).to_have_count(64)
    drawn = pixels(page, "#samples button:first-child canvas")
    page.locator("#samples button").first.click()
    wait_until_idle(page)
    assert (decoded_pixels(page) == drawn).all()
    page.locator("#temperature").fill("0")
    page.wait_for_function("new Set([...document.querySelectorAll('#samples canvas')].map((c) => c.toDataURL())).size === 1")


def test_saved_png_has_the_model_image_size(visit, tmp_path, decoded_pixels):
    page = visit().open()
    wait_until_idle(page)
    with page.expect_download() as download:
        page.locator("#save").click()
    file = tmp_path / "picture.png"
    download.value.save_as(file)
    saved = core.read_image(file)
    assert saved.size == (28, 28)
    assert (np.asarray(saved.convert("RGB"))[..., 0] == decoded_pixels(page)).all()


@pytest.mark.parametrize("by", ["posterior width", "log_likelihood", "z0"])
def test_map_can_be_coloured_by_a_numeric_value(visit, bundle, by):
    page = visit().open()
    if by == "z0":
        by = page.locator("#colour-by option").last.get_attribute("value")
    page.select_option("#colour-by", by)
    page.wait_for_function("document.querySelector('#map').data[0].marker.showscale === true")
    assert page.evaluate("document.querySelector('#map').data[0].x.length") == len(bundle.gallery)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_the_viewport(visit, width, height, scheme):
    page = visit(width, height, scheme).open(f"?__theme={scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1440:
        assert page.evaluate("document.documentElement.scrollHeight") <= height
