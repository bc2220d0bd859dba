"""Browser tests of pins and interpolation, the pad, the keyboard and screen-reader announcements."""

import itertools
import re

import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect

import core
from core.data.preprocessing import to_bytes
from core.evaluation.scores import kl_per_latent


@pytest.fixture(scope="module")
def bundle() -> core.Bundle:
    return core.load("fashion-mnist")


@pytest.fixture
def decoded_pixels(pixels):
    """Return a function that reads the pixels of #decoded, (H, W), at the model's image size."""
    return lambda page: pixels(page, "#decoded").astype(int)


def core_decode(bundle: core.Bundle, z: torch.Tensor) -> np.ndarray:
    """Decode one latent vector with core: (H, W) in 8 bits."""
    with torch.no_grad():
        return to_bytes(bundle.vae.decode(z.reshape(1, -1)).mean)[0, 0].numpy()


def point_on_screen(page: Page, index: int, bundle: core.Bundle) -> tuple[float, float]:
    """Return the viewport coordinates of a gallery image's point, in pixels."""
    return tuple(
        page.evaluate(
            """([x, y]) => { const m = document.querySelector('#map'); const b = m.getBoundingClientRect();
            const { xaxis, yaxis } = m._fullLayout;
            return [b.left + xaxis._offset + xaxis.d2p(x), b.top + yaxis._offset + yaxis.d2p(y)]; }""",
            bundle.gallery.xy[index].tolist(),
        )
    )


def map_ranges(page: Page) -> list[float]:
    """Return the visible part of the map: x minimum, x maximum, y minimum, y maximum."""
    return page.evaluate("(({ xaxis, yaxis }) => [...xaxis.range, ...yaxis.range])(document.querySelector('#map')._fullLayout)")


def isolated_image(bundle: core.Bundle, rank: int = 0) -> int:
    """Return the gallery image of this rank by isolation on the map (0 is the farthest): a click selects only it."""
    distance, _ = core.neighbours(bundle.gallery.xy, bundle.gallery.xy, 2)
    return int(distance[:, 1].argsort(descending=True)[rank])


def latents_of_url(page: Page) -> torch.Tensor:
    return torch.tensor([float(value) for value in page.evaluate("new URLSearchParams(location.search).get('z')").split(",")])


def slider_ranges(page: Page, latents: list[int]) -> torch.Tensor:
    """Return minimum and maximum of these latents' sliders, which are also the range of the pad: (latents, 2)."""
    sliders = [page.locator(f"#sliders input[data-latent='{i}']") for i in latents]
    return torch.tensor([slider.evaluate("(slider) => [Number(slider.min), Number(slider.max)]") for slider in sliders])


def wait_until_idle(page: Page) -> None:
    """Wait until no request is in progress and the page shows the current point, not a preview."""
    page.wait_for_timeout(80)
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^decoded"))


def pin(page: Page, bundle: core.Bundle, index: int) -> None:
    """Shift-click a gallery point to pin it."""
    page.keyboard.down("Shift")
    page.mouse.click(*point_on_screen(page, index, bundle))
    page.keyboard.up("Shift")
    page.mouse.move(5, 5)
    expect(page.locator("#morph")).to_be_visible()


def marker_style(page: Page) -> str | None:
    return page.locator("#map-marker").get_attribute("style")


def test_shift_click_pins_and_the_scrubber_interpolates_as_core_does(visit, bundle, decoded_pixels, pixels):
    page = visit().open()
    wait_until_idle(page)
    before, before_style, index = decoded_pixels(page), marker_style(page), isolated_image(bundle)
    assert page.locator("#morph").is_hidden()
    pin(page, bundle, index)
    wait_until_idle(page)
    assert (decoded_pixels(page) == before).all(), "a pin does not change the current point"
    assert marker_style(page) == before_style
    assert np.abs(pixels(page, "#morph-end canvas").astype(int) - core_decode(bundle, bundle.gallery.mean[index])).max() <= 1
    start, end = bundle.gallery.mean[0], bundle.gallery.mean[index]
    for method in ("linear", "spherical"):
        page.select_option("#morph-method", method)
        page.locator("#scrub").fill("0.25")
        wait_until_idle(page)
        expected = core.interpolate(start, end, 5, method)[1]
        assert (latents_of_url(page) - expected).abs().max() < 1e-3
        assert np.abs(decoded_pixels(page) - core_decode(bundle, expected)).max() <= 1
    assert marker_style(page) != before_style, "the marker moves with the current point"
    page.locator("#morph-end").click()
    wait_until_idle(page)
    assert np.abs(decoded_pixels(page) - core_decode(bundle, end)).max() <= 1
    page.locator("#undo").click()
    wait_until_idle(page)
    assert page.locator("#scrub").input_value() == "0", "the next interpolation starts at the new point"


