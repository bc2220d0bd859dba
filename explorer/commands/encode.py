"""`latentscape encode` and `decode`: from pictures to latents, and back."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from explorer.commands.arguments import Bundle, Json


def encode(
    bundle: Bundle,
    images: Annotated[list[Path] | None, typer.Argument(help="Picture files of any size and kind.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write a parquet file instead.")] = None,
    polarity: Annotated[str, typer.Option(help="auto, keep or invert light and dark.")] = "auto",
    trim: Annotated[
        bool, typer.Option(help="Cut a picture to its content, where that does not lie as that of the training images does.")
    ] = True,
    data: Annotated[str | None, typer.Option(help="Encode a whole data set instead, as for train; needs --out.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV or parquet file of labels, joined on the pictures' file names; for --data.")
    ] = None,
    label_names: Annotated[
        str | None, typer.Option(help="Names of the classes 0, 1, 2…, separated by commas; for --data.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps…; for --data.")] = "auto",
    scores: Annotated[
        bool, typer.Option(help="With each image's log-likelihood, KL and ELBO, which takes several times as long; for --data.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Encode pictures: posterior, ELBO and place on the map of each. One that cannot be read is named and left out, and the
    status is then 1."""
    if out is not None and not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.parent}.")
    if bool(images) == (data is not None):
        raise ValueError("name the pictures to encode, or a data set with --data, one of the two.")
    if data is not None:
        encode_data(bundle, data, out, labels, label_names, device, scores)
    elif images:
        encode_files(bundle, images, out, polarity, trim, as_json)


def encode_files(bundle: str, images: list[Path], out: Path | None, polarity: str, trim: bool, as_json: bool) -> None:
    """Encode these files, and print or save what is found; status 1 where some cannot be read."""
    import torch

    import core
    from core.data.pictures import PictureError
    from explorer.describe import describe, prepare

    model = core.load(bundle)
    seen: list[tuple[Path, torch.Tensor]] = []
    for path in images:
        try:
            prepared = prepare(model, core.read_image(path), polarity, trim)  # pyright: ignore[reportArgumentType]
            seen.append((path, prepared.image))
        except PictureError as error:
            if len(images) == 1:
                raise
            print(f"latentscape: left out: {error}", file=sys.stderr)
    if not seen:
        raise ValueError(f"none of the {len(images)} pictures can be read.")
    found = describe(model, torch.stack([image for _, image in seen]))
    records = [{"file": str(path), **record} for (path, _), record in zip(seen, found, strict=True)]
    if out is not None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(records), out)
        print(f"{len(records)} images in {out}")
    elif as_json:
        print(json.dumps(records))
    else:
        for record in records:
            place = "" if record["x"] is None else f"  map ({record['x']:.2f}, {record['y']:.2f})"
            print(f"{record['file']}  ELBO {record['elbo']:.2f} nats{place}")
            print("  mean  " + "  ".join(f"{value:+.2f}" for value in record["mean"]))
            print("  sigma " + "  ".join(f"{2.718281828459045 ** (value / 2):5.2f}" for value in record["log_variance"]))
    if len(seen) < len(images):
        raise typer.Exit(1)


def encode_data(
    bundle: str, data: str, out: Path | None, labels: Path | None, label_names: str | None, device: str, scores: bool
) -> None:
    """Encode a data set into a parquet file."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    import core
    from core.bundle.encodings import LabelOptions, write
    from core.data.labels import split_names
    from core.distributed import ProcessGroup, launched_accelerator
    from explorer.runs.fit import choose_device

    if out is None:
        raise ValueError("--data writes a parquet file; name it with --out.")
    group = ProcessGroup(launched_accelerator())
    console = Console(stderr=True, quiet=not group.is_main)
    with Progress(TextColumn("{task.completed:,.0f} images"), console=console, transient=True) as bar:
        task = bar.add_task("encoding", total=None)
        where = group.device or choose_device(device)
        given = LabelOptions(labels, split_names(label_names))
        summary = write(core.load(bundle), data, out, where, lambda done: bar.advance(task, done), scores, group, given)
    if group.is_main:
        print(f"{summary.read:,} images in {out}")
    for line in summary.lines()[0 if summary.left_out else 1 :]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def decode(
    bundle: Bundle,
    z: Annotated[str, typer.Option(help="One number per latent, separated by commas.")],
    out: Annotated[Path, typer.Option(help="PNG file to write, at the model's own size.")],
) -> None:
    """Decode a point of the latent space into a picture."""
    import core
    from core.data.preprocessing import to_png
    from explorer.describe import decode as decode_images
    from explorer.describe import parse_latents

    model = core.load(bundle)
    values: list[Any] = [part.strip() for part in z.split(",")]
    picture = decode_images(model, parse_latents(model, values))[0]
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.absolute().parent}.")
    out.write_bytes(to_png(picture))
    print(f"Decoded into {out}")
