"""Tests of the standalone page: complete export, no local paths, and the same responses as the server."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from node import assert_passes_in_node, png
from page_requests import with_values
from PIL import Image
from safetensors.torch import save_file

import core
from core.bundle import manifest
from core.data.preprocessing import to_pil
from explorer.app import explore
from explorer.app.assets import SCRIPTS
from explorer.app.catalogue import Catalogue
from explorer.app.encode import encoding
from explorer.app.onnx_runtime import FILES
from explorer.cli import main
from explorer.describe import prepare, verdict
from explorer.publish.static_site import export

NAME = "<script><b>tiny & $mall"
WORDS = ("3", "img 29", "É", "e\u0301te\u0301", "no such thing")


@pytest.fixture(scope="module")
def calibrated(tiny_bundle: Path, digits: core.Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a detector, file names, and a name that needs escaping."""
    path = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("bundles") / "tiny"))
    bundle = core.load(tiny_bundle).calibrated(digits.images[:900], digits.images[900:])
    assert bundle.detector is not None
    assert bundle.gallery is not None
    names = [f"été/IMG {i}.png" for i in range(len(bundle.gallery))]
    replace(bundle.gallery, names=names).write(path / "gallery.parquet")
    save_file(bundle.detector.tensors(), path / "anomaly.safetensors")
    (path / "config.json").write_text(json.dumps({**bundle.config, "name": NAME}))
    manifest.write(path)
    return path


