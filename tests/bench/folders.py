"""An .npz data set as a plain folder of PNG files, the form in which people have their own pictures.

    python tests/bench/folders.py personas.npz runs/personas-folder [--limit 2000]

Pictures lie in one folder for each label where the file has `labels`; every column of `factors` goes into labels.csv beside
the folder, for `latentscape train FOLDER --labels FOLDER.csv`.
"""

import argparse
import csv
from pathlib import Path

import core
from core.images import to_pil


def export(source: Path, folder: Path, limit: int | None) -> int:
    """Write the folder and its table; returns how many pictures."""
    data = core.load_data(source, "all")
    names = []
    for i in range(min(limit or len(data.images), len(data.images))):
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
    return len(names)


def main() -> None:
    """Export one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    print(f"{export(arguments.source, arguments.folder, arguments.limit):,} pictures in {arguments.folder}")


if __name__ == "__main__":
    main()
