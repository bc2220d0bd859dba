"""Tests of the bundle: a loaded bundle equals the saved one; a damaged bundle raises an error that names the fault."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

import core
from core import Bundle
from core.bundle import manifest
from core.bundle.contact_sheets import CAPTIONS
from core.bundle.folders import PRETRAINED, is_bundle, read_config

Damage = Callable[[Path], object]


@pytest.fixture(scope="module", params=["umap", "pca", "latents", "no gallery", "gaussian resnet, colour"])
def kind(request: pytest.FixtureRequest, bundle: Bundle) -> Bundle:
    """Bundles with each kind of map, without a gallery, and with another architecture."""
    if request.param == "umap":
        return bundle
    if request.param in ("pca", "latents"):
        return bundle.projected(request.param, (3, 1))
    config = {**bundle.config, "map": None}
    if request.param == "no gallery":
        return replace(bundle, gallery=None, map=None, config=config)
    architecture = core.Architecture(3, 10, 12, 5, "resnet", "gaussian")
    preprocessing = core.Preprocessing(3, 10, 12, "crop", (255, 0, 3), 0.8)
    settings = {"architecture": architecture.as_dict(), "preprocessing": preprocessing.as_dict()}
    return Bundle(architecture.build().eval(), None, None, {**config, **settings})


def test_a_bundle_is_bitwise_equal_after_saving_and_loading(kind: Bundle, tmp_path: Path) -> None:
    """Weights, gallery, map and config."""
    kind.save(tmp_path / "b")
    read = core.load(tmp_path / "b")
    weights, expected = read.vae.state_dict(), kind.vae.state_dict()
    assert list(weights) == list(expected)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert not read.vae.training
    assert json.loads(json.dumps(read.config)) == json.loads(json.dumps(kind.config))
    assert read.preprocessing == kind.preprocessing
    z = torch.randn(20, kind.vae.prior.latents)
    assert torch.equal(read.vae.decode(z).mean, kind.vae.decode(z).mean)
    if kind.gallery is None:
        assert read.gallery is None
        assert read.map is None
        return
    assert read.gallery is not None
    assert read.map is not None
    assert kind.map is not None
    assert type(read.map) is type(kind.map)
    assert read.gallery.pngs == kind.gallery.pngs
    for name in ("mean", "log_variance", "xy", "images"):
        assert torch.equal(getattr(read.gallery, name), getattr(kind.gallery, name))
    assert list(read.gallery.labels) == list(kind.gallery.labels)
    assert all((read.gallery.labels[name] == values).all() for name, values in kind.gallery.labels.items())
    xy = torch.randn(20, 2)
    assert torch.equal(read.map.place(z), kind.map.place(z))
    assert torch.equal(read.map.lift(xy), kind.map.lift(xy))
    assert read.map.as_dict() == kind.map.as_dict()


def test_saving_a_loaded_bundle_writes_identical_files(kind: Bundle, tmp_path: Path) -> None:
    kind.save(tmp_path / "a")
    core.load(tmp_path / "a").save(tmp_path / "b")
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_weights_that_fit_half_precision_are_stored_in_it_without_loss(bundle: Bundle, tmp_path: Path) -> None:
    vae = bundle.architecture.build().eval()
    replace(bundle, vae=vae).save(tmp_path / "whole")
    with torch.no_grad():
        for weights in vae.parameters():
            weights.copy_(weights.half().float())
    replace(bundle, vae=vae).save(tmp_path / "rounded")
    read = core.load(tmp_path / "rounded").vae.state_dict()
    assert all(
        weights.dtype == torch.float32 and torch.equal(weights, vae.state_dict()[name]) for name, weights in read.items()
    )
    for file in ("model.safetensors", "decoder.onnx", "encoder.onnx"):
        assert (tmp_path / "rounded" / file).stat().st_size < 0.53 * (tmp_path / "whole" / file).stat().st_size


def test_a_bundle_without_onnx_files_loads_and_gets_them_when_saved(tiny_bundle: Path, tmp_path: Path) -> None:
    """Bundles of the first release have no ONNX files."""
    old = Path(shutil.copytree(tiny_bundle, tmp_path / "old"))
    for file in (*old.glob("*.onnx"), old / manifest.NAME):
        file.unlink()
    with pytest.warns(UserWarning, match="has no manifest.json, so its files are not checked"):
        opened = core.load(old)
    opened.save(old)
    assert manifest.verify(old)
    assert all((old / name).read_bytes() == (tiny_bundle / name).read_bytes() for name in ("decoder.onnx", "encoder.onnx"))


def test_a_bundle_contains_no_pickle(tiny_bundle: Path) -> None:
    files = {path.name: path.read_bytes() for path in tiny_bundle.iterdir()}
    assert set(files) == {
        "config.json",
        "model.safetensors",
        "decoder.onnx",
        "encoder.onnx",
        "gallery.parquet",
        "manifest.json",
        "README.md",
        *CAPTIONS,
    }
    assert not any(content[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK") for content in files.values())
    assert files["gallery.parquet"].startswith(b"PAR1")
    json.loads(files["config.json"], parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))


def test_saving_over_a_bundle_replaces_all_files(bundle: Bundle, tmp_path: Path) -> None:
    """The old gallery is deleted if the new bundle has none. No temporary folder remains."""
    bundle.save(tmp_path / "b")
    replace(bundle, gallery=None, map=None, config={**bundle.config, "name": "new", "map": None}).save(tmp_path / "b")
    assert core.load(tmp_path / "b").name == "new"
    assert not (tmp_path / "b" / "gallery.parquet").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_bundle_can_be_saved_to_a_new_or_an_empty_folder(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bundle.save(tmp_path / "empty")
    bundle.save(tmp_path / "deep" / "er")
    assert is_bundle(tmp_path / "empty")
    assert is_bundle(tmp_path / "deep" / "er")


def test_saving_does_not_overwrite_other_folders_and_files(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    for path in (tmp_path / "thesis", tmp_path / "thesis" / "chapter.txt"):
        with pytest.raises(ValueError, match="not a bundle and not empty; it is left alone"):
            bundle.save(path)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def test_a_failed_save_leaves_the_old_bundle_unchanged(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "b")
    before = {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    invalid = replace(bundle, config={**bundle.config, "training": {**bundle.config["training"], "seconds": float("nan")}})
    with pytest.raises(ValueError, match="JSON"):
        invalid.save(tmp_path / "b")
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


# --- Damage ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def edit(**changes: Any) -> Damage:
    """Change keys of config.json; the value `...` removes a key."""

    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config.update(changes)
        (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))

    return change


def write(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def truncate(name: str) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-50])


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def reduce_latents(folder: Path) -> None:
    """Reduce the gallery to two latents."""
    table = pq.read_table(folder / "gallery.parquet")
    for name in ("mean", "log_variance"):
        column = table[name].to_pylist()
        table = table.set_column(table.column_names.index(name), name, [[values[:2] for values in column]])
    pq.write_table(table, folder / "gallery.parquet")


def rename_weight(folder: Path) -> None:
    """Rename a weight, as in a model with other layers."""
    weights = load_file(folder / "model.safetensors")
    weights["unknown"] = weights.popitem()[1]
    save_file(weights, folder / "model.safetensors")


SMALL = {"channels": 1, "height": 8, "width": 8, "latents": 4, "network": "mlp", "likelihood": "bernoulli", "prior": "normal"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("config.json"), "is not a bundle: it has no config.json"),
        (write("config.json", b"{"), "config.json is damaged"),
        (write("config.json", b"\xff\xfe"), "config.json is damaged"),
        (write("config.json", b"[1]"), "config.json is damaged: it is not a JSON object"),
        (write("config.json", b'{"model_type": "bert"}'), '"format": "latentscape"'),
        (edit(version=99), "version 99; this program reads 1"),
        (edit(architecture=..., map=...), "config.json is damaged: it lacks architecture, map"),
        (edit(architecture={**SMALL, "heads": 3}), "config.json is damaged.*heads"),
        (edit(architecture={"channels": 1}), "config.json is damaged"),
        (edit(architecture={**SMALL, "network": "gpt"}), "network must be one of"),
        (edit(architecture={**SMALL, "latents": 5}), "does not fit the architecture"),
        (edit(preprocessing={"channels": 1}), "config.json is damaged"),
        (edit(map={"method": "umap"}), "config.json is damaged: its map lacks 'trustworthiness'"),
        (edit(map={"method": "pca", "trustworthiness": 1.0, "round_trip": 0.0}), "its map lacks 'centre'"),
        (remove("model.safetensors"), "has no model.safetensors"),
        (write("model.safetensors", b"junk"), "model.safetensors is damaged"),
        (truncate("model.safetensors"), "model.safetensors is damaged"),
        (rename_weight, "model.safetensors does not fit the architecture"),
        (write("gallery.parquet", b"junk"), "gallery.parquet is damaged or not a parquet file"),
        (truncate("gallery.parquet"), "gallery.parquet is damaged or not a parquet file"),
        (reduce_latents, "the gallery has 2 latents, the model 4"),
    ],
)
def test_a_damaged_bundle_raises_an_error_that_names_the_fault(copy: Path, damage: Damage, message: str) -> None:
    damage(copy)
    manifest.write(copy)
    with pytest.raises(ValueError, match=message):
        core.load(copy)


def test_a_bundle_loads_without_its_gallery(copy: Path) -> None:
    (copy / "gallery.parquet").unlink()
    manifest.write(copy)
    bundle = core.load(copy)
    assert bundle.gallery is None
    assert bundle.map is None
    with pytest.raises(ValueError, match="tiny has no gallery"):
        bundle.projected("pca")


# Paths, huge values and wrong types in each field of config.json. The manifest is valid, as an attacker would make it.
MALICIOUS: list[tuple[Damage, str]] = [
    *[
        (edit(name=name), "a model's name must be")
        for name in ("../../etc/passwd", "..\\x", "", "a\nlicense: mit", "\x1b[2J", "n" * 201, 7, ["a"], None)
    ],
    (edit(architecture={**SMALL, "latents": 10**9}), "latents 1 to 4,096"),
    (edit(architecture={**SMALL, "channels": 10**9}), "channels must be 1 to 4"),
    (edit(architecture={**SMALL, "height": 10**9}), "8 to 256 pixels"),
    (edit(architecture={**SMALL, "network": "../../networks"}), "network must be one of"),
    (edit(architecture={**SMALL, "prior": ["normal"]}), "config.json is damaged"),
    (edit(architecture="/etc/passwd"), "architecture, preprocessing, training, evaluation and map must be objects"),
    (edit(evaluation=[1]), "must be objects"),
    (edit(map="umap"), "must be objects"),
    (edit(map={"method": "/etc/passwd", "trustworthiness": 1.0, "round_trip": 0.0}), "its map lacks a known method"),
    (edit(map={"method": "umap", "trustworthiness": "1", "round_trip": 0.0}), "its map lacks"),
    (edit(map={"method": "pca", "trustworthiness": 1, "round_trip": 0, "centre": [0.0], "axes": [[1.0]]}), "its map lacks"),
    (edit(map={"method": "pca", "trustworthiness": 1, "round_trip": 0, "centre": "/x", "axes": [[1.0]]}), "its map lacks"),
    (edit(preprocessing={"channels": 1, "height": 10**6, "width": 10**6}), "its preprocessing makes images of"),
    (edit(preprocessing={"channels": 1, "height": 8, "width": 8, "extent": 0.0}), "extent must be a share"),
    (edit(preprocessing={"channels": 1, "height": 8, "width": 8, "extent": "1"}), "config.json is damaged"),
    (edit(preprocessing={"channels": 1, "height": 8, "width": 8, "background": [999]}), "background must be 1 levels"),
    (
        edit(preprocessing={"channels": 1, "height": 8, "width": 8, "fit": "../pad"}),
        "fit must be one of|config.json is damaged",
    ),
    (edit(version="1/../2"), "this program reads 1"),
    (write("config.json", b'{"format": ' + b"[" * 100_000), "config.json is damaged"),
    (write("config.json", b'{"format": "latentscape", "version": NaN}'), "NaN is not valid JSON"),
    (write("config.json", b'{"a": "' + b"x" * (4 << 20) + b'"}'), "it has 4,194,313 bytes; at most 4,194,304"),
]


@pytest.mark.parametrize(("damage", "message"), MALICIOUS)
def test_a_malicious_config_raises_an_error(copy: Path, damage: Damage, message: str) -> None:
    damage(copy)
    manifest.write(copy)
    with pytest.raises(ValueError, match=message):
        core.load(copy)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "decoder.onnx", "encoder.onnx", "gallery.parquet"])
@pytest.mark.parametrize("position", [0, 0.5, 1])
def test_one_changed_bit_is_detected(copy: Path, name: str, position: float) -> None:
    content = bytearray((copy / name).read_bytes())
    content[round(position * (len(content) - 1))] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is damaged|{name} does not belong to a bundle"):
        core.load(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "decoder.onnx", "encoder.onnx", "gallery.parquet"])
def test_a_missing_file_raises_an_error(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ValueError, match=f"lacks {name}, which its manifest lists"):
        core.load(copy)


def test_unknown_files_raise_an_error_except_text_files(copy: Path, bundle: Bundle) -> None:
    (copy / "notes.md").write_text("mine")
    (copy / ".gitattributes").write_text("*.parquet filter=lfs\n")
    assert core.load(copy).name == bundle.name
    for name in ("model.pkl", "pytorch_model.bin", "weights.pt", "evil.py", "config.json.bak"):
        (copy / name).write_bytes(b"\x80\x04cos\nsystem\n.")
        with pytest.raises(ValueError, match=f"holds '{name}', which no bundle has"):
            core.load(copy)
        (copy / name).unlink()
    (copy / "code").mkdir()
    with pytest.raises(ValueError, match="holds 'code/', which no bundle has"):
        core.load(copy)
    (copy / "code").rmdir()
    (copy / "anomaly.safetensors").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"holds anomaly.safetensors, which its manifest does not list"):
        core.load(copy)


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{",
        b'{"files": []}',
        b'{"files": {"../../etc/passwd": {"size": 1, "sha256": ""}}}',
        b'{"files": {"/etc/passwd": {}}}',
        b'{"files": {"README.md": {}}}',
    ],
)
def test_a_damaged_or_malicious_manifest_raises_an_error(copy: Path, content: bytes) -> None:
    (copy / manifest.NAME).write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest.json is damaged"):
        core.load(copy)


def test_an_unknown_name_raises_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a bundle is a folder or one of .*; got 'no-such-model'"):
        core.load("no-such-model")
    with pytest.raises(ValueError, match="a bundle is a folder or one of"):
        core.load(tmp_path / "nowhere")


def test_every_pretrained_model_has_a_readable_config() -> None:
    for name in core.pretrained():
        assert read_config(PRETRAINED / name)["name"] == name
        assert manifest.verify(PRETRAINED / name)


# --- Creation --------------------------------------------------------------------------------------------------------------


def test_a_bundle_is_evaluated_on_all_images_and_its_gallery_shows_some(bundle: Bundle) -> None:
    test = core.load_data("digits", "test")
    assert bundle.gallery is not None
    assert len(bundle.gallery) == 300
    assert bundle.config["evaluation"]["images"] == 599
    assert bundle.config["evaluation"]["split"] == "test"
    figures = core.evaluate(bundle.vae, test.images)
    assert bundle.config["evaluation"]["elbo"] == pytest.approx(figures.elbo, rel=1e-6)


def test_each_gallery_row_belongs_to_one_test_image(bundle: Bundle) -> None:
    """Its label, posterior and log-likelihood are those of the image."""
    test = core.load_data("digits", "test")
    encodings = core.encode(bundle.vae, test.images)
    gallery = bundle.gallery
    assert gallery is not None
    index = {image.numpy().tobytes(): i for i, image in enumerate(test.images)}
    rows = torch.tensor([index[image.numpy().tobytes()] for image in gallery.images])
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert (gallery.labels["label"] == test.labels["label"][rows.numpy()]).all()
    torch.testing.assert_close(gallery.mean, encodings.mean[rows])
    torch.testing.assert_close(gallery.log_variance, encodings.log_variance[rows])
    torch.testing.assert_close(torch.tensor(gallery.labels["log_likelihood"]), encodings.log_likelihood[rows])


@pytest.mark.parametrize(("latents", "images"), [(1, 20), (3, 3)])
def test_too_few_latents_or_images_give_no_map(latents: int, images: int, digits: core.Data, tmp_path: Path) -> None:
    architecture = core.Architecture(1, 8, 8, latents, "mlp")
    shown = digits.take(torch.arange(images))
    record = {"command": "", "images": 1, "held_out": 1, "epochs": 1.0, "seconds": 1.0, "machine": ""}
    bundle = core.make_bundle("x", architecture.build(), architecture, core.Preprocessing(1, 8, 8), shown, record)
    assert bundle.map is None
    bundle.save(tmp_path / "x")
    read = core.load(tmp_path / "x")
    assert read.map is None
    assert read.gallery is not None
    assert len(read.gallery) == images


def test_the_card_states_the_scores_and_the_command(tiny_bundle: Path, bundle: Bundle) -> None:
    card = (tiny_bundle / "README.md").read_text(encoding="utf-8")
    evaluation = bundle.config["evaluation"]
    for text in (f"{evaluation['elbo']:.2f} nats", "latentscape train digits", evaluation["likelihood"], "not defined", "umap"):
        assert text in card
    assert card.startswith("---\nlibrary_name: latentscape\n")


def test_a_new_map_changes_only_the_positions(bundle: Bundle) -> None:
    before, after = bundle.gallery, bundle.projected("pca").gallery
    assert before is not None
    assert after is not None
    assert not torch.equal(before.xy, after.xy)
    assert torch.equal(before.mean, after.mean)
    assert bundle.config["map"]["method"] == "umap"
