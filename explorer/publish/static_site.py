"""Export of a bundle as a static site: the explorer of one model, for any web server. The browser does all computation.

index.html   the page, with the model's description and the first picture embedded
check.html   checks whether a browser supports the page
README.md    card of a static Hugging Face Space
static/      the app's modules and styles, and plotly.js
runtime/     ONNX Runtime Web
model/       data that the app's server would send: map positions, means, thumbnails, networks, labels and samples

The page sends no request to another server. Uploads never leave the browser.
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
from core.data.framing import MAX_FRAMED_PIXELS
from core.data.pictures import MAX_PIXELS
from core.data.preprocessing import to_png
from explorer.app.assets import IMPORTED, MENTIONED, SCRIPTS, STATIC, modules
from explorer.app.catalogue import Catalogue, OpenModel
from explorer.app.encode import NEIGHBOURS
from explorer.app.explore import CONSTANTS, SHEET, SIDE, picture_at
from explorer.app.onnx_runtime import INSTALL, Runtime
from explorer.describe import decode

SHEETS = 16
"""Number of sample sheets in the site: those of the seeds 0, 1, 2…"""
EXAMPLES = 8
"""Number of gallery images on which score.onnx is compared with torch."""


def export(bundle: str, folder: str | Path, runtime: str | None = None) -> dict[str, int]:
    """Write the static site to a new or empty folder, atomically, and return the size of each part in bytes.

    `runtime` is a folder with ONNX Runtime Web. Raises ValueError if it is missing, if the bundle cannot be opened, or if
    `folder` is not empty.
    """
    folder, source = Path(folder).absolute(), Runtime.of(runtime)
    if source.folder is None:
        raise ValueError(
            "a static site includes ONNX Runtime Web, but no folder with it was given. "
            f"Install it ({INSTALL}) and pass --runtime runtime."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty and is not changed. Choose another folder.")
    catalogue = Catalogue.of([bundle])
    with replacing(folder) as partial:
        (partial / "model").mkdir()
        (name,) = catalogue.names
        write(catalogue[name], catalogue.paths[name], source, partial)
    return sizes(folder)


def write(model: OpenModel, bundle: Path, runtime: Runtime, folder: Path) -> None:
    """Write the site of an open model, whose bundle is in the folder `bundle`, to a folder with an empty `model/`."""
    library = [*modules("site/page.js", "site/check.js", mentioned=MENTIONED), "scheme.js", "style.css", "site/standalone.css"]
    copies = {folder / "static" / name: STATIC / name for name in library}
    copies |= {folder / "runtime" / path.name: path for path in runtime.files}
    for target, path in copies.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (folder / "static" / "plotly.min.js").write_bytes(SCRIPTS["plotly.min.js"])
    runtime_files = runtime.describe()
    assert runtime_files is not None
    runtime_files["graphics"] = None  # the WebGPU files are as large as the rest of the site
    for file in runtime_files["files"]:
        file["at"] = f"runtime/{file['name']}"
    baked = {**page_data(model, bundle, folder / "model"), "runtime": runtime_files}
    imported = modules("site/page.js", mentioned=IMPORTED)
    fields = {
        "title": html.escape(model.name),
        # Escape "<", so that no text can close the script element.
        "baked": json.dumps(baked, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        # Preload all modules at once; otherwise the browser finds an import only after loading the importing module.
        "preload": "\n".join(f'<link rel="modulepreload" href="static/{name}">' for name in imported),
        "header": template("header/header"),
        "explore": explore_html(template("explore/explore"), model),
        "encode": replace_text(
            template("encode/encode"), {"from the clipboard": "from the clipboard; it stays in this browser"}
        ),
    }
    for page, name in (("index.html", "site/standalone"), ("check.html", "site/check")):
        (folder / page).write_text(Template(template(name)).substitute(fields), encoding="utf-8")
    (folder / "README.md").write_text(card(model.name), encoding="utf-8")


@torch.no_grad()
def page_data(model: OpenModel, source: Path, folder: Path) -> dict[str, Any]:
    """Return the data that the page's modules read, as plain JSON. Large data is written to files in `folder` (model/)."""
    bundle, gallery, description = model.bundle, model.bundle.gallery, model.describe()

    def write_file(name: str, content: bytes | Path) -> str:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        return f"model/{name}"

    for key in ("decoder", "points", "means", "names"):
        if description[key] is not None:
            description[key] = write_file(Path(description[key]).name, Path(description[key]))
    if description["sprite"] is not None:
        description["sprite"]["file"] = write_file("sprite.webp", Path(description["sprite"]["file"]))
    if description["decoder"] is None:  # a bundle without a gallery, or of an early version
        description["decoder"] = write_file("decoder.onnx", bundle.onnx["decoder.onnx"])
    colours = {}
    if gallery is not None:
        for i, name in enumerate([*gallery.labels, "posterior width"]):
            column = model.column(name)
            numbers = "codes" if "codes" in column else "values"
            colours[name] = {**column, numbers: write_file(f"colour-{i}", Path(column[numbers]))}
    draws = torch.cat([bundle.vae.prior.sample(SHEET, torch.Generator().manual_seed(seed)) for seed in range(SHEETS)])
    return {
        "description": description,
        "start": picture_at(model, torch.tensor([description["start"]])),
        "colours": colours,
        **CONSTANTS,
        "draws": write_file("draws", little_endian(draws, "<f4")),
        "encoding": encoding(bundle, source, write_file),
    }