def test_path_and_pin_are_drawn_at_their_map_positions(visit, bundle):
    page = visit().open()
    index = isolated_image(bundle)
    pin(page, bundle, index)
    page.wait_for_function("document.querySelector('.ls-trail').getAttribute('d')?.length > 0")
    expect(page.locator(".ls-pin")).to_be_visible()
    box = page.locator("#map").bounding_box()
    x, y = point_on_screen(page, index, bundle)
    at = [float(v) for v in re.findall(r"[-\d.]+", page.locator(".ls-pin").get_attribute("transform"))]
    assert np.allclose(at, [x - box["x"], y - box["y"]], atol=0.5)
    drawn = re.findall(r"[ML]([-\d.]+) ([-\d.]+)", page.locator(".ls-trail").get_attribute("d"))
    path = core.interpolate(bundle.gallery.mean[0], bundle.gallery.mean[index], len(drawn))
    places = page.evaluate(
        """(places) => { const { xaxis, yaxis } = document.querySelector('#map')._fullLayout;
        return places.map(([x, y]) => [xaxis._offset + xaxis.d2p(x), yaxis._offset + yaxis.d2p(y)]); }""",
        bundle.map.place(path).tolist(),
    )
    assert np.allclose(np.array(drawn, dtype=float), places, atol=0.5)
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    page.mouse.wheel(0, -300)
    page.wait_for_function(
        "(was) => document.querySelector('.ls-pin').getAttribute('transform') !== was", arg=f"translate({at})"
    )


def test_button_escape_and_model_change_remove_the_pin(visit, bundle):
    page = visit().open()
    for remove in (lambda: page.locator("#unpin").click(), lambda: page.keyboard.press("Escape")):
        pin(page, bundle, isolated_image(bundle))
        remove()
        expect(page.locator("#morph")).to_be_hidden()
        expect(page.locator(".ls-pin")).to_be_hidden()
        assert page.locator(".ls-trail").get_attribute("d") == ""
    pin(page, bundle, isolated_image(bundle))
    page.select_option("#model", "digits")
    expect(page.locator("#morph")).to_be_hidden()


def test_pin_button_shows_the_scrubber_at_the_next_point(visit):
    page = visit().open()
    wait_until_idle(page)
    page.locator("#pin").click()
    expect(page.locator("#morph-note")).to_contain_text("Go to another point")
    expect(page.locator("#scrub")).to_be_hidden()
    page.locator("#sample").click()
    expect(page.locator("#scrub")).to_be_visible()
    expect(page.locator("#morph-note")).to_contain_text("0 % of the way")


def test_page_with_a_pin_fits_the_viewport(visit, bundle):
    page = visit().open()
    pin(page, bundle, isolated_image(bundle))
    page.get_by_role("tab", name="Pad").click()
    assert page.evaluate("document.documentElement.scrollHeight") <= 900
    assert page.evaluate("(p => p.scrollHeight - p.clientHeight)(document.querySelector('.ls-latents'))") <= 0


def test_pad_drag_changes_only_its_two_latents_before_release(visit, bundle, decoded_pixels):
    page = visit().open()
    wait_until_idle(page)
    page.get_by_role("tab", name="Pad").click()
    across, up = (int(page.locator(f"#pad-{name}").input_value()) for name in ("across", "up"))
    kl = kl_per_latent(bundle.gallery.mean, bundle.gallery.log_variance).mean(0)
    assert [across, up] == kl.argsort(descending=True)[:2].tolist()
    before, box = latents_of_url(page), page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"], steps=6)
    wait_until_idle(page)
    expected = before.clone()
    low, high = slider_ranges(page, [across, up]).T
    expected[[across, up]] = low + 0.75 * (high - low)
    assert np.abs(decoded_pixels(page) - core_decode(bundle, expected)).max() <= 4, "before release"
    page.mouse.up()
    assert (latents_of_url(page) - expected).abs().max() < 0.03
    page.locator("#pad").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    expected[[across, up]] += torch.tensor([-0.1, -0.5])
    assert (latents_of_url(page) - expected).abs().max() < 0.03
    expect(page.locator("#pad")).to_have_attribute("aria-valuetext", re.compile(rf"across z{across} \d\.\d+, up z{up} \d\.\d+"))
    page.select_option("#pad-up", str((up + 1) % 16))
    assert (latents_of_url(page) - expected).abs().max() < 0.03


