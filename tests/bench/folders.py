"""A plain folder of pictures, the bare command, and whether what it learned tells one picture from another.

    python tests/bench/folders.py personas.npz runs/personas-folder [--images 1000] [--json]

Exports the .npz data set as a folder of PNG files, the form in which people have their own pictures, runs
`latentscape train FOLDER --out BUNDLE` with nothing else said, and takes its time from start to end. Then the first --images of
the test split, which training never saw, are encoded and decoded again: the share of those reconstructions that are nearer to
their own original than to any other, by squared error over all pixels. DIR gets `pictures/`, `bundle/` and `pairs.png`:
24 of them over their reconstructions, and below them as many of those that were mistaken, each over its reconstruction and the
picture that it was nearer to. A folder and a bundle that are there already are kept, so that it can be measured again.

Pictures lie in one folder for each label where the file has `labels`; every column of `factors` goes into pictures.csv beside
the folder, for `latentscape train FOLDER --labels FOLDER.csv`.
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
    """Write the folder and its table."""
    data = core.load_data(source, "all")
    names = []
    for i in range(len(data.images)):
        label = str(data.labels["label"][i]) if "label" in data.labels else ""
        # Folders of some systems do not tell a from A.
        part = f"{label}-{'lower' if label.islower() else 'upper'}" if label.isalpha() else label
        names.append(f"{part}/{i:06d}.png".lstrip("/"))
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
    """Minutes that the bare command takes."""
    start = time.monotonic()
    subprocess.run(["latentscape", "train", str(folder), "--out", str(bundle)], check=True)
    return (time.monotonic() - start) / 60


@torch.no_grad()
def reconstruct(bundle: core.Bundle, images: torch.Tensor) -> torch.Tensor:
    """Each decoded from its encoding, as 8-bit images."""
    vae, batches = bundle.vae.eval(), images.split(250)
    return to_bytes(torch.cat([vae.decode(vae.posterior(to_unit(batch)).mean).mean for batch in batches]))


def nearest(reconstructions: torch.Tensor, originals: torch.Tensor) -> torch.Tensor:
    """The number of the original that each reconstruction is nearest to."""
    a, b = (part.flatten(1).double() for part in (reconstructions, originals))
    return (b.square().sum(1) - 2 * a @ b.T).argmin(1)


def pairs(originals: torch.Tensor, reconstructions: torch.Tensor, found: torch.Tensor) -> bytes:
    """The picture."""
    rows = [originals[:SHOWN], reconstructions[:SHOWN]]
    mistaken = (found != torch.arange(len(found))).nonzero().flatten()[:SHOWN]
    for part in (originals[mistaken], reconstructions[mistaken], originals[found[mistaken]]):
        rows.append(torch.cat([part, part.new_full((SHOWN - len(part), *part.shape[1:]), 255)]))
    return contact_sheet(torch.cat(rows), SHOWN)


def main() -> None:
    """Export, train, look."""
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
