"""A million images through `latentscape encode --data`: speed relative to the encoder's forward pass, and memory.

Run by hand on an otherwise idle machine:  python tests/bench/million.py DATA [BUNDLE] [--images 1000000] [--json]

DATA is a folder of Fashion-MNIST's IDX files. `--keep FILE` keeps the parquet file, for
`latentscape explore BUNDLE --encodings FILE`.

Method: images are drawn from DATA with a fixed seed. Each is rotated by up to 10 degrees, scaled by up to 10 %, shifted by up
to 2 pixels, mirrored at random, and gets a little noise. They are stored uncompressed in an .npz file or, with `--idx`, in IDX
files.

threads             threads of torch
bare_per_second     images per second of the encoder's forward pass in this process: 8-bit images in memory → [0, 1] → encoder,
                    with the command's batch size; mean of two measurements of the first 60,000 images, before and after it
encode_per_second   images per second of the command in a subprocess, from start to end: starting Python, reading, encoding,
                    placing on the map, writing; without the decoder's scores unless --scores is given
ratio               encode_per_second / bare_per_second
peak_mb             maximum sum of the proportional set sizes (PSS) of that process and its children, sampled twice a second
file_mb             size of the parquet file, MB
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measure import show
from torch import Tensor
from torch.nn import functional

import core
from core.bundle.encodings import BATCH
from core.data.datasets import array_splits
from core.data.preprocessing import to_bytes, to_unit

SAMPLE, BLOCK = 60_000, 10_000


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate, scale, shift and mirror images (N, C, H, W) at random, and add noise."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(images), generator=generator)

    angle, scale = uniform(-math.pi / 18, math.pi / 18), uniform(0.9, 1.1)
    mirror = torch.randint(0, 2, (len(images),), generator=generator) * 2 - 1
    right, down = (uniform(-4, 4) / side for side in images.shape[:-3:-1])
    rows = [
        [mirror * scale * angle.cos(), -scale * angle.sin(), right],
        [mirror * scale * angle.sin(), scale * angle.cos(), down],
    ]
    grid = functional.affine_grid(
        torch.stack([torch.stack(row, 1) for row in rows], 1), list(images.shape), align_corners=False
    )
    moved = functional.grid_sample(to_unit(images), grid, align_corners=False)
    return to_bytes(moved + 0.02 * torch.randn(moved.shape, generator=generator) * (moved > 0))


def build(source: str, bundle: core.Bundle, count: int, folder: Path, idx: bool) -> Path:
    """Write the data set. Return the value of --data."""
    data = core.load_data(source, "all", bundle.preprocessing)
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(0, len(data.images), (count,), generator=generator)
    images = torch.cat([augmented(data.images[part], generator) for part in index.split(BLOCK)]).numpy()
    labels = data.labels["label"].astype(np.uint8)[index.numpy()]
    if idx:
        for name, part in (("train", slice(0, -BLOCK)), ("t10k", slice(-BLOCK, None))):
            write_idx(folder / f"{name}-images-idx3-ubyte", images[part, 0])
            write_idx(folder / f"{name}-labels-idx1-ubyte", labels[part])
        return folder
    np.savez(folder / "million.npz", images=images[:, 0], labels=labels, label_names=np.array(NAMES))
    return folder / "million.npz"


NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
"""Fashion-MNIST's classes."""


def write_idx(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        file.write(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes())
        array.tofile(file)


@torch.inference_mode()
def bare(bundle: core.Bundle, images: Tensor) -> float:
    """Images per second of the encoder's forward pass."""
    torch.empty(31 * 2**20, dtype=torch.uint8)  # see core.evaluation.scores: up to a quarter faster
    for part in images[: 8 * BATCH].split(BATCH):
        bundle.vae.encoder(to_unit(part))
    began = time.perf_counter()
    for part in images.split(BATCH):
        bundle.vae.encoder(to_unit(part))
    return len(images) / (time.perf_counter() - began)


def run(command: list[str]) -> tuple[float, float]:
    """Duration of a program in seconds, and the peak memory of it and its children in MB."""
    began = time.perf_counter()
    process, peak = subprocess.Popen(command), 0.0
    while process.poll() is None:
        peak = max(peak, proportional(process.pid))
        time.sleep(0.5)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}.")
    return seconds, peak


def proportional(pid: int) -> float:
    """The proportional set size of a process and its descendants in MB; 0 for a process that has ended."""
    try:
        pages = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    except OSError:
        return 0.0
    own = next((int(line.split()[1]) / 1000 for line in pages.splitlines() if line.startswith("Pss:")), 0.0)
    return own + sum(proportional(int(child)) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("bundle", nargs="?", default="fashion-mnist")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--idx", action="store_true", help="IDX files instead of an .npz file")
    parser.add_argument("--scores", action="store_true", help="also compute the decoder's scores")
    parser.add_argument("--keep", type=Path, help="save the parquet file here")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    bundle = core.load(arguments.bundle)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = build(arguments.data, bundle, arguments.images, folder, arguments.idx)
        sample = array_splits(source, bundle.preprocessing)[0].images[:SAMPLE]
        out = arguments.keep or folder / "million.parquet"
        scores = "--scores" if arguments.scores else "--no-scores"
        before = bare(bundle, sample)
        seconds, peak = run(
            [sys.executable, "-m", "explorer", "encode", arguments.bundle, "--data", str(source), "--out", str(out), scores]
        )
        mean = (before + bare(bundle, sample)) / 2
        result = {
            "images": arguments.images,
            "threads": torch.get_num_threads(),
            "bare_per_second": mean,
            "encode_per_second": arguments.images / seconds,
            "ratio": arguments.images / seconds / mean,
            "peak_mb": peak,
            "file_mb": out.stat().st_size / 1e6,
        }
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
