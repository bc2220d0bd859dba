"""The catalogue: the models on offer, opened when first asked for, with the files their maps are drawn from."""

import itertools
import json
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
from core.bundle.contact_sheets import image_grid
from core.bundle.folders import PRETRAINED, locate, read_config
from core.data.preprocessing import to_pil
from core.evaluation.scores import ACTIVE_VARIANCE, kl_per_latent
from core.latent.projection import LIFT, PLACE
from explorer.app.batching import MicroBatcher
from explorer.app.columns import CategoricalColumn, Column, NumericColumn, kind, matching_rows
from explorer.app.encoded_points import Encoded
from explorer.describe import VERDICT, decode

REACH = 4
"""A latent is shown from this many standard deviations of the aggregated posterior below its centre to as many above."""


class OpenModel:
    """One open model: its bundle, and what the page needs to draw its gallery."""

    def __init__(
        self, name: str, bundle: core.Bundle, folder: Path, decoder: Path | None = None, encoded: Encoded | None = None
    ) -> None:
        self.name = name
        self.bundle = bundle
        self.folder = folder
        self.decoder = decoder
        """decoder.onnx among the files the page may fetch; None for a bundle that has none."""
        self.encoded = encoded
        """The points of the map, where they are not the gallery's."""
        self.together = MicroBatcher(partial(decode, bundle))
        """Draws what several visitors ask for at once."""
        self._drawing, self._columning = threading.Lock(), threading.Lock()
        self._columns: dict[tuple[str, bool], dict[str, Any]] = {}

    @cached_property
    def kl(self) -> np.ndarray:
        """Mean KL of each latent, in nats: over the gallery, or as evaluated where there is none."""
        gallery = self.bundle.gallery
        if gallery is None:
            return np.array(self.bundle.config["evaluation"]["kl_per_latent"])
        return kl_per_latent(gallery.mean, gallery.log_variance).mean(0).numpy()

    @cached_property
    def active(self) -> np.ndarray:
        """Which latents are active (see `ACTIVE_VARIANCE`), (latents,): over the gallery, or, without one, as many as the
        evaluation found, those with the largest KL. The others tell nothing about an image and are folded away."""
        gallery = self.bundle.gallery
        if gallery is not None:
            return (gallery.mean.double().var(0, correction=0) > ACTIVE_VARIANCE).numpy()
        return np.argsort(np.argsort(-self.kl, kind="stable")) < self.bundle.config["evaluation"]["active_units"]

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
            "reach": REACH,
            "active_variance": ACTIVE_VARIANCE,
            "verdict": VERDICT,
            "decoder": None if self.decoder is None else str(self.decoder),
            "evaluation": config["evaluation"],
            "latents": [self._latent(int(i)) for i in order],
            "images": 0 if gallery is None else len(gallery),
            "map": None if bundle.map is None else {**config["map"], "place": PLACE, "lift": LIFT},
            "labels": {name: kind(column) for name, column in self.gallery_labels.items()},
            "encoded": self._describe_encoded(),
            "points": None if bundle.map is None else str(self.points),
            "means": None if gallery is None else str(self.means),
            "names": None if gallery is None or gallery.names is None else str(self.names),
            "sprite": None if gallery is None else {"file": str(self.sprite), "columns": self.sprite_columns},
            "start": self.middle.tolist() if gallery is None else gallery.mean[0].tolist(),
        }

    def _describe_encoded(self) -> dict[str, Any] | None:
        if self.encoded is None:
            return None
        labels = {name: kind(column) for name, column in self.encoded.labels.items()}
        return {"rows": len(self.encoded), "points": str(self.rows), "labels": labels}

    def _latent(self, i: int) -> dict[str, Any]:
        gallery = self.bundle.gallery
        centre, sd = (float(figure[i]) for figure in self.aggregate)
        histogram: list[int] = []
        if gallery is not None:
            ends = (centre - REACH * sd, centre + REACH * sd)
            histogram = np.histogram(gallery.mean[:, i].numpy(), bins=48, range=ends)[0].tolist()
        told = {"kl": float(self.kl[i]), "active": bool(self.active[i]), "centre": centre, "sd": sd}
        return {"index": i, **told, "histogram": histogram}

    @cached_property
    def gallery_labels(self) -> dict[str, Column]:
        """The gallery's labels: strings are classes, numbers amounts."""
        gallery = self.bundle.gallery
        labels = {} if gallery is None else gallery.labels
        return {
            name: CategoricalColumn.of(values) if values.dtype.kind == "U" else NumericColumn(values.astype(float))
            for name, values in labels.items()
        }

    def column(self, name: str, of: str = "map") -> dict[str, Any]:
        """What to colour the points of the map, or those "of" the gallery, by: a label, "posterior width", or "z0", "z1"…

        The numbers are in a file for the page. ValueError where there is no such column.
        """
        if of not in ("map", "gallery"):
            raise ValueError(f"of must be map or gallery; got {of!r:.100}.")
        if self.bundle.gallery is None:
            raise ValueError(f"{self.name} has no gallery to colour.")
        encoded = self.encoded if of == "map" else None
        if (name, encoded is None) in self._columns:
            return self._columns[name, encoded is None]
        with self._columning:
            known = self._columns.get((name, encoded is None))
            if known is None:
                column = self._column(name, encoded)
                known = column.describe(self.folder / f"column-{len(self._columns)}")
                self._columns[name, encoded is None] = known
            return known

    def _column(self, name: str, encoded: Encoded | None) -> Column:
        gallery = self.bundle.gallery
        assert gallery is not None
        labels = self.gallery_labels if encoded is None else encoded.labels
        if name in labels:
            return labels[name]
        if name == "posterior width":
            # The geometric mean of sigma over the active latents, if any is: the others stay at 1 and say nothing.
            active = self.active | (not self.active.any())
            if encoded is not None:
                return encoded.width(active)
            return NumericColumn((0.5 * gallery.log_variance[:, torch.from_numpy(active)].mean(1)).exp().numpy())
        if name in {f"z{i}" for i in range(gallery.mean.shape[1])}:
            i = int(name[1:])
            return NumericColumn(gallery.mean[:, i].numpy()) if encoded is None else encoded.latent(i)
        raise ValueError(f"colour must be one of {', '.join(labels)}, posterior width, z0, z1…; got {name!r:.100}.")

    def find(self, text: str) -> np.ndarray:
        """Which points of the map have a label, or are a picture of a name, that contains the text, whatever its capitals."""
        gallery = self.bundle.gallery
        if gallery is None:
            raise ValueError(f"{self.name} has no gallery to search.")
        if self.encoded is not None:
            return self.encoded.find(text)
        hits = [column.matching(text) for column in self.gallery_labels.values() if isinstance(column, CategoricalColumn)]
        hits += [np.zeros(len(gallery), bool) if gallery.names is None else matching_rows(text, gallery.names)]
        return np.logical_or.reduce(hits)

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
    def rows(self) -> Path:
        """The same of what is shown in the gallery's place."""
        assert self.encoded is not None
        path = self.folder / "rows"
        path.write_bytes(self.encoded.positions.astype("<f4").tobytes())
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
    def names(self) -> Path:
        """A file of what the gallery's images are called, as JSON."""
        assert self.bundle.gallery is not None
        path = self.folder / "names"
        path.write_text(json.dumps(self.bundle.gallery.names, ensure_ascii=False), encoding="utf-8")
        return path

    @cached_property
    def sprite(self) -> Path:
        """One lossless sheet of all gallery images, row by row."""
        assert self.bundle.gallery is not None
        with self._drawing:
            path = self.folder / "sprite.webp"
            if not path.exists():
                picture = to_pil(image_grid(self.bundle.gallery.images, self.sprite_columns))
                picture.save(path.with_suffix(".part"), "WEBP", lossless=True, quality=0, method=0)
                path.with_suffix(".part").rename(path)
            return path


