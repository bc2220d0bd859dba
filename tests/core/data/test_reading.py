"""Tests of reading pictures: each is read as specified or reported with a reason, and memory is bounded."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torture
from PIL import Image
from torture import MATTE, Torture

from core import Preprocessing, load_data, open_data
from core.data.labels import name_classes
from core.data.reading import Options, read
from core.data.sources import FileSource, open_folder, open_zip
from core.data.storage import ImageBuffer, ImagesOnDisk

OPTIONS = Options(size=16, channels=3, fit="stretch", paper=MATTE)


def png(seed: int, size: tuple[int, int] = (12, 10), grey: bool = False) -> bytes:
    file = io.BytesIO()
    shape = size[::-1] if grey else (*size[::-1], 3)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


# --- The torture folder ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torture_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Torture]:
    folder = tmp_path_factory.mktemp("torture") / "pictures"
    return folder, torture.build(folder)


def check(source: FileSource, truth: Torture, workers: int) -> None:
    """Every picture has the expected colours and label. Every other file is reported under its reason."""
    reading = read(source, Options(**{**vars(OPTIONS), "workers": workers}))
    assert {reason: set(names) for reason, names in reading.summary.names.items()} == truth.left_out
    assert reading.summary.counts == {reason: len(names) for reason, names in truth.left_out.items()}
    assert reading.summary.read == len(reading.images) == len(truth.pictures)
    names = [name for name in source.names if name in truth.pictures]
    for name, image, label in zip(names, reading.images[:], reading.labels["label"], strict=True):
        colours, tolerance = truth.pictures[name]
        seen = image[:, [4, 4, 12, 12], [4, 12, 4, 12]].T.int()
        assert (seen - torch.tensor(colours)).abs().max() <= tolerance, name
        assert label == (name.split("/")[0] if "/" in name else "")


@pytest.mark.parametrize("workers", [1, 2])
def test_the_torture_folder_is_read_as_specified(torture_folder: tuple[Path, Torture], workers: int) -> None:
    folder, truth = torture_folder
    assert truth.count == torture.FILES == 300
    check(open_folder(folder), truth, workers)


def test_the_torture_folder_in_a_zip_file_is_read_in_the_same_way(torture_folder: tuple[Path, Torture], tmp_path: Path) -> None:
    """Except for links, pipes and sockets, which a zip file cannot contain."""
    folder, truth = torture_folder
    zipped = Torture(truth.pictures, {})
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 2**28:
                archive.write(path, f"all/{name}")
                for reason, names in truth.left_out.items():
                    if name in names or (reason == "hidden" and name.split("/")[0] in names):
                        zipped.left_out.setdefault(reason, set()).add(name)
    check(open_zip(tmp_path / "all.zip"), zipped, 1)


def test_reading_the_torture_folder_takes_less_than_500_mib(torture_folder: tuple[Path, Torture]) -> None:
    """It has two pictures of 25 million pixels (75 MB each), one of 81 million, and bombs. A subprocess reports its peak."""
    program = (
        "import sys; from pathlib import Path; from core.data.reading import Options, read\n"
        "from core.data.sources import open_folder\n"
        "def peak(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) / 1024\n"
        "before = peak(); read(open_folder(Path(sys.argv[1])), Options(workers=1)); print(peak() - before)"
    )
    if sys.platform != "linux":
        pytest.skip("the peak is read from /proc")
    run = subprocess.run([sys.executable, "-c", program, torture_folder[0]], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 500


# --- Zip files ----------------------------------------------------------------------------------------------------------------


def test_unsafe_members_of_a_zip_file_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "tricky.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cats/a.png", png(1))
        archive.writestr("dogs/b.png", png(2))
        for name in ("../up.png", "/root.png", "a/../../b.png", "..\\windows.png", "C:/drive.png"):
            archive.writestr(name, png(3))
        archive.writestr("bomb.png", bytes(50 * 2**20))
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    before = set(tmp_path.rglob("*"))
    reading = read(open_zip(path))
    assert reading.labels["label"].tolist() == ["cats", "dogs"]
    assert reading.summary.counts == {"unsafe name": 5, "too large": 1, "unreadable": 1}
    assert set(tmp_path.rglob("*")) == before


def test_damaged_members_of_a_zip_file_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(5):
            archive.writestr(f"{i}.png", png(i))
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"IDAT") + 20] ^= 255
    path.write_bytes(raw)
    summary = read(open_zip(path)).summary
    assert (summary.read, summary.names) == (4, {"broken": ["0.png"]})
    path.write_bytes(raw[:-30])
    with pytest.raises(ValueError, match=r"damaged.zip is not a zip file that can be read"):
        load_data(path, "all")


# --- Tables -------------------------------------------------------------------------------------------------------------------


def test_labels_are_joined_on_file_names(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "pictures", {f"{'ab'[i % 2]}/{i}.png": png(i) for i in range(6)})
    table = {"file": [f"{i}.png" for i in (5, 4, 3, 2, 0, 99)], "kind": list("zyxwuq")}
    table |= {"weight": [5, 4, 3, 2, 0, 9], "x": [1.5] * 6}
    pq.write_table(pa.table(table), tmp_path / "labels.parquet")
    lines = [",".join(table), *(",".join(map(str, row)) for row in zip(*table.values(), strict=True))]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    for file in ("labels.parquet", "labels.csv"):
        reading = read(open_folder(folder), Options(labels=tmp_path / file))
        assert reading.labels["label"].tolist() == list("aaabbb")
        assert reading.labels["kind"].tolist() == ["u", "w", "y", "", "x", "z"]
        np.testing.assert_equal(reading.labels["weight"], [0, 2, 4, np.nan, 3, 5])
        assert "x" not in reading.labels  # x is a column of the gallery
        assert reading.labels["x (given)"].dtype.kind == "f"
        assert (reading.summary.unlabelled, reading.summary.unmatched_rows) == (1, 1)
        assert "labels: 1 pictures without a row, 1 rows without a picture" in reading.summary.lines()[-1]


@pytest.mark.parametrize("name", ["a/1.png", "1.png", "1"])
def test_a_table_can_name_a_picture_by_path_name_or_stem(tmp_path: Path, name: str) -> None:
    folder = write_files(tmp_path / "pictures", {"a/1.png": png(1), "a/2.png": png(2)})
    (tmp_path / "labels.csv").write_text(f"kind,id\nfirst,{name}\nsecond,{name.replace('1', '2')}\n")
    assert read(open_folder(folder), Options(labels=tmp_path / "labels.csv")).labels["kind"].tolist() == ["first", "second"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n", "a column with the pictures' file names; none of a, b holds one such as 0.png"),
        (b"a,b\n0.png,1\n0.png,2\n", "one row for each picture; column a has '0.png' more than once"),
        (b"a,b\n1,2,3\n", "must be a CSV or parquet file; .* cannot be read"),
        (b"", "must be a CSV or parquet file; .* cannot be read"),
    ],
)
def test_an_unusable_table_raises_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    folder = write_files(tmp_path / "pictures", {"0.png": png(0)})
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(open_folder(folder), Options(labels=tmp_path / "labels.csv"))


@pytest.mark.parametrize("struct", [True, False])
def test_a_parquet_file_is_read_with_its_pictures_and_labels(tmp_path: Path, struct: bool) -> None:
    pngs = [png(i) for i in range(700)]
    pngs[3], pngs[5] = b"", b"broken"
    columns = {"image": [{"bytes": b, "path": None} for b in pngs] if struct else pngs, "digit": [i % 3 for i in range(700)]}
    features = {"info": {"features": {"digit": {"names": ["zero", "one", "two"], "_type": "ClassLabel"}}}}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, tmp_path / "set.parquet", row_group_size=100)
    data = open_data(tmp_path / "set.parquet")
    assert data.reading is not None
    assert data.reading.summary.counts == {"empty": 1, "not an image": 1}
    assert len(data.train.images) + len(data.test.images) == 698
    assert data.reading.labels["digit"][:5].tolist() == ["zero", "one", "two", "one", "zero"]
    expected = np.asarray(Image.open(io.BytesIO(pngs[-1])))
    assert (data.reading.images[-1].numpy() == expected.transpose(2, 0, 1)).all()


def test_a_parquet_file_cannot_refer_to_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(1))
    rows = [{"bytes": None, "path": str(tmp_path / "secret.png")}, {"bytes": png(2), "path": "b"}]
    pq.write_table(pa.table({"image": rows}), tmp_path / "set.parquet")
    assert read_names(tmp_path / "set.parquet") == (1, {"empty": [str(tmp_path / "secret.png")]})
    pq.write_table(pa.table({"a": [1]}), tmp_path / "none.parquet")
    with pytest.raises(ValueError, match="must have a column of image files"):
        load_data(tmp_path / "none.parquet", "all")


def read_names(path: Path) -> tuple[int, dict]:
    reading = open_data(path).reading
    assert reading is not None
    return reading.summary.read, reading.summary.names


def test_a_hub_data_set_is_streamed(tmp_path: Path) -> None:
    """A local folder in the hub's layout, read by the same library."""
    pytest.importorskip("datasets")
    for split, n in (("train", 9), ("test", 3)):
        first = 50 if split == "test" else 0
        write_files(tmp_path / "set", {f"{split}/{'cat' if i % 2 else 'dog'}/{i}.png": png(first + i) for i in range(n)})
    data = open_data(f"hf:{tmp_path / 'set'}")
    assert data.reading is not None
    assert (len(data.train.images), len(data.test.images)) == (9, 3)
    assert sorted(set(data.train.labels["label"].tolist())) == ["cat", "dog"]
    local = open_data(tmp_path / "set")
    for streamed, found in ((data.train, local.train), (data.test, local.test)):
        assert {image.numpy().tobytes() for image in streamed.images} == {image.numpy().tobytes() for image in found.images}
    with pytest.raises(ValueError, match=r"hf:/nowhere/at/all cannot be opened"):
        open_data("hf:/nowhere/at/all")


