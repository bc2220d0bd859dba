"""Rendering speed of dSprites images on one thread.

Run by hand:  python tests/bench/dsprites.py [--rounds 5] [--json]

Method: random images are rendered in batches for half a second per round.

seconds_to_make          time to render the 720 sprites when the data set is opened
images_per_second_N      images per second with batches of N, median over rounds
"""

import argparse
import json
import statistics
import time

import torch

from core.data.dsprites import COUNT, DSprites


def rate(images: DSprites, batch_size: int, seconds: float = 0.5) -> float:
    """Images per second."""
    generator = torch.Generator().manual_seed(0)
    rendered, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        images[torch.randint(COUNT, (batch_size,), generator=generator)]
        rendered += batch_size
    return rendered / (time.perf_counter() - start)


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
