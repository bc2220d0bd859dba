"""The standalone page behind a plain file server: no process of this project runs, and the browser does everything."""

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


def ready(page: Page) -> Page:
    expect(page.locator("#engine")).to_have_attribute("data-at", "page", timeout=120_000)
    expect(page.locator(BUSY)).to_have_attribute(*QUIET)
    return page


def still(page: Page) -> None:
    page.wait_for_timeout(100)
    expect(page.locator(BUSY)).to_have_attribute(*QUIET)


def drawn(bundle: core.Bundle, z: torch.Tensor) -> np.ndarray:
    """What core draws at one latent, (H, W) in 8 bits."""
    with torch.no_grad():
        return to_bytes(bundle.vae.decode(z[None]).mean)[0, 0].numpy().astype(int)


def point(page: Page) -> torch.Tensor:
    return torch.tensor([float(v) for v in page.evaluate("new URLSearchParams(location.search).get('z')").split(",")])


def where(page: Page, bundle: core.Bundle, index: int) -> tuple[float, float]:
    """Where on the screen a gallery image's dot is."""
    x, y = bundle.gallery.xy[index].tolist()
    left, top = page.evaluate(
        """([x, y]) => { const m = document.querySelector('#map'); const b = m.getBoundingClientRect();
        const { xaxis, yaxis } = m._fullLayout;
        return [b.left + xaxis._offset + xaxis.d2p(x), b.top + yaxis._offset + yaxis.d2p(y)]; }""",
        [x, y],
    )
    return left, top


def test_lens_sliders_and_morph_need_no_server(visit, site, bundle, pixels):
    visitor = visit(address=site)
    page = ready(visitor.open())
    page.wait_for_timeout(1500)  # filmstrips and thumbnails come
    asked = len(visitor.requests)

    start = bundle.gallery.mean[0]
    assert np.abs(pixels(page, "#decoded") - drawn(bundle, start)).max() <= 1

    far = int((bundle.gallery.xy - bundle.gallery.xy[0]).norm(dim=1).argmax())
    page.mouse.move(*where(page, bundle, far), steps=4)
    expect(page.locator("#map-tip")).to_be_visible()
    still(page)
    lens = pixels(page, "#map-tip canvas >> nth=0").astype(int)
    assert np.abs(lens - drawn(bundle, bundle.gallery.mean[far])).max() <= 3
    assert (pixels(page, "#map-tip canvas >> nth=1") == bundle.gallery.images[far, 0].numpy()).all()

    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.up()
    page.keyboard.up("Shift")
    expect(page.locator("#morph")).to_be_visible()
    page.locator("#scrub").focus()
    page.keyboard.press("End")
    still(page)
    assert np.abs(pixels(page, "#decoded") - drawn(bundle, bundle.gallery.mean[far])).max() <= 3
    page.locator("#scrub").fill("0.5")
    still(page)
    halfway = core.interpolate(start, bundle.gallery.mean[far], 3)[1]
    assert np.abs(pixels(page, "#decoded") - drawn(bundle, halfway)).max() <= 3

    slider = page.locator("#sliders input[type=range]").first
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 8)
    page.mouse.down()
    for i in range(20):
        page.mouse.move(box["x"] + box["width"] * (0.5 + 0.3 * np.sin(i / 4)), box["y"] + 8)
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 8)
    page.mouse.up()
    still(page)
    assert np.abs(pixels(page, "#decoded") - drawn(bundle, point(page))).max() <= 1
    assert visitor.requests[asked:] == []

    page.locator("#copy").click()
    link = page.evaluate("navigator.clipboard.readText()")
    other = visit(address=site)
    linked = ready(other.open(link.removeprefix(site)))
    assert (pixels(linked, "#decoded") == pixels(page, "#decoded")).all()


def test_samples_pad_pictures_and_colours_need_no_server(visit, site, bundle):
    page = ready(visit(address=site).open())
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
    still(page)
    page.get_by_role("tab", name="Samples").click()
    expect(page.locator("#samples button")).to_have_count(64)
    page.locator("#samples button").nth(5).click()
    still(page)
    wanted = bundle.vae.prior.sample(64, torch.Generator().manual_seed(0))[5]
    assert (point(page) - wanted).abs().max() < 1e-3


