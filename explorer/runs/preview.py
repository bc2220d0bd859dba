"""Preview of a training run: a PNG file with reconstructions and samples, updated during training."""

import os
import time
from pathlib import Path

import torch

import core
from core.bundle.contact_sheets import contact_sheet
from core.data.preprocessing import Images, to_bytes, to_unit

COLUMNS = 8
MIN_INTERVAL = 3.0
"""Shortest time between two previews, in seconds."""
INTERVAL_RATIO = 20
"""The time between two previews is at least this many times the time to draw one."""


class Preview:
    """A PNG file of held-out images, their reconstructions, and samples from the prior, one row each.

    The samples use the same seed every time. The weights are the current ones, not their average. If the file cannot be
    written, the run continues.
    """

    def __init__(self, path: Path, vae: core.VAE, held_out: Images) -> None:
        self.path, self.vae, self.images = path, vae, held_out[:COLUMNS]
        self._due = 0.0

    def update(self) -> None:
        """Draw and write the preview if it is due."""
        began = time.monotonic()
        if began < self._due:
            return
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            part.write_bytes(self.draw())
            os.replace(part, self.path)
        except OSError:
            part.unlink(missing_ok=True)
        ended = time.monotonic()
        self._due = ended + max(MIN_INTERVAL, INTERVAL_RATIO * (ended - began))

    @torch.no_grad()
    def draw(self) -> bytes:
        """Draw the preview and return it as PNG bytes."""
        vae, device = self.vae, next(self.vae.parameters()).device
        mean = vae.posterior(to_unit(self.images.to(device))).mean
        samples = vae.prior.sample(len(self.images), torch.Generator().manual_seed(0)).to(device)
        decoded = to_bytes(vae.decode(torch.cat([mean, samples])).mean).cpu()
        return contact_sheet(torch.cat([self.images, decoded]), len(self.images))
