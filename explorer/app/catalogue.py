"""The catalogue of models: opens a model on first use and writes the files that the page fetches."""

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
from explorer.app.columns import CategoricalColumn, Column, NumericColumn, column_type, matching_rows
from explorer.app.encoded_points import EncodedPoints
from explorer.describe import VERDICT, decode

REACH = 4
"""Range of a slider: this many standard deviations of the aggregated posterior on either side of its centre."""


class OpenModel:
    """An open model: its bundle, and the data and files that the page needs."""

    def __init__(
        self, name: str, bundle: core.Bundle, folder: Path, decoder: Path | None = None, encoded: EncodedPoints | None = None
    ) -> None:
        self.name = name
        self.bundle = bundle
        self.folder = folder
        self.decoder = decoder
        """The copy of decoder.onnx that the page may fetch; None if the bundle has none."""
        self.encoded = encoded
        """The points of the map if they are not the gallery's."""
        self.batcher = MicroBatcher(partial(decode, bundle))
        self._sprite_lock, self._column_lock = threading.Lock(), threading.Lock()
        self._columns: dict[tuple[str, bool], dict[str, Any]] = {}

    @cached_property
    def kl(self) -> np.ndarray:
        """Mean KL of each latent in nats, (latents,): over the gallery, or from the evaluation if there is no gallery."""
        gallery = self.bundle.gallery
        if gallery is None:
            return np.array(self.bundle.config["evaluation"]["kl_per_latent"])
        return kl_per_latent(gallery.mean, gallery.log_variance).mean(0).numpy()

    @cached_property
    def active(self) -> np.ndarray:
        """A mask (latents,) of the active latents (see `ACTIVE_VARIANCE`), computed over the gallery.

        Without a gallery: the latents with the largest KL, as many as the evaluation found active.
        """
        gallery = self.bundle.gallery
        if gallery is not None:
            return (gallery.mean.double().var(0, correction=0) > ACTIVE_VARIANCE).numpy()
        return np.argsort(np.argsort(-self.kl, kind="stable")) < self.bundle.config["evaluation"]["active_units"]

    @cached_property
    def aggregate(self) -> tuple[np.ndarray, np.ndarray]:
        """Centre and standard deviation of each latent's aggregated posterior, (latents,) each; 0 and 1 without a gallery."""
        gallery = self.bundle.gallery
        if gallery is None:
            return np.zeros(len(self.kl)), np.ones(len(self.kl))
        centre, sd = gallery.aggregate
        return centre.numpy(), sd.numpy()

    @cached_property
    def middle(self) -> Tensor:
        """The middle of the latent space, (latents,): 0 for the prior N(0, I).

        A learned prior may have no density at 0, so for other priors it is the mean of the aggregated posterior.
        """
        if self.bundle.config["architecture"]["prior"] == "normal":
            return torch.zeros(self.bundle.vae.prior.latents)
        return torch.from_numpy(self.aggregate[0]).float()

    def describe(self) -> dict[str, Any]:
        """The description that the page needs to open this model, as plain JSON."""
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
            "labels": {name: column_type(column) for name, column in self.gallery_labels.items()},
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
        labels = {name: column_type(column) for name, column in self.encoded.labels.items()}
        return {"rows": len(self.encoded), "points": str(self.rows), "labels": labels}

    def _latent(self, i: int) -> dict[str, Any]:
        gallery = self.bundle.gallery
        centre, sd = (float(figure[i]) for figure in self.aggregate)
        histogram: list[int] = []
        if gallery is not None:
            ends = (centre - REACH * sd, centre + REACH * sd)
            histogram = np.histogram(gallery.mean[:, i].numpy(), bins=48, range=ends)[0].tolist()
        facts = {"kl": float(self.kl[i]), "active": bool(self.active[i]), "centre": centre, "sd": sd}
        return {"index": i, **facts, "histogram": histogram}

    @cached_property
    def gallery_labels(self) -> dict[str, Column]:
        """The gallery's labels as columns: strings are categorical, numbers numeric."""
        gallery = self.bundle.gallery
        labels = {} if gallery is None else gallery.labels
        return {
            name: CategoricalColumn.of(values) if values.dtype.kind == "U" else NumericColumn(values.astype(float))
            for name, values in labels.items()
        }

    def column(self, name: str, of: str = "map") -> dict[str, Any]:
        """Describe the column `name` of the points of the map or, with `of` = "gallery", of the gallery.

        A name is a label, "posterior width", "z0", "z1"… The values are written to a file for the page. Raises ValueError if
        there is no such column.
        """
        if of not in ("map", "gallery"):
            raise ValueError(f"of must be map or gallery; got {of!r:.100}.")
        if self.bundle.gallery is None:
            raise ValueError(f"{self.name} has no gallery to colour.")
        encoded = self.encoded if of == "map" else None
        if (name, encoded is None) in self._columns:
            return self._columns[name, encoded is None]
        with self._column_lock:
            known = self._columns.get((name, encoded is None))
            if known is None:
                column = self._column(name, encoded)
                known = column.describe(self.folder / f"column-{len(self._columns)}")
                self._columns[name, encoded is None] = known
            return known

    def _column(self, name: str, encoded: EncodedPoints | None) -> Column:
        gallery = self.bundle.gallery
        assert gallery is not None
        labels = self.gallery_labels if encoded is None else encoded.labels
        if name in labels:
            return labels[name]
        if name == "posterior width":
            # The geometric mean of sigma over the active latents, or over all if none is active. Inactive ones stay at 1.
            active = self.active | (not self.active.any())
            if encoded is not None:
                return encoded.width(active)
            return NumericColumn((0.5 * gallery.log_variance[:, torch.from_numpy(active)].mean(1)).exp().numpy())
        if name in {f"z{i}" for i in range(gallery.mean.shape[1])}:
            i = int(name[1:])
            return NumericColumn(gallery.mean[:, i].numpy()) if encoded is None else encoded.latent(i)
        raise ValueError(f"colour must be one of {', '.join(labels)}, posterior width, z0, z1…; got {name!r:.100}.")

    def find(self, text: str) -> np.ndarray:
        """A mask of the map's points whose label or file name contains the text. Case is ignored."""
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
        """Thumbnails per row of the sprite."""
        assert self.bundle.gallery is not None
        return int(np.ceil(np.sqrt(len(self.bundle.gallery))))

    @cached_property
    def points(self) -> Path:
        """A file with the gallery's map positions: x, y pairs of little-endian float32."""
        assert self.bundle.gallery is not None
        path = self.folder / "points"
        path.write_bytes(self.bundle.gallery.xy.numpy().astype("<f4").tobytes())
        return path

    @cached_property
    def rows(self) -> Path:
        """The same for the encoded points."""
        assert self.encoded is not None
        path = self.folder / "rows"
        path.write_bytes(self.encoded.positions.astype("<f4").tobytes())
        return path

    @cached_property
    def means(self) -> Path:
        """A file with the gallery's posterior means, little-endian float16. With `points`, the page can place and lift."""
        assert self.bundle.gallery is not None
        path = self.folder / "means"
        path.write_bytes(self.bundle.gallery.mean.numpy().astype("<f2").tobytes())
        return path

    @cached_property
    def names(self) -> Path:
        """A JSON file with the file names of the gallery's images."""
        assert self.bundle.gallery is not None
        path = self.folder / "names"
        path.write_text(json.dumps(self.bundle.gallery.names, ensure_ascii=False), encoding="utf-8")
        return path

    @cached_property
    def sprite(self) -> Path:
        """One lossless WebP image with all gallery images, row by row."""
        assert self.bundle.gallery is not None
        with self._sprite_lock:
            path = self.folder / "sprite.webp"
            if not path.exists():
                picture = to_pil(image_grid(self.bundle.gallery.images, self.sprite_columns))
                picture.save(path.with_suffix(".part"), "WEBP", lossless=True, quality=0, method=0)
                path.with_suffix(".part").rename(path)
            return path