def test_pictures_are_encoded_in_the_page_as_core_encodes_them(visit, site, bundle, pixels, tmp_path):
    """PNG files of the model's size to 1e-4, in the browser itself; others by way of the shared resampler."""
    visitor = visit(address=site)
    page = ready(visitor.open())
    page.get_by_role("tab", name="Encode").click()
    _, height, width = bundle.preprocessing.shape
    own = tmp_path / "own.png"
    own.write_bytes(to_png(bundle.gallery.images[7]))
    paper = Image.new("RGB", (300, 240), "white")
    ImageDraw.Draw(paper).line([(120, 40), (120, 200), (190, 200)], fill=(40, 40, 60), width=24)
    paper.save(tmp_path / "paper.png")
    paper.save(tmp_path / "paper.jpg", quality=92)
    veil = np.dstack([np.asarray(paper.resize((width, height))), np.linspace(0, 255, width * height).reshape(height, width)])
    Image.fromarray(veil.astype(np.uint8)).save(tmp_path / "veil.png")
    for file, near in (("own.png", 0), ("paper.png", 0), ("veil.png", 0), ("paper.jpg", 4)):
        page.locator("#upload input[type=file]").set_input_files(tmp_path / file)
        page.wait_for_timeout(50)
        expect(page.locator(".ls-encode")).to_have_attribute("aria-busy", "false", timeout=60_000)
        expect(page.locator("#encode-body")).to_be_visible()
        image = prepare(bundle, core.read_image(tmp_path / file)).image
        assert np.abs(pixels(page, "#seen").astype(int) - image[0].numpy()).max() <= near, file
        if near:
            continue
        record = describe(bundle, image[None])[0]
        expect(page.locator("#numbers")).to_contain_text(f"{abs(record['elbo']):.1f} nats")
        said = page.locator(".ls-posterior").evaluate_all(
            "(lines) => lines.map((line) => line.title.match(/z(\\d+): mean (\\S+), σ (\\S+)/).slice(1).map(Number))"
        )
        assert len(said) >= 5
        for latent, mean, sigma in said:
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
        known = core.encode(bundle.vae, bundle.gallery.images[index][None])
        got = page.evaluate(encode, [f"{site}static/site/standalone.js", list(to_png(bundle.gallery.images[index]))])
        worst = max(worst, np.abs(np.array(got) - torch.cat([known.mean, known.log_variance]).numpy()).max())
    assert worst <= 1e-4

    page.locator("#take-me").click()
    still(page)
    assert np.abs(pixels(page, "#decoded").astype(int) - pixels(page, "#reconstruction")).max() <= 1
    (tmp_path / "notes.png").write_text("these are notes")
    page.get_by_role("tab", name="Encode").click()
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "notes.png")
    expect(page.locator("#encode-status")).to_have_text(re.compile("not an image"))


def test_a_picture_stands_before_any_script_runs(browser, site, bundle):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site)
    shot = np.asarray(Image.open(io.BytesIO(page.locator("#decoded").screenshot())).convert("L"), int)
    wanted = to_pil(torch.from_numpy(drawn(bundle, bundle.gallery.mean[0]))[None].to(torch.uint8))
    wanted = np.asarray(wanted.resize(shot.shape[::-1], Image.Resampling.NEAREST), int)
    assert np.abs(shot - wanted)[12:-12, 12:-12].mean() < 3  # rounded corners aside
    context.close()


def test_where_the_decoder_cannot_run_the_page_and_the_self_check_say_so(visit, site, bundle):
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


def test_the_self_check_finds_nothing_missing_here(visit, site):
    page = visit(address=site).page
    page.goto(site + "check.html")
    expect(page.locator("#verdict")).to_have_text("Everything works in this browser.", timeout=120_000)
    expect(page.locator("#checks li[data-state=yes]")).to_have_count(page.locator("#checks li").count())


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_and_follows_the_scheme(visit, site, width, height, scheme):
    page = visit(width, height, scheme, address=site).open()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width > 1000:
        assert page.evaluate("document.documentElement.scrollHeight") <= height
    ground = [int(level) for level in re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]]
    assert (max(ground) < 60) == (scheme == "dark")
