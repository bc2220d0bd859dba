"""Decoding in the page: the picture follows the hand, and the server is not asked."""

import re

import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect

import core
from core.data.preprocessing import to_bytes
from core.latent.projection import width
from explorer.app.catalogue import OpenModel
from explorer.app.onnx_runtime import CDN, FILES, GRAPHICS


@pytest.fixture(scope="module")
def bundle() -> core.Bundle:
    return core.load("fashion-mnist")


def decoded(bundle: core.Bundle, z: torch.Tensor) -> np.ndarray:
    """What core draws at latents (N, latents), (N, H, W) in 8 bits."""
    with torch.no_grad():
        return to_bytes(bundle.vae.decode(z).mean)[:, 0].numpy().astype(int)


def in_page(page: Page) -> Page:
    """Wait until the page decodes by itself and nothing is under way."""
    expect(page.locator("#engine")).to_have_attribute("data-at", "page", timeout=120_000)
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    return page


def box_of(page: Page, selector: str) -> dict[str, float]:
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    return {"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"]}


def place_under(page: Page, left: float, top: float) -> list[float]:
    return page.evaluate(
        """([px, py]) => { const m = document.querySelector('#map'); const b = m.getBoundingClientRect();
        const { xaxis, yaxis } = m._fullLayout;
        return [xaxis.p2d(px - b.left - xaxis._offset), yaxis.p2d(py - b.top - yaxis._offset)]; }""",
        [left, top],
    )


def spot_off_the_dots(page: Page, bundle: core.Bundle, near: float, far: float) -> tuple[float, float]:
    """A point of the screen whose place is from `near` to `far` of the map's width away from the nearest dot."""
    assert bundle.gallery is not None
    box = box_of(page, "#map .nsewdrag")
    shares = [i / 40 for i in range(2, 39)]
    spots = [(round(box["x"] + box["width"] * i), round(box["y"] + box["height"] * j)) for i in shares for j in shares]
    places = torch.tensor([place_under(page, *spot) for spot in spots])
    gap = core.neighbours(places, bundle.gallery.xy, 1)[0][:, 0] / width(bundle.gallery.xy)
    assert ((gap > near) & (gap < far)).any()
    return spots[int(((gap > near) & (gap < far)).int().argmax())]


def test_the_page_draws_what_torch_draws(visit, page_server, each_model):
    """To 1e-4 in pictures from 0 to 1, in the browser itself."""
    bundle = core.load(each_model)
    visitor = visit(address=page_server)
    page = in_page(visitor.open(f"?model={each_model}"))
    by_name = {url.rsplit("/", 1)[1]: url for url in visitor.requests if "/" in url}
    z = torch.randn(7, bundle.vae.prior.latents, generator=torch.Generator().manual_seed(0))
    files = [{"url": by_name[name]} for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")]
    drawn = page.evaluate(
        """async ([library, files, model, z]) => { const { PageDecoder } = await import(library);
        const decoder = await PageDecoder.open(files, model);
        const [mean, pixels] = [await decoder.mean(z), await decoder.decode(z)];
        decoder.close();
        return [[...mean], [...pixels]]; }""",
        [by_name["decoder.js"], files, by_name["decoder.onnx"], z.tolist()],
    )
    with torch.no_grad():
        mean = bundle.vae.decode(z).mean
    error = np.abs(np.array(drawn[0]) - mean.flatten().numpy()).max()
    assert error <= 1e-4
    assert np.abs(np.array(drawn[1]) - to_bytes(mean).permute(0, 2, 3, 1).flatten().numpy().astype(int)).max() <= 1


@pytest.mark.slow
def test_where_webassembly_is_slow_webgpu_draws_the_same(graphics_browser, page_server, bundle):
    """The processor here is a program, which says nothing of its speed; what it draws is what counts."""
    z = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    page = graphics_browser.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_server)
    in_page(page)
    by_name = {url.rsplit("/", 1)[1]: url for url in requests if "/" in url}
    folder = by_name["ort.wasm.bundle.min.mjs"].rsplit("/", 1)[0]
    files, more = ([{"at": f"{folder}/{name}", "integrity": known} for name, known in of.items()] for of in (FILES, GRAPHICS))
    switched, drawn = page.evaluate(
        """async ([library, runtime, description, z]) => { const { Model, pageFactories } = await import(library);
        const factories = pageFactories(runtime, (path) => path);
        const graphics = await factories.graphics(description);
        const drawn = [[...(await graphics.mean(z))]];
        graphics.close();
        const model = new Model(description, {}, factories);
        await model.openDecoder();
        const switched = [await model.switchToWebGpu(1e9), await model.switchToWebGpu(0)];
        drawn.push([...(await model.decoder.mean(z))]);
        model.close();
        return [switched, drawn]; }""",
        [
            by_name["model.js"],
            {"local": True, "files": files, "graphics": more},
            {"model": "fashion-mnist", "decoder": by_name["decoder.onnx"], "start": z[0].tolist()},
            z.tolist(),
        ],
    )
    assert not switched[0]  # fast enough: nothing is tried
    assert isinstance(switched[1], bool)  # whichever is faster here
    with torch.no_grad():
        mean = bundle.vae.decode(z).mean
    assert np.abs(np.array(drawn) - mean.flatten().numpy()).max() <= 1e-4  # both


