"""The catalogue: the models on offer, opened when first asked for, with the files their maps are drawn from."""

import itertools
import shutil
import tempfile
import threading
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import core
from core.evaluation import kl_per_latent
from core.folders import PRETRAINED, locate, read_config
from core.images import to_pil
from core.sheets import tile
from explorer.describe import decode
from explorer.together import Together

DEAD_KL = 0.01
"""A latent with less KL than this, in nats, tells nothing about an image and is folded away."""
REACH = 4
"""A latent is shown from this many standard deviations of the aggregated posterior below its centre to as many above."""


class Exhibit:
    """One open model: its bundle, and what the page needs to draw its gallery."""

    def __init__(self, name: str, bundle: core.Bundle, folder: Path, decoder: Path | None = None) -> None:
        self.name = name
        self.bundle = bundle
        self.folder = folder
        self.decoder = decoder
        """decoder.onnx among the files the page may fetch; None for a bundle that has none."""
        self.together = Together(partial(decode, bundle))
        """Draws what several visitors ask for at once."""
        self._drawing = threading.Lock()

    @cached_property
    def kl(self) -> np.ndarray:
        """Mean KL of each latent, in nats: over the gallery, or as evaluated where there is none."""
        gallery = self.bundle.gallery
        if gallery is None:
            return np.array(self.bundle.config["evaluation"]["kl_per_latent"])
        return kl_per_latent(gallery.mean, gallery.log_variance).mean(0).numpy()

    @cached_property
    def aggregate(self) -> tuple[np.ndarray, np.ndarray]:
        """Centre and standard deviation of each latent over the aggregated posterior; 0 and 1 without a gallery."""
        gallery = self.bundle.gallery
        if gallery is None:
            return np.zeros(len(self.kl)), np.ones(len(self.kl))
        centre, sd = gallery.aggregate
        return centre.numpy(), sd.numpy()

    @cached_property
    def middle(self) -> Tensor:
        """Where the latent space has its middle, (latents,): z = 0 for the prior N(0, 1).

        A learned prior may have nothing at z = 0, nor one middle; the mean of the aggregated posterior stands in.
        """
        if self.bundle.config["architecture"]["prior"] == "normal":
            return torch.zeros(self.bundle.vae.prior.latents)
        return torch.from_numpy(self.aggregate[0]).float()

    def describe(self) -> dict[str, Any]:
        """Everything the page needs to set itself up for this model, as plain JSON."""
        bundle, gallery, config = self.bundle, self.bundle.gallery, self.bundle.config
        order = np.argsort(-self.kl, kind="stable")
        return {
            "model": self.name,
            "shape": list(bundle.preprocessing.shape),
            "likelihood": config["architecture"]["likelihood"],
            "prior": config["architecture"]["prior"],
            "middle": self.middle.tolist(),
            "decoder": None if self.decoder is None else str(self.decoder),
            "evaluation": config["evaluation"],
            "latents": [self._latent(int(i)) for i in order],
            "images": 0 if gallery is None else len(gallery),
            "map": None if bundle.map is None else config["map"],
            "labels": {} if gallery is None else {name: _kind(values) for name, values in gallery.labels.items()},
            "points": None if bundle.map is None else str(self.points),
            "means": None if gallery is None else str(self.means),
            "sprite": None if gallery is None else {"file": str(self.sprite), "columns": self.sprite_columns},
            "start": self.middle.tolist() if gallery is None else gallery.mean[0].tolist(),
        }

    def _latent(self, i: int) -> dict[str, Any]:
        gallery = self.bundle.gallery
        centre, sd = (float(figure[i]) for figure in self.aggregate)
        histogram: list[int] = []
        if gallery is not None:
            ends = (centre - REACH * sd, centre + REACH * sd)
            histogram = np.histogram(gallery.mean[:, i].numpy(), bins=48, range=ends)[0].tolist()
        dead = bool(self.kl[i] < DEAD_KL)
        return {"index": i, "kl": float(self.kl[i]), "dead": dead, "centre": centre, "sd": sd, "histogram": histogram}

    def column(self, name: str) -> dict[str, Any]:
        """The gallery's values to colour the map by: a label, "posterior width", or "z0", "z1"…"""
        gallery = self.bundle.gallery
        if gallery is None:
            raise ValueError(f"{self.name} has no gallery to colour.")
        if name in gallery.labels:
            values = gallery.labels[name]
            if values.dtype.kind == "U":
                classes, codes = np.unique(values, return_inverse=True)
                return {"classes": classes.tolist(), "codes": codes.tolist()}
            return {"values": np.round(values.astype(float), 4).tolist()}
        if name == "posterior width":
            # The geometric mean of sigma over the latents that are alive: dead ones stay at 1 and say nothing.
            alive = torch.from_numpy(self.kl >= DEAD_KL)
            return {"values": (0.5 * gallery.log_variance[:, alive].mean(1)).exp().numpy().round(4).tolist()}
        if name in {f"z{i}" for i in range(gallery.mean.shape[1])}:
            return {"values": gallery.mean[:, int(name[1:])].numpy().round(4).tolist()}
        raise ValueError(f"colour must be one of {', '.join(gallery.labels)}, posterior width, z0, z1…; got {name!r}.")

    @property
    def sprite_columns(self) -> int:
        """Thumbnails in a row of the sprite sheet."""
        assert self.bundle.gallery is not None
        return int(np.ceil(np.sqrt(len(self.bundle.gallery))))

    @cached_property
    def points(self) -> Path:
        """A file of little-endian float32 x, y pairs: the gallery's places."""
        assert self.bundle.gallery is not None
        path = self.folder / "points"
        path.write_bytes(self.bundle.gallery.xy.numpy().astype("<f4").tobytes())
        return path

    @cached_property
    def means(self) -> Path:
        """A file of little-endian float16: the gallery's posterior means, one after another.

        With `points` it is all that the page needs to place a latent on the map and to lift a place off it by itself.
        """
        assert self.bundle.gallery is not None
        path = self.folder / "means"
        path.write_bytes(self.bundle.gallery.mean.numpy().astype("<f2").tobytes())
        return path

    @cached_property
    def sprite(self) -> Path:
        """One lossless sheet of all gallery images, row by row."""
        assert self.bundle.gallery is not None
        with self._drawing:
            path = self.folder / "sprite.webp"
            if not path.exists():
                picture = to_pil(tile(self.bundle.gallery.images, self.sprite_columns))
                picture.save(path.with_suffix(".part"), "WEBP", lossless=True, quality=0, method=0)
                path.with_suffix(".part").rename(path)
            return path