# --- Order, duplicates, splits ------------------------------------------------------------------------------------------------


def test_workers_and_disk_storage_do_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTSCAPE_CACHE", str(tmp_path / "cache"))
    files = {f"{'ab'[i % 2]}/{i:03d}.png": b"broken" if i % 7 == 3 else png(i % 150, (30, 20)) for i in range(300)}
    source = open_folder(write_files(tmp_path / "pictures", files))
    one, other = read(source, Options(workers=1)), read(source, Options(workers=2, memory=0))
    assert isinstance(other.images, ImagesOnDisk)
    assert torch.equal(one.images[:], other.images[:])
    assert {name: values.tolist() for name, values in one.labels.items()} == {n: v.tolist() for n, v in other.labels.items()}
    assert one.summary == other.summary
    assert one.summary.counts["duplicate"] + one.summary.read + one.summary.counts["broken"] == 300
    assert not list((tmp_path / "cache").iterdir())  # the file is unlinked while it is open


def test_a_training_picture_is_left_out_of_the_test_split(tmp_path: Path) -> None:
    """Pictures outside of both folders are left out, too."""
    files = {f"train/{i}.png": png(i) for i in range(4)} | {f"test/{i}.png": png(i) for i in range(3, 6)} | {"c.png": png(9)}
    data = open_data(write_files(tmp_path, files))
    assert data.reading is not None
    assert data.reading.summary.names == {"duplicate": ["test/3.png"], "no split": ["c.png"]}
    assert (len(data.train.images), len(data.test.images)) == (4, 2)


