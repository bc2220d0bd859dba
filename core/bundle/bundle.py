"""The bundle: a folder with a trained model, its gallery of images and its evaluation.

config.json         architecture, preprocessing, data, training, evaluation and map, as plain JSON
model.safetensors   the weights, in half precision where that is exact
decoder.onnx        decoder and encoder for any ONNX runtime, including browsers (see `core.bundle.export`)
encoder.onnx
gallery.parquet     images, posteriors, map positions and labels (a bundle only for scoring has neither this nor ONNX files)
anomaly.safetensors the anomaly detector (absent if the bundle was not calibrated)
features.safetensors the label classifier (absent if the training images have no labels)
manifest.json       size and hash of each of these
README.md           the model card; its pictures are in the same folder (see `core.bundle.contact_sheets`)

No file can run code: there is no pickle. Every file is treated as untrusted input and checked before use.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributions import Normal

from core.bundle import manifest
from core.bundle.card import model_card
from core.bundle.contact_sheets import contact_sheets
from core.bundle.export import exact_half, onnx_files
from core.bundle.folders import FORMAT, VERSION, check_target, locate, read_config, replacing
from core.bundle.gallery import Gallery, to_pngs
from core.data.datasets import Data
from core.data.preprocessing import Images, Preprocessing
from core.distributed import SINGLE_PROCESS, ProcessGroup
from core.evaluation.anomaly import Anomaly, Detector, fit_detector, statistics
from core.evaluation.classifier import MAX_SEEN, LabelClassifier, fit_classifier, learnable
from core.evaluation.scores import Evaluation, encode, summarize
from core.latent.projection import MIN_DIST, Map, Method, fit_map, restore_map
from core.model.architecture import Architecture
from core.model.vae import VAE

MAX_FALSE_ALARM_IMAGES = 2000
"""Maximum number of gallery images for measuring the false-alarm rate of the anomaly detector."""


@dataclass(frozen=True)
class Bundle:
    """A VAE in evaluation mode with its `config`, `gallery`, `map`, `detector` and `classifier`; the last four may be None."""

    vae: VAE
    gallery: Gallery | None
    map: Map | None
    config: dict[str, Any]
    detector: Detector | None = None
    classifier: LabelClassifier | None = None

    @property
    def name(self) -> str:
        """The model's name on the page and on the command line."""
        return self.config["name"]

    @cached_property
    def architecture(self) -> Architecture:
        """The architecture of the model."""
        return Architecture(**self.config["architecture"])

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing that turns pictures into this model's input."""
        return Preprocessing(**self.config["preprocessing"])

    @cached_property
    def onnx(self) -> dict[str, bytes]:
        """Contents of decoder.onnx and encoder.onnx, by name. Raises ValueError if their outputs differ from those of torch."""
        return onnx_files(self.vae, self.architecture.shape)

    def save(self, path: str | Path) -> None:
        """Write the folder atomically; an existing bundle is replaced.

        Raises ValueError if the folder contains anything but a bundle, or if an ONNX file does not match torch.
        """
        path = Path(path).absolute()
        check_target(path)
        with replacing(path) as partial:
            write_json(partial / "config.json", self.config)
            save_file(half_weights(self.vae), partial / "model.safetensors")
            if self.gallery is not None:  # a bundle without gallery is only for scoring and needs no ONNX files
                for name, content in self.onnx.items():
                    (partial / name).write_bytes(content)
                self.gallery.write(partial / "gallery.parquet")
                for name, content in contact_sheets(self.vae, self.gallery, self.config["evaluation"]["kl_per_latent"]).items():
                    (partial / name).write_bytes(content)
            if self.detector is not None:
                save_file(self.detector.tensors(), partial / "anomaly.safetensors")
            if self.classifier is not None:
                save_file(half_weights(self.classifier.network), partial / "features.safetensors")
            manifest.write(partial)
            (partial / "README.md").write_text(model_card(self.config), encoding="utf-8")

    def anomaly(self, images: UInt8[Tensor, "n c h w"], posterior: Normal | None = None) -> Anomaly:
        """Return a conformal p-value and an anomaly score for each of these 8-bit images of the model's shape.

        If the images' `posterior` is given, the encoder is not run.
        Raises ValueError if the bundle is not calibrated or the images have another shape or type.
        """
        if self.detector is None:
            raise ValueError(f"{self.name} has no anomaly calibration: run `latentscape calibrate` with its training data.")
        return self.detector.detect(statistics(self.vae, self.preprocessing.check(images), posterior=posterior))

    def calibrated(self, training: Images, held_out: Images) -> "Bundle":
        """Return the bundle with a detector fitted to the training images and calibrated on the held-out ones."""
        for images in (training, held_out):
            self.preprocessing.check(images[:1])
        fitted = replace(self, detector=fit_detector(self.vae, training, held_out))
        if self.gallery is None:
            return fitted
        shown = self.gallery.first(MAX_FALSE_ALARM_IMAGES)
        false_alarms = (fitted.anomaly(shown).p_value < 0.05).double().mean().item()
        record = {"calibrated_on": len(held_out), "images": len(shown), "false_alarms": false_alarms}
        return replace(fitted, config={**self.config, "anomaly": record})

    def with_classifier(
        self,
        training: Data,
        held_out: Int[Tensor, " m"],
        seen: int = MAX_SEEN,
        advance: Callable[[float], None] = lambda share: None,
    ) -> "Bundle":
        """Return the bundle with a classifier of the training data's labels, which measures sample quality.

        See `fit_classifier` for the arguments. Without learnable labels, the bundle is returned unchanged.
        """
        if not learnable(training.labels):
            return self
        images, device = self.preprocessing.evaluation_images(training.images), next(self.vae.parameters()).device
        classifier = fit_classifier(images, training.labels, held_out, device=device, seen=seen, advance=advance)
        return replace(self, classifier=classifier, config={**self.config, "reader": classifier.as_dict()})

    def evaluated(self, split: str, figures: Evaluation) -> "Bundle":
        """Return the bundle with this evaluation on this split in its config and on its card."""
        return replace(self, config={**self.config, "evaluation": {"split": split, **asdict(figures)}})

    def projected(self, method: Method, pair: tuple[int, int] = (0, 1), seed: int = 0, min_dist: float = MIN_DIST) -> "Bundle":
        """Return the bundle with a newly fitted map of its gallery, see `core.latent.projection.fit_map`."""
        if self.gallery is None:
            raise ValueError(f"{self.name} has no gallery, so a map cannot be fitted.")
        fitted, xy = fit_map(self.gallery.mean, method, pair, seed, min_dist)
        record = {**fitted.as_dict(), **({"min_dist": min_dist} if method == "umap" else {})}
        return replace(self, gallery=self.gallery.with_positions(xy), map=fitted, config={**self.config, "map": record})


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
    group: ProcessGroup = SINGLE_PROCESS,
) -> Bundle:
    """Evaluate a trained VAE on all test images, put up to `gallery_size` of them (0: none) into a gallery and fit a map.

    The weights are first rounded to half precision, so that the bundle takes half the space and all figures are those of the
    saved weights. `training` (command, settings, seconds…) must consist of JSON values and is recorded as given. The processes
    of `group` share the evaluation; only the bundle of the main process has a gallery and a map.
    """
    round_to_half(vae)
    encodings = encode(vae, test.images, device=device, group=group)
    evaluation = summarize(vae, test.images, encodings, group=group)
    chosen = torch.arange(len(test.images))
    if len(chosen) > gallery_size:
        chosen = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))[:gallery_size].sort().values
    shown = test.take(chosen)
    config = {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "architecture": architecture.as_dict(),
        "preprocessing": preprocessing.as_dict(),
        "training": training,
        "evaluation": {"split": "test", **asdict(evaluation)},
        "map": None,
        "gallery": len(chosen) if gallery_size else 0,
    }
    if not gallery_size or not group.is_main:
        return Bundle(vae.cpu(), None, None, config)
    mean = encodings.mean[chosen]
    labels = {**shown.labels, "log_likelihood": encodings.log_likelihood[chosen].numpy()}
    names = None if shown.names is None else shown.names.tolist()
    gallery = Gallery(to_pngs(shown.images), mean, encodings.log_variance[chosen], torch.zeros(len(chosen), 2), labels, names)
    bundle = Bundle(vae.cpu(), gallery, None, config)
    if len(chosen) < 4 or architecture.latents < 2:
        return bundle
    return bundle.projected(method, seed=seed)


