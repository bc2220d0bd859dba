"""The bundle: a folder with a trained model, the images it is shown with, and everything measured about it.

config.json         architecture, preprocessing, data, training, evaluation and map, as plain JSON
model.safetensors   the weights; those that half precision holds exactly are stored in it
decoder.onnx        the decoder and the encoder for any runtime, the browser's among them (see `core.bundle.export`)
encoder.onnx
gallery.parquet     images, posteriors, places and labels (a bundle that is only for scoring has neither these nor ONNX files)
anomaly.safetensors what makes an image odd (absent in a bundle that was not calibrated)
features.safetensors what its samples are judged by (absent where the training images have no labels)
manifest.json       size and hash of each of these
README.md           the model card, with its pictures beside it (see `core.bundle.contact_sheets`)

Nothing in it can run code: no pickle anywhere. Whatever is read of it is checked first, as by a stranger's hand.
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
"""Gallery images, at most, on which the anomaly verdict's false alarms are counted."""


@dataclass(frozen=True)
class Bundle:
    """A VAE (`vae`, in evaluation mode) with its `config`, `gallery`, `map`, `detector` and `classifier`; the last four may be
    None."""

    vae: VAE
    gallery: Gallery | None
    map: Map | None
    config: dict[str, Any]
    detector: Detector | None = None
    classifier: LabelClassifier | None = None

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

    @cached_property
    def onnx(self) -> dict[str, bytes]:
        """decoder.onnx and encoder.onnx, by name; ValueError where they do not give what torch gives."""
        return onnx_files(self.vae, self.architecture.shape)

    def save(self, path: str | Path) -> None:
        """Write the folder; all of it or nothing.

        A bundle already there is replaced. Raises ValueError when the folder holds anything else, or when an ONNX file does
        not give what torch gives.
        """
        path = Path(path).absolute()
        check_target(path)
        with replacing(path) as partial:
            write_json(partial / "config.json", self.config)
            save_file(half_weights(self.vae), partial / "model.safetensors")
            if self.gallery is not None:  # without one it is for scoring, and no page decodes it
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
        """How odd 8-bit images of this model's shape are: a conformal p-value and a score for each.

        `posterior` is that of the images, if the caller has it; the encoder is then not run again.
        Raises ValueError for a bundle that was not calibrated, or images of another kind.
        """
        if self.detector is None:
            raise ValueError(f"{self.name} has no anomaly calibration: run `latentscape calibrate` with its training data.")
        return self.detector.detect(statistics(self.vae, self.preprocessing.check(images), posterior=posterior))

    def calibrated(self, training: Images, held_out: Images) -> "Bundle":
        """The same model with a detector fitted to training images and calibrated on others that it was not fitted to."""
        for images in (training, held_out):
            self.preprocessing.check(images[:1])
        fitted = replace(self, detector=fit_detector(self.vae, training, held_out))
        if self.gallery is None:
            return fitted
        shown = self.gallery.first(MAX_FALSE_ALARM_IMAGES)
        false_alarms = (fitted.anomaly(shown).p_value < 0.05).double().mean().item()
        told = {"calibrated_on": len(held_out), "images": len(shown), "false_alarms": false_alarms}
        return replace(fitted, config={**self.config, "anomaly": told})

    def with_classifier(
        self,
        training: Data,
        held_out: Int[Tensor, " m"],
        seen: int = MAX_SEEN,
        advance: Callable[[float], None] = lambda share: None,
    ) -> "Bundle":
        """The same model with a classifier of its training data's labels, for the quality of its samples (`fit_classifier`).

        Images at `held_out` are not trained on. Without labels to learn, the bundle is returned unchanged.
        """
        if not learnable(training.labels):
            return self
        images, device = self.preprocessing.evaluation_images(training.images), next(self.vae.parameters()).device
        classifier = fit_classifier(images, training.labels, held_out, device=device, seen=seen, advance=advance)
        return replace(self, classifier=classifier, config={**self.config, "reader": classifier.as_dict()})

    def evaluated(self, split: str, figures: Evaluation) -> "Bundle":
        """The same model with these figures, of this split, in its config and on its card."""
        return replace(self, config={**self.config, "evaluation": {"split": split, **asdict(figures)}})

    def projected(self, method: Method, pair: tuple[int, int] = (0, 1), seed: int = 0, min_dist: float = MIN_DIST) -> "Bundle":
        """The same model with its gallery on a newly fitted map: see `core.latent.projection.fit_map`."""
        if self.gallery is None:
            raise ValueError(f"{self.name} has no gallery, so there is nothing to draw a map of.")
        fitted, xy = fit_map(self.gallery.mean, method, pair, seed, min_dist)
        told = {**fitted.as_dict(), **({"min_dist": min_dist} if method == "umap" else {})}
        return replace(self, gallery=self.gallery.with_positions(xy), map=fitted, config={**self.config, "map": told})


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
    """Evaluate a trained VAE on all test images, show at most `gallery_size` of them (0: none), and draw their map.

    The weights are first rounded to what half precision holds, so that a bundle takes half the space and every figure
    is of the weights that are saved. `training` is recorded as given (command, settings, seconds…): plain JSON values.
    Several processes share the evaluation; the first one's bundle alone has the images and the map.
    """
    round_to_half(vae)
    encodings = encode(vae, test.images, device=device, group=group)
    evaluation = summarize(vae, test.images, encodings, group=group)
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
        "gallery": len(keep) if gallery_size else 0,
    }
    if not gallery_size or not group.is_main:
        return Bundle(vae.cpu(), None, None, config)
    mean = encodings.mean[keep]
    labels = {**shown.labels, "log_likelihood": encodings.log_likelihood[keep].numpy()}
    names = None if shown.names is None else shown.names.tolist()
    gallery = Gallery(to_pngs(shown.images), mean, encodings.log_variance[keep], torch.zeros(len(keep), 2), labels, names)
    bundle = Bundle(vae.cpu(), gallery, None, config)
    if len(keep) < 4 or architecture.latents < 2:
        return bundle
    return bundle.projected(method, seed=seed)


