"""Tests of the training options."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

import core
from core.data.reading import Options
from explorer.cli import app
from explorer.runs.fit import specified_options
from explorer.runs.options import TrainingOptions

OPTION_SETS: list[dict[str, Any]] = [
    {},
    {"minutes": 5.0, "size": 64, "latents": 16, "checkpoint_every": 15.0, "name": "my faces, 2"},
    {"epochs": 0.15, "learning_rate": 1.2345e-5, "objective": "beta-tc", "strength": 4.0, "kl_warm_up": 0.0},
    {"calibrate": False, "resume": True, "replace": True, "notes": "", "label_names": "a,b", "labels": Path("labels.csv")},
    {"notes": "-x --y", "memory": 0.5, "channels": 3, "gallery": 0, "seed": 7, "precision": "bfloat16"},
]


@pytest.mark.parametrize("given", OPTION_SETS)
def test_arguments_are_parsed_to_the_same_options(given: dict[str, Any]) -> None:
    options = TrainingOptions(data="photos", out=Path("runs/photos"), **given)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    read = group.commands["train"].make_context("train", options.arguments()).params
    own = {field.name for field in fields(TrainingOptions)}
    assert set(read) - own == {"recipe", "dry_run"}
    assert TrainingOptions(**{name: value for name, value in read.items() if name in own}) == options


def test_defaults_match_those_of_core() -> None:
    options = TrainingOptions(data="digits", out=Path("runs/digits"))
    model, settings = specified_options(options, {})
    assert model == {}
    assert core.Settings(epochs=1.0, **settings) == core.Settings(epochs=1.0)
    assert options.fit == Options.fit


def test_each_option_has_help_text() -> None:
    for field in fields(TrainingOptions):
        (option,) = field.type.__metadata__  # pyright: ignore[reportAttributeAccessIssue]
        assert option.help.endswith((".", "…")), field.name
