"""From a folder of pictures to a map without options: training time, and whether reconstructions match their originals.

Run by hand:  python tests/bench/folders.py personas.npz runs/personas-folder [--images 1000] [--json]

Method: the .npz data set is exported as a folder of PNG files. `latentscape train FOLDER --out BUNDLE` runs without further
options. Then the first --images of the test split, which training does not use, are encoded and decoded. A reconstruction
matches if its squared error over all pixels is lower for its own original than for any other.

The output folder has `pictures/`, `bundle/` and `pairs.png`: 24 originals above their reconstructions, and below them up to 24
mistaken ones, each above its reconstruction and the nearest original. An existing folder and bundle are used again. Labels
become subfolders. Each column of `factors` goes into pictures.csv next to the folder, for `latentscape train FOLDER --labels`.

minutes          duration of the training command
images           number of test images
nearest_to_own   share of reconstructions that match, 0 to 1
"""

import argparse
import csv
import json
import subprocess
import time
from pathlib import Path

import torch

import core
from core.bundle.contact_sheets import contact_sheet
from core.data.preprocessing import to_bytes, to_pil, to_unit

SHOWN = 24


def export(source: Path, folder: Path) -> None:
    """Write the folder of PNG files and its table of labels."""
    data = core.load_data(source, "all")
    names = []
    for i in range(len(data.images)):
        label = str(data.labels["label"][i]) if "label" in data.labels else ""
        # Some file systems do not distinguish a from A.
        subfolder = f"{label}-{'lower' if label.islower() else 'upper'}" if label.isalpha() else label
        names.append(f"{subfolder}/{i:06d}.png".lstrip("/"))
        path = folder / names[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        to_pil(data.images[i]).save(path)
    columns = {name: values for name, values in data.labels.items() if name != "label"}
    if columns:
        with folder.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["file", *columns])
            table.writerows([name, *(values[i] for values in columns.values())] for i, name in enumerate(names))


def train(folder: Path, bundle: Path) -> float:
    """Train without options. Return the duration in minutes."""
    start = time.monotonic()
    subprocess.run(["latentscape", "train", str(folder), "--out", str(bundle)], check=True)
    return (time.monotonic() - start) / 60


@torch.no_grad()
def reconstruct(bundle: core.Bundle, images: torch.Tensor) -> torch.Tensor:
    """Encode and decode images. Return 8-bit images."""
    vae, batches = bundle.vae.eval(), images.split(250)
    return to_bytes(torch.cat([vae.decode(vae.posterior(to_unit(batch)).mean).mean for batch in batches]))


def nearest(reconstructions: torch.Tensor, originals: torch.Tensor) -> torch.Tensor:
    """The index of the original nearest to each reconstruction."""
    a, b = (part.flatten(1).double() for part in (reconstructions, originals))
    return (b.square().sum(1) - 2 * a @ b.T).argmin(1)


def pairs(originals: torch.Tensor, reconstructions: torch.Tensor, found: torch.Tensor) -> bytes:
    """Draw pairs.png."""
    rows = [originals[:SHOWN], reconstructions[:SHOWN]]
    mistaken = (found != torch.arange(len(found))).nonzero().flatten()[:SHOWN]
    for part in (originals[mistaken], reconstructions[mistaken], originals[found[mistaken]]):
        rows.append(torch.cat([part, part.new_full((SHOWN - len(part), *part.shape[1:]), 255)]))
    return contact_sheet(torch.cat(rows), SHOWN)


def main() -> None:
    """Export, train, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="FILE.npz")
    parser.add_argument("out", type=Path, metavar="DIR")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder, path = arguments.out / "pictures", arguments.out / "bundle"
    if not folder.exists():
        export(arguments.source, folder)
    result = {} if path.exists() else {"minutes": train(folder, path)}
    bundle = core.load(path)
    originals = core.load_data(folder, "test", bundle.preprocessing).images[: arguments.images]
    reconstructions = reconstruct(bundle, originals)
    found = nearest(reconstructions, originals)
    (arguments.out / "pairs.png").write_bytes(pairs(originals, reconstructions, found))
    share = (found == torch.arange(len(found))).double().mean().item()
    result |= {"images": len(originals), "nearest_to_own": share}
    print(json.dumps(result) if arguments.json else "\n".join(f"{key}: {value:,.4g}" for key, value in result.items()))


if __name__ == "__main__":
    main()
