"""Kill a training run at random times and resume it each time; compare with an uninterrupted run.

    python tests/kill.py IMAGES.npy FOLDER [KILLS]

Each run is a forked process, so torch is imported only once. The last checkpoints of the two runs are FOLDER/uninterrupted
and FOLDER/killed. The script prints JSON: the saved number of steps at each kill.
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
import torch._dynamo  # torch imports this at an optimizer's first step, which takes seconds

import core
from core.training.checkpoint import read


def run(data: Path, path: Path, **settings: Any) -> None:
    """Train a small VAE on the images of an .npy file. Every snapshot is saved, and a saved run is resumed."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vae = core.Architecture(1, 8, 8, latents=4, network="mlp", network_width=64).build()
    # These settings use every random generator of training: order, noise, corruption and binarization.
    combined = core.Settings(**{"epochs": 40.0, "batch_size": 16, "corruption": 0.1, "binarization": "dynamic", **settings})
    for _ in core.train(vae, torch.from_numpy(np.load(data)), combined, checkpoint=core.Checkpoint(path, 0.0, resume=True)):
        pass


def start(data: Path, path: Path) -> int:
    """Fork a process that starts or resumes the run. Return its id."""
    process = os.fork()
    if process == 0:
        run(data, path)
        os._exit(0)
    return process


def kill_after(process: int, seconds: float) -> bool:
    """Kill a process after this time. Return False if it ended before. Raises ValueError if it failed."""
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
    """Run once without kills, then with kills and resumes."""
    data, folder, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10
    began = time.monotonic()
    assert not kill_after(start(data, folder / "uninterrupted"), float("inf"))
    duration, rng, saved = time.monotonic() - began, random.Random(0), list[float]()
    while kill_after(start(data, folder / "killed"), rng.uniform(0, 0.2 * duration) if len(saved) < kills else float("inf")):
        saved.append(read(folder / "killed")[0].numbers["steps"] if (folder / "killed").exists() else -1)
    print(json.dumps({"seconds": round(duration, 1), "steps_saved": saved}))


if __name__ == "__main__":
    main()
