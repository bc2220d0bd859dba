"""Tests of sample quality and of the classifier that measures it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import core
from core.data.preprocessing import to_unit
from core.evaluation.classifier import LabelClassifier, fit_classifier
from core.evaluation.quality import frechet, precision_recall, quality


def points(n: int, d: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_the_frechet_distance_of_normals_equals_the_closed_form() -> None:
    """Diagonal covariances: the squared distance of the means plus that of the standard deviations."""
    scale = torch.tensor([1.0, 2.0, 0.5, 3.0])
    a, b = points(200_000), points(200_000, seed=1) * scale + 1
    assert frechet(a, b) == pytest.approx(4 + (scale - 1).square().sum().item(), rel=0.02)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-6)


def test_missing_modes_lower_recall_and_wrong_modes_lower_precision() -> None:
    left, right = points(400) - 20, points(400, seed=1) + 20
    real = torch.cat([left, right])
    generated = torch.cat([points(400, seed=2) - 20, points(400, seed=3) + 20])
    both = precision_recall(real, generated)
    assert min(both) > 0.9
    precision, recall = precision_recall(real, points(400, seed=2) - 20)
    assert precision > 0.9
    assert recall == pytest.approx(0.5, abs=0.05)
    precision, recall = precision_recall(left, generated)
    assert precision == pytest.approx(0.5, abs=0.05)
    assert recall > 0.9
    assert precision_recall(left, right) == (0.0, 0.0)


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor, Tensor]:
    data = core.load_data("digits", "train")
    assert isinstance(data.images, Tensor)
    return data.images, torch.from_numpy(data.labels["label"].astype(int)), torch.arange(0, len(data.images), 6)


@pytest.fixture(scope="module")
def classifier(digits: tuple[Tensor, Tensor, Tensor]) -> LabelClassifier:
    images, labels, held_out = digits
    return fit_classifier(images, {"label": labels.numpy()}, held_out)


def test_the_classifier_recognizes_held_out_digits(classifier: LabelClassifier, digits: tuple[Tensor, Tensor, Tensor]) -> None:
    images, labels, held_out = digits
    correct = (
        classifier.log_probabilities(classifier.features(to_unit(images[held_out])))["label"].argmax(1) == labels[held_out]
    )
    assert classifier.accuracy["label"] == pytest.approx(correct.double().mean().item())
    assert classifier.accuracy["label"] > 0.95


def test_a_classifier_is_bitwise_equal_after_saving_and_loading(classifier: LabelClassifier, tmp_path: Path) -> None:
    save_file(classifier.network.state_dict(), tmp_path / "features.safetensors")
    again = LabelClassifier.read(tmp_path / "features.safetensors", 1, json.loads(json.dumps(classifier.as_dict())))
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(again.features(x), classifier.features(x))
    assert again.as_dict() == classifier.as_dict()
    for channels, config in ((3, classifier.as_dict()), (1, {"values": {"label": ["0"]}, "accuracy": {}}), (1, None), (1, {})):
        with pytest.raises(ValueError, match="is damaged"):
            LabelClassifier.read(tmp_path / "features.safetensors", channels, config)
    not_finite = {name: weight * float("nan") for name, weight in classifier.network.state_dict().items()}
    save_file(not_finite, tmp_path / "features.safetensors")
    with pytest.raises(ValueError, match="not finite numbers"):
        LabelClassifier.read(tmp_path / "features.safetensors", 1, classifier.as_dict())


def test_samples_of_a_trained_model_score_better_than_those_of_an_untrained_one(
    classifier: LabelClassifier, digits: tuple[Tensor, Tensor, Tensor], fresh: Callable[[], core.VAE]
) -> None:
    images, labels, held_out = digits
    trained = quality(core.load("digits").vae, classifier, images[held_out], {"label": labels[held_out].numpy()})
    untrained = quality(fresh(), classifier, images[held_out], {"label": labels[held_out].numpy()})
    assert trained.fid < untrained.fid / 5
    assert trained.recall > untrained.recall
    assert trained.accuracy["label"] >= trained.accuracy_of_reconstructions["label"] - 0.02
    assert trained.accuracy_of_reconstructions["label"] > 0.8
    assert untrained.accuracy_of_reconstructions["label"] < 0.3


@pytest.fixture
def fresh() -> Callable[[], core.VAE]:
    def build() -> core.VAE:
        torch.manual_seed(0)
        return core.load("digits").architecture.build().eval()

    return build


def test_a_classifier_needs_class_labels() -> None:
    with pytest.raises(ValueError, match=r"needs a label with 2 to 256 classes.*got file"):
        fit_classifier(torch.zeros(30, 1, 8, 8, dtype=torch.uint8), {"file": np.arange(30)}, torch.arange(3))


@pytest.mark.parametrize(("seen", "epochs"), [(200_000, 60), (2_700, 3), (1, 1)])
def test_the_number_of_epochs_on_a_small_set_is_limited(digits: tuple[Tensor, Tensor, Tensor], seen: int, epochs: int) -> None:
    images, labels, _ = digits
    shares: list[float] = []
    fit_classifier(images[:1000], {"label": labels[:1000].numpy()}, torch.arange(100), seen=seen, advance=shares.append)
    assert len(shares) == epochs * 8  # batches of 128
    assert sum(shares) == pytest.approx(1)
