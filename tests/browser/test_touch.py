"""Browser tests with touch events, sent through the browser's input pipeline (DevTools' Input.dispatchTouchEvent)."""

import re

import pytest
from playwright.sync_api import Page, expect

Spot = tuple[float, float]


class TouchInput:
    """Sends touch events with one or more touch points to a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.devtools = page.context.new_cdp_session(page)

    def dispatch(self, kind: str, *spots: Spot) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(spots)]
        self.devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def tap(self, spot: Spot) -> None:
        self.dispatch("touchStart", spot)
        self.dispatch("touchEnd")

    def drag(self, *paths: tuple[Spot, Spot], steps: int = 12, hold: int = 0, lift: bool = True) -> None:
        """Move each touch point from start to end in a straight line, after holding for `hold` ms."""
        self.dispatch("touchStart", *(start for start, _ in paths))
        self.page.wait_for_timeout(hold)
        for i in range(1, steps + 1):
            t = i / steps
            self.dispatch("touchMove", *((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])) for a, b in paths))
            self.page.wait_for_timeout(16)
        if lift:
            self.dispatch("touchEnd")


@pytest.fixture
def phone(visit) -> Page:
    page = visit(390, 844, touch=True).open()
    page.locator("#map").scroll_into_view_if_needed()
    wait_until_idle(page)
    return page


def wait_until_idle(page: Page) -> None:
    page.wait_for_timeout(100)
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^decoded"))


def map_centre(page: Page) -> Spot:
    box = page.locator("#map .nsewdrag").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def marker_style(page: Page) -> str | None:
    return page.locator("#map-marker").get_attribute("style")


def map_ranges(page: Page) -> list[float]:
    return page.evaluate("(({ xaxis, yaxis }) => [...xaxis.range, ...yaxis.range])(document.querySelector('#map')._fullLayout)")


def scroll_position(page: Page) -> float:
    page.wait_for_timeout(300)
    return page.evaluate("window.scrollY")


def test_map_hint_describes_touch(phone):
    expect(phone.locator(".ls-by-touch")).to_be_visible()
    expect(phone.locator(".ls-by-mouse")).to_be_hidden()


def test_tap_on_the_map_selects_the_position(phone):
    before = marker_style(phone)
    TouchInput(phone).tap(map_centre(phone))
    phone.wait_for_function("(was) => document.querySelector('#map-marker').getAttribute('style') !== was", arg=before)
    wait_until_idle(phone)
    x, y = map_centre(phone)
    box = phone.locator("#map-marker").bounding_box()
    assert abs(box["x"] + 11 - x) < 10
    assert abs(box["y"] + 11 - y) < 10


def test_vertical_touch_drag_scrolls_the_page_and_not_the_map(phone):
    top, style_before, ranges = scroll_position(phone), marker_style(phone), map_ranges(phone)
    x, y = map_centre(phone)
    TouchInput(phone).drag(((x, y + 60), (x + 5, y - 140)))
    assert scroll_position(phone) > top + 80
    assert marker_style(phone) == style_before
    assert map_ranges(phone) == ranges


@pytest.mark.parametrize("hold", [0, 600])
def test_touch_drag_previews_and_release_selects(phone, hold):
    """A horizontal drag previews immediately, a drag in any direction after a hold."""
    top, style_before, ranges = scroll_position(phone), marker_style(phone), map_ranges(phone)
    x, y = map_centre(phone)
    touch = TouchInput(phone)
    touch.drag(((x - 40, y - 40), (x + 40, y - 40) if not hold else (x - 40, y + 40)), hold=hold, lift=False)
    expect(phone.locator("#decoded-caption")).to_have_text(re.compile("^preview"))
    expect(phone.locator("#map-tip")).to_be_visible()
    assert marker_style(phone) == style_before
    touch.dispatch("touchEnd")
    wait_until_idle(phone)
    assert marker_style(phone) != style_before
    assert scroll_position(phone) == top
    assert map_ranges(phone) == ranges
    expect(phone.locator("#map-tip")).to_be_hidden()


def test_two_touch_points_zoom_and_pan_the_map_and_not_the_page(phone):
    top, label_before, before = scroll_position(phone), phone.locator("#decoded").get_attribute("aria-label"), map_ranges(phone)
    x, y = map_centre(phone)
    TouchInput(phone).drag(((x - 30, y), (x - 90, y)), ((x + 30, y), (x + 90, y)))
    near = map_ranges(phone)
    assert (before[1] - before[0]) / (near[1] - near[0]) == pytest.approx(3, rel=0.05)
    TouchInput(phone).drag(((x - 30, y), (x - 30, y + 50)), ((x + 30, y), (x + 30, y + 50)))
    moved = map_ranges(phone)
    assert moved[3] - moved[2] == pytest.approx(near[3] - near[2], rel=0.01)
    assert moved[2] > near[2]
    assert scroll_position(phone) == top
    assert phone.locator("#decoded").get_attribute("aria-label") == label_before
    assert phone.evaluate("window.visualViewport.scale") == 1


def test_pin_and_scrubber_work_by_touch(phone):
    phone.locator("#pin").tap()
    phone.locator("#sample").tap()
    expect(phone.locator("#scrub")).to_be_visible()
    wait_until_idle(phone)
    before = phone.locator("#decoded").evaluate("(c) => c.toDataURL()")
    phone.locator("#scrub").scroll_into_view_if_needed()
    box = phone.locator("#scrub").bounding_box()
    y = box["y"] + box["height"] / 2
    TouchInput(phone).drag(((box["x"] + 9, y), (box["x"] + box["width"] - 20, y)))
    wait_until_idle(phone)
    assert float(phone.locator("#scrub").input_value()) > 0.5
    assert phone.locator("#decoded").evaluate("(c) => c.toDataURL()") != before
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("what", ["pad", "slider"])
def test_pad_and_sliders_move_by_touch(phone, what):
    if what == "pad":
        phone.get_by_role("tab", name="Pad").tap()
    part = phone.locator("#pad" if what == "pad" else "#sliders input >> nth=0")
    part.scroll_into_view_if_needed()
    top, before = scroll_position(phone), phone.locator("#sliders input").first.input_value()
    box = part.bounding_box()
    y = box["y"] + box["height"] / 2
    low, high = phone.locator("#sliders input").first.evaluate("(slider) => [Number(slider.min), Number(slider.max)]")
    share = (float(before) - low) / (high - low)
    start = (box["x"] + share * box["width"], y)
    TouchInput(phone).drag((start, (start[0] + 60, y - (70 if what == "pad" else 0))))
    wait_until_idle(phone)
    assert float(phone.locator("#sliders input").first.input_value()) > float(before) + 0.5
    assert scroll_position(phone) == top
