"""Tests of publishing and pulling bundles through the hub, and of Spaces."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import distributions, requires
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from gradio_client import Client, handle_file
from hub import TOKEN, Hub, check_card, serve
from PIL import Image
from sessions import ROOT, session

import core
from core.bundle import manifest
from core.bundle.card import METRICS, model_card
from core.bundle.hub import check_repository
from core.data.preprocessing import to_bytes
from explorer.publish import space

PICKLE = b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x01:\x94\x85\x94R\x94."


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def published(hub: Hub, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str, str]]:
    """The results of publishing the tiny bundle in every way with a token: status, stdout, stderr."""
    folder = tmp_path_factory.mktemp("publisher")
    tampered = Path(shutil.copytree(tiny_bundle, folder / "tampered"))
    (tampered / "model.pkl").write_bytes(PICKLE)
    bundle = str(tiny_bundle)
    return session(
        hub.environment(folder / "home"),
        folder,
        ["publish", bundle, "ada/tiny", "--license", "mit"],
        ["publish", bundle, "ada/tiny", "--license", "mit"],
        ["publish", bundle, "ada/secret", "--private"],
        ["publish", bundle, "ada/walk", "--space"],
        ["publish", "hf:ada/tiny", "ada/walk2", "--space", "--private"],
        ["publish", str(tampered), "ada/tampered"],
        ["publish", bundle, "../../etc"],
        ["publish", bundle, "ada/tiny", "--license", "all mine"],
    )


def test_published_bundle_is_complete_with_a_valid_card(hub: Hub, published: Any, tiny_bundle: Path) -> None:
    assert [outcomes[0] for outcomes in published] == [0, 0, 0, 0, 0, 2, 2, 2], published
    assert f"{hub.address}/ada/tiny" in published[0][1]
    assert "latentscape explore hf:ada/tiny" in published[0][1]
    files = hub.files("ada/tiny")
    own = {path.name: path.read_bytes() for path in tiny_bundle.iterdir()}
    assert {name: files[name] for name in own if name != "README.md"} == {n: c for n, c in own.items() if n != "README.md"}
    assert set(files) == {*own, ".gitattributes"}
    card = files["README.md"].decode()
    check_card(card, "model")
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "latentscape"
    assert front["license"] == "mit"
    assert 'core.load("hf:ada/tiny")' in card
    evaluation = json.loads(files["config.json"])["evaluation"]
    figures = {metric["type"]: metric["value"] for metric in front["model-index"][0]["results"][0]["metrics"]}
    assert figures["elbo"] == round(evaluation["elbo"], 4)
    assert set(figures) == {key for key in METRICS if evaluation.get(key) is not None} | {"trustworthiness"}
    assert len(hub.repositories["model", "ada/tiny"].commits) == 2  # created, published; the second publication changed nothing


def test_refused_uploads_have_a_reason(hub: Hub, published: Any) -> None:
    assert "holds 'model.pkl', which no bundle has" in published[5][2]
    assert "a repository is owner/name" in published[6][2]
    assert "license must be one of the hub's" in published[7][2]
    assert ("model", "ada/tampered") not in hub.repositories


def test_pull_returns_identical_files_and_refuses_tampered_ones(
    hub: Hub, published: Any, tiny_bundle: Path, bundle: core.Bundle, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("years of work")
    for name, change in TAMPERED.items():
        repository = hub.repositories["model", f"eve/{name}"] = type(hub.repositories["model", "ada/tiny"])()
        repository.commit(change(dict(hub.files("ada/tiny"))))
    hub.requests.clear()
    outcomes = session(
        hub.environment(tmp_path / "home", token=None),
        tmp_path,
        ["pull", "ada/tiny", "--out", "got"],
        ["encode", "hf:ada/tiny", "--json", str(ROOT / ".github" / "explorer.gif")],
        ["pull", "ada/tiny@main", "--out", "taken"],
        ["pull", "ada/nothing"],
        ["pull", "ada/secret"],
        ["pull", "ada/tiny@" + "0" * 40],
        *(["pull", f"eve/{name}", "--out", "eves"] for name in TAMPERED),
    )
    assert [status for status, _, _ in outcomes] == [0, 0, *[2] * (4 + len(TAMPERED))], outcomes
    for file in tiny_bundle.iterdir():
        if file.name != "README.md":
            assert (tmp_path / "got" / file.name).read_bytes() == file.read_bytes()
    got = core.load(tmp_path / "got")
    z = torch.randn(20, bundle.vae.prior.latents)
    assert torch.equal(got.vae.decode(z).mean, bundle.vae.decode(z).mean)
    assert len(json.loads(outcomes[1][1])[0]["mean"]) == 4
    assert "not empty; it is left alone" in outcomes[2][2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["got", "home", "taken"]
    assert "or it does not exist" in outcomes[3][2]
    assert "or it does not exist" in outcomes[4][2]
    assert "Invalid rev id" in outcomes[5][2]
    for (name, _), (_, _, error) in zip(TAMPERED.items(), outcomes[6:], strict=True):
        assert REASONS[name] in error, name
        assert "Traceback" not in error
    # No file is fetched if the list of files is already invalid.
    assert not [request for request in hub.requests if "eve/pickle/resolve" in request or "eve/folder/resolve" in request]
    offline = {**hub.environment(tmp_path / "home", token=None), "HF_ENDPOINT": "http://127.0.0.1:9"}
    again = session(offline, tmp_path, ["pull", "ada/tiny", "--out", "later"], ["pull", "ada/other"])
    assert [status for status, _, _ in again] == [0, 2], again
    assert manifest.verify(tmp_path / "later")
    assert "the hub cannot be reached, and there is no complete local copy of ada/other" in again[1][2]


def with_valid_manifest(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files with a matching manifest, as an attacker would write it."""
    from hashlib import sha256

    listed = {n: {"size": len(c), "sha256": sha256(c).hexdigest()} for n, c in files.items() if n in manifest.FILES}
    return {**files, manifest.NAME: json.dumps({"files": listed}).encode()}


