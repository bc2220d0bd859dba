"""The Explore tab, driven as a person would."""

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
def picture(pixels):
    """A function: what #decoded shows, (H, W), at the model's own size."""
    return lambda page: pixels(page, "#decoded")


def decoded(bundle: core.Bundle, z: torch.Tensor) -> np.ndarray:
    """What core draws at a latent."""
    with torch.no_grad():
        return to_bytes(bundle.vae.decode(z.reshape(1, -1)).mean)[0, 0].numpy()


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the map is on the screen."""
    return tuple(
        page.evaluate(
            """([x, y]) => { const m = document.querySelector('#map'); const b = m.getBoundingClientRect();
            const { xaxis, yaxis } = m._fullLayout;
            return [b.left + xaxis._offset + xaxis.d2p(x), b.top + yaxis._offset + yaxis.d2p(y)]; }""",
            [x, y],
        )
    )


def farthest_from_all(page: Page, bundle: core.Bundle) -> tuple[float, float]:
    """The spot of the screen, on a grid over the map, whose place is farthest from any image's."""
    box = page.locator("#map .nsewdrag").bounding_box()
    shares = [i / 10 for i in range(1, 10)]
    spots = [(round(box["x"] + box["width"] * i), round(box["y"] + box["height"] * j)) for i in shares for j in shares]
    distance, _ = core.neighbours(torch.tensor([on_map(page, *spot) for spot in spots]), bundle.gallery.xy, 1)
    return spots[int(distance.argmax())]


def on_map(page: Page, left: float, top: float) -> list[float]:
    """Which place of the map a point of the screen is."""
    return page.evaluate(
        """([px, py]) => { const m = document.querySelector('#map'); const b = m.getBoundingClientRect();
        const { xaxis, yaxis } = m._fullLayout;
        return [xaxis.p2d(px - b.left - xaxis._offset), yaxis.p2d(py - b.top - yaxis._offset)]; }""",
        [left, top],
    )


def lonely(bundle: core.Bundle) -> int:
    """The gallery image whose place is farthest from all others, so that a click surely means it."""
    assert bundle.gallery is not None
    distance, _ = core.neighbours(bundle.gallery.xy, bundle.gallery.xy, 2)
    return int(distance[:, 1].argmax())


def values(page: Page, latents: int) -> list[float]:
    """The sliders' values, in the order of the latents."""
    return [float(page.locator(f"#sliders input[data-latent='{i}']").input_value()) for i in range(latents)]


def ends(page: Page, latents: int) -> np.ndarray:
    """The sliders' lower and upper ends, in the order of the latents."""
    sliders = [page.locator(f"#sliders input[data-latent='{i}']") for i in range(latents)]
    return np.array([slider.evaluate("(slider) => [Number(slider.min), Number(slider.max)]") for slider in sliders]).T


def settled(page: Page) -> None:
    """Wait until nothing is under way and the picture shown is the set one."""
    page.wait_for_timeout(50)
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^decoded"))


def test_a_click_on_a_point_shows_the_decode_of_its_posterior_mean(visit, bundle, picture):
    page = visit().open()
    index = lonely(bundle)
    page.mouse.click(*on_screen(page, *bundle.gallery.xy[index].tolist()))
    page.mouse.move(5, 5)
    settled(page)
    expected = decoded(bundle, bundle.gallery.mean[index])
    assert np.abs(picture(page).astype(int) - expected).max() <= 1
    latents = bundle.vae.prior.latents
    low, high = ends(page, latents)
    shown = np.clip(bundle.gallery.mean[index].numpy(), low, high)
    assert np.abs(np.array(values(page, latents)) - shown).max() < 0.0051


def test_a_click_on_empty_map_shows_the_decode_of_its_lift(visit, bundle, picture):
    page = visit().open()
    spot = farthest_from_all(page, bundle)
    before = picture(page)
    page.mouse.click(*spot)
    page.mouse.move(5, 5)
    settled(page)
    expected = decoded(bundle, bundle.map.lift(torch.tensor([on_map(page, *spot)])))
    assert np.abs(picture(page).astype(int) - expected).max() <= 1
    assert np.abs(before.astype(int) - expected).max() > 8


def test_hovering_previews_and_leaving_restores(visit, bundle, picture):
    page = visit().open()
    settled(page)
    before = picture(page)
    place = bundle.gallery.xy[lonely(bundle)].tolist()
    page.mouse.move(*on_screen(page, *place))
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^preview"))
    expect(page.locator("#map-tip")).to_be_visible()
    assert np.abs(picture(page).astype(int) - before).max() > 8
    page.mouse.move(5, 5)
    settled(page)
    assert (picture(page) == before).all()
    expect(page.locator("#map-tip")).to_be_hidden()


def test_dragging_a_slider_changes_the_picture_before_release_and_moves_the_marker(visit, picture):
    page = visit().open()
    settled(page)
    before, marker = picture(page), page.locator("#map-marker").get_attribute("style")
    slider = page.locator("#sliders input[type=range]").first
    box = slider.bounding_box()
    low, high = (float(slider.get_attribute(end)) for end in ("min", "max"))
    share = (float(slider.input_value()) - low) / (high - low)
    page.mouse.move(box["x"] + 8 + share * (box["width"] - 16), box["y"] + box["height"] / 2)
    page.mouse.down()
    target = 0.9 if share < 0.5 else 0.1
    page.mouse.move(box["x"] + target * box["width"], box["y"] + box["height"] / 2, steps=12)
    settled(page)
    during = picture(page)
    assert np.abs(during.astype(int) - before).max() > 8
    assert page.locator("#map-marker").get_attribute("style") != marker
    page.mouse.up()
    settled(page)
    assert (picture(page) == during).all()


