"""The command line: `latentscape`, with one function per command. Heavy imports wait until a command needs them."""

import json
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from explorer import making, share

app = typer.Typer(
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train variational autoencoders and walk through their latent spaces. Without a command: explore.",
)
JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def is_private(host: str, share: bool) -> bool:
    """Whether nobody but the people at this machine can reach a server."""
    return host in ("127.0.0.1", "localhost", "::1") and not share and "SPACE_ID" not in os.environ


def example(text: str) -> str:
    """An epilog for --help."""
    return f"Example:  {text}"


@app.command(epilog=example("latentscape explore fashion-mnist runs/shoes --port 8000"))
def explore(
    bundles: Annotated[
        list[str] | None, typer.Argument(help="Pretrained names or folders; all pretrained ones if none.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port; without it, the first free one from 7860 up.", min=1, max=65535)
    ] = None,
    share: Annotated[bool, typer.Option("--share", help="Make a public link through Gradio.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    auth: Annotated[
        str | None, typer.Option(envvar="LATENTSCAPE_AUTH", help="NAME:PASSWORD that visitors must give; nobody else sees it.")
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            envvar="LATENTSCAPE_RUNTIME",
            help="Folder with onnxruntime-web, which decodes in the browser; none: the server does. A public CDN if not given.",
        ),
    ] = None,
    mcp: Annotated[bool, typer.Option("--mcp", help="Offer the endpoints to language models as tools, too.")] = False,
    allow_training: Annotated[
        bool | None,
        typer.Option(help="Let visitors train on their own pictures; if not said, only where none but this machine can ask."),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder for what is trained on the page.")] = Path("runs"),
    encodings: Annotated[
        Path | None, typer.Option(help="A file that `encode --data` wrote with this model: the map shows all of its images.")
    ] = None,
) -> None:
    """Open the explorer in the browser."""
    # Half of the start is torch reading its libraries: it does so beside Gradio's own imports.
    threading.Thread(target=import_module, args=("torch",)).start()
    from explorer.app.server import serve

    if allow_training is None:
        allow_training = is_private(host, share)
    serve(
        bundles or [],
        host=host,
        port=port,
        share=share,
        browser=not no_browser,
        runtime=runtime,
        auth=auth,
        mcp=mcp,
        runs=runs if allow_training else None,
        encodings=encodings,
    )


@app.command("list", epilog=example("latentscape list"))
def list_models(as_json: JSON = False) -> None:
    """List the pretrained models."""
    from core.bundle.folders import PRETRAINED, pretrained

    configs = [json.loads((PRETRAINED / name / "config.json").read_text(encoding="utf-8")) for name in pretrained()]
    if as_json:
        print(json.dumps([{"name": config["name"], **config["architecture"], **config["evaluation"]} for config in configs]))
        return
    from rich.console import Console
    from rich.table import Column, Table

    name = Column("name", no_wrap=True)  # what people type is never cut short
    table = Table(name, "images", "latents", "network", "likelihood", "test ELBO (nats)", box=None)
    for config in configs:
        a = config["architecture"]
        table.add_row(
            config["name"],
            f"{a['channels']}x{a['height']}x{a['width']}",
            str(a["latents"]),
            a["network"],
            a["likelihood"],
            f"{config['evaluation']['elbo']:.2f}",
        )
    Console().print(table)


app.command(epilog=example("latentscape train photos/ --out runs/photos --minutes 20"))(making.train)
app.command(epilog=example("latentscape recipes"))(making.recipes)


@app.command(epilog=example("latentscape evaluate fashion-mnist --data data/fashion-mnist --json"))
def evaluate(
    bundle: Annotated[str, typer.Argument(help="A pretrained name or a folder.")],
    data: Annotated[str | None, typer.Option(help="What to score; the bundle's own gallery if not given.")] = None,
    split: Annotated[str, typer.Option(help="train, test or all; of --data.")] = "test",
    samples: Annotated[int, typer.Option(help="Importance samples per image, for log p(x); 0 for the ELBO alone.", min=0)] = 0,
    limit: Annotated[int | None, typer.Option(help="Score the first so many images alone.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Fixes the draws of z.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images per step; changes the speed alone.", min=1)] = 512,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps…")] = "auto",
    save: Annotated[bool, typer.Option("--save", help="Record the figures in the bundle and its card.")] = False,
    as_json: JSON = False,
) -> None:
    """Score a model on images: ELBO and its terms, in nats per image, over all of them, each once."""
    from rich.console import Console

    import core
    from core.bundle.folders import locate
    from core.distributed import ProcessGroup, launched
    from explorer import report
    from explorer.runs.fit import choose_device

    group, model = ProcessGroup(launched()), core.load(bundle)
    images = report.scored(model, data, split, limit)
    figures = report.score(model, images, seed, batch_size, choose_device(device), samples, group)
    if not group.main:
        return
    if save:
        model.evaluated(split if data else "gallery", figures).save(locate(bundle))
    if as_json:
        print(json.dumps({"model": model.name, "split": split if data else "gallery", **asdict(figures)}))
    else:
        what = f"{split} images of {data}" if data else "images of its gallery, on which it was not trained"
        Console().print(report.table(figures, model.vae.prior.latents, what))


@app.command(epilog=example("latentscape encode fashion-mnist shoe.jpg --json"))
def encode(
    bundle: Annotated[str, typer.Argument(help="A pretrained name or a folder.")],
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
    as_json: JSON = False,
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
    from core.bundle.encodings import Given, write
    from core.data.labels import split_names
    from core.distributed import ProcessGroup, launched
    from explorer.runs.fit import choose_device

    if out is None:
        raise ValueError("--data writes a parquet file; name it with --out.")
    group = ProcessGroup(launched())
    console = Console(stderr=True, quiet=not group.main)
    with Progress(TextColumn("{task.completed:,.0f} images"), console=console, transient=True) as bar:
        task = bar.add_task("encoding", total=None)
        where = group.device or choose_device(device)
        given = Given(labels, split_names(label_names))
        summary = write(core.load(bundle), data, out, where, lambda done: bar.advance(task, done), scores, group, given)
    if group.main:
        print(f"{summary.read:,} images in {out}")
    for line in summary.lines()[0 if summary.left_out else 1 :]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command(epilog=example('latentscape decode digits --z "0,0,1.5,0,0,0,0,0" --out digit.png'))
def decode(
    bundle: Annotated[str, typer.Argument(help="A pretrained name or a folder.")],
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


app.command(epilog=example("latentscape project runs/photos --method pca"))(making.project)
app.command(epilog=example("latentscape calibrate runs/shoes --data data/shoes"))(making.calibrate)
app.command(epilog=example("latentscape export fashion-mnist site --static --runtime runtime"))(share.export)
app.command(epilog=example("latentscape publish runs/shoes ada/shoes"))(share.publish)
app.command(epilog=example("latentscape pull ada/shoes --out shoes"))(share.pull)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. What a user can put right ends in one line and status 2."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    if not args or (args[0] not in command.commands and args[0] not in ("-h", "--help")):
        args = ["explore", *args]
    try:
        status = command.main(args, prog_name="latentscape", standalone_mode=False)
    except TyperException as error:
        fail(error.format_message())
    except (ValueError, FloatingPointError, OSError) as error:
        fail(str(error))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


def fail(message: str) -> NoReturn:
    """One line on standard error, and status 2."""
    print("latentscape: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
