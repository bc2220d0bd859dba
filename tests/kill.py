"""Kill -9 a training run at random moments, and go on each time, beside one that is left alone.

    python tests/kill.py IMAGES.npy FOLDER [KILLS]

Each run is a process of its own, forked from this one, which has imported torch and done nothing with it. The runs leave their
last checkpoints in FOLDER, `alone` and `killed`; printed are the steps that had been saved at each kill, as JSON.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # what torch imports at an optimizer's first step, for seconds

import core
from core.training.checkpoint import read


def run(data: Path, path: Path, **settings: Any) -> None:
    """Train a small VAE on the images in an .npy file, saving at every moment that a run can go on from."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vae = core.Architecture(1, 8, 8, latents=4, network="mlp", network_width=64).build()
    # Every draw that training makes is made here: order, noise, coin flips and binary pixels.
    chosen = core.Settings(**{"epochs": 40.0, "batch_size": 16, "corruption": 0.1, "binarization": "dynamic", **settings})
    for _ in core.train(vae, torch.from_numpy(np.load(data)), chosen, checkpoint=core.Checkpoint(path, 0.0, resume=True)):
        pass


def start(data: Path, path: Path) -> int:
    """The id of a new process that runs, or goes on with the run that was saved."""
    process = os.fork()
    if process == 0:
        run(data, path)
        os._exit(0)
    return process


def killed_after(process: int, seconds: float) -> bool:
    """Whether a process still ran after so many seconds, and had to be killed; ValueError if it failed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            if status:
                raise ValueError(f"the run failed with status {status}")
            return False
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return True


def main() -> None:
    """Run, kill and go on."""
    data, folder, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10
    began = time.monotonic()
    assert not killed_after(start(data, folder / "alone"), float("inf"))
    whole, chance, saved = time.monotonic() - began, random.Random(0), list[float]()
    while killed_after(start(data, folder / "killed"), chance.uniform(0, 0.2 * whole) if len(saved) < kills else float("inf")):
        saved.append(read(folder / "killed")[0].numbers["steps"] if (folder / "killed").exists() else -1)
    print(json.dumps({"seconds": round(whole, 1), "steps_saved": saved}))


if __name__ == "__main__":
    main()
