"""Tests of process groups: several processes give the result of one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import core
from core.distributed import ProcessGroup, launched_precision

TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def results(digits: core.Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors that one process and two processes write for the same run."""
    folder = tmp_path_factory.mktemp("group")
    np.save(folder / "images.npy", digits.images[:500].numpy())
    np.savez(folder / "images.npz", images=digits.images[:1025, 0].numpy(), labels=digits.labels["label"][:1025])
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    two = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29817"]
    for name, launcher in (("one", [sys.executable]), ("two", two)):
        command = [*launcher, str(TESTS / "processes.py"), folder / "images.npy", folder / name, folder / "images.npz"]
        done = subprocess.run(command, env={**environment, "ACCELERATE_USE_CPU": "true"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "compares the images of a batch, which cannot be split over 2 processes" in done.stdout
    one, two = load_file(folder / "one"), load_file(folder / "two")
    assert (int(one.pop("group")), int(two.pop("group"))) == (1, 2)
    # Only the main process writes files.
    assert sorted(path.name for path in folder.iterdir()) == [
        *("images.npy", "images.npz"),
        *(f"{name}{part}" for name in ("one", "two") for part in ("", ".conv", ".lean", ".mlp", ".scores")),
    ]
    for kind in ("lean", "scores"):
        for name, tensors in (("one", one), ("two", two)):
            table = pq.read_table(folder / f"{name}.{kind}")
            assert table["file"].to_pylist() == [f"row {i}" for i in range(1025)]
            assert table["label"].to_pylist() == digits.labels["label"][:1025].tolist()
            for column in table.column_names[1:-1]:
                tensors[f"written {kind} {column}"] = torch.tensor(table[column].to_pylist())
    return one, two


Results = tuple[dict[str, Tensor], dict[str, Tensor]]


def test_two_processes_train_to_the_weights_of_one_with_the_whole_batch(results: Results) -> None:
    one, two = results
    assert one.keys() == two.keys()
    for kind in ("mlp normal", "conv vamp"):
        names = [name for name in one if name.startswith(kind)]
        assert len(names) > 10
        for name in names:
            difference, norm = (one[name] - two[name]).norm(), one[name].norm()
            assert difference <= 1e-4 * norm, name


def test_two_processes_evaluate_and_encode_like_one(results: Results) -> None:
    """The weights differ by float rounding only, and so do the figures. Counts are equal."""
    one, two = results
    assert two["encode mean"].shape == (500, 4)
    assert two["place"].shape == (500, 2)
    assert two["encode one"].shape == (1, 4)
    assert [name.removeprefix("written lean ") for name in two if "written lean" in name] == ["mean", "log_variance", "x", "y"]
    assert two["written scores elbo"].shape == (1025,)
    for name in one:
        if name.startswith(("figure", "encode", "place", "written")):
            assert torch.allclose(one[name], two[name], rtol=1e-5, atol=1e-5), name
    for name in ("figure images", "figure active_units", "figure nll_samples"):
        assert one[name] == two[name]


@pytest.mark.parametrize("n", [0, 1, 2, 7, 255, 256, 257, 1000])
@pytest.mark.parametrize("block", [1, 256])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shards_hold_every_row_once_in_whole_blocks(n: int, block: int, count: int) -> None:
    rows: list[int] = []
    for rank in range(count):
        group = ProcessGroup()
        group.count, group.rank = count, rank
        shard = group.shard(n, block)
        assert shard.start % block == 0 or shard.start == n
        rows += range(n)[shard]
    assert rows == list(range(n))


def test_an_unsupported_precision_raises_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked, precision in (("no", None), ("bf16", "bfloat16")):
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", asked)
        assert launched_precision() == precision
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(ValueError, match="--mixed_precision must be one of no, bf16; got fp16"):
        launched_precision()
