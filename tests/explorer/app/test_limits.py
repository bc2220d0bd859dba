"""Laws of the layer between strangers and the app: what is too much is refused in words, and what breaks is not shown."""

import asyncio
import base64
import json
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from loop import run
from starlette.middleware import Middleware

from explorer.app import limits
from explorer.app.catalogue import Catalogue
from explorer.app.limits import Limits, LimitsMiddleware, Message, Receive, Send, parse_auth, visitor
from explorer.app.onnx_runtime import Runtime
from explorer.app.server import build
from explorer.app.training_jobs import TrainingJobs

LIMITS = Limits(upload=100_000, body=1000, rate=10, burst=50, visitors=100, concurrent=3)


@dataclass
class Desk:
    """A guard around an app that answers with what it was sent, and a clock that is set by hand."""

    now: float = 0.0
    reached: int = 0
    wait: asyncio.Event | None = None
    login: tuple[str, str] | None = None
    told: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.middleware = LimitsMiddleware(self.app, LIMITS, self.login, clock=lambda: self.now)

    async def app(self, scope: Message, receive: Receive, send: Send) -> None:
        self.reached += 1
        name = scope["path"].removeprefix("/gradio_api/run/")
        if name == "break":
            raise RuntimeError("/home/ada/secret.py is broken")
        if name == "misread":
            raise KeyError("component_id")
        if name in ("wordless", "worded"):
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send(
                {
                    "type": "http.response.body",
                    "body": b'{"error":%s}' % (b"null" if name == "wordless" else b'"z must be"'),
                }
            )
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if self.wait is not None:
            await self.wait.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def ask(
        self, path: str, *parts: bytes, method: str = "POST", who: str = "1.2.3.4", root: str = "", **headers: str
    ) -> Any:
        """Status, headers and body of one request, whose body comes in these parts."""
        told: list[Message] = []
        left = list(parts) or [b""]

        async def receive() -> Message:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message: Message) -> None:
            told.append(message)

        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": given, "client": (who, 1), "root_path": root}
        await self.middleware(scope, receive, send)
        return told[0]["status"], dict(told[0]["headers"]), told[1]["body"]


def ask(desk: Desk, *given: Any, **more: Any) -> Any:
    return run(desk.ask(*given, **more))


def test_what_is_allowed_passes_unchanged_with_the_headers_and_a_number_of_its_own() -> None:
    desk = Desk()
    numbers = set()
    for _ in range(5):
        status, headers, body = ask(desk, "/gradio_api/component_server", b"abc", b"def", content_length="6")
        assert (status, body) == (200, b"abcdef")
        assert headers[b"X-Content-Type-Options"] == b"nosniff"
        assert b"frame-ancestors 'self' https://huggingface.co" in headers[b"Content-Security-Policy"]
        numbers.add(headers[b"X-Request-Id"])
    assert len(numbers) == 5


def test_health_is_answered_without_the_app() -> None:
    desk = Desk()
    status, _, body = ask(desk, "/health", method="GET")
    assert (status, json.loads(body)["status"], desk.reached) == (200, "ok", 0)


@pytest.mark.parametrize(("path", "most"), [("/gradio_api/run/decode", 1000), ("/gradio_api/upload", 100_000 + (64 << 10))])
def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(path: str, most: int) -> None:
    """Whether it says how long it is or not."""
    desk = Desk()
    assert ask(desk, path, bytes(most), content_length=str(most))[0] == 200
    assert ask(desk, path, bytes(most - 10), bytes(10))[0] == 200
    status, _, body = ask(desk, path, bytes(most + 1), content_length=str(most + 1))
    assert status == 413
    assert f"{most:,} bytes" in json.loads(body)["error"]
    assert desk.reached == 2
    assert ask(desk, path, bytes(most), b"x")[0] == 413
    assert ask(desk, path, b"", content_length="-1")[0] == 413


