"""Import rules of the page's modules: only earlier folders, no cycles. The rules for Python are in pyproject.toml."""

from collections.abc import Iterator
from graphlib import TopologicalSorter

import pytest

from explorer.app.assets import IMPORTED, MENTIONED, MODULES, STATIC, mentions

FOLDERS = ["shared", "pixels", "model", "map", "explore", "encode", "train", "header", "site"]
TABS = {"explore", "encode", "train", "header"}
"""Tabs do not import each other."""


def folder_of(module: str) -> str:
    return module.rpartition("/")[0]


def imports(pattern: str) -> Iterator[tuple[str, str]]:
    for module in MODULES:
        for other in mentions(module, pattern):
            yield module, other


def test_modules_import_only_from_earlier_folders() -> None:
    assert {folder_of(module) for module in MODULES} - {""} == set(FOLDERS)
    for module, other in imports(MENTIONED):
        source, target = folder_of(module), folder_of(other)
        assert FOLDERS.index(target) <= FOLDERS.index(source), f"{module} imports {other}"
        assert source == target or not {source, target} <= TABS, f"{module} imports {other}, of another tab"


def test_imports_have_no_cycles() -> None:
    graph: dict[str, set[str]] = {}
    for module, other in imports(IMPORTED):
        graph.setdefault(module, set()).add(other)
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("shared/dom.js") < order.index("explore/explore.js")


@pytest.mark.parametrize("ending", [".js", ".html", ".css"])
def test_top_folder_has_few_files(ending: str) -> None:
    assert sum(path.suffix == ending for path in STATIC.iterdir()) <= 6
