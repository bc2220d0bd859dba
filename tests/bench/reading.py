"""Pictures read per second from a folder, compared with Pillow in a torch DataLoader with two workers.

Run by hand:  python tests/bench/reading.py [--pictures 20000] [--side 96] [--kind png] [--rounds 3] [--json]

Method: the folder is written first, with smooth, slightly noisy colour pictures of three sizes around --side. Both sides read
it into one uint8 tensor (N, 3, 64, 64), cropped and resized with Lanczos's filter. The DataLoader side uses
`Image.open(path).convert("RGB")`, `ImageOps.fit` and batches of 256. Our side does all its work: it inspects a sample to
choose the size, computes digests to find duplicates, and reports unreadable files. The two sides alternate; the fastest round
of each counts.

ours, loader    pictures per second
ratio           ours / loader
disk_peak_mib   peak memory (PSS, MiB) of this process and its workers above the start, for one more round of ours with images
                written to disk (--memory 0)
"""

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from core.data.reading import Options, read
from core.data.sources import open_folder

SIDE, ROUNDS, WORKERS = 64, 3, 2


def fill(folder: Path, pictures: int, side: int, kind: str) -> None:
    """Write the pictures."""
    rng = np.random.default_rng(0)
    sizes = [(side, side), (side * 5 // 4, side), (side, side * 4 // 3)]
    grounds = [
        np.asarray(Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC), np.int16)
        for size in sizes
        for _ in range(10)
    ]
    for i in range(pictures):
        ground = grounds[i % len(grounds)]
        pixels = np.clip(ground + rng.integers(-6, 7, ground.shape, np.int16) + i % 23, 0, 255).astype(np.uint8)
        path = folder / str(i % 10) / f"{i:06d}.{kind}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)


class Pictures(Dataset):
    """A usual torch data set of picture files."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(path for path in folder.rglob("*") if path.is_file())

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        picture = ImageOps.fit(Image.open(self.paths[index]).convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def loader(folder: Path) -> torch.Tensor:
    """Pillow in a DataLoader."""
    return torch.cat(list(DataLoader(Pictures(folder), batch_size=256, num_workers=WORKERS)))


def ours(folder: Path, memory: int | None = None) -> torch.Tensor:
    """`core.data.reading`."""
    images = read(open_folder(folder), Options(size=SIDE, workers=WORKERS, memory=memory)).images
    return images if isinstance(images, torch.Tensor) else images[:1]


def own_memory() -> float:
    """Memory (PSS, MiB) of this process and its children."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    total = 0
    for process in (str(os.getpid()), *children):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def peak(folder: Path) -> float:
    """Peak memory of reading to disk, MiB."""
    before, maximum, done = own_memory(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            maximum[0] = max(maximum[0], own_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    ours(folder, memory=0)
    done.set()
    watcher.join()
    return maximum[0] - before


def main() -> None:
    """Print pictures per second and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--kind", default="png", choices=["png", "jpg"])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, arguments.pictures, arguments.side, arguments.kind)
        rounds: dict[str, list[float]] = {"ours": [], "loader": []}
        for _ in range(arguments.rounds):
            for key, run in (("loader", loader), ("ours", ours)):
                start = time.perf_counter()
                assert len(run(folder)) == arguments.pictures
                rounds[key].append(arguments.pictures / (time.perf_counter() - start))
        result = {key: max(rates) for key, rates in rounds.items()}
        result |= {"ratio": result["ours"] / result["loader"], "disk_peak_mib": peak(folder)}
    if arguments.json:
        print(json.dumps({**result, "rounds": rounds}))
        return
    print("  ".join(f"{key} {value:,.2f}" for key, value in result.items()))
    print(rounds)


if __name__ == "__main__":
    main()
