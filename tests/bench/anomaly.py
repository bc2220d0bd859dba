"""How well a model tells what it was not trained on, by minus its ELBO and by its anomaly score, side by side.

For each kind of odd images, the area under the ROC curve against the test images: the chance that an odd image scores higher
than a normal one. Then the share of test images whose p-value is at most 5 %, which should be 5 %.

    python tests/bench/anomaly.py fashion-mnist --data data/fashion-mnist --glyphs glyphs.npz [--limit 2000] [--json]

The odd: the test images upside down and mirrored; scikit-learn's digits; --glyphs (any .npz with `images`), as they are and
inverted; uniform noise; constants of every grey level. All are brought to the model's size by bilinear interpolation.
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


def odd_sets(bundle: core.Bundle, test: Tensor, glyphs: Path | None, limit: int) -> dict[str, Tensor]:
    """The images to tell from the test images, by name."""
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


def auroc(normal: Tensor, odd: Tensor) -> float:
    """The chance that an odd image scores higher than a normal one."""
    truth = np.r_[np.zeros(len(normal)), np.ones(len(odd))]
    return float(roc_auc_score(truth, torch.cat([normal, odd]).numpy()))


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
    test = bundle.preprocessing.evaluation_images(core.load_data(arguments.data, "test", bundle.preprocessing).images)[: arguments.limit]
    verdict, elbo = bundle.anomaly(test), core.encode(bundle.vae, test).elbo
    rows = {
        name: (auroc(-elbo, -core.encode(bundle.vae, images).elbo), auroc(verdict.score, bundle.anomaly(images).score))
        for name, images in odd_sets(bundle, test, arguments.glyphs, arguments.limit).items()
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
