"""The bundle: a folder with a trained model, the images it is shown with, and everything measured about it.

config.json         architecture, preprocessing, data, training, evaluation and map, as plain JSON
model.safetensors   the weights
gallery.parquet     images, posteriors, places and labels (absent in a bundle without gallery)
README.md           the model card

Nothing in it can run code: no pickle anywhere.
"""

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core.architecture import Architecture
from core.card import model_card
from core.data import Data
from core.evaluation import encode, summarize
from core.gallery import Gallery, pack
from core.images import Preprocessing
from core.projection import LinearMap, Map, Method, NeighbourMap, fit_map
from core.vae import VAE

FORMAT = "latentscape"
VERSION = 1
PRETRAINED = Path(__file__).parent.parent / "pretrained"


@dataclass(frozen=True)
class Bundle:
    """A VAE (`vae`, in evaluation mode) with its `gallery` and `map` (None where there is none) and its `config`."""

    vae: VAE
    gallery: Gallery | None
    map: Map | None
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """What the model is called on the page and on the command line."""
        return self.config["name"]

    @cached_property
    def architecture(self) -> Architecture:
        """What the model is built of."""
        return Architecture(**self.config["architecture"])

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """How pictures become this model's input."""
        return Preprocessing(**self.config["preprocessing"])

    def save(self, path: str | Path) -> None:
        """Write the folder; all of it or nothing.

        A bundle already there is replaced. Raises ValueError when the folder holds anything else.
        """
        path = Path(path).absolute()
        check_target(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            write_json(partial / "config.json", self.config)
            save_file({name: tensor.cpu() for name, tensor in self.vae.state_dict().items()}, partial / "model.safetensors")
            if self.gallery is not None:
                self.gallery.write(partial / "gallery.parquet")
            (partial / "README.md").write_text(model_card(self.config), encoding="utf-8")
            partial.chmod(0o755)
            for file in partial.iterdir():
                file.chmod(0o644)
            if path.exists():
                shutil.rmtree(path)
            os.replace(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def projected(self, method: Method, pair: tuple[int, int] = (0, 1), seed: int = 0) -> "Bundle":
        """The same model with its gallery on a newly fitted map."""
        if self.gallery is None:
            raise ValueError(f"{self.name} has no gallery, so there is nothing to draw a map of.")
        fitted, xy = fit_map(self.gallery.mean, method, pair, seed)
        return replace(self, gallery=self.gallery.moved(xy), map=fitted, config={**self.config, "map": fitted.as_dict()})


def make_bundle(
    name: str,
    vae: VAE,
    architecture: Architecture,
    preprocessing: Preprocessing,
    test: Data,
    training: dict[str, Any],
    method: Method = "umap",
    gallery_size: int = 10_000,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Bundle:
    """Evaluate a trained VAE on all test images, show at most `gallery_size` of them, and draw their map.

    `training` is recorded as given (command, settings, seconds…); it has to be plain JSON values.
    """
    encodings = encode(vae, test.images, device=device)
    evaluation = summarize(vae, encodings, test.images.shape[1:].numel())
    keep = torch.arange(len(test.images))
    if len(keep) > gallery_size:
        keep = torch.randperm(len(keep), generator=torch.Generator().manual_seed(seed))[:gallery_size].sort().values
    shown = test.take(keep)
    config = {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "architecture": architecture.as_dict(),
        "preprocessing": preprocessing.as_dict(),
        "training": training,
        "evaluation": {"split": "test", **asdict(evaluation)},
        "map": None,
    }
    mean = encodings.mean[keep]
    labels = {**shown.labels, "log_likelihood": encodings.log_likelihood[keep].numpy()}
    gallery = Gallery(pack(shown.images), mean, encodings.log_variance[keep], torch.zeros(len(keep), 2), labels)
    bundle = Bundle(vae.cpu(), gallery, None, config)
    if len(keep) < 4 or architecture.latents < 2:
        return bundle
    return bundle.projected(method, seed=seed)


def check_target(path: Path) -> None:
    """Raise a ValueError unless a bundle can be saved here without harm: nothing, an empty folder, or another bundle."""
    if path.exists() and not is_bundle(path) and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} is not a bundle and not empty; it is left alone. Choose another folder.")


def is_bundle(path: Path) -> bool:
    """Whether a folder says that it is a bundle."""
    try:
        return json.loads((path / "config.json").read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def pretrained() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def locate(name_or_path: str | Path) -> Path:
    """The folder of a bundle that is given by its path or by the name of a pretrained model; ValueError if there is none."""
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    if str(name_or_path) in pretrained():
        return PRETRAINED / str(name_or_path)
    names = ", ".join(pretrained()) or "(no pretrained models found)"
    raise ValueError(f"a bundle is a folder or one of {names}; got {str(name_or_path)!r}.")


def load(name_or_path: str | Path) -> Bundle:
    """Open a bundle: the name of a pretrained model, or a folder.

    Raises ValueError that says what is wrong with a missing, foreign or damaged folder.
    """
    path = locate(name_or_path)
    config = read_config(path)
    try:
        architecture = Architecture(**config["architecture"])
        Preprocessing(**config["preprocessing"])
        vae = architecture.build()
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path / 'config.json'} is damaged: {error!r}. Train the model again or fetch a whole copy."
        ) from error
    _load_weights(vae, path / "model.safetensors")
    gallery = Gallery.read(path / "gallery.parquet") if (path / "gallery.parquet").exists() else None
    if gallery is not None and gallery.mean.shape[1] != architecture.latents:
        raise ValueError(f"{path}: the gallery has {gallery.mean.shape[1]} latents, the model {architecture.latents}.")
    return Bundle(vae.eval(), gallery, _open_map(path, config["map"], gallery), config)


def read_config(path: Path) -> dict[str, Any]:
    """A bundle's config.json; ValueError that says what is wrong if it is missing, damaged or foreign."""
    file = path / "config.json"
    if not file.exists():
        raise ValueError(f"{path} is not a bundle: it has no config.json. A bundle is what `latentscape train --out` writes.")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} is damaged: {error}. Train the model again or fetch a whole copy.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f'{file} is not of a bundle: it must say "format": "{FORMAT}".')
    if config.get("version") != VERSION:
        raise ValueError(f"{path} is a bundle of version {config.get('version')}; this program reads {VERSION}. Update it.")
    missing = [key for key in ("name", "architecture", "preprocessing", "training", "evaluation", "map") if key not in config]
    if missing:
        raise ValueError(f"{file} is damaged: it lacks {', '.join(missing)}.")
    return config


def _load_weights(vae: VAE, file: Path) -> None:
    try:
        weights = load_file(file)
    except FileNotFoundError as error:
        raise ValueError(f"{file.parent} has no model.safetensors. Train the model again or fetch a whole copy.") from error
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is damaged: {error}. Train the model again or fetch a whole copy.") from error
    try:
        vae.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{file} does not fit the architecture in config.json: {error}") from error


def _open_map(path: Path, config: dict[str, Any] | None, gallery: Gallery | None) -> Map | None:
    if config is None or gallery is None:
        return None
    try:
        scores = {key: config[key] for key in ("method", "trustworthiness", "round_trip")}
        if config["method"] == "umap":
            return NeighbourMap(gallery.mean, gallery.xy, **scores)
        return LinearMap(torch.tensor(config["centre"]), torch.tensor(config["axes"]), **scores)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path / 'config.json'} is damaged: its map lacks {error}.") from error


def write_json(file: Path, value: dict[str, Any]) -> None:
    """JSON that a person can read and that no standard reader refuses (NaN becomes null by way of an error here)."""
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
