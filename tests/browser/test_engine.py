"""Browser tests of decoding in the page, without requests to the server."""

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


def core_decode(bundle: core.Bundle, z: torch.Tensor) -> np.ndarray:
    """Decode latents (N, latents) with core: (N, H, W) in 8 bits."""
    with torch.no_grad():
        return to_bytes(bundle.vae.decode(z).mean)[:, 0].numpy().astype(int)


def wait_for_page_decoding(page: Page) -> Page:
    """Wait until the page decodes without the server and no request is in progress."""
    expect(page.locator("#engine")).to_have_attribute("data-at", "page", timeout=120_000)
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    return page


def bounding_box_of(page: Page, selector: str) -> dict[str, float]:
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    return {"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"]}


def map_position(page: Page, left: float, top: float) -> list[float]:
    return page.evaluate(
        """([px, py]) => { const m = document.querySelector('#map'); const b = m.getBoundingClientRect();
        const { xaxis, yaxis } = m._fullLayout;
        return [xaxis.p2d(px - b.left - xaxis._offset), yaxis.p2d(py - b.top - yaxis._offset)]; }""",
        [left, top],
    )


def spot_at_distance_from_points(page: Page, bundle: core.Bundle, near: float, far: float) -> tuple[float, float]:
    """Return a viewport position whose distance to the nearest gallery point is from `near` to `far` of the map's width."""
    assert bundle.gallery is not None
    box = bounding_box_of(page, "#map .nsewdrag")
    shares = [i / 40 for i in range(2, 39)]
    spots = [(round(box["x"] + box["width"] * i), round(box["y"] + box["height"] * j)) for i in shares for j in shares]
    places = torch.tensor([map_position(page, *spot) for spot in spots])
    gap = core.neighbours(places, bundle.gallery.xy, 1)[0][:, 0] / width(bundle.gallery.xy)
    assert ((gap > near) & (gap < far)).any()
    return spots[int(((gap > near) & (gap < far)).int().argmax())]


def test_page_decodes_the_same_images_as_torch(visit, page_server, each_model):
    """The error in the browser is at most 1e-4 for pixels from 0 to 1."""
    bundle = core.load(each_model)
    visitor = visit(address=page_server)
    page = wait_for_page_decoding(visitor.open(f"?model={each_model}"))
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
def test_webgpu_decodes_the_same_images_as_torch(graphics_browser, page_server, bundle):
    """The graphics processor is emulated in software: the test checks the images, not the speed."""
    z = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    page = graphics_browser.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_server)
    wait_for_page_decoding(page)
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
    assert not switched[0]  # WebAssembly is fast enough: WebGPU is not tried
    assert isinstance(switched[1], bool)  # the faster one depends on the machine
    with torch.no_grad():
        mean = bundle.vae.decode(z).mean
    assert np.abs(np.array(drawn) - mean.flatten().numpy()).max() <= 1e-4


def test_slider_drag_sends_no_requests_and_shows_its_last_value(visit, page_server, bundle, pixels):
    visitor = visit(address=page_server)
    page = wait_for_page_decoding(visitor.open())
    box = bounding_box_of(page, "#sliders input[type=range]")
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
    assert np.abs(pixels(page, "#decoded") - core_decode(bundle, z)[0]).max() <= 1
    x, y = bundle.map.place(z)[0].tolist()
    shown = page.evaluate(
        """([x, y]) => { const m = document.querySelector('#map'); const { xaxis, yaxis } = m._fullLayout;
        const [, px, py] = document.querySelector('#map-marker').style.transform.match(/([-.0-9]+)px, ([-.0-9]+)px/);
        return Math.hypot(px - xaxis._offset - xaxis.d2p(x), py - yaxis._offset - yaxis.d2p(y)); }""",
        [x, y],
    )
    assert shown < 3