@torch.no_grad()
def round_to_half(vae: VAE) -> None:
    """Round every weight to the nearest number that float16 holds; they stay float32."""
    for weight in vae.parameters():
        weight.copy_(weight.half())


def half_weights(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights by name, in half precision where that is exact."""
    return {name: exact_half(tensor.cpu()) for name, tensor in module.state_dict().items()}


def load(name_or_path: str | Path) -> Bundle:
    """Open a bundle: the name of a pretrained model, a folder, or "hf:owner/name" for a repository on the hub.

    Raises ValueError that says what is wrong with a missing, foreign, damaged or tampered one. Warns of a bundle without a
    manifest, as the first release saved them: it is opened, but nothing says whether its files are those that were saved.
    """
    path = locate(name_or_path)
    config = read_config(path)
    if not manifest.verify(path):
        warnings.warn(f"{path} has no {manifest.NAME}, so its files are not checked. Saved again it has one.", stacklevel=2)
    try:
        architecture = Architecture(**config["architecture"])
        preprocessing = Preprocessing(**config["preprocessing"])
        vae = architecture.build()
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path / 'config.json'} is damaged: {error!r}. Train the model again or fetch a whole copy."
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
    odd, features = path / "anomaly.safetensors", path / "features.safetensors"
    detector = Detector.read(odd, architecture.latents) if odd.exists() else None
    classifier = LabelClassifier.read(features, architecture.channels, config.get("reader")) if features.exists() else None
    return Bundle(vae.eval(), gallery, fitted, config, detector, classifier)


def _load_weights(vae: VAE, file: Path) -> None:
    try:
        weights = load_file(file)
    except FileNotFoundError as error:
        raise ValueError(f"{file.parent} has no model.safetensors. Train the model again or fetch a whole copy.") from error
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is damaged: {error}. Train the model again or fetch a whole copy.") from error
    try:
        # Copying into float32 parameters widens half_weights exactly.
        vae.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{file} does not fit the architecture in config.json: {error}") from error
    if not all(weight.isfinite().all() for weight in vae.parameters()):
        raise ValueError(f"{file} is damaged: it holds weights that are not numbers. Train the model again.")


def write_json(file: Path, value: dict[str, Any]) -> None:
    """JSON that a person can read and that no standard reader refuses (NaN becomes null by way of an error here)."""
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