def encoding(bundle: core.Bundle, source: Path, write_file: Callable[[str, bytes | Path], str]) -> dict[str, Any]:
    """Return the data that the page needs to encode pictures, with an encoded example for check.html."""
    shape, preprocessing, encoder = bundle.preprocessing.shape, bundle.preprocessing, source / "encoder.onnx"
    if bundle.gallery is not None:
        images = bundle.gallery.images[:EXAMPLES]
    else:
        images = torch.randint(256, (EXAMPLES, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = preprocessing.evaluation_images(images)[:]
    example = core.encode(bundle.vae, images[:1])
    calibration = (
        None if bundle.detector is None else write_file("calibration", little_endian(bundle.detector.calibration, "<f8"))
    )
    threshold = None
    if preprocessing.binarization != "none":
        # A pixel becomes white if its level exceeds a fixed random threshold. Binarizing all 256 levels finds the threshold.
        levels = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(-1, *shape)
        white = torch.stack([preprocessing.evaluation_images(level[None])[0] for level in levels]) > 0
        lowest = torch.where(white.any(0), white.int().argmax(0), 256).permute(1, 2, 0)
        threshold = write_file("threshold", little_endian(lowest - 0.5, "<f4"))
    return {
        "encoder": write_file("encoder.onnx", encoder if encoder.exists() else bundle.onnx["encoder.onnx"]),
        "score": write_file("score.onnx", score_file(bundle.vae, bundle.detector, images)),
        "calibration": calibration,
        "threshold": threshold,
        "preprocessing": preprocessing.as_dict(),
        "max_pixels": MAX_PIXELS,
        "max_framed_pixels": MAX_FRAMED_PIXELS,
        "neighbours": NEIGHBOURS,
        "example": {
            "png": base64.b64encode(to_png(images[0])).decode(),
            "mean": example.mean[0].tolist(),
            "log_variance": example.log_variance[0].tolist(),
        },
    }


def little_endian(values: torch.Tensor, kind: str) -> bytes:
    """Convert a tensor to little-endian bytes, for a typed array in JavaScript."""
    return np.ascontiguousarray(values.numpy().astype(kind)).tobytes()


def template(name: str) -> str:
    """Read an HTML template of the page."""
    return (STATIC / f"{name}.html").read_text(encoding="utf-8")


def explore_html(explore: str, model: OpenModel) -> str:
    """The HTML of the Explore tab before any script has run: with the first picture, and without mention of a server."""
    picture = decode(model.bundle, torch.tensor([model.describe()["start"]]))[0]
    _, height, width = picture.shape
    scale = max(SIDE // max(height, width), 1) if max(height, width) <= SIDE else SIDE / max(height, width)
    data = base64.b64encode(to_png(picture)).decode()
    style = (
        f"width:{round(width * scale)}px;height:{round(height * scale)}px;background-image:url(data:image/png;base64,{data})"
    )
    canvas = f'<canvas id="decoded" width="{width}" height="{height}" style="{style}"'
    return replace_text(explore, {'<canvas id="decoded"': canvas, "decoded by the server": "preparing the decoder"})


def replace_text(page: str, replacements: dict[str, str]) -> str:
    """Replace texts in a template of the app. Each text must occur exactly once."""
    for text, other in replacements.items():
        assert page.count(text) == 1, text
        page = page.replace(text, other)
    return page


def card(name: str) -> str:
    """The text of README.md, whose front matter declares a static Space."""
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
            "Explore the latent space of a variational autoencoder. Written by `latentscape export BUNDLE DIR --static`.",
            "The browser does all computation, so any web server can serve this folder. `check.html` tests a browser.",
            "",
        ]
    )


def sizes(folder: Path) -> dict[str, int]:
    """The size of each part of an exported folder, in bytes."""
    return {
        path.name: sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
        for path in sorted(folder.iterdir())
    }