def test_lens_shows_the_decoded_position_under_the_pointer(visit, page_server, bundle, pixels):
    """The lens is opaque near points and faint far from them, and shows the distance. Leaving restores. No requests."""
    visitor = visit(address=page_server)
    page = wait_for_page_decoding(visitor.open())
    pixels_before = pixels(page, "#decoded")
    near, far = spot_at_distance_from_points(page, bundle, 0.0145, 0.025), spot_at_distance_from_points(page, bundle, 0.06, 0.5)
    before = len(visitor.requests)
    for spot, faint in ((near, False), (far, True)):
        page.mouse.move(*spot, steps=5)
        expect(page.locator("#map-tip")).to_be_visible()
        expect(page.locator("#map-tip figcaption")).to_have_text(re.compile(r"nearest dot \d+\.\d\d away on the map"))
        page.wait_for_timeout(100)
        expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
        expected = core_decode(bundle, bundle.map.lift(torch.tensor([map_position(page, *spot)])))[0]
        lens, large = (pixels(page, where).astype(int) for where in ("#map-tip canvas >> nth=0", "#decoded"))
        assert (lens == large).all()
        assert np.abs(large - expected).max() <= 3  # the page has the latents in half precision
        opacity = float(page.locator("#map-tip canvas").first.evaluate("(canvas) => canvas.style.opacity"))
        assert (opacity < 0.3) == faint
    page.mouse.move(5, 5)
    expect(page.locator("#map-tip")).to_be_hidden()
    expect(page.locator("#decoded-caption")).to_have_text(re.compile("^decoded"))
    assert (pixels(page, "#decoded") == pixels_before).all()
    assert visitor.requests[before:] == []


@pytest.mark.parametrize("where", ["page", "server"])
def test_filmstrips_show_the_images_along_each_slider(visit, page_server, server, bundle, pixels, where):
    """Images at -3…3 standard deviations of the aggregated posterior, with all other latents unchanged."""
    page = visit(address=page_server if where == "page" else server).open()
    if where == "page":
        wait_for_page_decoding(page)
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
        for step, expected in enumerate(core_decode(bundle, z)):
            shown = pixels(page, f".ls-slider:has(input) >> nth={row} >> img >> nth={step}")
            assert np.abs(shown - expected).max() <= 1


@pytest.mark.parametrize("where", ["page", pytest.param("server", marks=pytest.mark.slow)])
def test_pictures_view_covers_the_data_and_refines_on_zoom(visit, page_server, server, bundle, where):
    """The view is opaque near gallery points and transparent far from them; zooming in draws a finer grid."""
    page = visit(address=page_server if where == "page" else server).open()
    if where == "page":
        wait_for_page_decoding(page)
    on, off = spot_at_distance_from_points(page, bundle, 0.0, 0.003), spot_at_distance_from_points(page, bundle, 0.07, 0.5)
    page.get_by_role("radio", name="Pictures").click()
    opaque = """([px, py]) => { const c = document.querySelector('#manifold'); const b = c.getBoundingClientRect();
        const at = [(px - b.left) * c.width / b.width, (py - b.top) * c.height / b.height];
        return c.getContext('2d').getImageData(...at, 1, 1).data[3]; }"""
    page.wait_for_function(f"(spot) => ({opaque})(spot) > 100", arg=list(on), timeout=120_000)
    assert page.evaluate(opaque, list(off)) == 0
    snapshot = "() => { const c = document.querySelector('#manifold'); return c.toDataURL(); }"
    before = page.evaluate(snapshot)
    page.mouse.move(*on)
    for _ in range(4):
        page.mouse.wheel(0, -240)
        page.wait_for_timeout(50)
    page.wait_for_function(f"(spot) => ({opaque})(spot) > 100", arg=list(on), timeout=120_000)
    assert page.evaluate(snapshot) != before
    page.get_by_role("radio", name="Points").click()
    expect(page.locator("#manifold")).to_be_hidden()


def test_server_decodes_while_the_runtime_loads(visit, page_server, pixels):
    """The runtime never loads here, and the server decodes."""
    visitor = visit(address=page_server)
    visitor.page.route("**/*.wasm", lambda route: None)
    page = visitor.open()
    expect(page.locator("#engine")).to_have_attribute("data-at", "server")
    before = pixels(page, "#decoded")
    page.locator("#reset").click()
    page.wait_for_timeout(100)
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    assert (pixels(page, "#decoded") != before).any()


def test_unreachable_cdn_falls_back_to_the_server_without_console_errors(visit, cdn_server):
    """The public CDN is unreachable here; the console has no errors."""
    visitor = visit(address=cdn_server, allowed=(CDN,))
    visitor.page.route(f"{CDN}**", lambda route: route.abort())
    page = visitor.open()
    expect(page.locator("#engine")).to_have_attribute("title", re.compile("^Not in your browser"), timeout=60_000)
    expect(page.locator("#engine")).to_have_text("decoded by the server")
    page.locator("#sample").click()
    expect(page.locator("#undo")).to_be_enabled()
