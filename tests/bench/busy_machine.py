"""Training speed on an idle machine and with one and two busy cores, for several wait policies of OpenMP.

Run by hand:  python tests/bench/busy_machine.py [--rounds 3] [--seconds 6] [--json]

Method: `core.train` trains two models on random images: an MLP (two hidden layers of 512, batches of 128) and a convolutional
network (32 channels at half the resolution, batches of 64). Each measurement is a new process, because OpenMP reads its
environment variables once. The policies alternate within a round. A busy core is a process in an endless loop.

Printed are steps per second, the median over rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

POLICIES = {
    "torch's default": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "GOMP_SPINCOUNT=100": {"GOMP_SPINCOUNT": "100"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}
"""The environment variables of each wait policy."""
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
MODELS = ("mlp", "convolutions")
BUSY = (0, 1, 2)
IMAGES = 20_000


def steps_per_second(model: str, seconds: float) -> float:
    """Training steps per second of this model, measured for `seconds` after one second of warm-up."""
    import torch

    import core

    images = torch.randint(0, 256, (IMAGES, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    network, width, batch = ("mlp", 512, 128) if model == "mlp" else ("conv", 32, 64)
    vae = core.Architecture(channels=1, height=28, width=28, latents=16, network=network, network_width=width).build()
    settings = core.Settings(epochs=1000.0, batch_size=batch, validation=1, validations=1)
    begun = time.perf_counter()
    first: tuple[float, float] | None = None
    for progress in core.train(vae, images, settings, report_every=0.25):
        now, steps = time.perf_counter(), progress.epoch * (IMAGES - 1) / batch
        if first is None and now > begun + 1:
            first = now, steps
        elif first and now >= first[0] + seconds:
            return (steps - first[1]) / (now - first[0])
    raise RuntimeError("the run ended before the measurement.")


@contextmanager
def busy(cores: int) -> Iterator[None]:
    """Run one endless loop per core while the block runs."""
    others = [subprocess.Popen([sys.executable, "-c", "n = 0\nwhile True: n += 1"]) for _ in range(cores)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measured(model: str, policy: str, seconds: float) -> float:
    """Steps per second of one training process with this wait policy."""
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, __file__, "--model", model, "--seconds", str(seconds)]
    done = subprocess.run(command, env={**clean, **POLICIES[policy]}, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print a table for each model: a row for each wait policy, a column for each number of busy cores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--model", choices=MODELS, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.model:
        print(steps_per_second(arguments.model, arguments.seconds))
        return
    found: dict[str, dict[str, dict[int, float]]] = {}
    for model in MODELS:
        found[model] = {policy: {} for policy in POLICIES}
        for cores in BUSY:
            rates: dict[str, list[float]] = {policy: [] for policy in POLICIES}
            with busy(cores):
                for _ in range(arguments.rounds):
                    for policy in POLICIES:
                        rates[policy].append(measured(model, policy, arguments.seconds))
            for policy in POLICIES:
                found[model][policy][cores] = statistics.median(rates[policy])
    if arguments.json:
        print(json.dumps(found))
        return
    for model, policies in found.items():
        print(f"{model}, steps per second" + "".join(f"{f'{n} busy':>12s}" for n in BUSY))
        for policy, row in policies.items():
            print(f"  {policy:26s}" + "".join(f"{row[n]:12.1f}" for n in BUSY))


if __name__ == "__main__":
    main()