def test_pad_background_shows_the_gallery_latents(visit, bundle, pixels):
    page = visit().open()
    page.get_by_role("tab", name="Pad").click()
    page.wait_for_function("document.querySelector('#pad-cloud').width > 300")
    page.wait_for_timeout(500)
    across, up = (int(page.locator(f"#pad-{name}").input_value()) for name in ("across", "up"))
    drawn = page.locator("#pad-cloud").evaluate(
        "(c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 3)"
    )
    drawn_mask = np.array(drawn).reshape(pixels(page, "#pad-cloud").shape) > 0
    low, high = slider_ranges(page, [across, up]).T
    share = ((bundle.gallery.mean[:, [across, up]] - low) / (high - low)).numpy()
    share = share[((share > 0) & (share < 1)).all(1)]
    row, column = np.int64((1 - share[:, 1]) * drawn_mask.shape[0]), np.int64(share[:, 0] * drawn_mask.shape[1])
    assert drawn_mask[row, column].mean() > 0.99
    assert drawn_mask.mean() < 0.6


def test_tab_order_is_reading_order_and_focus_is_visible(visit, bundle):
    page = visit().open()
    pin(page, bundle, isolated_image(bundle))
    page.locator("#model").focus()
    seen: list[str] = []
    first = page.locator("#sliders input").first.get_attribute("id")
    while first not in seen and len(seen) < 40:
        page.keyboard.press("Tab")
        name, ring = page.evaluate(
            """(e => [e.id || `${e.dataset.view ?? e.dataset.hands} tab`,
            getComputedStyle(e).outlineStyle])(document.activeElement)"""
        )
        seen.append(name)
        assert ring != "none", name
    morph = ["morph-start", "scrub", "morph-end", "morph-method", "unpin"]
    order = ["colour-by", "lasso", "find", "map", *morph, "sample", "reset", "pin", "save", "copy", "sliders tab", first]
    assert [name for name in seen if name in order] == order


def test_arrow_keys_move_a_slider_by_visible_steps(visit, decoded_pixels):
    page = visit().open()
    page.locator("#reset").click()
    wait_until_idle(page)
    slider = page.locator("#sliders input").first
    before, centre = float(slider.input_value()), latents_of_url(page)
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowDown")
    wait_until_idle(page)
    assert float(slider.input_value()) == pytest.approx(before + 0.5)
    expect(slider).to_have_attribute("aria-valuetext", f"{before + 0.5:.2f}".replace("-", "−"))
    assert (latents_of_url(page) - centre).abs().max() == pytest.approx(0.5, abs=0.006)
    page.keyboard.press("Home")
    assert slider.input_value() == slider.get_attribute("min")


def arrow_to_centre(bundle: core.Bundle) -> tuple[str, int]:
    """Return the arrow key from the first image towards the map's centre, and its sign. The edge has no points farther out."""
    x = bundle.gallery.xy[:, 0]
    return ("ArrowRight", 1) if x[0] < x.mean() else ("ArrowLeft", -1)