def test_a_slider_drag_asks_nothing_of_the_server_and_shows_its_last_value(visit, page_server, bundle, pixels):
    visitor = visit(address=page_server)
    page = in_page(visitor.open())
    box = box_of(page, "#sliders input[type=range]")
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.5 * box["width"], y)
    page.mouse.down()
    before = len(visitor.requests)
    for i in range(60):
        page.mouse.move(box["x"] + box["width"] * (0.5 + 0.4 * np.sin(i / 9)), y)
    page.mouse.move(box["x"] + 0.8 * box["width"], y)
    page.mouse.up()
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    assert visitor.requests[before:] == []
    z = torch.tensor([[float(value) for value in page.evaluate("new URLSearchParams(location.search).get('z')").split(",")]])
    assert np.abs(pixels(page, "#decoded") - decoded(bundle, z)[0]).max() <= 1
    x, y = bundle.map.place(z)[0].tolist()
    shown = page.evaluate(
        """([x, y]) => { const m = document.querySelector('#map'); const { xaxis, yaxis } = m._fullLayout;
        const [, px, py] = document.querySelector('#map-marker').style.transform.match(/([-.0-9]+)px, ([-.0-9]+)px/);
        return Math.hypot(px - xaxis._offset - xaxis.d2p(x), py - yaxis._offset - yaxis.d2p(y)); }""",
        [x, y],
    )
    assert shown < 3


def test_the_lens_shows_what_the_place_under_the_pointer_decodes_to(visit, page_server, bundle, pixels):
    """On the dots' side of the map strongly, far away faintly and with the distance; leaving restores; nothing is asked."""
    visitor = visit(address=page_server)
    page = in_page(visitor.open())
    set_before = pixels(page, "#decoded")
    near, far = spot_off_the_dots(page, bundle, 0.0145, 0.025), spot_off_the_dots(page, bundle, 0.06, 0.5)
    before = len(visitor.requests)
    for spot, faint in ((near, False), (far, True)):
        page.mouse.move(*spot, steps=5)
        expect(page.locator("#map-tip")).to_be_visible()
        expect(page.locator("#map-tip figcaption")).to_have_text(re.compile(r"nearest dot \d+\.\d\d away on the map"))
        page.wait_for_timeout(100)
        expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
        expected = decoded(bundle, bundle.map.lift(torch.tensor([place_under(page, *spot)])))[0]
        lens, large = (pixels(page, where).astype(int) for where in ("#map-tip canvas >> nth=0", "#decoded"))
        assert (lens == large).all()
        assert np.abs(large - expected).max() <= 3  # latents lie in the page in half precision
        opacity = float(page.locator("#map-tip canvas").first.evaluate("(canvas) => canvas.style.opacity"))
        assert (opacity < 0.3) == faint
    page.mouse.move(5, 5)
    expect(page.locator("#map-tip")).to_be_hidden()
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^decoded"))
    assert (pixels(page, "#decoded") == set_before).all()
    assert visitor.requests[before:] == []


