"""Browser tests of the Encode tab: upload, crop, drawing and camera."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

import core
from explorer.describe import describe


@pytest.fixture(scope="module")
def shoe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo-sized drawing of a dark shoe on a white background."""
    image = Image.new("RGB", (640, 480), "white")
    draw = ImageDraw.Draw(image)
    upper = [(90, 330), (95, 290), (180, 270), (300, 195), (340, 165), (430, 170), (470, 190), (540, 185), (548, 330)]
    draw.polygon(upper, fill=(70, 70, 80))
    draw.rectangle((85, 318, 550, 345), fill=(30, 30, 30))
    path = tmp_path_factory.mktemp("pictures") / "shoe.jpg"
    image.save(path, quality=90)
    return path


def open_tab(page: Page) -> Page:
    page.get_by_role("tab", name="Encode").click()
    expect(page.locator(".ls-encode")).to_have_attribute("aria-busy", "false", timeout=15_000)
    return page


def wait_until_encoded(page: Page) -> None:
    """Wait until the picture is encoded and all results are shown."""
    page.wait_for_timeout(50)
    expect(page.locator(".ls-encode")).to_have_attribute("aria-busy", "false", timeout=15_000)


def upload(page: Page, path: Path) -> None:
    page.locator("#upload input[type=file]").set_input_files(path)
    wait_until_encoded(page)
    expect(page.locator("#encode-body")).to_be_visible()


def test_uploaded_photo_is_preprocessed_and_its_neighbours_are_shoes(visit, shoe, pixels):
    page = open_tab(visit().open())
    upload(page, shoe)
    expect(page.locator("#steps")).to_contain_text("inverted")
    seen = pixels(page, "#seen")
    assert seen.shape == (28, 28)
    assert np.median(np.concatenate([seen[0], seen[-1]])) == 0
    assert seen.max() > 150
    bundle = core.load("fashion-mnist")
    prepared = bundle.preprocessing.prepare(core.read_image(shoe)).image
    assert (seen == prepared[0].numpy()).all()
    record = describe(bundle, prepared[None])[0]
    expect(page.locator("#numbers")).to_contain_text(f"{abs(record['elbo']):.1f} nats")
    neighbours = core.neighbours(torch.tensor([record["mean"]]), bundle.gallery.mean, 6)[1][0].tolist()
    neighbour_labels = bundle.gallery.labels["label"][neighbours].tolist()
    assert sum(label in ("Sneaker", "Ankle boot", "Sandal") for label in neighbour_labels) >= 4, neighbour_labels
    expect(page.locator("#neighbours figure")).to_have_count(6)
    active_latents = page.locator(".ls-posterior")
    assert active_latents.count() >= 5


def test_take_me_there_selects_the_encoded_picture(visit, shoe, pixels):
    page = open_tab(visit().open())
    upload(page, shoe)
    reconstruction = pixels(page, "#reconstruction")
    page.locator("#take-me").click()
    expect(page.locator("#decoded")).to_be_visible()
    page.wait_for_timeout(50)
    expect(page.locator(".ls-explore")).to_have_attribute("aria-busy", "false")
    assert np.abs(pixels(page, "#decoded").astype(int) - reconstruction).max() <= 1


def test_draw_again_samples_another_z(visit, shoe, pixels):
    page = open_tab(visit().open())
    upload(page, shoe)
    first = page.locator("#again").evaluate("(canvas) => canvas.toDataURL()")
    page.locator("#draw-again").click()
    page.wait_for_function("(first) => document.querySelector('#again').toDataURL() !== first", arg=first)
    assert pixels(page, "#again").max() > 0


def test_polarity_keep_does_not_invert(visit, shoe):
    page = open_tab(visit().open())
    upload(page, shoe)
    page.select_option("#polarity", "keep")
    expect(page.locator("#steps")).not_to_contain_text("inverted")


def test_crop_changes_the_model_input(visit, shoe, pixels):
    page = open_tab(visit().open())
    upload(page, shoe)
    whole = pixels(page, "#seen")
    box = page.locator("#crop-canvas").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.98 * box["width"], box["y"] + 0.9 * box["height"], steps=5)
    page.mouse.up()
    expect(page.locator("#crop-frame")).to_be_visible()
    wait_until_encoded(page)
    assert (pixels(page, "#seen") != whole).any()


def test_drawing_is_encoded_on_release(visit, pixels):
    page = open_tab(visit().open())
    page.get_by_role("tab", name="Draw").click()
    box = page.locator("#pen").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 220, steps=6)
    page.mouse.move(box["x"] + 240, box["y"] + 220, steps=6)
    page.mouse.up()
    wait_until_encoded(page)
    expect(page.locator("#steps")).to_contain_text("inverted")
    assert pixels(page, "#seen").max() > 150


def test_a_camera_picture_is_encoded(visit, pixels):
    page = open_tab(visit().open())
    page.get_by_role("tab", name="Camera").click()
    page.wait_for_function("document.querySelector('#camera').videoWidth > 0")
    page.locator("#snap").click()
    wait_until_encoded(page)
    expect(page.locator("#encode-body")).to_be_visible()
    assert pixels(page, "#seen").shape == (28, 28)


def test_invalid_picture_shows_an_error(visit, tmp_path):
    page = open_tab(visit().open())
    file = tmp_path / "notes.png"
    file.write_text("these are notes")
    page.locator("#upload input[type=file]").set_input_files(file)
    expect(page.locator("#encode-status")).to_have_text(re.compile("^this file is not an image"), timeout=15_000)
    expect(page.locator("#encode-body")).to_be_hidden()


def test_invalid_picture_does_not_replace_the_previous_one(visit, shoe, pixels, tmp_path):
    page = open_tab(visit().open())
    upload(page, shoe)
    seen, crop = pixels(page, "#seen"), page.locator("#crop-canvas").evaluate("(canvas) => canvas.toDataURL()")
    file = tmp_path / "notes.png"
    file.write_text("these are notes")
    page.locator("#upload input[type=file]").set_input_files(file)
    expect(page.locator("#encode-status")).to_have_text(re.compile("not an image.*The previous picture is still shown"))
    wait_until_encoded(page)
    expect(page.locator("#encode-body")).to_be_visible()
    expect(page.locator("#crop-canvas")).to_be_visible()
    assert page.locator("#crop-canvas").evaluate("(canvas) => canvas.toDataURL()") == crop
    page.locator("#polarity").select_option("keep")
    wait_until_encoded(page)
    assert (pixels(page, "#seen") != seen).any()
