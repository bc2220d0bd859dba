"""The command line: `latentscape`, with one function per command. Heavy imports wait until a command needs them."""

import json
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

app = typer.Typer(
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train variational autoencoders and walk through their latent spaces. Without a command: explore.",
)
JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
) -> None:
    """Open the explorer in the browser."""
    # Half of the start is torch reading its libraries: it does so beside Gradio's own imports.
    threading.Thread(target=import_module, args=("torch",)).start()
    from explorer.app import serve

    serve(bundles or [], host=host, port=port, share=share, browser=not no_browser)


@app.command("list", epilog=example("latentscape list"))
def list_models(as_json: JSON = False) -> None:
    """List the pretrained models."""
    from core.bundle import PRETRAINED, pretrained

    configs = [json.loads((PRETRAINED / name / "config.json").read_text(encoding="utf-8")) for name in pretrained()]
    if as_json:
        print(json.dumps([{"name": config["name"], **config["architecture"], **config["evaluation"]} for config in configs]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "images", "latents", "network", "likelihood", "test ELBO (nats)", box=None)
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


@app.command(epilog=example("latentscape train photos/ --out runs/photos --minutes 20"))
def train(
    data: Annotated[str, typer.Argument(help="digits, a folder of IDX files, an .npz file, or a folder of images.")],
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    network: Annotated[str, typer.Option(help="mlp, conv or resnet.")] = "conv",
    likelihood: Annotated[str, typer.Option(help="bernoulli or gaussian.")] = "bernoulli",
    latents: Annotated[int, typer.Option(help="Dimensions of the latent space.", min=1)] = 16,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data; chosen from its size if not given.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length of training, instead of --epochs.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Largest step size.")] = 2e-3,
    corruption: Annotated[float, typer.Option(help="Share of pixels the encoder sees only as coin flips.", min=0, max=1)] = 0.0,
    precision: Annotated[str, typer.Option(help="float32, or bfloat16: faster where the processor has it.")] = "float32",
    seed: Annotated[int, typer.Option(help="Fixes weights, order, noise and map.")] = 0,
    size: Annotated[int | None, typer.Option(help="Side in pixels for a folder of images.", min=8, max=256)] = None,
    fit: Annotated[str, typer.Option(help="How a folder's images are fitted: crop, pad or stretch.")] = "crop",
    name: Annotated[str | None, typer.Option(help="What to call the model; the folder's name if not given.")] = None,
    label_names: Annotated[str | None, typer.Option(help="Names of the classes 0, 1, 2…, separated by commas.")] = None,
    start: Annotated[str | None, typer.Option(help="A bundle to go on from; its architecture is kept.")] = None,
    notes: Annotated[str, typer.Option(help="A paragraph for the model card.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps…")] = "auto",
) -> None:
    """Train a VAE and save it as a bundle. Ctrl-C ends early and keeps the best weights."""
    from explorer.fit import fit as fit_bundle

    bundle = fit_bundle(
        data,
        out,
        name or out.absolute().name,
        {
            "epochs": epochs,
            "minutes": minutes,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "precision": precision,
            "corruption": corruption,
            "seed": seed,
        },
        network,
        likelihood,
        latents,
        size,
        fit,  # pyright: ignore[reportArgumentType]
        [part.strip() for part in label_names.split(",")] if label_names else None,
        device,
        notes,
        start,
    )
    figures = bundle.config["evaluation"]
    print(
        f"Test ELBO {figures['elbo']:.2f} nats (log-likelihood {figures['log_likelihood']:.2f}, KL {figures['kl']:.2f}), "
        f"{figures['active_units']} of {bundle.architecture.latents} latents active.\n"
        f"Saved in {out}. Walk through it:  latentscape explore {out}"
    )


@app.command(epilog=example("latentscape evaluate fashion-mnist --data data/fashion-mnist --json"))
def evaluate(
    bundle: Annotated[str, typer.Argument(help="A pretrained name or a folder.")],
    data: Annotated[str | None, typer.Option(help="What to score; the bundle's own gallery if not given.")] = None,
    split: Annotated[str, typer.Option(help="train, test or all; of --data.")] = "test",
    seed: Annotated[int, typer.Option(help="Fixes the draws of z.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images per step; changes the speed alone.", min=1)] = 512,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps…")] = "auto",
    as_json: JSON = False,
) -> None:
    """Score a model on images: ELBO and its terms, in nats per image, over all of them, each once."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    import core
    from explorer.fit import choose_device

    model = core.load(bundle)
    if data is not None:
        images = core.load_data(data, split, model.preprocessing).images  # pyright: ignore[reportArgumentType]
    elif model.gallery is None:
        raise ValueError(f"{model.name} has no gallery to score; pass --data.")
    else:
        images = model.gallery.images
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("scoring", total=len(images))
        figures = core.evaluate(
            model.vae, images, seed, batch_size, choose_device(device), lambda done: bar.advance(task, done)
        )
    if as_json:
        print(json.dumps({"model": model.name, "split": split if data else "gallery", **asdict(figures)}))
        return
    table = Table("figure", "value", box=None)
    for key, value in asdict(figures).items():
        shown = (
            "  ".join(f"{v:.2f}" for v in value)
            if isinstance(value, list)
            else f"{value:.3f}"
            if isinstance(value, float)
            else value
        )
        table.add_row(key, "not defined here" if shown is None else str(shown))
    Console().print(table)


@app.command(epilog=example("latentscape encode fashion-mnist shoe.jpg --json"))
def encode(
    bundle: Annotated[str, typer.Argument(help="A pretrained name or a folder.")],
    images: Annotated[list[Path], typer.Argument(help="Picture files of any size and kind.")],
    out: Annotated[Path | None, typer.Option(help="Write a parquet file instead.")] = None,
    polarity: Annotated[str, typer.Option(help="auto, keep or invert light and dark.")] = "auto",
    as_json: JSON = False,
) -> None:
    """Encode pictures: posterior, ELBO and place on the map of each."""
    import torch

    import core
    from explorer.describe import describe, prepare

    model = core.load(bundle)
    seen = [prepare(model, core.read_image(path), polarity).image for path in images]  # pyright: ignore[reportArgumentType]
    records = [{"file": str(path), **record} for path, record in zip(images, describe(model, torch.stack(seen)), strict=True)]
    if out is not None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not out.parent.is_dir():
            raise ValueError(f"--out {out}: there is no folder {out.parent}.")
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


@app.command(epilog=example('latentscape decode digits --z "0,0,1.5,0,0,0,0,0" --out digit.png'))
def decode(
    bundle: Annotated[str, typer.Argument(help="A pretrained name or a folder.")],
    z: Annotated[str, typer.Option(help="One number per latent, separated by commas.")],
    out: Annotated[Path, typer.Option(help="PNG file to write, at the model's own size.")],
) -> None:
    """Decode a point of the latent space into a picture."""
    import core
    from core.images import to_png
    from explorer.describe import decode as decode_images
    from explorer.describe import parse_latents

    model = core.load(bundle)
    values: list[Any] = [part.strip() for part in z.split(",")]
    picture = decode_images(model, parse_latents(model, values))[0]
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.absolute().parent}.")
    out.write_bytes(to_png(picture))
    print(f"Decoded into {out}")


@app.command(epilog=example("latentscape project runs/photos --method pca"))
def project(
    bundle: Annotated[str, typer.Argument(help="A pretrained name or a folder.")],
    method: Annotated[str, typer.Option(help="umap, pca, or latents with --pair.")] = "umap",
    pair: Annotated[str, typer.Option(help="Two latents, for --method latents.")] = "0,1",
    seed: Annotated[int, typer.Option(help="Fixes UMAP's result.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Where to save; in place if not given.")] = None,
) -> None:
    """Draw a bundle's map anew."""
    import core
    from core.bundle import locate

    try:
        first, second = (int(part) for part in pair.split(","))
    except ValueError as error:
        raise ValueError(f"--pair must be two latents such as 0,3; got {pair!r}.") from error
    target = out or locate(bundle)
    projected = core.load(bundle).projected(method, (first, second), seed)  # pyright: ignore[reportArgumentType]
    projected.save(target)
    figures = projected.config["map"]
    print(
        f"{method} map in {target}: trustworthiness {figures['trustworthiness']:.3f}, "
        f"round trip {100 * figures['round_trip']:.2f} % of the width"
    )


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
