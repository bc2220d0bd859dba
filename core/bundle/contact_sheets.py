"""Contact sheets: the pictures on a model card, PNG files with grids of images. No image is selected by hand."""

import torch
from jaxtyping import UInt8
from torch import Tensor

from core.bundle.gallery import Gallery
from core.data.preprocessing import to_bytes, to_png
from core.model.vae import VAE

CAPTIONS = {
    "samples.png": "Decoder means at the first 16 draws from the prior (seed 0), none left out",
    "reconstructions.png": "Above, the first eight images of the gallery, which the model was not trained on; below, "
    "each one's reconstruction",
    "latents.png": "Each row moves one latent, the eight with the largest KL from above, through -3 to 3 standard deviations "
    "of the aggregated posterior; all others stay where the gallery's first image has them",
}
"""File names and captions of the contact sheets."""
SIDE = 64
"""Minimum side of an image on a contact sheet in pixels; smaller images are enlarged by an integer factor to stay sharp."""
STEPS, ROWS = 7, 8
"""Images per latent and number of latents in latents.png."""


def image_grid(images: UInt8[Tensor, "n c h w"], columns: int) -> UInt8[Tensor, "c height width"]:
    """Arrange images row by row in a grid; empty cells are black."""
    n, c, h, w = images.shape
    rows = -(-n // columns)
    grid = torch.zeros(rows * columns, c, h, w, dtype=torch.uint8)
    grid[:n] = images
    return grid.reshape(rows, columns, c, h, w).permute(2, 0, 3, 1, 4).reshape(c, rows * h, columns * w)


def contact_sheet(images: UInt8[Tensor, "n c h w"], columns: int) -> bytes:
    """Return a PNG file with a grid of images, enlarged to at least `SIDE` pixels each."""
    factor = -(-SIDE // max(images.shape[2:]))
    return to_png(image_grid(images, columns).repeat_interleave(factor, 1).repeat_interleave(factor, 2))


@torch.no_grad()
def contact_sheets(vae: VAE, gallery: Gallery, kl_per_latent: list[float]) -> dict[str, bytes]:
    """Return the files of `CAPTIONS` by name. The VAE must be on the CPU and in evaluation mode."""

    def decode(z: Tensor) -> Tensor:
        return to_bytes(vae.decode(z.float()).mean)

    centre, sd = gallery.aggregate
    largest = torch.tensor(kl_per_latent).argsort(descending=True, stable=True)[:ROWS]
    path = gallery.mean[:1].double().repeat(len(largest) * STEPS, 1).reshape(len(largest), STEPS, -1)
    for row, latent in enumerate(largest.tolist()):
        path[row, :, latent] = centre[latent] + sd[latent] * torch.linspace(-3, 3, STEPS, dtype=torch.float64)
    first = gallery.first(8)
    return {
        "samples.png": contact_sheet(decode(vae.prior.sample(16, torch.Generator().manual_seed(0))), 8),
        "reconstructions.png": contact_sheet(torch.cat([first, decode(gallery.mean[: len(first)])]), len(first)),
        "latents.png": contact_sheet(decode(path.flatten(0, 1)), STEPS),
    }
