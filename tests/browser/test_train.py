"""Browser tests of the Train tab, from a folder of pictures to exploring the trained model."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

import core
from core.data.preprocessing import to_png


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digits: core.Data) -> Path:
    """200 digits in one folder per class, and a file that is not a picture."""
    class_folders = tmp_path_factory.mktemp("pictures") / "numbers"
    for i, (image, label) in enumerate(zip(digits.images[:200], digits.labels["label"], strict=False)):
        path = class_folders / str(label) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_png(image))
    (class_folders / "notes.txt").write_text("no picture")
    return class_folders


def test_training_on_a_folder_creates_a_model_that_opens(visit, start_explorer, folder, pixels, tmp_path):
    with start_explorer("--runs", str(tmp_path / "runs"), runtime="none") as address:
        visitor = visit(address=address)
        page = visitor.open()
        page.get_by_role("tab", name="Train").click()
        expect(page.locator(".ls-train")).to_have_attribute("aria-busy", "false")
        page.locator("#folder-input").set_input_files(folder)
        expect(page.locator("#options")).to_be_visible(timeout=90_000)
        expect(page.locator("#run-name")).to_have_value("numbers")
        account = page.locator("#account-lines")
        expect(account).to_contain_text("Read 200 pictures; left out 1:")
        expect(account).to_contain_text("notes.txt")
        expect(account).to_contain_text("size 8x8")

        page.fill("#run-minutes", "0.2")
        page.fill("#run-latents", "4")
        page.click("#start")
        expect(page.locator("#preview")).to_be_visible(timeout=90_000)
        assert pixels(page, "#preview").std() > 20
        expect(page.locator("#run-numbers")).to_contain_text("active units")
        expect(page.locator("#run-curves .scatterlayer .trace")).to_have_count(4)
        expect(page.locator("#run-latents-kl .bars .point")).to_have_count(4)
        # A reloaded page finds its run again.
        page.reload()
        page.get_by_role("tab", name="Train").click()
        expect(page.locator(".ls-train")).to_have_attribute("data-phase", "training")

        expect(page.locator("#open-model")).to_be_visible(timeout=150_000)
        expect(page.locator("#train-status")).to_contain_text("saved in runs/numbers")
        bundle = core.load(tmp_path / "runs" / "numbers")
        assert bundle.architecture.latents == 4
        page.click("#open-model")
        expect(page.locator("#facts")).to_contain_text("4 latents")
        expect(page.locator("#model")).to_have_value("numbers")
        expect(page.locator('#strip [data-model="numbers"]')).to_have_attribute("aria-checked", "true")
        slider = page.locator("#sliders input").first
        page.wait_for_function("document.querySelector('#decoded')?.width === 8")
        before = pixels(page, "#decoded")
        slider.press("End")
        page.wait_for_function("document.querySelector('#decoded').dataset.preview !== 'true'")
        page.wait_for_timeout(500)
        assert np.abs(pixels(page, "#decoded").astype(int) - before).max() > 10

        # The link to the model works too.
        visitor.open("?model=numbers")
        expect(page.locator("#facts")).to_contain_text("4 latents")
        page.close()  # before its server stops


def test_train_tab_is_absent_when_training_is_disabled(visit, start_explorer):
    with start_explorer("--no-allow-training", runtime="none") as address:
        page = visit(address=address).open()
        expect(page.get_by_role("tab", name="Encode")).to_be_visible()
        assert page.get_by_role("tab", name="Train").count() == 0
        page.close()
