"""Pins and morphs, the pad, the keyboard and fingers, used as a person would."""

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
def picture(pixels):
    """A function: what #decoded shows, (H, W), at the model's own size."""
    return lambda page: pixels(page, "#decoded").astype(int)


def decoded(bundle: core.Bundle, z: torch.Tensor) -> np.ndarray:
    """What core draws at a latent."""
    with torch.no_grad():
        return to_bytes(bundle.vae.decode(z.reshape(1, -1)).mean)[0, 0].numpy()


def on_screen(page: Page, index: int, bundle: core.Bundle) -> tuple[float, float]:
    """Where a gallery image's dot is on the screen."""
    return tuple(
        page.evaluate(
            """([x, y]) => { const m = document.querySelector('#map'); const b = m.getBoundingClientRect();
            const { xaxis, yaxis } = m._fullLayout;
            return [b.left + xaxis._offset + xaxis.d2p(x), b.top + yaxis._offset + yaxis.d2p(y)]; }""",
            bundle.gallery.xy[index].tolist(),
        )
    )


def ranges(page: Page) -> list[float]:
    """The part of the map in view: x from, to, y from, to."""
    return page.evaluate("(({ xaxis, yaxis }) => [...xaxis.range, ...yaxis.range])(document.querySelector('#map')._fullLayout)")


def lonely(bundle: core.Bundle, skip: int = 0) -> int:
    """A gallery image whose place is far from all others, so that a click surely means it."""
    distance, _ = core.neighbours(bundle.gallery.xy, bundle.gallery.xy, 2)
    return int(distance[:, 1].argsort(descending=True)[skip])


def address_z(page: Page) -> torch.Tensor:
    return torch.tensor([float(value) for value in page.evaluate("new URLSearchParams(location.search).get('z')").split(",")])


def ends(page: Page, latents: list[int]) -> torch.Tensor:
    """From where to where these latents' sliders go, which is as far as the pad does: (latents, 2)."""
    sliders = [page.locator(f"#sliders input[data-latent='{i}']") for i in latents]
    return torch.tensor([slider.evaluate("(slider) => [Number(slider.min), Number(slider.max)]") for slider in sliders])


def settled(page: Page) -> None:
    """Wait until nothing is under way and the picture shown is the set one."""
    page.wait_for_timeout(80)
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^decoded"))


def pin(page: Page, bundle: core.Bundle, index: int) -> None:
    """Shift-click a dot."""
    page.keyboard.down("Shift")
    page.mouse.click(*on_screen(page, index, bundle))
    page.keyboard.up("Shift")
    page.mouse.move(5, 5)
    expect(page.locator("#morph")).to_be_visible()


def marker(page: Page) -> str | None:
    return page.locator("#map-marker").get_attribute("style")


def test_shift_click_pins_and_the_scrubber_morphs_along_cores_path(visit, bundle, picture, pixels):
    page = visit().open()
    settled(page)
    before, place, index = picture(page), marker(page), lonely(bundle)
    assert page.locator("#morph").is_hidden()
    pin(page, bundle, index)
    settled(page)
    assert (picture(page) == before).all(), "a pin leaves the current point alone"
    assert marker(page) == place
    assert np.abs(pixels(page, "#morph-end canvas").astype(int) - decoded(bundle, bundle.gallery.mean[index])).max() <= 1
    start, end = bundle.gallery.mean[0], bundle.gallery.mean[index]
    for method in ("linear", "spherical"):
        page.select_option("#morph-method", method)
        page.locator("#scrub").fill("0.25")
        settled(page)
        expected = core.interpolate(start, end, 5, method)[1]
        assert (address_z(page) - expected).abs().max() < 1e-3
        assert np.abs(picture(page) - decoded(bundle, expected)).max() <= 1
    assert marker(page) != place, "the marker moves along"
    page.locator("#morph-end").click()
    settled(page)
    assert np.abs(picture(page) - decoded(bundle, end)).max() <= 1
    page.locator("#undo").click()
    settled(page)
    assert page.locator("#scrub").input_value() == "0", "a new point is where the next morph starts"


def test_the_path_and_the_pin_are_drawn_where_core_places_them(visit, bundle):
    page = visit().open()
    index = lonely(bundle)
    pin(page, bundle, index)
    page.wait_for_function("document.querySelector('.ls-trail').getAttribute('d')?.length > 0")
    expect(page.locator(".ls-pin")).to_be_visible()
    box = page.locator("#map").bounding_box()
    x, y = on_screen(page, index, bundle)
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