def _kind(values: np.ndarray) -> str:
    return "classes" if values.dtype.kind == "U" else "amount"


@dataclass
class Catalogue:
    """Names of models and the folders they are opened from; one copy of each serves every visitor."""

    paths: dict[str, Path]

    def __post_init__(self) -> None:
        self._open: dict[str, Exhibit] = {}
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="latentscape-")
        self._folders = itertools.count()

    @classmethod
    def of(cls, bundles: list[str]) -> "Catalogue":
        """A catalogue of these names and folders; of all pretrained models with a gallery if there are none.

        Raises ValueError for a bundle that cannot be opened, or when there is nothing to show.
        """
        if not bundles:
            bundles = [name for name in core.pretrained() if (PRETRAINED / name / "gallery.parquet").exists()]
            if not bundles:
                raise ValueError("there is no pretrained model to show; train one (latentscape train) and name its folder.")
            # The one made for show comes first.
            bundles.sort(key=lambda name: (name != "fashion-mnist", name))
        catalogue = cls({})
        for bundle in bundles:
            catalogue.add(locate(bundle))
        return catalogue

    def add(self, path: Path) -> str:
        """Offer a bundle, or what has taken the place of one that is offered already; the name it goes by."""
        name = read_config(path)["name"]
        with self._lock:
            for offered, known in self.paths.items():
                if known == path:
                    self._open.pop(offered, None)
                    return offered
            names = itertools.chain([name], (f"{name} ({i})" for i in itertools.count(2)))
            unique = next(candidate for candidate in names if candidate not in self.paths)
            self.paths = {**self.paths, unique: path}
            return unique

    @property
    def names(self) -> list[str]:
        """The models on offer, the first being the one shown first."""
        return list(self.paths)

    @property
    def folder(self) -> Path:
        """Where the files lie that the page fetches."""
        return Path(self._folder.name)

    def opened(self, name: object) -> Exhibit | None:
        """The model of this name, if it is open: at once."""
        return self._open.get(name) if isinstance(name, str) else None

    def __getitem__(self, name: str) -> Exhibit:
        """The model of this name, opened if need be; ValueError if there is none."""
        if not isinstance(name, str) or name not in self.paths:
            raise ValueError(f"model must be one of {', '.join(self.paths)}; got {name!r:.100}.")
        with self._lock:
            if name not in self._open:
                # A name is a stranger's text; a number is a safe name for a folder.
                folder = self.folder / str(next(self._folders))
                folder.mkdir()
                self._open[name] = Exhibit(name, core.load(self.paths[name]), folder, self._decoder(name, folder))
            return self._open[name]

    def _decoder(self, name: str, folder: Path) -> Path | None:
        """A copy of decoder.onnx: strangers get to see this folder, and nothing else of the bundle's."""
        file = self.paths[name] / "decoder.onnx"
        return Path(shutil.copyfile(file, folder / "decoder.onnx")) if file.exists() else None
