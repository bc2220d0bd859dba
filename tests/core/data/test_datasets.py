"""Tests of data sets: images and labels equal the written ones; an unreadable file raises an error that names it."""

import gzip
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core import Data, Preprocessing, load_data
from core.data.arrays import read_idx
from core.data.datasets import array_splits
from core.data.splits import split_indices
from core.data.storage import ImagesOnDisk

Writer = Callable[..., Path]


def noise(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def rows(data: Data) -> set[bytes]:
    """Each image as bytes."""
    return {image.numpy().tobytes() for image in data.images}


# --- The fixed split ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 30, 1797, 60_000])
def test_the_split_is_disjoint_complete_and_deterministic(n: int) -> None:
    train, test = split_indices(n)
    assert sorted(train.tolist() + test.tolist()) == list(range(n))
    assert torch.equal(train, split_indices(n)[0])
    assert torch.equal(test, split_indices(n)[1])


def test_digits_has_every_image_once_with_its_label() -> None:
    train, test, whole = (load_data("digits", split) for split in ("train", "test", "all"))
    assert train.images.shape == (1198, 1, 8, 8)
    assert len(test.images) + len(train.images) == len(whole.images) == 1797
    assert (int(whole.images.min()), int(whole.images.max())) == (0, 255)
    assert len(whole.images.unique()) == 17
    assert rows(train) | rows(test) == rows(whole)
    assert set(whole.labels["label"]) == set("0123456789")
    assert train.labels["label"].dtype.kind == "U"
    assert torch.equal(load_data("digits", "train").images, train.images)


def test_take_keeps_images_and_labels_together() -> None:
    data = Data(torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1), {"label": np.array(list("abcde"))})
    taken = data.take(torch.tensor([4, 0]))
    assert taken.images.flatten().tolist() == [4, 0]
    assert taken.labels["label"].tolist() == ["e", "a"]


# --- IDX -----------------------------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path: Path) -> Writer:
    """A function that writes a folder in MNIST's format: 12 training and 5 test images of 9x11."""

    def write(gzipped: bool, labels: bool = True) -> Path:
        for split, n in (("train", 12), ("t10k", 5)):
            arrays = {f"{split}-images-idx3-ubyte": noise(n, 9, 11, seed=n)}
            if labels:
                arrays[f"{split}-labels-idx1-ubyte"] = np.arange(n, dtype=np.uint8) % 10
            for name, array in arrays.items():
                content = idx(array)
                (tmp_path / (name + ".gz" if gzipped else name)).write_bytes(gzip.compress(content) if gzipped else content)
        return tmp_path

    return write


@pytest.mark.parametrize("gzipped", [True, False])
def test_idx_files_keep_their_official_split(idx_folder: Writer, gzipped: bool) -> None:
    folder = idx_folder(gzipped)
    train, test, whole = (load_data(folder, split) for split in ("train", "test", "all"))
    assert (train.images[:, 0].numpy() == noise(12, 9, 11, seed=12)).all()
    assert (test.images[:, 0].numpy() == noise(5, 9, 11, seed=5)).all()
    assert train.labels["label"].tolist() == [str(i % 10) for i in range(12)]
    assert torch.equal(whole.images, torch.cat([train.images, test.images]))
    assert whole.labels["label"].tolist() == train.labels["label"].tolist() + test.labels["label"].tolist()


def test_idx_images_need_no_labels(idx_folder: Writer) -> None:
    folder = idx_folder(gzipped=False, labels=False)
    assert load_data(folder, "train").labels == {}
    assert len(load_data(folder, "all").images) == 17


def test_a_compressed_and_an_uncompressed_copy_of_an_idx_file_count_once(idx_folder: Writer) -> None:
    idx_folder(gzipped=False)
    assert len(load_data(idx_folder(gzipped=True), "train").images) == 12