def test_a_pin_goes_by_its_button_by_escape_and_with_its_model(visit, bundle):
    page = visit().open()
    for remove in (lambda: page.locator("#unpin").click(), lambda: page.keyboard.press("Escape")):
        pin(page, bundle, lonely(bundle))
        remove()
        expect(page.locator("#morph")).to_be_hidden()
        expect(page.locator(".ls-pin")).to_be_hidden()
        assert page.locator(".ls-trail").get_attribute("d") == ""
    pin(page, bundle, lonely(bundle))
    page.select_option("#model", "digits")
    expect(page.locator("#morph")).to_be_hidden()


def test_pin_here_waits_for_another_point(visit):
    page = visit().open()
    settled(page)
    page.locator("#pin").click()
    expect(page.locator("#morph-note")).to_contain_text("Go to another point")
    expect(page.locator("#scrub")).to_be_hidden()
    page.locator("#sample").click()
    expect(page.locator("#scrub")).to_be_visible()
    expect(page.locator("#morph-note")).to_contain_text("0 % of the way")


def test_a_pin_does_not_push_the_page_off_the_screen(visit, bundle):
    page = visit().open()
    pin(page, bundle, lonely(bundle))
    page.get_by_role("tab", name="Pad").click()
    assert page.evaluate("document.documentElement.scrollHeight") <= 900
    assert page.evaluate("(p => p.scrollHeight - p.clientHeight)(document.querySelector('.ls-latents'))") <= 0


def test_the_pad_moves_two_latents_live_and_no_other(visit, bundle, picture):
    page = visit().open()
    settled(page)
    page.get_by_role("tab", name="Pad").click()
    across, up = (int(page.locator(f"#pad-{name}").input_value()) for name in ("across", "up"))
    kl = kl_per_latent(bundle.gallery.mean, bundle.gallery.log_variance).mean(0)
    assert [across, up] == kl.argsort(descending=True)[:2].tolist()
    before, box = address_z(page), page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"], steps=6)
    settled(page)
    expected = before.clone()
    low, high = ends(page, [across, up]).T
    expected[[across, up]] = low + 0.75 * (high - low)
    assert np.abs(picture(page) - decoded(bundle, expected)).max() <= 4, "before the hand lets go"
    page.mouse.up()
    assert (address_z(page) - expected).abs().max() < 0.03
    page.locator("#pad").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    expected[[across, up]] += torch.tensor([-0.1, -0.5])
    assert (address_z(page) - expected).abs().max() < 0.03
    expect(page.locator("#pad")).to_have_attribute("aria-valuetext", re.compile(rf"across z{across} \d\.\d+, up z{up} \d\.\d+"))
    page.select_option("#pad-up", str((up + 1) % 16))
    assert (address_z(page) - expected).abs().max() < 0.03


def test_the_pads_cloud_is_the_gallery(visit, bundle, pixels):
    page = visit().open()
    page.get_by_role("tab", name="Pad").click()
    page.wait_for_function("document.querySelector('#pad-cloud').width > 300")
    page.wait_for_timeout(500)
    across, up = (int(page.locator(f"#pad-{name}").input_value()) for name in ("across", "up"))
    drawn = page.locator("#pad-cloud").evaluate(
        "(c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 3)"
    )
    ink = np.array(drawn).reshape(pixels(page, "#pad-cloud").shape) > 0
    low, high = ends(page, [across, up]).T
    share = ((bundle.gallery.mean[:, [across, up]] - low) / (high - low)).numpy()
    share = share[((share > 0) & (share < 1)).all(1)]
    row, column = np.int64((1 - share[:, 1]) * ink.shape[0]), np.int64(share[:, 0] * ink.shape[1])
    assert ink[row, column].mean() > 0.99
    assert ink.mean() < 0.6


def test_tab_goes_through_the_page_in_reading_order_and_every_stop_shows_a_ring(visit, bundle):
    page = visit().open()
    pin(page, bundle, lonely(bundle))
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


def test_arrows_move_a_slider_by_steps_that_can_be_seen(visit, picture):
    page = visit().open()
    page.locator("#reset").click()
    settled(page)
    slider = page.locator("#sliders input").first
    before, middle = float(slider.input_value()), address_z(page)
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowDown")
    settled(page)
    assert float(slider.input_value()) == pytest.approx(before + 0.5)
    expect(slider).to_have_attribute("aria-valuetext", f"{before + 0.5:.2f}".replace("-", "−"))
    assert (address_z(page) - middle).abs().max() == pytest.approx(0.5, abs=0.006)
    page.keyboard.press("Home")
    assert slider.input_value() == slider.get_attribute("min")