def test_colour_pictures_converted_to_grey_are_reported(tmp_path: Path) -> None:
    write_files(tmp_path, {f"{i}.png": png(i, grey=i != 2) for i in range(4)})
    assert read(open_folder(tmp_path)).preprocessing.channels == 3
    reading = read(open_folder(tmp_path), Options(channels=1))
    assert reading.images.shape[1] == 1
    assert reading.summary.converted_to_grey == 1
    assert "--channels 3 keeps colour" in reading.summary.lines()[-1]


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(900, 700), (64, 64), (40, 300), (7, 5)])
def test_two_step_downscaling_is_close_to_one_step(fit: str, size: tuple[int, int], tmp_path: Path) -> None:
    """Large pictures are downscaled in two steps. The mean difference to one step is less than two levels."""
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "a.jpg", quality=95)
    target = Preprocessing(3, 32, 32, fit)  # pyright: ignore[reportArgumentType]
    two_steps = load_data(tmp_path, "all", target).images[0]
    one_step = target.prepare(Image.open(tmp_path / "a.jpg"), "keep", trim=False).image
    assert (two_steps.float() - one_step.float()).abs().mean() < 2


@pytest.mark.parametrize("options", [{"channels": 2}, {"size": 4}, {"paper": (0, 0, 256)}])
def test_invalid_options_raise_an_error(options: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        Options(**options)


# --- On disk ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 500, 10**9])
@pytest.mark.parametrize("expected", [0, 10, 100])
def test_an_image_buffer_returns_its_images_from_memory_and_from_disk(
    limit: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATENTSCAPE_CACHE", str(tmp_path))
    blocks = [np.random.default_rng(k).integers(0, 256, (k, 3, 4, 5), np.uint8) for k in (7, 0, 1, 20, 2)]
    buffer = ImageBuffer((3, 4, 5), expected, limit)
    for block in blocks:
        buffer.add(block)
    images, whole = buffer.close(), torch.from_numpy(np.concatenate(blocks))
    assert isinstance(images, ImagesOnDisk) == (limit < 30 * 60)
    assert images.shape == (30, 3, 4, 5)
    index = torch.tensor([29, 0, 7, 7])
    for at in (slice(None), slice(3, 20, 4), index, 5, slice(0, 0)):
        assert torch.equal(images[at], whole[at])
    if isinstance(images, ImagesOnDisk):
        assert torch.equal(images.select(index)[:3], whole[index][:3])
        assert images.select(index).shape == (4, 3, 4, 5)


def test_training_from_disk_equals_training_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are bitwise equal."""
    from core import Architecture, Settings, train

    monkeypatch.setenv("LATENTSCAPE_CACHE", str(tmp_path))
    images = load_data("digits", "train").images[:200]
    buffer = ImageBuffer((1, 8, 8), 200, limit=0)
    buffer.add(images.numpy())
    weights = []
    for seen in (images, buffer.close()):
        torch.manual_seed(0)
        vae = Architecture(1, 8, 8, 2, "mlp").build()
        for _ in train(vae, seen, Settings(epochs=2.0)):
            pass
        weights.append(torch.cat([parameter.flatten() for parameter in vae.parameters()]))
    assert torch.equal(*weights)


def test_a_full_disk_raises_an_error_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTSCAPE_CACHE", str(tmp_path))
    disk = os.statvfs(tmp_path)
    with pytest.raises(ValueError, match=r"more than is free in .*LATENTSCAPE_CACHE"):
        ImageBuffer((1, 1024, 1024), 2 * disk.f_bavail * disk.f_frsize // 2**20, limit=0)


def test_classes_are_replaced_by_their_names() -> None:
    labels = {"label": np.array(["2", "0", "1"]), "size": np.arange(3)}
    named = name_classes(labels, ["a", "b", "c"])
    assert named["label"].tolist() == ["c", "a", "b"]
    assert named["size"] is labels["size"]
    assert labels["label"].tolist() == ["2", "0", "1"]
    with pytest.raises(ValueError, match="classes 0 to 1, in order"):
        name_classes(labels, ["a", "b"])
    for wrong in (["cat", "dog", "cat"], ["-1", "0", "1"]):
        with pytest.raises(ValueError, match="--label-names must name the classes"):
            name_classes({"label": np.array(wrong)}, ["a", "b"])
    with pytest.raises(ValueError, match="has none"):
        name_classes({}, ["a"])