def test_a_refused_sender_is_heard_out_before_he_is_answered_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off while he still sends, he would read of a broken pipe and not of the limit."""
    heard = 0

    def refused(parts: int, **headers: bytes) -> tuple[int, int]:
        """The status, and how much had been heard by then."""
        nonlocal heard
        heard = 0
        at = []

        async def receive() -> Message:
            nonlocal heard
            if heard == parts:
                await asyncio.sleep(60)
            heard += 1
            return {"type": "http.request", "body": bytes(1000), "more_body": heard < 10}

        async def send(message: Message) -> None:
            at.append((message.get("status"), heard))

        length = {"content_length": b"10000", **headers}
        given = [(name.replace("_", "-").encode(), value) for name, value in length.items()]
        run(
            Desk().middleware(
                {"type": "http", "method": "POST", "path": "/config", "headers": given, "client": ("1", 1)}, receive, send
            )
        )
        return at[0]

    assert refused(10) == (413, 10)
    assert refused(10, expect=b"100-continue") == (413, 0)
    assert refused(10, content_length=b"", transfer_encoding=b"chunked") == (413, 10)
    monkeypatch.setattr(limits, "DRAIN_SECONDS", 0.1)
    assert refused(4) == (413, 4)
    monkeypatch.setattr(limits, "DRAIN_BYTES", 3000)
    assert refused(10) == (413, 3)


def test_in_any_stretch_no_visitor_gets_more_than_the_burst_and_the_rate() -> None:
    desk = Desk()
    passed = 0
    for step in range(1000):  # ten seconds at a hundred a second
        desk.now = step / 100
        passed += ask(desk, "/gradio_api/run/decode")[0] == 200
    assert LIMITS.burst + 10 * LIMITS.rate - 2 <= passed <= LIMITS.burst + 10 * LIMITS.rate
    status, headers, body = ask(desk, "/gradio_api/run/decode")
    assert status == 429
    assert headers[b"retry-after"] == b"1"
    assert "wait a moment" in json.loads(body)["error"]
    assert ask(desk, "/gradio_api/run/decode", who="5.6.7.8")[0] == 200  # nobody else waits
    assert ask(desk, "/", method="GET")[0] == 200  # and pages and pictures are not counted
    desk.now += 60
    assert [ask(desk, "/gradio_api/run/decode")[0] for _ in range(LIMITS.burst + 1)] == [200] * LIMITS.burst + [429]


def test_strangers_without_end_are_not_remembered_without_end() -> None:
    desk = Desk()
    for i in range(1000):
        ask(desk, "/gradio_api/run/decode", who=f"10.0.{i // 256}.{i % 256}")
    assert len(desk.middleware._buckets) == LIMITS.visitors


def test_no_more_than_so_many_are_in_progress_and_all_of_them_are_let_go() -> None:
    async def crowd() -> list[int]:
        desk = Desk(wait=asyncio.Event())
        assert desk.wait is not None
        tasks = [asyncio.create_task(desk.ask("/gradio_api/run/decode")) for _ in range(8)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        desk.wait.set()
        first = [(await task)[0] for task in tasks]
        return [*first, (await desk.ask("/gradio_api/run/decode"))[0]]

    assert sorted(run(crowd())[:-1]) == [200] * 3 + [503] * 5
    assert run(crowd())[-1] == 200


def test_what_breaks_is_a_number_to_the_visitor_and_a_traceback_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk()
    status, headers, body = ask(desk, "/gradio_api/run/break")
    assert status == 500
    assert b"secret" not in body
    assert b"Traceback" not in body
    number = json.loads(body)["request"]
    assert headers[b"X-Request-Id"] == number.encode()
    logged = json.loads(capsys.readouterr().err)
    assert logged["request"] == number
    assert "secret.py is broken" in logged["text"]
    assert desk.middleware._in_progress == 0


OPEN_ROUTES = {
    *("/", "/endpoints", "/endpoints/", "/config", "/config/", "/login", "/login/", "/logout"),
    *("/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", "/assets/{path:path}", "/static/{path:path}"),
    *("/gradio_api/info", "/gradio_api/info/", "/gradio_api/startup-events", "/gradio_api/app_id", "/gradio_api/app_id/"),
    *("/gradio_api/component_server", "/gradio_api/component_server/", "/gradio_api/upload"),
    *("/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/reset/"),
    *("/gradio_api/file={path_or_url:path}", "/gradio_api/run/{api_name}", "/gradio_api/run/{api_name}/"),
    *("/gradio_api/call/{api_name}", "/gradio_api/call/{api_name}/", "/gradio_api/call/{api_name}/{event_id}"),
    *("/gradio_api/call/v2/{api_name}", "/gradio_api/call/v2/{api_name}/", "/gradio_api/call/v2/{api_name}/{event_id}"),
    *("/gradio_api/mcp", "/gradio_api/mcp/schema", "/gradio_api/mcp/sse", "/gradio_api/mcp/messages"),
}
"""The routes of Gradio that the explorer uses. A route that a newer Gradio adds belongs here only if the explorer needs it."""


def walk(routes: Iterable[Any], prefix: str = "") -> Iterator[str]:
    """The paths of all routes, also those of included routers and of mounted apps."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is not None:
            yield from walk(router.routes, prefix + route.include_context.prefix)
        else:
            yield prefix + route.path
            yield from walk(getattr(route, "routes", None) or (), prefix + route.path)


