"""Anomaly detection: AUROC of minus the ELBO and of the anomaly score, and the false-alarm rate at p <= 0.05.

Run by hand:

    python tests/bench/anomaly.py fashion-mnist --data data/fashion-mnist --glyphs glyphs.npz [--limit 2000] [--json]

Method: the test images are compared with several sets of anomalous images: the test images upside down and mirrored;
scikit-learn's digits; --glyphs (an .npz file with `images`), as they are and inverted; uniform noise; constant images of every
grey level. Digits and glyphs are resized to the model's size by bilinear interpolation.

auroc                       area under the ROC curve of each set: the probability that an anomalous image has a higher score
                            than a test image
false_alarms_at_5_percent   share of test images with a p-value of at most 5 %; it should be 5 %
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

import core


def resized(images: Tensor, bundle: core.Bundle) -> Tensor:
    """8-bit images of one channel at the model's size."""
    size = bundle.preprocessing.shape[1:]
    return torch.nn.functional.interpolate(images.float(), size=size, mode="bilinear", antialias=True).round().to(torch.uint8)


def anomalies(bundle: core.Bundle, test: Tensor, glyphs: Path | None, limit: int) -> dict[str, Tensor]:
    """The sets of anomalous images, by name."""
    generator = torch.Generator().manual_seed(0)
    sets = {
        "upside down": test.flip(2),
        "mirrored": test.flip(3),
        "digits": resized(core.load_data("digits", "all").images[:], bundle),
        "noise": torch.randint(0, 256, (1000, *test.shape[1:]), generator=generator, dtype=torch.uint8),
        "constant": torch.arange(256, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, *test.shape[1:]).contiguous(),
    }
    if glyphs is not None:
        letters = torch.from_numpy(np.load(glyphs)["images"])
        letters = letters[torch.randperm(len(letters), generator=generator)[:limit]]
        letters = resized(letters[:, None] if letters.ndim == 3 else letters, bundle)
        sets |= {"glyphs": letters, "glyphs inverted": 255 - letters}
    return sets


def auroc(normal: Tensor, anomalous: Tensor) -> float:
    """The probability that an anomalous image scores higher than a normal one."""
    labels = np.r_[np.zeros(len(normal)), np.ones(len(anomalous))]
    return float(roc_auc_score(labels, torch.cat([normal, anomalous]).numpy()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--data", required=True)
    parser.add_argument("--glyphs", type=Path)
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    bundle = core.load(arguments.bundle)
    images = core.load_data(arguments.data, "test", bundle.preprocessing).images
    test = bundle.preprocessing.evaluation_images(images)[: arguments.limit]
    verdict, elbo = bundle.anomaly(test), core.encode(bundle.vae, test).elbo
    rows = {
        name: (auroc(-elbo, -core.encode(bundle.vae, images).elbo), auroc(verdict.score, bundle.anomaly(images).score))
        for name, images in anomalies(bundle, test, arguments.glyphs, arguments.limit).items()
    }
    alarms = (verdict.p_value <= 0.05).double().mean().item()
    result = {"auroc": {name: {"elbo": e, "score": s} for name, (e, s) in rows.items()}, "false_alarms_at_5_percent": alarms}
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{'against ' + str(len(test)) + ' test images':28s}  -ELBO  score")
    for name, (e, s) in rows.items():
        print(f"{name:28s}  {e:.3f}  {s:.3f}{'  worse' if s < e - 0.01 else ''}")
    means = np.array(list(rows.values())).mean(0)
    print(f"{'mean':28s}  {means[0]:.3f}  {means[1]:.3f}\nfalse alarms at p <= 0.05: {100 * alarms:.2f} %")


if __name__ == "__main__":
    main()
