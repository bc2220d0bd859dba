"""The standalone page: a folder that any web server hands out, with one model's explorer that computes in the browser.

index.html   the page, with its first picture and the model's description baked in
check.html   what a browser supports of what the page needs
README.md    says to a Hugging Face Space that it is a static one
static/      the page's modules and styles, those of the app, and plotly.js
runtime/     ONNX Runtime Web
model/       places, means, thumbnails, networks, labels and draws: what the app's server would answer from

Nothing in it asks anything of another machine, and what a visitor does or uploads stays in the browser.
"""

import base64
import html
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch

import core
from core.bundle.export import score_file
from core.bundle.folders import replacing
from core.data.preprocessing import to_png
from explorer.app.assets import IMPORTED, MENTIONED, SCRIPTS, STATIC, modules
from explorer.app.catalogue import Catalogue, OpenModel
from explorer.app.explore import picture_at
from explorer.app.onnx_runtime import INSTALL, Runtime
from explorer.describe import decode

SHEET, SHEETS = 64, 16
"""Draws from the prior on a sheet of samples, and sheets that are baked: those that the app shows for the first seeds."""
EXAMPLES = 8
"""Gallery images on which score.onnx is compared with torch."""
SIDE = 256
"""CSS pixels of the baked picture, at most, as in current.js."""