def test_idx_labels_can_be_compressed_when_images_are_not(idx_folder: Writer) -> None:
    folder = idx_folder(gzipped=False)
    labels = folder / "train-labels-idx1-ubyte"
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels.read_bytes()))
    labels.unlink()
    assert load_data(folder, "train").labels["label"][3] == "3"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-1], "truncated or too long: its header gives"),
        (lambda raw: raw + b"x", "truncated or too long: its header gives"),
        (lambda raw: b"\x00\x00\x0d" + raw[3:], "not an IDX file of unsigned bytes: it starts with 00 00 0d 03"),
        (lambda raw: raw[:9], "not an IDX file of unsigned bytes"),
        (lambda raw: b"", "not an IDX file of unsigned bytes: it starts with nothing"),
        (lambda raw: gzip.compress(raw)[:-9], "damaged gzip file"),
        (lambda raw: gzip.compress(raw)[:30] + b"\xff" * 40, "damaged gzip file"),
        (lambda raw: idx(np.zeros(5, np.uint8)), r"must hold images, \(N, height, width\); got \(5,\)"),
    ],
)
def test_a_damaged_idx_file_is_named(idx_folder: Writer, damage: Callable[[bytes], bytes], message: str) -> None:
    file = idx_folder(gzipped=False) / "t10k-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=message) as caught:
        load_data(file.parent, "test")
    assert str(file) in str(caught.value)
    assert len(load_data(file.parent, "train").images) == 12


def test_idx_files_must_have_one_label_for_each_image(idx_folder: Writer) -> None:
    folder = idx_folder(gzipped=False)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(ValueError, match="4 labels for 5 images; the numbers must be equal"):
        load_data(folder, "test")


def test_a_missing_or_ambiguous_idx_split_raises_an_error(idx_folder: Writer) -> None:
    folder = idx_folder(gzipped=False)
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(ValueError, match=r"one IDX file of test images .*; found 0: none"):
        load_data(folder, "test")
    (folder / "other-train-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(ValueError, match="found 2: other-train-images-idx3-ubyte, train-images-idx3-ubyte"):
        load_data(folder, "train")


def test_splits_of_different_sizes_cannot_be_joined(idx_folder: Writer) -> None:
    folder = idx_folder(gzipped=False)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(noise(5, 9, 12)))
    with pytest.raises(ValueError, match=r"must have the same shape; got \(1, 9, 11\) and \(1, 9, 12\)"):
        load_data(folder, "all")


def test_read_idx_reads_any_number_of_dimensions(tmp_path: Path) -> None:
    for shape in ((7,), (2, 3), (2, 3, 4, 5)):
        (tmp_path / "a").write_bytes(idx(noise(*shape)))
        assert (read_idx(tmp_path / "a") == noise(*shape)).all()


# --- .npz ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def npz(tmp_path: Path) -> Writer:
    """A function that writes arrays into an .npz file."""

    def write(**arrays: Any) -> Path:
        np.savez_compressed(tmp_path / "set.npz", **arrays)
        return tmp_path / "set.npz"

    return write


@pytest.mark.parametrize(
    ("shape", "restore"),
    [((9, 11), lambda x: x[:, 0]), ((9, 11, 3), lambda x: x.transpose(0, 2, 3, 1)), ((3, 9, 11), lambda x: x)],
)
def test_npz_images_become_channels_first(npz: Writer, shape: tuple[int, ...], restore: Callable[..., np.ndarray]) -> None:
    images = noise(30, *shape)
    data = load_data(npz(images=images), "all")
    assert data.images.shape == (30, 3 if 3 in shape else 1, 9, 11)
    assert (restore(data.images.numpy()) == images).all()


def test_npz_booleans_become_0_and_255(npz: Writer) -> None:
    images = noise(30, 8, 8) > 99
    assert (load_data(npz(images=images), "all").images[:, 0].numpy() == images * 255).all()


def test_npz_without_a_test_set_is_split(npz: Writer) -> None:
    path = npz(images=noise(30, 8, 8), labels=np.arange(30))
    train, test, whole = (load_data(path, split) for split in ("train", "test", "all"))
    assert (len(train.images), len(test.images)) == (20, 10)
    assert not rows(train) & rows(test)
    assert rows(train) | rows(test) == rows(whole)
    images = noise(30, 8, 8)
    for data in (train, test, whole):
        for image, label in zip(data.images, data.labels["label"], strict=True):
            assert (image[0].numpy() == images[int(label)]).all()
    assert torch.equal(load_data(npz(x_train=images), "test").images, test.images)


