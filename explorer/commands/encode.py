"""`latentscape encode` (pictures to latents) and `latentscape decode` (latents to a picture)."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from explorer.commands.arguments import Bundle, Json


def encode(
    bundle: Bundle,
    images: Annotated[list[Path] | None, typer.Argument(help="Picture files of any size and format.")] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file to write instead of printing.")] = None,
    polarity: Annotated[
        str, typer.Option(help="Light and dark of a picture: auto (match the training images), keep or invert.")
    ] = "auto",
    trim: Annotated[
        bool, typer.Option(help="Crop a picture to its content if it is not framed like the training images.")
    ] = True,
    data: Annotated[str | None, typer.Option(help="Data set to encode instead of IMAGES, as for train; needs --out.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV or parquet file with labels, joined on the pictures' file names; only for --data.")
    ] = None,
    label_names: Annotated[
        str | None, typer.Option(help="Names of the classes 0, 1, 2…, separated by commas; only for --data.")
    ] = None,
    device: Annotated[str, typer.Option(help="Device to compute on: auto, cpu, cuda, cuda:1, mps…; only for --data.")] = "auto",
    scores: Annotated[
        bool, typer.Option(help="Also compute log-likelihood, KL and ELBO, which takes several times as long; only for --data.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Encode pictures: the posterior, the ELBO and the position on the map of each.

    Pictures that cannot be read are listed and left out; the exit status is then 1.
    """
    if out is not None and not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.parent}. Create it first.")
    if bool(images) == (data is not None):
        raise ValueError("encode takes either picture files or --data; got both or neither. Give one of the two.")
    if data is not None:
        encode_data(bundle, data, out, labels, label_names, device, scores)
    elif images:
        encode_files(bundle, images, out, polarity, trim, as_json)


def encode_files(bundle: str, images: list[Path], out: Path | None, polarity: str, trim: bool, as_json: bool) -> None:
    """Encode picture files and print or save the results. Exits with status 1 if some cannot be read."""
    import torch

    import core
    from core.data.pictures import PictureError
    from explorer.describe import describe, prepare

    model = core.load(bundle)
    readable: list[tuple[Path, torch.Tensor]] = []
    for path in images:
        try:
            prepared = prepare(model, core.read_image(path), polarity, trim)  # pyright: ignore[reportArgumentType]
            readable.append((path, prepared.image))
        except PictureError as error:
            if len(images) == 1:
                raise
            print(f"latentscape: left out: {error}", file=sys.stderr)
    if not readable:
        raise ValueError(f"none of the {len(images)} pictures can be read.")
    descriptions = describe(model, torch.stack([image for _, image in readable]))
    records = [{"file": str(path), **record} for (path, _), record in zip(readable, descriptions, strict=True)]
    if out is not None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(records), out)
        print(f"{len(records)} images in {out}")
    elif as_json:
        print(json.dumps(records))
    else:
        for record in records:
            position = "" if record["x"] is None else f"  map ({record['x']:.2f}, {record['y']:.2f})"
            print(f"{record['file']}  ELBO {record['elbo']:.2f} nats{position}")
            print("  mean  " + "  ".join(f"{value:+.2f}" for value in record["mean"]))
            print("  sigma " + "  ".join(f"{2.718281828459045 ** (value / 2):5.2f}" for value in record["log_variance"]))
    if len(readable) < len(images):
        raise typer.Exit(1)


def encode_data(
    bundle: str, data: str, out: Path | None, labels: Path | None, label_names: str | None, device: str, scores: bool
) -> None:
    """Encode a data set and write the results as a parquet file."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    import core
    from core.bundle.encodings import LabelOptions, write
    from core.data.labels import split_names
    from core.distributed import ProcessGroup, launched_accelerator
    from explorer.runs.fit import choose_device

    if out is None:
        raise ValueError("--data needs a parquet file to write; give its path with --out.")
    group = ProcessGroup(launched_accelerator())
    console = Console(stderr=True, quiet=not group.is_main)
    with Progress(TextColumn("{task.completed:,.0f} images"), console=console, transient=True) as bar:
        task = bar.add_task("encoding", total=None)
        used_device = group.device or choose_device(device)
        label_options = LabelOptions(labels, split_names(label_names))
        advance = partial(bar.advance, task)
        summary = write(core.load(bundle), data, out, used_device, advance, scores, group, label_options)
    if group.is_main:
        print(f"{summary.read:,} images in {out}")
    for line in summary.lines()[0 if summary.left_out else 1 :]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def decode(
    bundle: Bundle,
    z: Annotated[str, typer.Option(help="Latent vector: one number per latent, separated by commas.")],
    out: Annotated[Path, typer.Option(help="PNG file to write, in the size of the model's images.")],
) -> None:
    """Decode a latent vector into a picture."""
    import core
    from core.data.preprocessing import to_png
    from explorer.describe import decode as decode_images
    from explorer.describe import parse_latents

    model = core.load(bundle)
    values: list[Any] = [part.strip() for part in z.split(",")]
    picture = decode_images(model, parse_latents(model, values))[0]
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.absolute().parent}. Create it first.")
    out.write_bytes(to_png(picture))
    print(f"Decoded into {out}")
