"""Browser tests of the standalone page on a plain file server, without a server of this project."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

import core
from core.data.preprocessing import to_bytes, to_pil, to_png
from explorer.describe import describe, prepare
from explorer.publish.static_site import export

MODEL = "digits"
BUSY, QUIET = ".ls-explore", ("aria-busy", "false")


@pytest.fixture(scope="module")
def bundle() -> core.Bundle:
    return core.load(MODEL)


@pytest.fixture(scope="module")
def site(plain_server, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("sites") / "site"
    export(MODEL, folder, str(runtime))
    with plain_server(folder) as address:
        yield address


def wait_for_page_decoding(page: Page) -> Page:
    expect(page.locator("#engine")).to_have_attribute("data-at", "page", timeout=120_000)
    expect(page.locator(BUSY)).to_have_attribute(*QUIET)
    return page


def wait_until_idle(page: Page) -> None:
    page.wait_for_timeout(100)
    expect(page.locator(BUSY)).to_have_attribute(*QUIET)


def core_decode(bundle: core.Bundle, z: torch.Tensor) -> np.ndarray:
    """Decode one latent vector with core: (H, W) in 8 bits."""
    with torch.no_grad():
        return to_bytes(bundle.vae.decode(z[None]).mean)[0, 0].numpy().astype(int)


def latents_of_url(page: Page) -> torch.Tensor:
    return torch.tensor([float(v) for v in page.evaluate("new URLSearchParams(location.search).get('z')").split(",")])


def point_on_screen(page: Page, bundle: core.Bundle, index: int) -> tuple[float, float]:
    """Return the viewport coordinates of a gallery image's point, in pixels."""
    x, y = bundle.gallery.xy[index].tolist()
    left, top = page.evaluate(
        """([x, y]) => { const m = document.querySelector('#map'); const b = m.getBoundingClientRect();
        const { xaxis, yaxis } = m._fullLayout;
        return [b.left + xaxis._offset + xaxis.d2p(x), b.top + yaxis._offset + yaxis.d2p(y)]; }""",
        [x, y],
    )
    return left, top


def test_lens_sliders_and_interpolation_send_no_requests(visit, site, bundle, pixels):
    visitor = visit(address=site)
    page = wait_for_page_decoding(visitor.open())
    page.wait_for_timeout(1500)  # filmstrips and thumbnails load
    requests_before = len(visitor.requests)

    start = bundle.gallery.mean[0]
    assert np.abs(pixels(page, "#decoded") - core_decode(bundle, start)).max() <= 1

    far = int((bundle.gallery.xy - bundle.gallery.xy[0]).norm(dim=1).argmax())
    page.mouse.move(*point_on_screen(page, bundle, far), steps=4)
    expect(page.locator("#map-tip")).to_be_visible()
    wait_until_idle(page)
    lens = pixels(page, "#map-tip canvas >> nth=0").astype(int)
    assert np.abs(lens - core_decode(bundle, bundle.gallery.mean[far])).max() <= 3
    assert (pixels(page, "#map-tip canvas >> nth=1") == bundle.gallery.images[far, 0].numpy()).all()

    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.up()
    page.keyboard.up("Shift")
    expect(page.locator("#morph")).to_be_visible()
    page.locator("#scrub").focus()
    page.keyboard.press("End")
    wait_until_idle(page)
    assert np.abs(pixels(page, "#decoded") - core_decode(bundle, bundle.gallery.mean[far])).max() <= 3
    page.locator("#scrub").fill("0.5")
    wait_until_idle(page)
    halfway = core.interpolate(start, bundle.gallery.mean[far], 3)[1]
    assert np.abs(pixels(page, "#decoded") - core_decode(bundle, halfway)).max() <= 3

    slider = page.locator("#sliders input[type=range]").first
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 8)
    page.mouse.down()
    for i in range(20):
        page.mouse.move(box["x"] + box["width"] * (0.5 + 0.3 * np.sin(i / 4)), box["y"] + 8)
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 8)
    page.mouse.up()
    wait_until_idle(page)
    assert np.abs(pixels(page, "#decoded") - core_decode(bundle, latents_of_url(page))).max() <= 1
    assert visitor.requests[requests_before:] == []

    page.locator("#copy").click()
    link = page.evaluate("navigator.clipboard.readText()")
    other = visit(address=site)
    linked = wait_for_page_decoding(other.open(link.removeprefix(site)))
    assert (pixels(linked, "#decoded") == pixels(page, "#decoded")).all()


def test_samples_pad_pictures_and_colours_work_without_a_server(visit, site, bundle):
    page = wait_for_page_decoding(visit(address=site).open())
    page.get_by_role("radio", name="Pictures").click()
    page.wait_for_function(
        """() => { const c = document.querySelector('#manifold'); if (!c.width) return false;
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((level) => level > 0); }"""
    )
    for by in ("log likelihood", "posterior width", "z1"):
        page.select_option("#colour-by", label=by)
        page.wait_for_function("(by) => document.querySelector('#map').data[0].marker.colorbar?.title.text === by", arg=by)
    page.get_by_role("tab", name="Pad").click()
    page.locator("#pad").press("ArrowRight")
    wait_until_idle(page)
    page.get_by_role("tab", name="Samples").click()
    expect(page.locator("#samples button")).to_have_count(64)
    page.locator("#samples button").nth(5).click()
    wait_until_idle(page)
    expected = bundle.vae.prior.sample(64, torch.Generator().manual_seed(0))[5]
    assert (latents_of_url(page) - expected).abs().max() < 1e-3