@pytest.fixture(scope="module")
def site(calibrated: Path, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sites") / "site"
    folder.mkdir()  # it may exist if it is empty
    with pytest.raises(SystemExit) as end:
        main(["export", str(calibrated), str(folder), "--static", "--runtime", str(runtime)])
    assert end.value.code == 0
    return folder


def baked(site: Path, page: str = "index.html") -> dict:
    found = re.search(r'id="baked">(.*?)</script>', (site / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def paths(value: object) -> list[str]:
    """Return every string in plain JSON that names a file of the folder."""
    if isinstance(value, dict):
        return [path for entry in value.values() for path in paths(entry)]
    if isinstance(value, list):
        return [path for entry in value for path in paths(entry)]
    return [value] if isinstance(value, str) and re.match(r"(model|runtime|static)/", value) else []


def test_exported_folder_is_complete_and_contains_no_local_paths(site: Path, calibrated: Path, runtime: Path) -> None:
    named = paths(baked(site))
    assert len(named) >= 12
    assert all((site / path).is_file() for path in named)
    for page in ("index.html", "check.html"):
        text = (site / page).read_text(encoding="utf-8")
        assert all((site / path).is_file() for path in re.findall(r'(?:href|src)="([\w./-]+)"', text))
        assert text.count("<b>") == 0, "a model's name is untrusted text"
    for path in (site / "static").rglob("*.js"):
        mentioned = re.findall(r'"(\.\.?/[\w/.]+\.js)"', path.read_text(encoding="utf-8"))
        assert all((path.parent / name).is_file() for name in mentioned), path
    assert (site / "static" / "plotly.min.js").read_bytes() == SCRIPTS["plotly.min.js"]
    assert baked(site)["description"]["model"] == NAME
    for path in site.rglob("*"):
        assert (path.stat().st_mode & 0o777) == (0o755 if path.is_dir() else 0o644)
        if path.suffix in (".html", ".js", ".css", ".md", ".json", ".onnx"):
            content = path.read_bytes()
            assert not any(str(place).encode() in content for place in (site.parent, calibrated.parent, runtime, Path.home()))
    for name in FILES:
        assert (site / "runtime" / name).read_bytes() == (runtime / name).read_bytes()


def test_pages_contain_no_external_addresses(site: Path) -> None:
    """Except the runtime and plotly.js, whose requests the content security policy blocks."""
    ours = [path for path in (site / "static").rglob("*.*") if path.name != "plotly.min.js"]
    for path in [*site.glob("*.html"), *ours]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://(?!cdn\.jsdelivr)", text), path
        if path.suffix == ".html":
            assert "default-src 'self'" in text


def test_export_refuses_bad_arguments_and_changes_nothing(
    calibrated: Path, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LATENTSCAPE_RUNTIME", raising=False)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("years of work")
    for folder in (taken, taken / "thesis.txt"):
        with pytest.raises(ValueError, match="is not empty and is not changed"):
            export(str(calibrated), folder, str(runtime))
    for choice in (None, "none"):
        with pytest.raises(ValueError, match="npm install"):
            export(str(calibrated), tmp_path / "new", choice)
    with pytest.raises(ValueError, match="a bundle is a folder or one of"):
        export("no-such-model", tmp_path / "new", str(runtime))
    (calibrated.parent / "broken").mkdir()
    with pytest.raises(ValueError, match=r"no config\.json"):
        export(str(calibrated.parent / "broken"), tmp_path / "new", str(runtime))
    assert (taken / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_first_image_is_embedded_in_the_page(site: Path, calibrated: Path) -> None:
    found = re.search(r'id="decoded"[^>]*url\(data:image/png;base64,([^)]+)\)', (site / "index.html").read_text())
    assert found is not None
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.group(1)))))
    start = baked(site)["start"]
    assert (picture.tobytes()) == base64.b64decode(start["pixels"])
    bundle = core.load(calibrated)
    assert (np.abs(picture - 255 * bundle.vae.decode(torch.tensor([start["z"]])).mean.detach()[0, 0].numpy()) <= 0.51).all()


def encodings(catalogue: Catalogue) -> list[dict]:
    """Return pictures of the model's image size and of other sizes, with the server's response to each."""
    model = catalogue[NAME]
    gallery = model.bundle.gallery
    assert gallery is not None
    pictures = {f"gallery image {i}": to_pil(gallery.images[i]) for i in (0, 17, 123)}
    random = np.random.default_rng(0)
    pictures["noise of its size"] = Image.fromarray(random.integers(0, 256, (8, 8), np.uint8))
    pictures["colour of its size"] = pictures["gallery image 17"].convert("RGB")
    pictures["a large picture"] = pictures["gallery image 0"].resize((211, 170), Image.Resampling.BICUBIC).convert("RGB")
    pictures["ink on paper"] = Image.eval(pictures["gallery image 123"].resize((64, 64)), lambda level: 255 - level)
    cases = []
    for name, picture in pictures.items():
        prepared = prepare(model.bundle, picture)
        wanted = {"steps": list(prepared.steps), **encoding(model, prepared.image[None])}
        request = {"polarity": "auto", "trim": True}
        picture = base64.b64encode(png(picture)).decode()
        cases.append({"name": name, "picture": picture, "request": request, "wanted": wanted})
    return cases


def bomb() -> bytes:
    """Return the header of a PNG file with 3,600 million pixels."""
    file = bytearray(png(Image.new("L", (1, 1))))
    file[16:24] = (60_000).to_bytes(4, "big") * 2
    return bytes(file)


def test_page_returns_the_same_responses_as_the_server(
    site: Path, calibrated: Path, plain_server, runtime: Path, tmp_path: Path
) -> None:
    catalogue = Catalogue.of([str(calibrated)])
    gallery = catalogue[NAME].bundle.gallery
    assert gallery is not None
    low, high = gallery.xy.min(0).values, gallery.xy.max(0).values
    places = (low + (high - low) * torch.rand(5, 2, generator=torch.Generator().manual_seed(0))).tolist()
    asked = [
        *(("decode_image", {"index": i}) for i in (0, 5, 299)),
        *(("decode_place", {"x": x, "y": y}) for x, y in places),
        *(("decode_point", {"z": z}) for z in torch.randn(5, 4, generator=torch.Generator().manual_seed(1)).tolist()),
    ]
    sheets = [{"seed": seed, "temperature": t, "count": 64} for seed, t in ((0, 1.0), (3, 0.5), (15, 1.5), (0, 0.0))]

    def ask(name: str, request: dict) -> dict:
        return getattr(explore, name)(catalogue, {"model": NAME, **request})

    cases = {
        "start": ask("decode_point", {"z": catalogue[NAME].describe()["start"]}),
        "points": [(name, request, ask(name, request)) for name, request in asked],
        "samples": [(request, ask("draw_samples", request)) for request in sheets],
        "colours": [
            (by, with_values(ask("colour", {"by": by}))) for by in ("label", "log_likelihood", "posterior width", "z0", "z3")
        ],
        "words": [(text, ask("find", {"text": text})) for text in WORDS],
        "encodings": encodings(catalogue),
        "bomb": base64.b64encode(bomb()).decode(),
        "verdicts": [
            ((1 + k) / (1 + m), m, verdict((1 + k) / (1 + m), m))
            for m in (20, 99, 100, 2000)
            for k in (0, 1, 2, m // 20, m // 2, m)
        ],
    }
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    with plain_server(site) as address:
        assert_passes_in_node("standalone.test.mjs", SITE=address, CASES=tmp_path, RUNTIME=runtime)
