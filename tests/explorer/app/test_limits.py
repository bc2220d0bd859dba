"""Tests of request limits, error responses, open routes and login."""

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
class GuardedApp:
    """The middleware around a fake app that echoes the body, with a clock set by the test."""

    now: float = 0.0
    reached: int = 0
    blocker: asyncio.Event | None = None
    login: tuple[str, str] | None = None
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.middleware = LimitsMiddleware(self.app, LIMITS, self.login, clock=lambda: self.now)

    async def app(self, scope: Message, receive: Receive, send: Send) -> None:
        self.reached += 1
        name = scope["path"].removeprefix("/gradio_api/run/")
        if name == "break":
            raise RuntimeError("/home/ada/secret.py is broken")
        if name == "unreadable":
            raise KeyError("component_id")
        if name in ("without_text", "with_text"):
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send(
                {
                    "type": "http.response.body",
                    "body": b'{"error":%s}' % (b"null" if name == "without_text" else b'"z must be"'),
                }
            )
            return
        body, more_body = b"", True
        while more_body:
            message = await receive()
            body, more_body = body + message.get("body", b""), message.get("more_body", False)
        if self.blocker is not None:
            await self.blocker.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def request(
        self, path: str, *parts: bytes, method: str = "POST", who: str = "1.2.3.4", root: str = "", **headers: str
    ) -> Any:
        """Send one request whose body arrives in these parts; return status, headers and body."""
        messages: list[Message] = []
        remaining = list(parts) or [b""]

        async def receive() -> Message:
            return {"type": "http.request", "body": remaining.pop(0), "more_body": bool(remaining)}

        async def send(message: Message) -> None:
            messages.append(message)

        header_pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": header_pairs, "client": (who, 1), "root_path": root}
        await self.middleware(scope, receive, send)
        return messages[0]["status"], dict(messages[0]["headers"]), messages[1]["body"]


def send_request(guarded: GuardedApp, *arguments: Any, **options: Any) -> Any:
    return run(guarded.request(*arguments, **options))


def test_allowed_requests_pass_unchanged_with_security_headers_and_a_request_id() -> None:
    guarded = GuardedApp()
    request_ids = set()
    for _ in range(5):
        status, headers, body = send_request(guarded, "/gradio_api/component_server", b"abc", b"def", content_length="6")
        assert (status, body) == (200, b"abcdef")
        assert headers[b"X-Content-Type-Options"] == b"nosniff"
        assert b"frame-ancestors 'self' https://huggingface.co" in headers[b"Content-Security-Policy"]
        request_ids.add(headers[b"X-Request-Id"])
    assert len(request_ids) == 5


def test_health_responds_without_the_app() -> None:
    guarded = GuardedApp()
    status, _, body = send_request(guarded, "/health", method="GET")
    assert (status, json.loads(body)["status"], guarded.reached) == (200, "ok", 0)


@pytest.mark.parametrize(("path", "limit"), [("/gradio_api/run/decode", 1000), ("/gradio_api/upload", 100_000 + (64 << 10))])
def test_body_at_the_limit_passes_and_one_byte_more_is_refused(path: str, limit: int) -> None:
    """With and without a Content-Length header."""
    guarded = GuardedApp()
    assert send_request(guarded, path, bytes(limit), content_length=str(limit))[0] == 200
    assert send_request(guarded, path, bytes(limit - 10), bytes(10))[0] == 200
    status, _, body = send_request(guarded, path, bytes(limit + 1), content_length=str(limit + 1))
    assert status == 413
    assert f"{limit:,} bytes" in json.loads(body)["error"]
    assert guarded.reached == 2
    assert send_request(guarded, path, bytes(limit), b"x")[0] == 413
    assert send_request(guarded, path, b"", content_length="-1")[0] == 413


