"""The preview of a run: one picture of what the weights draw while they are trained."""

import os
import time
from pathlib import Path

import torch

import core
from core.bundle.contact_sheets import contact_sheet
from core.data.preprocessing import Images, to_bytes, to_unit

COLUMNS = 8
PATIENCE = 3.0
"""Seconds between two previews, at least."""
SHARE = 20
"""Drawing one may take at most every so-and-so-manieth of the time."""


class Preview:
    """A PNG file that is drawn anew while a run goes on: held-out images, each one's reconstruction below it, and below these
    as many draws from the prior, always the same ones. It shows the weights of the moment, not yet averaged.

    A file that cannot be written never ends a run.
    """

    def __init__(self, path: Path, vae: core.VAE, held_out: Images) -> None:
        self.path, self.vae, self.images = path, vae, held_out[:COLUMNS]
        self._due = 0.0

    def look(self) -> None:
        """Draw it, if it is time to."""
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
        self._due = ended + max(PATIENCE, SHARE * (ended - began))

    @torch.no_grad()
    def draw(self) -> bytes:
        """The picture, as a PNG file."""
        vae, device = self.vae, next(self.vae.parameters()).device
        mean = vae.posterior(to_unit(self.images.to(device))).mean
        drawn = vae.prior.sample(len(self.images), torch.Generator().manual_seed(0)).to(device)
        decoded = to_bytes(vae.decode(torch.cat([mean, drawn])).mean).cpu()
        return contact_sheet(torch.cat([self.images, decoded]), len(self.images))