def export(bundle: str, folder: str | Path, runtime: str | None = None) -> dict[str, int]:
    """Write the folder, all of it or nothing; gives the bytes of its parts.

    `runtime` is a folder with ONNX Runtime Web. Raises ValueError where there is none, for a bundle that cannot be opened, or
    when `folder` holds anything.
    """
    folder, source = Path(folder).absolute(), Runtime.of(runtime)
    if source.folder is None:
        raise ValueError(
            "a static page carries ONNX Runtime Web with it, and none was named. "
            f"Fill a folder ({INSTALL}) and name it (--runtime runtime)."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty; it is left alone. Choose another folder.")
    catalogue = Catalogue.of([bundle])
    with replacing(folder) as partial:
        (partial / "model").mkdir()
        (name,) = catalogue.names
        write(catalogue[name], catalogue.paths[name], source, partial)
    return sizes(folder)


def write(exhibit: OpenModel, bundle: Path, runtime: Runtime, folder: Path) -> None:
    """Fill an empty folder that has a `model/` with the page of this model, whose bundle placements at `bundle`."""
    library = [*modules("site/page.js", "site/check.js", mentioned=MENTIONED), "scheme.js", "style.css", "site/standalone.css"]
    copies = {folder / "static" / name: STATIC / name for name in library}
    copies |= {folder / "runtime" / path.name: path for path in runtime.files}
    for target, path in copies.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (folder / "static" / "plotly.min.js").write_bytes(SCRIPTS["plotly.min.js"])
    described = runtime.describe()
    assert described is not None
    described["graphics"] = None  # as large as all the rest
    for file in described["files"]:
        file["at"] = f"runtime/{file['name']}"
    baked = {**bake(exhibit, bundle, folder / "model"), "runtime": described}
    first = modules("site/page.js", mentioned=IMPORTED)
    fill = {
        "title": html.escape(exhibit.name),
        # Inside a script element nothing but "</" could end it.
        "baked": json.dumps(baked, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        # All at once: a module names those it needs only when it is there.
        "preload": "\n".join(f'<link rel="modulepreload" href="static/{name}">' for name in first),
        "header": template("header/header"),
        "explore": poster(template("explore/explore"), exhibit),
        "encode": replace_text(
            template("encode/encode"), {"from the clipboard": "from the clipboard; it stays in this browser"}
        ),
    }
    for page, name in (("index.html", "site/standalone"), ("check.html", "site/check")):
        (folder / page).write_text(Template(template(name)).substitute(fill), encoding="utf-8")
    (folder / "README.md").write_text(card(exhibit.name), encoding="utf-8")


@torch.no_grad()
def bake(exhibit: OpenModel, source: Path, folder: Path) -> dict[str, Any]:
    """What the page's modules read, as plain JSON; whatever is larger lies in `folder`, which the page has as model/."""
    bundle, gallery, description = exhibit.bundle, exhibit.bundle.gallery, exhibit.describe()

    def keep(name: str, content: bytes | Path) -> str:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        return f"model/{name}"

    for key in ("decoder", "points", "means", "names"):
        if description[key] is not None:
            description[key] = keep(Path(description[key]).name, Path(description[key]))
    if description["sprite"] is not None:
        description["sprite"]["file"] = keep("sprite.webp", Path(description["sprite"]["file"]))
    if description["decoder"] is None:  # a bundle for scoring alone, or of an early version
        description["decoder"] = keep("decoder.onnx", bundle.onnx["decoder.onnx"])
    colours = {}
    if gallery is not None:
        for i, name in enumerate([*gallery.labels, "posterior width"]):
            column = exhibit.column(name)
            numbers = "codes" if "codes" in column else "values"
            colours[name] = {**column, numbers: keep(f"colour-{i}", Path(column[numbers]))}
    draws = torch.cat([bundle.vae.prior.sample(SHEET, torch.Generator().manual_seed(seed)) for seed in range(SHEETS)])
    return {
        "description": description,
        "start": picture_at(exhibit, torch.tensor([description["start"]])),
        "colours": colours,
        "draws": keep("draws", little_endian(draws, "<f4")),
        "encoding": encoding(bundle, source, keep),
    }


def encoding(bundle: core.Bundle, source: Path, keep: Callable[[str, bytes | Path], str]) -> dict[str, Any]:
    """What the page encodes a picture with, and an example of it for the self-check."""
    shape, preprocessing, encoder = bundle.preprocessing.shape, bundle.preprocessing, source / "encoder.onnx"
    if bundle.gallery is not None:
        images = bundle.gallery.images[:EXAMPLES]
    else:
        images = torch.randint(256, (EXAMPLES, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = preprocessing.evaluation_images(images)[:]
    example = core.encode(bundle.vae, images[:1])
    calibration = None if bundle.detector is None else keep("calibration", little_endian(bundle.detector.calibration, "<f8"))
    threshold = None
    if preprocessing.binarization != "none":
        # A level is white where it is above a fixed draw: the lowest white one of 0…255 says which.
        ladder = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(-1, *shape)
        white = torch.stack([preprocessing.evaluation_images(level[None])[0] for level in ladder]) > 0
        lowest = torch.where(white.any(0), white.int().argmax(0), 256).permute(1, 2, 0)
        threshold = keep("threshold", little_endian(lowest - 0.5, "<f4"))
    return {
        "encoder": keep("encoder.onnx", encoder if encoder.exists() else bundle.onnx["encoder.onnx"]),
        "score": keep("score.onnx", score_file(bundle.vae, bundle.detector, images)),
        "calibration": calibration,
        "threshold": threshold,
        "preprocessing": preprocessing.as_dict(),
        "example": {
            "png": base64.b64encode(to_png(images[0])).decode(),
            "mean": example.mean[0].tolist(),
            "log_variance": example.log_variance[0].tolist(),
        },
    }


def little_endian(values: torch.Tensor, kind: str) -> bytes:
    """Numbers as the little-endian bytes that a typed array reads."""
    return np.ascontiguousarray(values.numpy().astype(kind)).tobytes()


def template(name: str) -> str:
    return (STATIC / f"{name}.html").read_text(encoding="utf-8")


def poster(explore: str, exhibit: OpenModel) -> str:
    """The Explore tab as it stands before any script has run: with its first picture, and without a word of a server."""
    picture = decode(exhibit.bundle, torch.tensor([exhibit.describe()["start"]]))[0]
    _, height, width = picture.shape
    scale = max(SIDE // max(height, width), 1) if max(height, width) <= SIDE else SIDE / max(height, width)
    data = base64.b64encode(to_png(picture)).decode()
    style = (
        f"width:{round(width * scale)}px;height:{round(height * scale)}px;background-image:url(data:image/png;base64,{data})"
    )
    drawn = f'<canvas id="decoded" width="{width}" height="{height}" style="{style}"'
    return replace_text(explore, {'<canvas id="decoded"': drawn, "decoded by the server": "getting ready to decode"})


def replace_text(page: str, words: dict[str, str]) -> str:
    """A template of the app's with some of its text replaced."""
    for text, other in words.items():
        assert page.count(text) == 1, text
        page = page.replace(text, other)
    return page


def card(name: str) -> str:
    """README.md, whose front matter makes the folder a static Space."""
    front = {"title": name, "emoji": "🗺️", "colorFrom": "blue", "colorTo": "purple", "sdk": "static", "app_file": "index.html"}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()]
    return "\n".join(
        [
            "---",
            *lines,
            "---",
            "",
            f"# {name}",
            "",
            "A latent space to walk through, written by `latentscape export BUNDLE DIR --static`. Everything is computed",
            "in the browser; any web server can hand this folder out. `check.html` says what a browser supports.",
            "",
        ]
    )


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each part of an exported folder."""
    return {
        path.name: sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
        for path in sorted(folder.iterdir())
    }
