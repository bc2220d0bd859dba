"""Tests of serving the page's JavaScript modules at immutable addresses."""

import re

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from explorer.app.assets import IMPORTED, MODULES, PREFIX, SCRIPTS, STATIC, Assets, modules


@pytest.fixture
def client() -> TestClient:
    """A client of Assets in front of an app that responds to every path."""
    fallback_app = Starlette(
        routes=[Route("/{path:path}", lambda request: PlainTextResponse("behind"), methods=["GET", "POST"])]
    )
    return TestClient(Assets(fallback_app))


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("br", "br"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("gzip, br;q=0", "gzip"),
        ("br; q=0.0, gzip;q=0", None),
        ("br;q=0.5", "br"),
        ("identity", None),
        ("brrr", None),
    ],
)
def test_modules_are_served_immutable_with_the_accepted_encoding(client: TestClient, accepted: str, coding: str | None) -> None:
    assert MODULES.keys() == {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.js")}
    for name, code in SCRIPTS.items():
        answer = client.get(PREFIX + name, headers={"accept-encoding": accepted})
        assert answer.headers.get("content-encoding") == coding
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.content == code
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "immutable" in answer.headers["cache-control"]
    assert re.fullmatch(r"/modules-[0-9a-f]{12}/", PREFIX)
    head = client.head(f"{PREFIX}explore/explore.js", headers={"accept-encoding": "identity"})
    assert head.content == b""
    assert int(head.headers["content-length"]) == len(MODULES["explore/explore.js"])


@pytest.mark.parametrize(
    "path", ["", "no.js", "style.css", "../app.py", "..%2fapp.py", "explore/explore.js/", "explore.js", "explore", "%00"]
)
def test_other_paths_are_passed_to_the_app(client: TestClient, path: str) -> None:
    assert client.get(PREFIX + path).text == "behind"


def test_plotly_script_is_complete_ascii() -> None:
    code = SCRIPTS["plotly.min.js"].decode("ascii")
    assert len(code) > 4_000_000
    assert r"/\ufffd/g" in code, "the only replacement character is missing"


def test_post_requests_are_passed_to_the_app(client: TestClient) -> None:
    assert client.post(f"{PREFIX}explore/explore.js").text == "behind"


def test_modules_returns_all_transitive_imports() -> None:
    assert modules("shared/dom.js", mentioned=IMPORTED) == ["shared/dom.js"]
    found = modules("explore/explore.js", mentioned=IMPORTED)
    assert {"explore/explore.js", "map/chart.js", "map/map.js", "map/raster.js", "shared/frame.js"} <= set(found)
    assert len(found) == len(set(found))
    assert "train/train.js" not in found
