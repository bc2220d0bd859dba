"""Train, evaluate and encode in one process or in several, and write the results to a file for comparison.

torchrun --nproc-per-node 2 tests/processes.py IMAGES.npy RESULT.safetensors IMAGES.npz
"""

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

import core
from core.bundle.encodings import write
from core.distributed import launched_accelerator
from core.model.objectives import beta_tc, elbo, iwae


def main() -> None:
    """Train, evaluate, project and write encodings. The main process saves the results."""
    torch.set_num_threads(1)
    images, group = torch.from_numpy(np.load(sys.argv[1])), core.ProcessGroup(launched_accelerator())
    results: dict[str, Tensor] = {"group": torch.tensor(group.count)}
    # The last batch of an epoch has one image, fewer than there are processes.
    common = {"epochs": 4.0, "batch_size": 50, "corruption": 0.1, "binarization": "dynamic", "validation": 49}
    runs = {"mlp normal": (elbo, 1), "conv vamp": (iwae, 3)}
    vae, settings = core.Architecture(1, 8, 8).build(), core.Settings(epochs=1.0)
    for kind, (objective, samples) in runs.items():
        network, prior = kind.split()
        torch.manual_seed(group.rank)  # all processes get the main process's weights
        vae = core.Architecture(1, 8, 8, 4, network, prior=prior).build()
        settings = core.Settings(**common, samples=samples)  # pyright: ignore[reportArgumentType]
        checkpoint = core.Checkpoint(Path(sys.argv[2]).with_suffix(f".{network}"), 0.0)
        last = list(core.train(vae, images, settings, objective, checkpoint=checkpoint, group=group))[-1]
        results |= {f"{kind} {name}": tensor for name, tensor in vae.state_dict().items()}
        results[f"{kind} score"] = torch.tensor(last.best_validation_elbo, dtype=torch.float64)
    figures = asdict(core.evaluate(vae, images, samples=20, batch_size=100, group=group))
    numbers = {key: value for key, value in figures.items() if isinstance(value, (int, float))}
    results |= {f"figure {key}": torch.tensor(value, dtype=torch.float64) for key, value in numbers.items()}
    encodings = core.encode(vae, images, group=group)
    fitted, _ = core.fit_map(encodings.mean[:100], "pca")
    results |= {"encode mean": encodings.mean, "encode elbo": encodings.elbo}
    results["place"] = group.map_rows(fitted.place, encodings.mean)
    results["encode one"] = core.encode(vae, images[:1], group=group).mean  # one process has an empty shard
    bundle = core.Bundle(vae.eval(), None, fitted, {"preprocessing": {"channels": 1, "height": 8, "width": 8}})
    for kind, scores in (("scores", True), ("lean", False)):
        write(bundle, sys.argv[3], Path(sys.argv[2]).with_suffix(f".{kind}"), scores=scores, group=group)
    if group.count > 1:
        try:
            core.train(vae, images, settings, beta_tc(2.0, 450), group=group)
        except ValueError as error:
            print(error)
    if group.is_main:
        save_file({name: tensor.contiguous() for name, tensor in results.items()}, sys.argv[2])


if __name__ == "__main__":
    main()