def test_npz_keeps_its_own_test_set(npz: Writer) -> None:
    path = npz(x_train=noise(12, 8, 8), x_test=noise(5, 8, 8, seed=1), y_train=np.arange(12)[:, None], y_test=np.arange(5))
    assert (load_data(path, "train").images[:, 0].numpy() == noise(12, 8, 8)).all()
    assert (load_data(path, "test").images[:, 0].numpy() == noise(5, 8, 8, seed=1)).all()
    assert load_data(path, "all").labels["label"].tolist() == [str(i) for i in [*range(12), *range(5)]]


def test_npz_labels_are_replaced_by_their_names(npz: Writer) -> None:
    names = np.array(["cat", "dog"])
    data = load_data(npz(images=noise(4, 8, 8), labels=np.array([1, 0, 0, 1]), label_names=names), "all")
    assert data.labels["label"].tolist() == ["dog", "cat", "cat", "dog"]


def test_npz_factors_are_labels_with_their_values(npz: Writer) -> None:
    """As in dSprites: categories become names, quantities become numbers."""
    factors = np.array([[0, 1], [2, 0], [1, 1], [0, 0]])
    values = json.dumps({"shape": ["square", "ellipse", "heart"], "scale": [0.5, 1.25]})
    path = npz(images=noise(4, 8, 8), factors=factors, factor_names=np.array(["shape", "scale"]), factor_values_json=values)
    labels = load_data(path, "all").labels
    assert labels["shape"].tolist() == ["square", "heart", "ellipse", "square"]
    assert labels["scale"].tolist() == [1.25, 0.5, 1.25, 0.5]
    unnamed = load_data(npz(images=noise(4, 8, 8), factors=factors), "all").labels
    assert unnamed["factor 0"].tolist() == [0, 2, 1, 0]


def test_npz_indices_with_names_become_labels_and_the_given_split_is_used(npz: Writer) -> None:
    """As in a set of glyphs, where each font belongs to one split only."""
    images, split = noise(5, 8, 8), np.array(["test", "train", "train", "test", "train"])
    path = npz(images=images, font_index=np.array([1, 0, 0, 1, 0]), font_names=np.array(["Serif", "Mono"]), split=split)
    train, test, whole = (load_data(path, split) for split in ("train", "test", "all"))
    assert (train.images[:, 0].numpy() == images[[1, 2, 4]]).all()
    assert (test.images[:, 0].numpy() == images[[0, 3]]).all()
    assert (whole.images[:, 0].numpy() == images).all()
    assert [set(split.labels["font"]) for split in (train, test)] == [{"Serif"}, {"Mono"}]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": noise(4, 8, 8), "split": np.array(["train"] * 4)}, 'split must have "train" or "test".*each at least once'),
        ({"images": noise(4, 8, 8), "split": np.array(["train", "test"])}, r"for each of the 4 images.*got \(2,\)"),
        ({"images": noise(4, 8, 8), "a_index": np.full(4, 2), "a_names": np.array(["b"])}, "a_names must have an entry"),
        ({"pictures": noise(4, 8, 8)}, "must hold `images`, or `x_train` .*it holds pictures"),
        ({}, "it holds nothing"),
        ({"images": noise(4, 8, 8) / 255}, r"8-bit \(uint8\).*got float64, \(4, 8, 8\).*0…255"),
        ({"images": noise(4, 8)}, r"got uint8, \(4, 8\)"),
        ({"images": noise(0, 8, 8)}, r"got uint8, \(0, 8, 8\)"),
        ({"images": noise(4, 8, 8, 5)}, r"1 or 3 channels; got \(4, 8, 8, 5\)"),
        ({"images": noise(4, 8, 8), "labels": np.arange(3)}, "label has 3 entries for 4 images"),
        ({"images": noise(4, 8, 8), "labels": np.arange(4), "label_names": np.array(["a"])}, "label_names must have an entry"),
        ({"images": noise(4, 8, 8), "labels": np.zeros(4), "label_names": np.array(["a"])}, "label_names must .*whole numbers"),
        ({"images": noise(4, 8, 8), "labels": np.array([{}] * 4)}, "without pickle"),
    ],
)
def test_an_unusable_npz_file_raises_an_error_that_names_it(npz: Writer, arrays: dict[str, np.ndarray], message: str) -> None:
    path = npz(**arrays)
    with pytest.raises(ValueError, match=message) as caught:
        load_data(path, "all")
    assert str(path) in str(caught.value)


