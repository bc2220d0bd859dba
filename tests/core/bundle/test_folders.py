"""Tests of replacing a bundle: at every moment, either the old or the new bundle is complete."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

import core
from core.bundle import manifest
from core.bundle.folders import locate, replaced_folder, replacing

STEPS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod")
"""The audit events of operations that change a folder. Python raises each event before the operation."""


def replace_and_die(new: Path, target: Path, step: int) -> bool:
    """Replace the target in a process that ends at this step, as by SIGKILL. Return whether it completed."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    events = 0

    def kill(event: str, arguments: tuple) -> None:
        nonlocal events
        if event in STEPS:
            events += 1
            if events == step:
                os._exit(9)

    try:
        sys.addaudithook(kill)
        with replacing(target) as partial:
            shutil.copytree(new, partial, dirs_exist_ok=True)
        os._exit(0)
    finally:
        os._exit(1)


def named(bundle: Path, folder: Path, name: str) -> Path:
    """A copy of a bundle under another name."""
    shutil.copytree(bundle, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "name": name}))
    manifest.write(folder)
    return folder


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_replacement_killed_at_any_step_leaves_a_complete_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    old, new = (named(tiny_bundle, tmp_path / name, name) for name in ("old", "new"))
    names, step, between = [], 0, 0
    while True:
        step += 1
        target = tmp_path / f"at-{step}" / "bundle"
        shutil.copytree(old, target)
        completed = replace_and_die(new, target, step)
        between += not target.exists()
        assert manifest.verify(locate(target))
        names.append(core.load(target).name)
        with replacing(target) as partial:  # the next replacement succeeds and leaves no other folder
            shutil.copytree(new, partial, dirs_exist_ok=True)
        assert core.load(target).name == "new"
        assert not replaced_folder(target).exists()
        if completed:
            break
    assert between == 1, "no kill happened between the two renames"
    assert step > 30
    assert names == sorted(names, reverse=True), "the old bundle until the rename, the new one afterwards"


def test_an_error_during_replacement_leaves_the_old_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    target = named(tiny_bundle, tmp_path / "bundle", "old")

    def fail() -> None:
        with replacing(target) as partial:
            (partial / "config.json").write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert core.load(target).name == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