@pytest.mark.parametrize("where", ["page", "server"])
def test_filmstrips_show_what_each_slider_would_show(visit, page_server, server, bundle, pixels, where):
    """Pictures at -3…3 standard deviations of the aggregated posterior, with all other latents as they are."""
    page = visit(address=page_server if where == "page" else server).open()
    if where == "page":
        in_page(page)
    page.locator("#reset").click()
    page.wait_for_function(
        "[...document.querySelectorAll('.ls-film img')].slice(0, 56).every((image) => image.naturalWidth > 0)", timeout=60_000
    )
    page.wait_for_timeout(2000)
    model = OpenModel("fashion-mnist", bundle, None)  # pyright: ignore[reportArgumentType]
    centre, sd = model.aggregate
    for row in (0, 3, 7):
        latent = int(page.locator("#sliders input").nth(row).get_attribute("data-latent"))
        z = model.middle.repeat(7, 1)
        z[:, latent] = torch.tensor([centre[latent] + step * sd[latent] for step in range(-3, 4)])
        for step, expected in enumerate(decoded(bundle, z)):
            shown = pixels(page, f".ls-slider:has(input) >> nth={row} >> img >> nth={step}")
            assert np.abs(shown - expected).max() <= 1


@pytest.mark.parametrize("where", ["page", pytest.param("server", marks=pytest.mark.slow)])
def test_the_manifold_draws_the_plane_and_refines_on_zoom(visit, page_server, server, bundle, where):
    """Pictures where images are, nothing where none is near, and more of them for the same piece of plane on zooming in."""
    page = visit(address=page_server if where == "page" else server).open()
    if where == "page":
        in_page(page)
    on, off = spot_off_the_dots(page, bundle, 0.0, 0.003), spot_off_the_dots(page, bundle, 0.07, 0.5)
    page.get_by_role("radio", name="Pictures").click()
    opaque = """([px, py]) => { const c = document.querySelector('#manifold'); const b = c.getBoundingClientRect();
        const at = [(px - b.left) * c.width / b.width, (py - b.top) * c.height / b.height];
        return c.getContext('2d').getImageData(...at, 1, 1).data[3]; }"""
    page.wait_for_function(f"(spot) => ({opaque})(spot) > 100", arg=list(on), timeout=120_000)
    assert page.evaluate(opaque, list(off)) == 0
    share = "() => { const c = document.querySelector('#manifold'); return c.toDataURL(); }"
    before = page.evaluate(share)
    page.mouse.move(*on)
    for _ in range(4):
        page.mouse.wheel(0, -240)
        page.wait_for_timeout(50)
    page.wait_for_function(f"(spot) => ({opaque})(spot) > 100", arg=list(on), timeout=120_000)
    assert page.evaluate(share) != before
    page.get_by_role("radio", name="Points").click()
    expect(page.locator("#manifold")).to_be_hidden()


def test_the_first_picture_does_not_wait_for_the_runtime(visit, page_server, pixels):
    """With a runtime that never comes, the server goes on drawing."""
    visitor = visit(address=page_server)
    visitor.page.route("**/*.wasm", lambda route: None)
    page = visitor.open()
    expect(page.locator("#engine")).to_have_attribute("data-at", "server")
    before = pixels(page, "#decoded")
    page.locator("#reset").click()
    page.wait_for_timeout(100)
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    assert (pixels(page, "#decoded") != before).any()


def test_where_nobody_answers_the_server_decodes_and_the_page_says_so_quietly(visit, cdn_server):
    """The public CDN is out of reach here; no error reaches the console."""
    visitor = visit(address=cdn_server, allowed=(CDN,))
    visitor.page.route(f"{CDN}**", lambda route: route.abort())
    page = visitor.open()
    expect(page.locator("#engine")).to_have_attribute("title", re.compile("^Not in your browser"), timeout=60_000)
    expect(page.locator("#engine")).to_have_text("decoded by the server")
    page.locator("#sample").click()
    expect(page.locator("#undo")).to_be_enabled()
