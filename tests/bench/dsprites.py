"""How many images of dSprites are drawn in a second, on one thread.

Run by hand:  python tests/bench/dsprites.py [--rounds 5] [--json]

Method: random training images in batches, for half a second a round; the figure is the median over rounds, for each batch
size. The 720 sprites are drawn once, when the set is made; that time is printed beside.
"""

import argparse
import json
import statistics
import time

import torch

from core.data.dsprites import COUNT, DSprites


def rate(images: DSprites, batch_size: int, seconds: float = 0.5) -> float:
    """Images a second."""
    generator = torch.Generator().manual_seed(0)
    drawn, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        images[torch.randint(COUNT, (batch_size,), generator=generator)]
        drawn += batch_size
    return drawn / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    images = DSprites()
    result = {"seconds_to_make": time.perf_counter() - start}
    for batch_size in (64, 128, 1024):
        result[f"images_per_second_{batch_size}"] = statistics.median(rate(images, batch_size) for _ in range(arguments.rounds))
    print(json.dumps(result) if arguments.json else "\n".join(f"{key}: {value:,.2f}" for key, value in result.items()))


if __name__ == "__main__":
    main()