def changed(content: bytes) -> bytes:
    """Flip one bit in the middle."""
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]


TAMPERED = {
    "weights": lambda files: {**files, "model.safetensors": changed(files["model.safetensors"])},
    "gallery": lambda files: {**files, "gallery.parquet": changed(files["gallery.parquet"])},
    "decoder": lambda files: {**files, "decoder.onnx": changed(files["decoder.onnx"])},
    "pickle": lambda files: {**files, "model.pkl": PICKLE},
    "folder": lambda files: {**files, "core/__init__.py": b"raise SystemExit"},
    "disguised": lambda files: with_valid_manifest({**files, "model.safetensors": PICKLE}),
    "name": lambda files: with_valid_manifest(
        {**files, "config.json": files["config.json"].replace(b'"tiny"', b'"../../tiny"')}
    ),
    "manifest": lambda files: {**files, manifest.NAME: b'{"files": {"../../../etc/passwd": {"size": 1, "sha256": "0"}}}'},
    "lost": lambda files: {name: content for name, content in files.items() if name != "gallery.parquet"},
    "other": lambda files: {"config.json": b'{"model_type": "bert"}'},
    "empty": lambda files: {"README.md": b"nothing"},
}
REASONS = {
    "weights": "model.safetensors is damaged or was changed",
    "gallery": "gallery.parquet is damaged or was changed",
    "decoder": "decoder.onnx is damaged or was changed",
    "pickle": "holds 'model.pkl', which no bundle has",
    "folder": "holds 'core/__init__.py', which no bundle has",
    "disguised": "model.safetensors is damaged",
    "name": "a model's name must be",
    "manifest": "manifest.json is damaged",
    "lost": "lacks gallery.parquet, which its manifest lists",
    "other": "does not belong to a bundle",
    "empty": "it has no config.json",
}


@pytest.mark.parametrize(
    "name",
    ["", "tiny", "/", "a/b/c", "../a", "a/..", "ada/-x", "ada/x.", "a b/c", "ada/x\n", "ada/" + "x" * 97, "hf:a/b", "ä/b"],
)
def test_repository_must_be_owner_and_name(name: str) -> None:
    check_repository("Ada-1/tiny_model.v2")
    with pytest.raises(ValueError, match="a repository is owner/name"):
        check_repository(name)


