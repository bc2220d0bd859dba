"""Tests of the contact sheets: they show the model's output in the order that their captions state."""

import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from core import Bundle
from core.bundle.contact_sheets import CAPTIONS, SIDE, contact_sheet, image_grid
from core.data.preprocessing import from_png, to_bytes


def test_a_grid_shows_its_images_row_by_row() -> None:
    images = torch.randint(256, (5, 3, 4, 6), dtype=torch.uint8)
    grid = image_grid(images, 2)
    assert grid.shape == (3, 12, 12)
    for i, image in enumerate(images):
        top, left = 4 * (i // 2), 6 * (i % 2)
        assert torch.equal(grid[:, top : top + 4, left : left + 6], image)
    assert not grid[:, 8:, 6:].any()


def test_small_images_are_enlarged_by_an_integer_factor() -> None:
    images = torch.randint(256, (2, 1, 24, 24), dtype=torch.uint8)
    sheet = from_png(contact_sheet(images, 2))
    factor = -(-SIDE // 24)
    assert sheet.shape == (1, 24 * factor, 48 * factor)
    assert torch.equal(sheet[:, ::factor, ::factor], image_grid(images, 2))
    assert torch.equal(sheet[:, factor - 1 :: factor, factor - 1 :: factor], image_grid(images, 2))


def tiles(folder: Path, name: str, columns: int) -> np.ndarray:
    """The 8x8 images of a contact sheet, (N, 8, 8)."""
    small = np.asarray(Image.open(folder / name))[:: SIDE // 8, :: SIDE // 8]
    return small.reshape(-1, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)


def test_the_contact_sheets_show_what_their_captions_state(tiny_bundle: Path, bundle: Bundle) -> None:
    gallery = bundle.gallery
    with torch.no_grad():
        samples = bundle.vae.decode(bundle.vae.prior.sample(16, torch.Generator().manual_seed(0))).mean
        reconstructions = bundle.vae.decode(gallery.mean[:8]).mean
    assert (tiles(tiny_bundle, "samples.png", 8) == to_bytes(samples)[:, 0].numpy()).all()
    pairs = tiles(tiny_bundle, "reconstructions.png", 8)
    assert (pairs[:8] == gallery.images[:8, 0].numpy()).all()
    assert (pairs[8:] == to_bytes(reconstructions)[:, 0].numpy()).all()
    traversals = tiles(tiny_bundle, "latents.png", 7).reshape(4, 7, 8, 8)
    centre, sd = gallery.aggregate
    order = np.argsort([-kl for kl in bundle.config["evaluation"]["kl_per_latent"]], kind="stable")
    for row, latent in enumerate(order):
        for column in range(7):
            z = gallery.mean[:1].clone()
            z[0, latent] = centre[latent] + (column - 3) * sd[latent]
            with torch.no_grad():
                expected = to_bytes(bundle.vae.decode(z).mean)[0, 0].int().numpy()
            assert np.abs(traversals[row, column].astype(int) - expected).max() <= 1


def test_the_card_shows_every_contact_sheet(tiny_bundle: Path) -> None:
    card = (tiny_bundle / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[.*?\]\((.+?)\)", card)
    assert shown == list(CAPTIONS)
    assert all((tiny_bundle / name).is_file() for name in shown)
