"""A phone: real touch events through the browser's own input pipeline (DevTools' Input.dispatchTouchEvent)."""

import re

import pytest
from playwright.sync_api import Page, expect

Spot = tuple[float, float]


class Fingers:
    """Fingers on a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.devtools = page.context.new_cdp_session(page)

    def put(self, kind: str, *spots: Spot) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(spots)]
        self.devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def tap(self, spot: Spot) -> None:
        self.put("touchStart", spot)
        self.put("touchEnd")

    def drag(self, *paths: tuple[Spot, Spot], steps: int = 12, hold: int = 0, lift: bool = True) -> None:
        """Each finger goes from a spot to a spot, in a straight line, after resting for `hold` ms."""
        self.put("touchStart", *(start for start, _ in paths))
        self.page.wait_for_timeout(hold)
        for i in range(1, steps + 1):
            t = i / steps
            self.put("touchMove", *((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])) for a, b in paths))
            self.page.wait_for_timeout(16)
        if lift:
            self.put("touchEnd")


@pytest.fixture
def phone(visit) -> Page:
    page = visit(390, 844, touch=True).open()
    page.locator("#map").scroll_into_view_if_needed()
    settled(page)
    return page


def settled(page: Page) -> None:
    page.wait_for_timeout(100)
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^decoded"))


def middle(page: Page) -> Spot:
    box = page.locator("#map .nsewdrag").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def marker(page: Page) -> str | None:
    return page.locator("#map-marker").get_attribute("style")


def view(page: Page) -> list[float]:
    return page.evaluate("(({ xaxis, yaxis }) => [...xaxis.range, ...yaxis.range])(document.querySelector('#map')._fullLayout)")


def scrolled(page: Page) -> float:
    page.wait_for_timeout(300)
    return page.evaluate("window.scrollY")


def test_the_hint_speaks_of_fingers(phone):
    expect(phone.locator(".ls-by-touch")).to_be_visible()
    expect(phone.locator(".ls-by-mouse")).to_be_hidden()


def test_a_tap_on_the_map_goes_there(phone):
    before = marker(phone)
    Fingers(phone).tap(middle(phone))
    phone.wait_for_function("(was) => document.querySelector('#map-marker').getAttribute('style') !== was", arg=before)
    settled(phone)
    x, y = middle(phone)
    box = phone.locator("#map-marker").bounding_box()
    assert abs(box["x"] + 11 - x) < 10
    assert abs(box["y"] + 11 - y) < 10


def test_one_finger_up_the_map_scrolls_the_page_and_leaves_the_map_alone(phone):
    top, place, ranges = scrolled(phone), marker(phone), view(phone)
    x, y = middle(phone)
    Fingers(phone).drag(((x, y + 60), (x + 5, y - 140)))
    assert scrolled(phone) > top + 80
    assert marker(phone) == place
    assert view(phone) == ranges


@pytest.mark.parametrize("hold", [0, 600])
def test_a_finger_looks_around_and_lifting_goes_there(phone, hold):
    """Sideways at once; in any direction after a rest."""
    top, place, ranges = scrolled(phone), marker(phone), view(phone)
    x, y = middle(phone)
    fingers = Fingers(phone)
    fingers.drag(((x - 40, y - 40), (x + 40, y - 40) if not hold else (x - 40, y + 40)), hold=hold, lift=False)
    expect(phone.locator("#decoded-caption")).to_have_text(re.compile("^preview"))
    expect(phone.locator("#map-tip")).to_be_visible()
    assert marker(phone) == place
    fingers.put("touchEnd")
    settled(phone)
    assert marker(phone) != place
    assert scrolled(phone) == top
    assert view(phone) == ranges
    expect(phone.locator("#map-tip")).to_be_hidden()


def test_two_fingers_zoom_and_move_the_map_and_not_the_page(phone):
    top, place, before = scrolled(phone), phone.locator("#decoded").get_attribute("aria-label"), view(phone)
    x, y = middle(phone)
    Fingers(phone).drag(((x - 30, y), (x - 90, y)), ((x + 30, y), (x + 90, y)))
    near = view(phone)
    assert (before[1] - before[0]) / (near[1] - near[0]) == pytest.approx(3, rel=0.05)
    Fingers(phone).drag(((x - 30, y), (x - 30, y + 50)), ((x + 30, y), (x + 30, y + 50)))
    moved = view(phone)
    assert moved[3] - moved[2] == pytest.approx(near[3] - near[2], rel=0.01)
    assert moved[2] > near[2]
    assert scrolled(phone) == top
    assert phone.locator("#decoded").get_attribute("aria-label") == place
    assert phone.evaluate("window.visualViewport.scale") == 1


def test_a_pin_and_a_morph_by_touch(phone):
    phone.locator("#pin").tap()
    phone.locator("#sample").tap()
    expect(phone.locator("#scrub")).to_be_visible()
    settled(phone)
    before = phone.locator("#decoded").evaluate("(c) => c.toDataURL()")
    phone.locator("#scrub").scroll_into_view_if_needed()
    box = phone.locator("#scrub").bounding_box()
    y = box["y"] + box["height"] / 2
    Fingers(phone).drag(((box["x"] + 9, y), (box["x"] + box["width"] - 20, y)))
    settled(phone)
    assert float(phone.locator("#scrub").input_value()) > 0.5
    assert phone.locator("#decoded").evaluate("(c) => c.toDataURL()") != before
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("what", ["pad", "slider"])
def test_pad_and_sliders_move_by_touch(phone, what):
    if what == "pad":
        phone.get_by_role("tab", name="Pad").tap()
    part = phone.locator("#pad" if what == "pad" else "#sliders input >> nth=0")
    part.scroll_into_view_if_needed()
    top, before = scrolled(phone), phone.locator("#sliders input").first.input_value()
    box = part.bounding_box()
    y = box["y"] + box["height"] / 2
    low, high = phone.locator("#sliders input").first.evaluate("(slider) => [Number(slider.min), Number(slider.max)]")
    share = (float(before) - low) / (high - low)
    start = (box["x"] + share * box["width"], y)
    Fingers(phone).drag((start, (start[0] + 60, y - (70 if what == "pad" else 0))))
    settled(phone)
    assert float(phone.locator("#sliders input").first.input_value()) > float(before) + 0.5
    assert scrolled(phone) == top