def towards_the_middle(bundle: core.Bundle) -> tuple[str, int]:
    """The arrow from the first image's place to the map's middle, and its sign: at the rim there is nothing farther out."""
    x = bundle.gallery.xy[:, 0]
    return ("ArrowRight", 1) if x[0] < x.mean() else ("ArrowLeft", -1)


def test_the_map_is_walked_by_arrows_and_enter_goes_there(visit, bundle, picture):
    page = visit().open()
    settled(page)
    before = picture(page)
    page.locator("#map").focus()
    expect(page.locator("#map-keys")).to_be_visible()
    inwards, way = towards_the_middle(bundle)
    page.keyboard.press(inwards)
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^preview"))
    expect(page.locator(".ls-walker")).to_be_visible()
    expect(page.locator("#map-tip")).to_be_visible()
    expect(page.locator("#spoken")).to_have_text(re.compile(r"^Preview, real image: .+\. Press Enter to go there\.$"))
    page.keyboard.press("Escape")
    settled(page)
    assert (picture(page) == before).all()
    expect(page.locator(".ls-walker")).to_be_hidden()
    page.keyboard.press(f"Shift+{inwards}")
    page.keyboard.press("Enter")
    settled(page)
    # Where the walk ended is an image of the gallery, on that side of where it began.
    z = address_z(page)
    distance, index = core.neighbours(z[None], bundle.gallery.mean, 1)
    assert distance.item() < 1e-3
    x = bundle.gallery.xy[:, 0]
    assert way * (x[index.item()] - x[0]) > 0
    assert np.abs(picture(page) - decoded(bundle, bundle.gallery.mean[index.item()])).max() <= 1
    expect(page.locator("#decoded")).to_have_attribute("aria-label", re.compile("; real image:"))


def test_p_pins_what_the_walk_looks_at(visit, bundle):
    page = visit().open()
    settled(page)
    before = address_z(page)
    page.locator("#map").focus()
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^preview"))
    page.keyboard.press("p")
    expect(page.locator("#scrub")).to_be_visible()
    page.keyboard.press("Escape")
    settled(page)
    assert torch.equal(address_z(page), before)
    expect(page.locator("#morph")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#morph")).to_be_hidden()


def test_keys_zoom_the_map_and_the_walk_stays_in_view(visit, bundle):
    page = visit().open()
    settled(page)
    whole = ranges(page)
    page.locator("#map").focus()
    for _ in range(5):
        page.keyboard.press("+")
    near = ranges(page)
    assert (near[1] - near[0]) * 1.5**5 == pytest.approx(whole[1] - whole[0], rel=0.01)
    inwards, way = towards_the_middle(bundle)
    for _ in range(8):
        page.keyboard.press(f"Shift+{inwards}")
        page.wait_for_timeout(60)
    expect(page.locator(".ls-walker")).to_be_visible()
    assert way * (ranges(page)[0] - near[0]) > 0
    page.keyboard.press("0")
    page.wait_for_function("(w) => Math.abs(document.querySelector('#map')._fullLayout.xaxis.range[0] - w) < 0.5", arg=whole[0])


def test_a_drag_is_spoken_of_once_when_it_rests(visit):
    page = visit().open()
    settled(page)
    page.wait_for_timeout(900)
    page.evaluate(
        """() => { window.said = []; new MutationObserver(() => said.push(document.querySelector('#spoken').textContent))
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
    settled(page)
    page.wait_for_timeout(900)
    said, moved = page.evaluate("[said, moved]")
    # To the page, a machine that stands still for as long as that is a hand that rests.
    stalls = sum(after - before > 400 for before, after in itertools.pairwise(moved))
    assert len(moved) > 20
    assert 1 <= len(said) <= 1 + stalls
    assert re.fullmatch(r"Current point, nearest real image: .+, \d\.\d\d away\.", said[0])


def test_the_tabs_are_one_stop_and_arrows_choose(visit):
    page = visit().open()
    page.locator("[data-view=map]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Samples")).to_be_focused()
    expect(page.locator("#samples")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map")).to_be_visible()


def test_reduced_motion_leaves_nothing_moving(visit):
    page = visit().open()
    page.emulate_media(reduced_motion="reduce")
    slow = page.evaluate(
        """() => [...document.querySelectorAll('.gradio-container *')].filter((e) => {
        const { transitionDuration, animationDuration } = getComputedStyle(e);
        return `${transitionDuration},${animationDuration}`.split(',').some((t) => parseFloat(t) > 0.001); }).length"""
    )
    assert slow == 0
