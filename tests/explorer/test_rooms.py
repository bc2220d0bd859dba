"""The walls of the page's modules: a room imports those before it, and no circle runs. Python's are in pyproject.toml."""

from collections.abc import Iterator
from graphlib import TopologicalSorter

import pytest

from explorer.app.assets import IMPORTED, MENTIONED, MODULES, STATIC, mentions

ROOMS = ["shared", "pixels", "model", "map", "explore", "encode", "train", "header", "site"]
TABS = {"explore", "encode", "train", "header"}
"""Side by side: none knows another."""


def room(module: str) -> str:
    return module.rpartition("/")[0]


def imports(pattern: str) -> Iterator[tuple[str, str]]:
    for module in MODULES:
        for other in mentions(module, pattern):
            yield module, other


def test_a_room_imports_those_before_it_alone() -> None:
    assert {room(module) for module in MODULES} - {""} == set(ROOMS)
    for module, other in imports(MENTIONED):
        here, there = room(module), room(other)
        assert ROOMS.index(there) <= ROOMS.index(here), f"{module} imports {other}"
        assert here == there or not {here, there} <= TABS, f"{module} imports {other}, of a tab beside it"


def test_no_circle_runs() -> None:
    graph: dict[str, set[str]] = {}
    for module, other in imports(IMPORTED):
        graph.setdefault(module, set()).add(other)
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("shared/dom.js") < order.index("explore/explore.js")


@pytest.mark.parametrize("ending", [".js", ".html", ".css"])
def test_few_files_lie_at_the_top(ending: str) -> None:
    assert sum(path.suffix == ending for path in STATIC.iterdir()) <= 6