@dataclass
class Catalogue:
    """Models by name, with their folders. All visitors share one open copy of each."""

    paths: dict[str, Path]

    def __post_init__(self) -> None:
        self._open: dict[str, OpenModel] = {}
        self._encodings: dict[str, Path] = {}
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="latentscape-")
        self._folders = itertools.count()

    @property
    def encoded(self) -> bool:
        """Whether a model was given a file of encodings."""
        return bool(self._encodings)

    @classmethod
    def of(cls, bundles: list[str], encodings: Path | None = None) -> "Catalogue":
        """Create a catalogue of these names and folders, by default of all pretrained models with a gallery.

        `encodings` is a file of encodings of the only model, whose map then shows its rows: see `EncodedPoints`. Raises
        ValueError if a bundle or the file cannot be opened, or if there is no model.
        """
        if encodings is not None and len(bundles) != 1:
            raise ValueError(f"--encodings belongs to one model; name exactly one bundle. Got {len(bundles)}.")
        if not bundles:
            bundles = [name for name in core.pretrained() if (PRETRAINED / name / "gallery.parquet").exists()]
            if not bundles:
                raise ValueError("there is no pretrained model to show; train one (latentscape train) and name its folder.")
            # The page opens with the first one.
            bundles.sort(key=lambda name: (name != "fashion-mnist", name))
        catalogue = cls({})
        for bundle in bundles:
            catalogue.add(locate(bundle))
        if encodings is not None:
            (name,) = catalogue.names
            catalogue._encodings[name] = encodings
            catalogue[name].describe()  # raises an error if the file is invalid
        return catalogue

    def add(self, path: Path) -> str:
        """Add a bundle, or reopen one that was replaced on disk. Returns its name in the catalogue."""
        name = read_config(path)["name"]
        with self._lock:
            for known, folder in self.paths.items():
                if folder == path:
                    self._open.pop(known, None)
                    return known
            names = itertools.chain([name], (f"{name} ({i})" for i in itertools.count(2)))
            unique = next(candidate for candidate in names if candidate not in self.paths)
            self.paths = {**self.paths, unique: path}
            return unique

    @property
    def names(self) -> list[str]:
        """The names of the models. The page opens with the first one."""
        return list(self.paths)

    @property
    def folder(self) -> Path:
        """The folder of the files that the page fetches."""
        return Path(self._folder.name)

    def opened(self, name: object) -> OpenModel | None:
        """The model of this name if it is open, without waiting."""
        return self._open.get(name) if isinstance(name, str) else None

    def __getitem__(self, name: str) -> OpenModel:
        """The model of this name, opened on first use. Raises ValueError if there is none."""
        if not isinstance(name, str) or name not in self.paths:
            raise ValueError(f"model must be one of {', '.join(self.paths)}; got {name!r:.100}.")
        with self._lock:
            if name not in self._open:
                # A model's name is untrusted input, so the folder is numbered.
                folder = self.folder / str(next(self._folders))
                folder.mkdir()
                bundle, encodings = core.load(self.paths[name]), self._encodings.get(name)
                encoded = EncodedPoints(encodings, bundle) if encodings is not None else None
                self._open[name] = OpenModel(name, bundle, folder, self._decoder(name, folder), encoded)
            return self._open[name]

    def _decoder(self, name: str, folder: Path) -> Path | None:
        """Copy decoder.onnx into the folder that is served; the bundle's own folder is not."""
        file = self.paths[name] / "decoder.onnx"
        return Path(shutil.copyfile(file, folder / "decoder.onnx")) if file.exists() else None