def test_a_damaged_npz_file_raises_an_error_that_names_it(npz: Writer) -> None:
    path = npz(images=noise(40, 8, 8))
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:200] + b"\x55" * 300 + whole[500:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(str(path)) + " is not an .npz file that can be read"):
            load_data(path, "all")


# --- Splits ---------------------------------------------------------------------------------------------------------------


def concatenated(splits: list[Data]) -> Data:
    labels = {name: np.concatenate([split.labels[name] for split in splits]) for name in splits[0].labels}
    return Data(torch.cat([split.images[:] for split in splits]), labels)


def assert_same(splits: list[Data], whole: Data) -> None:
    found = concatenated(splits)
    assert torch.equal(found.images, whole.images)
    assert {name: found.labels[name].tolist() for name in found.labels} == {k: v.tolist() for k, v in whole.labels.items()}


@pytest.mark.parametrize("gzipped", [True, False])
def test_idx_splits_equal_the_whole_and_uncompressed_files_stay_on_disk(idx_folder: Writer, gzipped: bool) -> None:
    folder = idx_folder(gzipped)
    splits = array_splits(folder, Preprocessing(1, 9, 11))
    assert_same(splits, load_data(folder, "all"))
    assert all(isinstance(split.images, ImagesOnDisk) is not gzipped for split in splits)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("arrays", "shape"),
    [
        ({"images": noise(30, 8, 9), "labels": np.arange(30)}, (1, 8, 9)),
        ({"images": noise(30, 8, 9, 3)}, (3, 8, 9)),
        ({"images": noise(30, 3, 8, 9)}, (3, 8, 9)),
        ({"x_train": noise(12, 8, 9), "x_test": noise(5, 8, 9), "y_train": np.arange(12), "y_test": np.arange(5)}, (1, 8, 9)),
        ({"x_train": noise(12, 8, 9), "y_train": np.arange(12)}, (1, 8, 9)),
        ({"images": noise(4, 8, 9), "split": np.array(["test", "train"] * 2)}, (1, 8, 9)),
    ],
)
def test_npz_splits_equal_the_whole_and_uncompressed_files_stay_on_disk(
    tmp_path: Path, save: Callable[..., None], arrays: dict[str, np.ndarray], shape: tuple[int, int, int]
) -> None:
    save(tmp_path / "set.npz", **arrays)
    splits = array_splits(tmp_path / "set.npz", Preprocessing(*shape))
    assert_same(splits, load_data(tmp_path / "set.npz", "all"))
    for split in splits:
        assert isinstance(split.images, ImagesOnDisk) is (save is np.savez)
        assert torch.equal(split.images[2:4], split.images[:][2:4])


@pytest.mark.parametrize("images", [noise(30, 8, 9) > 99, np.asfortranarray(noise(30, 8, 9))])
def test_arrays_of_booleans_or_in_fortran_order_are_read(tmp_path: Path, images: np.ndarray) -> None:
    np.savez(tmp_path / "set.npz", images=images)
    assert_same(array_splits(tmp_path / "set.npz", Preprocessing(1, 8, 9)), load_data(tmp_path / "set.npz", "all"))