def test_a_refused_body_is_drained_up_to_a_limit_before_the_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is cut off while sending would get a broken pipe and not the error."""
    received = 0

    def refuse(parts: int, **headers: bytes) -> tuple[int, int]:
        """Return the status and the number of parts received before the response."""
        nonlocal received
        received = 0
        answers = []

        async def receive() -> Message:
            nonlocal received
            if received == parts:
                await asyncio.sleep(60)
            received += 1
            return {"type": "http.request", "body": bytes(1000), "more_body": received < 10}

        async def send(message: Message) -> None:
            answers.append((message.get("status"), received))

        all_headers = {"content_length": b"10000", **headers}
        header_pairs = [(name.replace("_", "-").encode(), value) for name, value in all_headers.items()]
        run(
            GuardedApp().middleware(
                {"type": "http", "method": "POST", "path": "/config", "headers": header_pairs, "client": ("1", 1)},
                receive,
                send,
            )
        )
        return answers[0]

    assert refuse(10) == (413, 10)
    assert refuse(10, expect=b"100-continue") == (413, 0)
    assert refuse(10, content_length=b"", transfer_encoding=b"chunked") == (413, 10)
    monkeypatch.setattr(limits, "DRAIN_SECONDS", 0.1)
    assert refuse(4) == (413, 4)
    monkeypatch.setattr(limits, "DRAIN_BYTES", 3000)
    assert refuse(10) == (413, 3)


def test_rate_limit_allows_at_most_burst_plus_rate_times_seconds() -> None:
    guarded = GuardedApp()
    passed = 0
    for step in range(1000):  # 10 seconds of 100 requests per second
        guarded.now = step / 100
        passed += send_request(guarded, "/gradio_api/run/decode")[0] == 200
    assert LIMITS.burst + 10 * LIMITS.rate - 2 <= passed <= LIMITS.burst + 10 * LIMITS.rate
    status, headers, body = send_request(guarded, "/gradio_api/run/decode")
    assert status == 429
    assert headers[b"retry-after"] == b"1"
    assert "wait a moment" in json.loads(body)["error"]
    assert send_request(guarded, "/gradio_api/run/decode", who="5.6.7.8")[0] == 200  # other visitors are not limited
    assert send_request(guarded, "/", method="GET")[0] == 200  # pages and images are not counted
    guarded.now += 60
    assert [send_request(guarded, "/gradio_api/run/decode")[0] for _ in range(LIMITS.burst + 1)] == [200] * LIMITS.burst + [429]


def test_number_of_tracked_visitors_is_bounded() -> None:
    guarded = GuardedApp()
    for i in range(1000):
        send_request(guarded, "/gradio_api/run/decode", who=f"10.0.{i // 256}.{i % 256}")
    assert len(guarded.middleware._buckets) == LIMITS.visitors


def test_concurrent_requests_are_limited_and_their_slots_released() -> None:
    async def send_eight() -> list[int]:
        guarded = GuardedApp(blocker=asyncio.Event())
        assert guarded.blocker is not None
        tasks = [asyncio.create_task(guarded.request("/gradio_api/run/decode")) for _ in range(8)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        guarded.blocker.set()
        first = [(await task)[0] for task in tasks]
        return [*first, (await guarded.request("/gradio_api/run/decode"))[0]]

    assert sorted(run(send_eight())[:-1]) == [200] * 3 + [503] * 5
    assert run(send_eight())[-1] == 200


def test_errors_show_a_request_id_and_log_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    guarded = GuardedApp()
    status, headers, body = send_request(guarded, "/gradio_api/run/break")
    assert status == 500
    assert b"secret" not in body
    assert b"Traceback" not in body
    request_id = json.loads(body)["request"]
    assert headers[b"X-Request-Id"] == request_id.encode()
    logged = json.loads(capsys.readouterr().err)
    assert logged["request"] == request_id
    assert "secret.py is broken" in logged["text"]
    assert guarded.middleware._in_progress == 0


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


def route_paths(routes: Iterable[Any], prefix: str = "") -> Iterator[str]:
    """Yield the paths of all routes, including those of included routers and mounted apps."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is not None:
            yield from route_paths(router.routes, prefix + route.include_context.prefix)
        else:
            yield prefix + route.path
            yield from route_paths(getattr(route, "routes", None) or (), prefix + route.path)