def test_the_last_value_of_a_drag_is_the_one_shown(visit, bundle, picture):
    page = visit().open()
    page.evaluate(
        """() => { const s = document.querySelector('#sliders input');
        for (let i = 0; i <= 200; i++) { s.value = -3 + 0.03 * i; s.dispatchEvent(new Event('input', { bubbles: true })); }
        s.dispatchEvent(new Event('change', { bubbles: true })); }"""
    )
    settled(page)
    z = page.evaluate("new URLSearchParams(location.search).get('z')").split(",")
    expected = decoded(bundle, torch.tensor([float(value) for value in z]))
    assert np.abs(picture(page).astype(int) - expected).max() <= 1


def test_reset_sample_and_undo(visit, bundle, picture):
    page = visit().open()
    settled(page)
    start = picture(page)
    latents = bundle.vae.prior.latents
    page.locator("#reset").click()
    settled(page)
    # This model's prior is learned: the middle is that of the images, not z = 0.
    middle = bundle.gallery.mean.mean(0)
    expect(page.locator("#reset")).to_have_attribute("title", re.compile("mean of the images' posteriors"))
    assert np.abs(np.array(values(page, latents)) - middle.numpy()).max() < 0.0051
    assert np.abs(picture(page).astype(int) - decoded(bundle, middle)).max() <= 1
    page.locator("#sample").click()
    settled(page)
    assert len(set(values(page, latents))) > latents // 2
    page.locator("#undo").click()
    settled(page)
    assert np.abs(np.array(values(page, latents)) - middle.numpy()).max() < 0.0051
    page.locator("#undo").click()
    settled(page)
    assert (picture(page) == start).all()
    expect(page.locator("#undo")).to_be_disabled()


def test_the_address_restores_model_and_point(visit, picture):
    first = visit()
    page = first.open()
    page.locator("#sample").click()
    settled(page)
    page.locator("#copy").click()
    expect(page.locator("#status")).to_contain_text("Link copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.url
    again = visit().open(copied.removeprefix(first.address))
    settled(again)
    assert np.abs(picture(again).astype(int) - picture(page)).max() <= 1


def test_another_model_opens_with_its_own_sliders(visit):
    page = visit().open()
    page.select_option("#model", "digits")
    page.wait_for_function("document.querySelector('#decoded').width === 8")
    digits = core.load("digits")
    expect(page.locator("#sliders input[type=range]")).to_have_count(digits.vae.prior.latents)
    assert "model=digits" in page.url


def test_the_strip_shows_each_models_first_image_and_opens_it(visit, pixels, offered):
    page = visit().open()
    expect(page.locator("#strip .ls-there")).to_have_count(len(offered))
    shown = page.locator("#strip [role=radio]")
    assert shown.evaluate_all("(buttons) => buttons.map((button) => button.dataset.model)") == offered
    for name in offered:
        first = core.load(name).gallery.first(1)[0, 0].numpy()
        assert (pixels(page, f"#strip [data-model='{name}'] img") == first).all()
    expect(page.locator("#strip [data-model='fashion-mnist']")).to_have_attribute("aria-checked", "true")
    page.locator("#strip [data-model='digits']").click()
    page.wait_for_function("document.querySelector('#decoded').width === 8")
    expect(page.locator("#model")).to_have_value("digits")
    expect(page.locator("#strip [data-model='digits']")).to_have_attribute("aria-checked", "true")


def test_visitors_do_not_see_each_other(visit, picture):
    one, two = visit().open(), visit().open()
    settled(two)
    before = picture(two)
    one.locator("#sample").click()
    settled(one)
    two.wait_for_timeout(500)
    assert (picture(two) == before).all()
    assert (picture(one) != before).any()


def test_samples_fill_a_sheet_and_a_click_goes_there(visit, picture, pixels):
    page = visit().open()
    page.get_by_role("tab", name="Samples").click()
    expect(page.locator("#samples button")).to_have_count(64)
    drawn = pixels(page, "#samples button:first-child canvas")
    page.locator("#samples button").first.click()
    settled(page)
    assert (picture(page) == drawn).all()
    page.locator("#temperature").fill("0")
    page.wait_for_function("new Set([...document.querySelectorAll('#samples canvas')].map((c) => c.toDataURL())).size === 1")


def test_save_png_has_the_models_own_size(visit, tmp_path, picture):
    page = visit().open()
    settled(page)
    with page.expect_download() as download:
        page.locator("#save").click()
    file = tmp_path / "picture.png"
    download.value.save_as(file)
    saved = core.read_image(file)
    assert saved.size == (28, 28)
    assert (np.asarray(saved.convert("RGB"))[..., 0] == picture(page)).all()


@pytest.mark.parametrize("by", ["posterior width", "log_likelihood", "z0"])
def test_the_map_can_be_coloured_by_amounts(visit, bundle, by):
    page = visit().open()
    if by == "z0":
        by = page.locator("#colour-by option").last.get_attribute("value")
    page.select_option("#colour-by", by)
    page.wait_for_function("document.querySelector('#map').data[0].marker.showscale === true")
    assert page.evaluate("document.querySelector('#map').data[0].x.length") == len(bundle.gallery)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_the_screen(visit, width, height, scheme):
    page = visit(width, height, scheme).open(f"?__theme={scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1440:
        assert page.evaluate("document.documentElement.scrollHeight") <= height
