"""Training speed of `core.train`, compared with pythae and with a bare training loop.

Run by hand:

    pip install pythae==0.1.2
    python tests/bench/training_speed.py [--json]

Method: all three train pythae's default VAE for 28x28 images: 784 - 512 - 16 latents - 512 - 784, batches of 128, Adam(W), two
epochs of 20,000 random 8-bit images in memory. After one warm-up round they alternate for three rounds; the fastest counts.
pythae runs its own trainer with its default configuration, on images as a float tensor. The bare loop does the steps of
`core.train` on a preloaded tensor: shuffle, convert to [0, 1], ELBO, AdamW with the scheduled learning rate, gradient
clipping, averaged weights. It has no validation, no progress reports and no best checkpoint. `core.train` holds out a single
image, so that its validation costs almost nothing.

Printed are images per second of each, and the ratios of `core.train` to the others (vs_bare, vs_pythae).
"""

import argparse
import contextlib
import io
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import core
from core.data.preprocessing import to_unit
from core.model.likelihoods import BernoulliLikelihood
from core.model.priors import StandardNormal
from core.training.loop import learning_rate_schedule

IMAGES, EPOCHS, BATCH, LATENTS, HIDDEN, ROUNDS = 20_000, 2, 128, 16, 512, 3


def plain_vae() -> core.VAE:
    """Our VAE with pythae's default networks."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENTS))
    decoder = nn.Sequential(nn.Linear(LATENTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 784), nn.Unflatten(1, (1, 28, 28)))
    return core.VAE(StandardNormal(LATENTS), encoder, decoder, BernoulliLikelihood())


def ours(images: Tensor) -> None:
    """`core.train`."""
    settings = core.Settings(epochs=float(EPOCHS), batch_size=BATCH, validation=1, validations=1)
    for _ in core.train(plain_vae(), images, settings):
        pass


def bare(images: Tensor) -> None:
    """The bare loop."""
    vae, steps = plain_vae(), EPOCHS * -(-len(images) // BATCH)
    averaged = AveragedModel(vae, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    optimizer = torch.optim.AdamW(vae.parameters(), weight_decay=0.01, fused=True)
    step = 0
    for _ in range(EPOCHS):
        for index in torch.randperm(len(images)).split(BATCH):
            x = to_unit(images[index])
            terms = vae.elbo(x)
            loss = (min(1.0, 10 * step / steps) * terms.kl - terms.log_likelihood).mean()
            optimizer.param_groups[0]["lr"] = 2e-3 * learning_rate_schedule(step / steps, 0.02)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(vae.parameters(), 200.0)
            optimizer.step()
            averaged.update_parameters(vae)
            step += 1


def pythae(images: Tensor) -> None:
    """pythae's own trainer on its own model."""
    # The tests do not depend on pythae, so a type checker may not find it.
    from pythae.data.datasets import BaseDataset  # pyright: ignore[reportMissingImports]
    from pythae.models import VAE, VAEConfig  # pyright: ignore[reportMissingImports]
    from pythae.trainers import BaseTrainer, BaseTrainerConfig  # pyright: ignore[reportMissingImports]

    model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENTS))
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=EPOCHS,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=BATCH,
            no_cuda=True,
        )
        trainer = BaseTrainer(model, BaseDataset(to_unit(images), torch.zeros(len(images))), None, config)
        trainer.train()


def rate(run: Callable[[Tensor], None], images: Tensor) -> float:
    """Images per second of one run, without its output."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run(images)
    return EPOCHS * len(images) / (time.perf_counter() - start)


def main() -> None:
    """Print images per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    runs = {"ours": ours, "bare": bare}
    try:
        found = version("pythae")
    except PackageNotFoundError:
        print("pythae is not installed, so it is not measured: pip install pythae==0.1.2", file=sys.stderr)
    else:
        print(f"pythae {found}", file=sys.stderr)
        runs["pythae"] = pythae
    images = torch.randint(0, 256, (IMAGES, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for run in runs.values():
        rate(run, images[: 10 * BATCH])
    best = dict.fromkeys(runs, 0.0)
    for _ in range(ROUNDS):
        for name, run in runs.items():
            best[name] = max(best[name], rate(run, images))
    result = {f"vs_{name}": best["ours"] / best[name] for name in runs if name != "ours"}
    if arguments.json:
        print(json.dumps({**result, "images_per_second": best}))
        return
    for name, value in best.items():
        print(f"{name:7s} {value:10,.0f} images/s")
    print("  ".join(f"{name} {value:.2f}" for name, value in result.items()))


if __name__ == "__main__":
    main()