def test_names_are_escaped_in_the_card_front_matter(bundle: core.Bundle) -> None:
    name = 'a: "b" #c {d} [e] & * ! | > \' % @ ` 😀 – --- null'
    for card in (model_card({**bundle.config, "name": name}), space.card({**bundle.config, "name": name}, "x")):
        front = yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))
        assert front["license"] == "unknown"
        assert name in (front["model-index"][0]["name"] if "model-index" in front else front["title"])


# --- The Space ---------------------------------------------------------------------------------------------------------------


def test_published_space_is_the_exported_folder(hub: Hub, published: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    space.write(str(tiny_bundle), tmp_path / "empty")
    written = {str(f.relative_to(tmp_path / "empty")): f.read_bytes() for f in (tmp_path / "empty").rglob("*") if f.is_file()}
    there = hub.files("ada/walk", "space")
    assert {name: there[name] for name in written} == written
    assert set(there) == {*written, ".gitattributes"}
    assert hub.repositories["space", "ada/walk"].sdk == "gradio"
    assert hub.repositories["space", "ada/walk2"].private
    card = hub.files("ada/walk2", "space")["README.md"].decode()
    check_card(card, "space")
    front = yaml.safe_load(card.split("---")[1])
    assert front["models"] == ["ada/tiny"]
    assert front["app_file"] in written
    assert front["sdk_version"] == space.version("gradio")
    assert "ZeroGPU" in card
    assert "untested" in card
    assert TOKEN.encode() not in b"".join(there.values())
    with pytest.raises(ValueError, match="is not empty and is not changed"):
        space.write(str(tiny_bundle), tmp_path / "empty")


def test_space_needs_a_gallery(tiny_bundle: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(tiny_bundle, tmp_path / "bare"))
    (bare / "gallery.parquet").unlink()
    manifest.write(bare)
    with pytest.raises(ValueError, match="has no gallery"):
        space.write(str(bare), tmp_path / "space")
    assert not (tmp_path / "space").exists()


def installed_by(*names: str) -> set[str]:
    """Return these distributions and all their dependencies."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    known = {canonicalize_name(distribution.metadata["Name"]) for distribution in distributions()}
    found: set[str] = set()
    left = [canonicalize_name(name) for name in names]
    while left:
        name = left.pop()
        if name in found or name not in known:
            continue
        found.add(name)
        for line in requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                left.append(canonicalize_name(needed.name))
    return found


BLOCK = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture
def app(tiny_bundle: Path, tmp_path: Path) -> Iterator[tuple[str, Path, subprocess.Popen[str]]]:
    """Run an exported Space in another folder, where only its requirements can be imported."""
    from importlib.metadata import packages_distributions

    folder = tmp_path / "space"
    space.write(str(tiny_bundle), folder)
    there = installed_by("gradio", *space.REQUIREMENTS)
    names = {name for name, by in packages_distributions().items() if not there & {b.lower().replace("_", "-") for b in by}}
    assert {"typer", "numpy", "torch", "gradio"} & names == set()
    assert {"sklearn", "umap", "onnx", "onnxruntime"} <= names
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "sitecustomize.py").write_text(BLOCK.format(names=names - sys.stdlib_module_names))
    (tmp_path / "elsewhere").mkdir()
    process = subprocess.Popen(
        [sys.executable, str(folder / "app.py")],
        cwd=tmp_path / "elsewhere",
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path / "only"),
            "PYTHONUNBUFFERED": "1",
            "LATENTSCAPE_RUNTIME": "none",
            "LATENTSCAPE_AUTH": "ada:lovelace",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    seen = ""
    try:
        for line in process.stdout:
            seen += line
            if found := re.search(r"http://[\d.]+:\d+", line):
                yield found.group(), folder, process
                break
        else:
            pytest.fail(f"the Space did not start:\n{seen}")
    finally:
        process.kill()
        process.wait()


def send_request(
    address: str,
    path: str,
    body: bytes | None = None,
    kind: str = "application/json",
    by: urllib.request.OpenerDirector | None = None,
) -> tuple[int, str]:
    """Send a request and return status and text."""
    request = urllib.request.Request(address + path, body, {"Content-Type": kind})
    try:
        with (by or urllib.request.build_opener()).open(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_exported_space_runs_with_only_its_requirements(app: Any, bundle: core.Bundle, tmp_path: Path) -> None:
    address, folder, process = app
    client = Client(address, verbose=False, auth=("ada", "lovelace"), download_files=str(tmp_path / "downloads"))
    assert client.predict(api_name="/models") == [{"name": "tiny", "shape": [1, 8, 8], "latents": 4}]
    z = torch.linspace(-1, 1, 4)
    picture = client.predict("tiny", z.tolist(), api_name="/decode")
    with torch.no_grad():
        expected = to_bytes(bundle.vae.decode(z[None]).mean)[0, 0].numpy()
    assert (np.asarray(Image.open(picture).convert("L")) == expected).all()
    assert bundle.gallery is not None
    (tmp_path / "three.png").write_bytes(bundle.gallery.pngs[3])
    record = client.predict("tiny", handle_file(tmp_path / "three.png"), api_name="/encode")
    np.testing.assert_allclose(record["mean"], bundle.gallery.mean[3].tolist(), rtol=1e-4, atol=1e-5)
    config = json.dumps(client.config)
    module = re.search(r'"module": "([^"]+/explore.js)"', config)
    assert module
    # Untrusted requests get an error and no internal details.
    assert send_request(address, "/health")[0] == 200
    nobody, ada = urllib.request.build_opener(), urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    for path in ("/config", "/gradio_api/info"):
        assert send_request(address, path, by=nobody)[0] == 401
    assert send_request(address, "/gradio_api/run/models", b'{"data": []}', by=nobody)[0] == 401
    assert send_request(address, "/login", b"username=ada&password=babbage", "application/x-www-form-urlencoded", ada)[0] == 400
    assert (
        send_request(address, "/login", b"username=ada&password=lovelace", "application/x-www-form-urlencoded", ada)[0] == 200
    )
    status, response_text = send_request(address, "/gradio_api/run/decode", b'{"data": ["tiny", [0, 1, 2, 3]]}', by=ada)
    assert status == 200
    inside = f"/gradio_api/file={json.loads(response_text)['data'][0]['path']}"
    assert send_request(address, inside, by=nobody)[0] == 401
    with ada.open(address + inside, timeout=60) as answer:
        assert np.asarray(Image.open(answer).convert("L")).shape == (8, 8)
    assert (
        send_request(address, module[1], by=nobody)[1]
        == (folder / "explorer" / "static" / "explore" / "explore.js").read_text()
    )
    for path in (
        "/etc/passwd",
        folder / "bundle" / "config.json",
        folder / "app.py",
        folder / "explorer" / "static" / ".." / "app.py",
    ):
        assert send_request(address, f"/gradio_api/file={path}", by=ada)[0] in (403, 404)
    assert send_request(address, "/gradio_api/proxy=http://127.0.0.1/")[0] == 404
    assert send_request(address, "/gradio_api/run/decode", bytes((1 << 20) + 1))[0] == 413
    for body in (b"{", b"[]", b'{"data": []}', b'{"data": ["../../etc", 1]}', b'{"data": ["tiny", [NaN, 1, 2, 3]]}'):
        status, response_text = send_request(address, "/gradio_api/run/decode", body, by=ada)
        assert status >= 400
        assert "Traceback" not in response_text
        assert str(folder) not in response_text
    (tmp_path / "torn.png").write_bytes(bundle.gallery.pngs[3][:60])
    with pytest.raises(Exception, match="not an image that can be read") as refused:
        client.predict("tiny", handle_file(tmp_path / "torn.png"), api_name="/encode")
    assert "gradio" not in str(refused.value)
    assert client.predict(api_name="/models")[0]["name"] == "tiny"
    process.terminate()
    began = time.monotonic()
    assert process.wait(30) == 0
    assert time.monotonic() - began < 20