@dataclass
class Catalogue:
    """Names of models and the folders they are opened from; one copy of each serves every visitor."""

    paths: dict[str, Path]

    def __post_init__(self) -> None:
        self._open: dict[str, OpenModel] = {}
        self._encodings: dict[str, Path] = {}
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="latentscape-")
        self._folders = itertools.count()

    @property
    def encoded(self) -> bool:
        """Whether a map shows the images of a file of encodings."""
        return bool(self._encodings)

    @classmethod
    def of(cls, bundles: list[str], encodings: Path | None = None) -> "Catalogue":
        """A catalogue of these names and folders; of all pretrained models with a gallery if there are none.

        `encodings` is a file of them of the one model that is named, whose map then shows them: see `Encoded`. Raises
        ValueError for a bundle or file that cannot be opened, or when there is nothing to show.
        """
        if encodings is not None and len(bundles) != 1:
            raise ValueError(f"--encodings belong to one model; name it, and it alone: got {len(bundles)}.")
        if not bundles:
            bundles = [name for name in core.pretrained() if (PRETRAINED / name / "gallery.parquet").exists()]
            if not bundles:
                raise ValueError("there is no pretrained model to show; train one (latentscape train) and name its folder.")
            # The one made for show comes first.
            bundles.sort(key=lambda name: (name != "fashion-mnist", name))
        catalogue = cls({})
        for bundle in bundles:
            catalogue.add(locate(bundle))
        if encodings is not None:
            (name,) = catalogue.names
            catalogue._encodings[name] = encodings
            catalogue[name].describe()  # what is wrong with the file is said at once
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

    def opened(self, name: object) -> OpenModel | None:
        """The model of this name, if it is open: at once."""
        return self._open.get(name) if isinstance(name, str) else None

    def __getitem__(self, name: str) -> OpenModel:
        """The model of this name, opened if need be; ValueError if there is none."""
        if not isinstance(name, str) or name not in self.paths:
            raise ValueError(f"model must be one of {', '.join(self.paths)}; got {name!r:.100}.")
        with self._lock:
            if name not in self._open:
                # A name is a stranger's text; a number is a safe name for a folder.
                folder = self.folder / str(next(self._folders))
                folder.mkdir()
                bundle, encodings = core.load(self.paths[name]), self._encodings.get(name)
                encoded = Encoded(encodings, bundle) if encodings is not None else None
                self._open[name] = OpenModel(name, bundle, folder, self._decoder(name, folder), encoded)
            return self._open[name]

    def _decoder(self, name: str, folder: Path) -> Path | None:
        """A copy of decoder.onnx: strangers get to see this folder, and nothing else of the bundle's."""
        file = self.paths[name] / "decoder.onnx"
        return Path(shutil.copyfile(file, folder / "decoder.onnx")) if file.exists() else None