@pytest.fixture(scope="module")
def gradio_server(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
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
    yield address.rstrip("/"), list(route_paths(app.routes))
    page.close()


@pytest.mark.parametrize("root", ["", "/sub"])
def test_only_listed_gradio_routes_are_open(gradio_server: tuple[str, list[str]], root: str) -> None:
    """The root path may be part of the request path, as behind some proxies."""
    address, routes = gradio_server
    paths = {route: re.sub(r"{.+?}", "x", route) for route in routes}
    allowed = {
        route for route, path in paths.items() if send_request(GuardedApp(), root + path, method="GET", root=root)[0] == 200
    }
    assert len(paths) > 80
    assert allowed == OPEN_ROUTES
    with httpx.Client(base_url=address) as http:
        for path in [paths[route] for route in paths if route not in allowed]:
            assert [http.request(method, path).status_code for method in ("GET", "POST", "HEAD")] == [404] * 3, path
            assert send_request(GuardedApp(), root + path, root=root)[0] == 404


@pytest.mark.parametrize(
    "path", ["/gradio_api/run-history/connect", "/gradio_api/dev/reload", "/gradio_api/proxy=http://x", "/monitoring/summary"]
)
def test_unlisted_paths_do_not_reach_gradio(path: str) -> None:
    guarded = GuardedApp()
    assert [send_request(guarded, path, method=method)[0] for method in ("GET", "POST", "HEAD")] == [404] * 3
    assert guarded.reached == 0


def test_x_forwarded_for_is_used_only_on_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    scope = {"headers": [(b"x-forwarded-for", b"6.6.6.6, 7.7.7.7")], "client": ("1.2.3.4", 5)}
    assert visitor(scope) == "1.2.3.4"
    monkeypatch.setenv("SPACE_ID", "ada/walk")
    assert visitor(scope) == "7.7.7.7"


def test_parse_auth_needs_a_name_and_a_password() -> None:
    assert parse_auth("ada:pass:word") == ("ada", "pass:word")
    assert parse_auth(None) is None
    for wrong in ("ada", "ada:", ":x", ":"):
        with pytest.raises(ValueError, match="must be NAME:PASSWORD"):
            parse_auth(wrong)


@pytest.mark.parametrize("path", ["/gradio_api/mcp", "/gradio_api/mcp/", "/gradio_api/mcp/sse", "/gradio_api/mcp/messages"])
def test_mcp_needs_the_name_and_password_of_the_login(path: str) -> None:
    """Gradio does not check the login on these routes."""
    guarded, basic = GuardedApp(login=("ada", "secret")), "Basic " + base64.b64encode(b"ada:secret").decode()
    for header in ({}, {"authorization": "Basic YWRhOnh4eHh4eA=="}, {"authorization": "Bearer secret"}):
        assert {send_request(guarded, path, method=method, **header)[0] for method in ("GET", "POST")} == {401}
    assert guarded.reached == 0
    assert send_request(guarded, path, authorization=basic)[0] == 200
    assert send_request(GuardedApp(), path)[0] == 200


def test_unreadable_requests_get_an_error_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Both if reading raises and if Gradio sends an error without text. An error with text passes unchanged."""
    for path, expected in (("unreadable", 400), ("without_text", 422)):
        status, headers, body = send_request(GuardedApp(), f"/gradio_api/run/{path}")
        assert status == expected
        assert "/gradio_api/info" in json.loads(body)["error"]
        assert (
            headers[b"X-Request-Id"].decode() == json.loads(body)["request"] == json.loads(capsys.readouterr().err)["request"]
        )
    assert send_request(GuardedApp(), "/gradio_api/run/with_text")[::2] == (500, b'{"error":"z must be"}')