def test_arrow_keys_preview_gallery_points_and_enter_selects(visit, bundle, decoded_pixels):
    page = visit().open()
    wait_until_idle(page)
    before = decoded_pixels(page)
    page.locator("#map").focus()
    expect(page.locator("#map-keys")).to_be_visible()
    arrow, sign = arrow_to_centre(bundle)
    page.keyboard.press(arrow)
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^preview"))
    expect(page.locator(".ls-walker")).to_be_visible()
    expect(page.locator("#map-tip")).to_be_visible()
    expect(page.locator("#spoken")).to_have_text(re.compile(r"^Preview, real image: .+\. Press Enter to go there\.$"))
    page.keyboard.press("Escape")
    wait_until_idle(page)
    assert (decoded_pixels(page) == before).all()
    expect(page.locator(".ls-walker")).to_be_hidden()
    page.keyboard.press(f"Shift+{arrow}")
    page.keyboard.press("Enter")
    wait_until_idle(page)
    # The selected point is a gallery image in the direction of the arrow.
    z = latents_of_url(page)
    distance, index = core.neighbours(z[None], bundle.gallery.mean, 1)
    assert distance.item() < 1e-3
    x = bundle.gallery.xy[:, 0]
    assert sign * (x[index.item()] - x[0]) > 0
    assert np.abs(decoded_pixels(page) - core_decode(bundle, bundle.gallery.mean[index.item()])).max() <= 1
    expect(page.locator("#decoded")).to_have_attribute("aria-label", re.compile("; real image:"))


def test_p_key_pins_the_previewed_point(visit, bundle):
    page = visit().open()
    wait_until_idle(page)
    before = latents_of_url(page)
    page.locator("#map").focus()
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^preview"))
    page.keyboard.press("p")
    expect(page.locator("#scrub")).to_be_visible()
    page.keyboard.press("Escape")
    wait_until_idle(page)
    assert torch.equal(latents_of_url(page), before)
    expect(page.locator("#morph")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#morph")).to_be_hidden()


def test_keys_zoom_the_map_and_the_keyboard_cursor_stays_in_view(visit, bundle):
    page = visit().open()
    wait_until_idle(page)
    whole = map_ranges(page)
    page.locator("#map").focus()
    for _ in range(5):
        page.keyboard.press("+")
    near = map_ranges(page)
    assert (near[1] - near[0]) * 1.5**5 == pytest.approx(whole[1] - whole[0], rel=0.01)
    arrow, sign = arrow_to_centre(bundle)
    for _ in range(8):
        page.keyboard.press(f"Shift+{arrow}")
        page.wait_for_timeout(60)
    expect(page.locator(".ls-walker")).to_be_visible()
    assert sign * (map_ranges(page)[0] - near[0]) > 0
    page.keyboard.press("0")
    page.wait_for_function("(w) => Math.abs(document.querySelector('#map')._fullLayout.xaxis.range[0] - w) < 0.5", arg=whole[0])


def test_a_drag_is_announced_once_after_it_stops(visit):
    page = visit().open()
    wait_until_idle(page)
    page.wait_for_timeout(900)
    page.evaluate(
        """() => { window.texts = []; new MutationObserver(() => texts.push(document.querySelector('#spoken').textContent))
        .observe(document.querySelector('#spoken'), { childList: true, characterData: true, subtree: true });
        window.moved = [];
        document.querySelector('#sliders').addEventListener('input', () => moved.push(performance.now())); }"""
    )
    box = page.locator("#sliders input").first.bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + box["height"] / 2)
    page.mouse.down()
    for i in range(40):
        page.mouse.move(box["x"] + 30 + 5 * i, box["y"] + box["height"] / 2)
        page.wait_for_timeout(16)
    page.mouse.up()
    wait_until_idle(page)
    page.wait_for_timeout(900)
    texts, moved = page.evaluate("[texts, moved]")
    # The page cannot distinguish a pause of the machine from a pause of the user.
    stalls = sum(after - before > 400 for before, after in itertools.pairwise(moved))
    assert len(moved) > 20
    assert 1 <= len(texts) <= 1 + stalls
    assert re.fullmatch(r"Current point, nearest real image: .+, \d\.\d\d away\.", texts[0])


def test_arrow_keys_select_tabs(visit):
    page = visit().open()
    page.locator("[data-view=map]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Samples")).to_be_focused()
    expect(page.locator("#samples")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map")).to_be_visible()


def test_reduced_motion_disables_animations(visit):
    page = visit().open()
    page.emulate_media(reduced_motion="reduce")
    slow = page.evaluate(
        """() => [...document.querySelectorAll('.gradio-container *')].filter((e) => {
        const { transitionDuration, animationDuration } = getComputedStyle(e);
        return `${transitionDuration},${animationDuration}`.split(',').some((t) => parseFloat(t) > 0.001); }).length"""
    )
    assert slow == 0