@torch.no_grad()
def round_to_half(vae: VAE) -> None:
    """Round every weight, in place, to the nearest float16 number; the type remains float32."""
    for weight in vae.parameters():
        weight.copy_(weight.half())


def half_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's weights by name, in half precision where that is exact."""
    return {name: exact_half(tensor.cpu()) for name, tensor in module.state_dict().items()}


def load(name_or_path: str | Path) -> Bundle:
    """Load a bundle: the name of a pretrained model, a folder, or "hf:owner/name" for a repository on the hub.

    Raises ValueError with the reason if it is missing, damaged, tampered with or not a bundle. Warns if the bundle has no
    manifest, as in the first release, since its files are then not checked against their hashes.
    """
    path = locate(name_or_path)
    config = read_config(path)
    if not manifest.verify(path):
        warnings.warn(f"{path} has no {manifest.NAME}, so its files are not checked. Save it again to add one.", stacklevel=2)
    try:
        architecture = Architecture(**config["architecture"])
        preprocessing = Preprocessing(**config["preprocessing"])
        vae = architecture.build()
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path / 'config.json'} is damaged: {error!r}. Train the model again or download it again."
        ) from error
    if preprocessing.shape != architecture.shape:
        raise ValueError(
            f"{path / 'config.json'} is damaged: its preprocessing makes images of {preprocessing.shape}, "
            f"its architecture takes {architecture.shape}."
        )
    _load_weights(vae, path / "model.safetensors")
    gallery = None
    if (path / "gallery.parquet").exists():
        gallery = Gallery.read(path / "gallery.parquet")
        try:
            gallery.check(architecture.shape, architecture.latents)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    fitted = None
    if gallery is not None and config["map"] is not None:
        try:
            fitted = restore_map(config["map"], gallery.mean, gallery.xy)
        except ValueError as error:
            raise ValueError(f"{path / 'config.json'} is damaged: {error}") from error
    anomaly, features = path / "anomaly.safetensors", path / "features.safetensors"
    detector = Detector.read(anomaly, architecture.latents) if anomaly.exists() else None
    classifier = LabelClassifier.read(features, architecture.channels, config.get("reader")) if features.exists() else None
    return Bundle(vae.eval(), gallery, fitted, config, detector, classifier)


def _load_weights(vae: VAE, file: Path) -> None:
    try:
        weights = load_file(file)
    except FileNotFoundError as error:
        raise ValueError(f"{file.parent} has no model.safetensors. Train the model again or download it again.") from error
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is damaged: {error}. Train the model again or download it again.") from error
    try:
        # Copying float16 values into float32 parameters is exact.
        vae.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{file} does not fit the architecture in config.json: {error}") from error
    if not all(weight.isfinite().all() for weight in vae.parameters()):
        raise ValueError(f"{file} is damaged: some weights are not finite numbers. Train the model again.")


def write_json(file: Path, value: dict[str, Any]) -> None:
    """Write indented, standard JSON. Raises ValueError for NaN and infinity, which standard JSON does not allow."""
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