def test_damaged_files_that_stay_on_disk_raise_an_error(tmp_path: Path, idx_folder: Writer) -> None:
    """The errors are those of reading into memory: truncated, changed, or of another shape."""
    preprocessing = Preprocessing(1, 8, 9)
    np.savez(tmp_path / "set.npz", images=noise(40, 8, 9))
    whole = (tmp_path / "set.npz").read_bytes()
    for content in (whole[: len(whole) // 2], whole[:500] + b"\x55" * 300 + whole[800:]):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.npz is not an \.npz file that can be read"):
            array_splits(tmp_path / "bad.npz", preprocessing)
    with pytest.raises(ValueError, match=r"\(N, 1, 9, 8\), for this model; got \(1, 1, 8, 9\)"):
        array_splits(tmp_path / "set.npz", Preprocessing(1, 9, 8))
    np.savez(tmp_path / "floats.npz", images=noise(4, 8, 9) / 255)
    with pytest.raises(ValueError, match=r"got float64, \(4, 8, 9\)"):
        array_splits(tmp_path / "floats.npz", preprocessing)
    folder = idx_folder(gzipped=False)
    file = folder / "t10k-images-idx3-ubyte"
    for content, message in ((file.read_bytes()[:-1], "truncated or too long"), (b"", "starts with nothing")):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            array_splits(folder, Preprocessing(1, 9, 11))


# --- Folders --------------------------------------------------------------------------------------------------------------


def picture(path: Path, size: tuple[int, int] = (10, 9), colour: bool = False, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(size[1], size[0], *([3] if colour else []), seed=seed)).save(path)


def test_subfolders_are_labels(tmp_path: Path) -> None:
    for i in range(12):
        picture(tmp_path / ("cats", "dogs")[i % 2] / "deeper" / f"{i}.png", seed=i)
    (tmp_path / "cats" / "notes.txt").write_text("not a picture")
    train, test, whole = (load_data(tmp_path, split) for split in ("train", "test", "all"))
    assert whole.images.shape == (12, 1, 9, 10)
    assert (whole.labels["label"] == "cats").sum() == 6
    assert (len(train.images), len(test.images)) == (8, 4)
    assert not rows(train) & rows(test)
    assert rows(train) | rows(test) == rows(whole)
    label = {noise(9, 10, seed=i).tobytes(): ("cats", "dogs")[i % 2] for i in range(12)}
    for data in (train, test, whole):
        assert [label[image.numpy().tobytes()] for image in data.images] == data.labels["label"].tolist()


def test_folders_named_train_and_test_are_splits_not_labels(tmp_path: Path) -> None:
    for i in range(6):
        picture(tmp_path / "train" / "ab"[i % 2] / f"{i}.png", seed=i)
    picture(tmp_path / "test" / "b" / "x.jpg", seed=9)
    assert load_data(tmp_path, "train").labels["label"].tolist() == ["a"] * 3 + ["b"] * 3
    assert load_data(tmp_path, "test").labels["label"].tolist() == ["b"]
    assert len(load_data(tmp_path, "all").images) == 7


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / f"{i}.PNG", seed=i)
    assert load_data(tmp_path, "all").labels == {}


def test_one_colour_picture_makes_the_data_set_colour(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    assert load_data(tmp_path, "all").images.shape == (1, 1, 9, 10)
    picture(tmp_path / "b.png", colour=True, seed=1)
    data = load_data(tmp_path, "all")
    assert data.images.shape == (2, 3, 9, 10)
    assert (data.images[0].numpy() == noise(9, 10)).all()
    assert (data.images[1].numpy() == noise(9, 10, 3, seed=1).transpose(2, 0, 1)).all()


def test_a_common_small_size_is_kept_and_others_become_square(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (30, 20))
    picture(tmp_path / "b.png", (12, 40), seed=1)
    assert load_data(tmp_path, "all").images.shape == (2, 1, 16, 16)
    assert load_data(tmp_path, "all", size=24).images.shape == (2, 1, 24, 24)
    (tmp_path / "b.png").unlink()
    picture(tmp_path / "a.png", (100, 80))
    assert load_data(tmp_path, "all").images.shape == (1, 1, 64, 64)


def test_the_preprocessing_determines_the_image_shape(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (100, 80), colour=True)
    assert load_data(tmp_path, "all", Preprocessing(1, 12, 14)).images.shape == (1, 1, 12, 14)


def test_arrays_of_another_shape_than_the_models_raise_an_error(npz: Writer) -> None:
    with pytest.raises(ValueError, match=r"\(N, 1, 28, 28\), for this model; got \(1, 1, 8, 8\)"):
        load_data(npz(images=noise(30, 8, 8)), "train", Preprocessing(1, 28, 28))


def test_a_folder_without_pictures_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValueError, match=r"there are no pictures that can be read .*1 not an image: notes.txt"):
        load_data(tmp_path, "all")


def test_a_broken_picture_is_skipped_and_named_if_no_other_is_left(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    assert len(load_data(tmp_path, "all").images) == 1
    (tmp_path / "a.png").unlink()
    with pytest.raises(ValueError, match=r"no pictures that can be read .*1 broken: broken.png"):
        load_data(tmp_path, "all")


def test_a_missing_source_raises_an_error_that_lists_the_choices(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"digits, dsprites, an .npz file, a folder of IDX files, or pictures: a folder, .*nowhere"
    ):
        load_data(tmp_path / "nowhere", "train")
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(ValueError, match=r"DATA must be .*a\.csv"):
        load_data(tmp_path / "a.csv", "train")