def test_page_encodes_pictures_as_core_does(visit, site, bundle, pixels, tmp_path):
    """The error is at most 1e-4 for PNG files of the model's image size. Other pictures pass through the shared resampler."""
    visitor = visit(address=site)
    page = wait_for_page_decoding(visitor.open())
    page.get_by_role("tab", name="Encode").click()
    _, height, width = bundle.preprocessing.shape
    own = tmp_path / "own.png"
    own.write_bytes(to_png(bundle.gallery.images[7]))
    paper = Image.new("RGB", (300, 240), "white")
    ImageDraw.Draw(paper).line([(120, 40), (120, 200), (190, 200)], fill=(40, 40, 60), width=24)
    paper.save(tmp_path / "paper.png")
    paper.save(tmp_path / "paper.jpg", quality=92)
    transparent = np.dstack(
        [np.asarray(paper.resize((width, height))), np.linspace(0, 255, width * height).reshape(height, width)]
    )
    Image.fromarray(transparent.astype(np.uint8)).save(tmp_path / "veil.png")
    for file, tolerance in (("own.png", 0), ("paper.png", 0), ("veil.png", 0), ("paper.jpg", 4)):
        page.locator("#upload input[type=file]").set_input_files(tmp_path / file)
        page.wait_for_timeout(50)
        expect(page.locator(".ls-encode")).to_have_attribute("aria-busy", "false", timeout=60_000)
        expect(page.locator("#encode-body")).to_be_visible()
        image = prepare(bundle, core.read_image(tmp_path / file)).image
        assert np.abs(pixels(page, "#seen").astype(int) - image[0].numpy()).max() <= tolerance, file
        if tolerance:
            continue
        record = describe(bundle, image[None])[0]
        expect(page.locator("#numbers")).to_contain_text(f"{abs(record['elbo']):.1f} nats")
        shown_posteriors = page.locator(".ls-posterior").evaluate_all(
            "(lines) => lines.map((line) => line.title.match(/z(\\d+): mean (\\S+), σ (\\S+)/).slice(1).map(Number))"
        )
        assert len(shown_posteriors) >= 5
        for latent, mean, sigma in shown_posteriors:
            assert abs(mean - record["mean"][int(latent)]) < 6e-4
            assert abs(sigma - np.exp(record["log_variance"][int(latent)] / 2)) < 6e-4
    expect(page.locator("#neighbours figure")).to_have_count(6)
    expect(page.locator("#oddity")).to_contain_text(re.compile("normal images (is|are) at least as odd"))

    files = [url for url in visitor.requests if "/model/" in url]
    assert len(files) == len(set(files)) >= 10, "each file is fetched once"

    encode = """async ([library, file]) => { const { serverFunctions, Standalone } = await import(library);
        const baked = JSON.parse(document.querySelector('#baked').textContent);
        const server = serverFunctions(new Standalone(baked, (path) => new URL(path, location).href));
        const request = { path: new Blob([Uint8Array.from(file)]), crop: null, polarity: 'auto', trim: true };
        const { mean, log_variance, error } = await server.encode_upload(request);
        return error ?? [mean, log_variance]; }"""
    worst = 0.0
    for index in (0, 7, 100):
        core_posterior = core.encode(bundle.vae, bundle.gallery.images[index][None])
        page_posterior = page.evaluate(encode, [f"{site}static/site/standalone.js", list(to_png(bundle.gallery.images[index]))])
        worst = max(
            worst,
            np.abs(np.array(page_posterior) - torch.cat([core_posterior.mean, core_posterior.log_variance]).numpy()).max(),
        )
    assert worst <= 1e-4

    page.locator("#take-me").click()
    wait_until_idle(page)
    assert np.abs(pixels(page, "#decoded").astype(int) - pixels(page, "#reconstruction")).max() <= 1
    (tmp_path / "notes.png").write_text("these are notes")
    page.get_by_role("tab", name="Encode").click()
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "notes.png")
    expect(page.locator("#encode-status")).to_have_text(re.compile("not an image"))


def test_first_image_is_shown_without_javascript(browser, site, bundle):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site)
    shot = np.asarray(Image.open(io.BytesIO(page.locator("#decoded").screenshot())).convert("L"), int)
    expected = to_pil(torch.from_numpy(core_decode(bundle, bundle.gallery.mean[0]))[None].to(torch.uint8))
    expected = np.asarray(expected.resize(shot.shape[::-1], Image.Resampling.NEAREST), int)
    assert np.abs(shot - expected)[12:-12, 12:-12].mean() < 3  # the border is ignored because of rounded corners
    context.close()


def test_page_and_self_check_report_a_decoder_failure(visit, site, bundle):
    visitor = visit(address=site)
    visitor.page.add_init_script("Worker = class { constructor() { throw new Error('no workers here'); } };")
    page = visitor.open()
    expect(page.locator("#engine")).to_have_text(re.compile("cannot decode here"), timeout=60_000)
    expect(page.locator("#engine")).to_have_attribute("title", re.compile("no workers here"))
    page.locator("#reset").click()
    expect(page.locator("#status")).to_contain_text("no workers here")
    page.get_by_role("link", name="Self-check").click()
    expect(page.locator("#verdict")).to_have_text("The page does not work in this browser.", timeout=60_000)
    expect(page.locator("#checks li[data-state=no]")).to_have_count(2)


def test_self_check_passes(visit, site):
    page = visit(address=site).page
    page.goto(site + "check.html")
    expect(page.locator("#verdict")).to_have_text("Everything works in this browser.", timeout=120_000)
    expect(page.locator("#checks li[data-state=yes]")).to_have_count(page.locator("#checks li").count())


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_standalone_page_fits_the_viewport_and_follows_the_colour_scheme(visit, site, width, height, scheme):
    page = visit(width, height, scheme, address=site).open()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width > 1000:
        assert page.evaluate("document.documentElement.scrollHeight") <= height
    background = [
        int(level) for level in re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
    ]
    assert (max(background) < 60) == (scheme == "dark")