@pytest.fixture(scope="module")
def launched(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The address of the real app with login, training and MCP, and the paths of its routes."""
    page = build(catalogue, Runtime.of("none"), Limits(), TrainingJobs(tmp_path_factory.mktemp("runs"), catalogue))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app, address, _ = page.launch(
        prevent_thread_lock=True,
        auth=("ada", "secret"),
        server_port=port,
        app_kwargs={"middleware": [Middleware(LimitsMiddleware, limits=Limits())]},
        ssr_mode=False,
        quiet=True,
        mcp_server=True,
    )
    yield address.rstrip("/"), list(walk(app.routes))
    page.close()


@pytest.mark.parametrize("root", ["", "/sub"])
def test_only_the_listed_routes_of_gradio_are_open(launched: tuple[str, list[str]], root: str) -> None:
    """Also when a proxy leaves the root path in the request."""
    address, routes = launched
    paths = {route: re.sub(r"{.+?}", "x", route) for route in routes}
    allowed = {route for route, path in paths.items() if ask(Desk(), root + path, method="GET", root=root)[0] == 200}
    assert len(paths) > 80
    assert allowed == OPEN_ROUTES
    with httpx.Client(base_url=address) as http:
        for path in [paths[route] for route in paths if route not in allowed]:
            assert [http.request(method, path).status_code for method in ("GET", "POST", "HEAD")] == [404] * 3, path
            assert ask(Desk(), root + path, root=root)[0] == 404


@pytest.mark.parametrize(
    "path", ["/gradio_api/run-history/connect", "/gradio_api/dev/reload", "/gradio_api/proxy=http://x", "/monitoring/summary"]
)
def test_a_closed_path_does_not_reach_gradio(path: str) -> None:
    desk = Desk()
    assert [ask(desk, path, method=method)[0] for method in ("GET", "POST", "HEAD")] == [404] * 3
    assert desk.reached == 0


def test_only_a_spaces_proxy_is_believed_about_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    scope = {"headers": [(b"x-forwarded-for", b"6.6.6.6, 7.7.7.7")], "client": ("1.2.3.4", 5)}
    assert visitor(scope) == "1.2.3.4"
    monkeypatch.setenv("SPACE_ID", "ada/walk")
    assert visitor(scope) == "7.7.7.7"


def test_a_login_is_a_name_and_a_password() -> None:
    assert parse_auth("ada:pass:word") == ("ada", "pass:word")
    assert parse_auth(None) is None
    for wrong in ("ada", "ada:", ":x", ":"):
        with pytest.raises(ValueError, match="must be NAME:PASSWORD"):
            parse_auth(wrong)


@pytest.mark.parametrize("path", ["/gradio_api/mcp", "/gradio_api/mcp/", "/gradio_api/mcp/sse", "/gradio_api/mcp/messages"])
def test_mcp_needs_the_name_and_password_of_the_login(path: str) -> None:
    """Gradio itself checks no login there."""
    desk, basic = Desk(login=("ada", "secret")), "Basic " + base64.b64encode(b"ada:secret").decode()
    for header in ({}, {"authorization": "Basic YWRhOnh4eHh4eA=="}, {"authorization": "Bearer secret"}):
        assert {ask(desk, path, method=method, **header)[0] for method in ("GET", "POST")} == {401}
    assert desk.reached == 0
    assert ask(desk, path, authorization=basic)[0] == 200
    assert ask(Desk(), path)[0] == 200


def test_what_could_not_be_read_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Both where reading raises and where Gradio answers without a word; an error in words passes."""
    for path, expected in (("misread", 400), ("wordless", 422)):
        status, headers, body = ask(Desk(), f"/gradio_api/run/{path}")
        assert status == expected
        assert "/gradio_api/info" in json.loads(body)["error"]
        assert (
            headers[b"X-Request-Id"].decode() == json.loads(body)["request"] == json.loads(capsys.readouterr().err)["request"]
        )
    assert ask(Desk(), "/gradio_api/run/worded")[::2] == (500, b'{"error":"z must be"}')
