"""Request limits and error responses: ASGI middleware around Gradio's app.

It limits the size, rate and number of requests, and answers /health. Every path that is not on the list below gets 404. Each
request has an ID, which is in a response header, in error responses and in the log.
"""

import asyncio
import base64
import hmac
import json
import os
import sys
import time
import traceback
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

PATHS = {
    *("/", "/endpoints", "/config", "/login", "/logout", "/health"),
    *("/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"),
    *("/gradio_api/info", "/gradio_api/startup-events", "/gradio_api/app_id", "/gradio_api/component_server"),
    *("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/cancel", "/gradio_api/reset"),
}
PREFIXES = (
    *("/assets/", "/static/", "/modules-"),
    *("/gradio_api/file=", "/gradio_api/run/", "/gradio_api/call/", "/gradio_api/mcp/"),
)
"""The open paths and path prefixes: those that the page, gradio_client, HTTP and MCP clients use. All others are closed,
also routes that later versions of Gradio add. Without --mcp, Gradio itself has no /gradio_api/mcp/."""
EMPTY_ERROR = b'{"error":null}'
"""Gradio's response to values that it cannot parse, for example the name of a file that was not uploaded."""
DRAIN_BYTES, DRAIN_SECONDS = 64 << 20, 10.0
"""How much of a refused body is read, and for how long. If the connection closed at once, the client could not read why."""
PARSE_ERRORS = (LookupError, TypeError, ValueError)
"""The exceptions by which parsing of a malformed request fails. The explorer's own functions catch theirs."""
PARSE_ERROR_TEXT = "the request could not be read; /gradio_api/info says what the endpoints take"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # Only the hub may embed the page in a frame, for Spaces.
    "Content-Security-Policy": "frame-ancestors 'self' https://huggingface.co https://*.hf.space",
    "Cross-Origin-Resource-Policy": "same-site",
}


@dataclass(frozen=True)
class Limits:
    """Limits of requests. A visitor is an IP address, so people behind one router share a rate."""

    upload: int = 20 << 20
    """Largest upload, in bytes."""
    body: int = 1 << 20
    """Largest body of any other request, in bytes."""
    rate: float = 200.0
    """POST requests per second and visitor, on average."""
    burst: int = 2000
    """POST requests of a visitor at once before the rate applies."""
    visitors: int = 10_000
    """Addresses whose rate is stored. The least recently active one is removed first."""
    concurrent: int = 256
    """POST requests in progress at once, over all visitors."""


class LimitsMiddleware:
    """The middleware: an ASGI app around another one."""

    def __init__(
        self,
        app: App,
        limits: Limits,
        login: tuple[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = app
        self.limits = limits
        self.authorization = login and b"Basic " + base64.b64encode(":".join(login).encode())
        """The header of an MCP client that may use the tools: Gradio's own login does not cover them."""
        self.clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._in_progress = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, started_at, path = uuid.uuid4().hex[:12], time.perf_counter(), local_path(scope)
        response_started, held = False, None

        async def send_response(message: Message) -> None:
            nonlocal response_started, held
            if message["type"] == "http.response.start":
                added = {**HEADERS, "X-Request-Id": request_id}
                message = {**message, "headers": [*message["headers"], *((k.encode(), v.encode()) for k, v in added.items())]}
                response_started = True
                if message["status"] == 500:
                    held = message
                    return
            if held is not None:
                start, held = held, None
                if message.get("body") == EMPTY_ERROR:
                    log(request_id, path, 422, started_at, PARSE_ERROR_TEXT)
                    await answer(send_response, 422, PARSE_ERROR_TEXT, request_id)
                    return
                await send(start)
            await send(message)

        refused = self._refuse(scope)
        if refused is not None:
            log(request_id, path, refused[0], started_at, refused[1])
            await drain_body(scope, receive)
            await answer(send_response, *refused, request_id)
            return
        if path == "/health":
            await answer(send_response, 200, "ok", request_id)
            return
        counted = scope["method"] == "POST"
        self._in_progress += counted
        try:
            await self.app(scope, self._limit_body(scope, receive), send_response)
        except TooLargeError as error:
            log(request_id, path, 413, started_at, str(error))
            if not response_started:
                if error.more:
                    await drain_body(scope, receive)
                await answer(send_response, 413, str(error), request_id)
        except PARSE_ERRORS:
            log(request_id, path, 400, started_at, traceback.format_exc())
            if not response_started:
                await answer(send_response, 400, PARSE_ERROR_TEXT, request_id)
        except Exception:
            # The visitor sees the request ID, the log has the traceback.
            log(request_id, path, 500, started_at, traceback.format_exc())
            if not response_started:
                await answer(
                    send_response, 500, "the server had an error; its log has the details under this request ID", request_id
                )
        finally:
            self._in_progress -= counted

    def _refuse(self, scope: Message) -> tuple[int, str] | None:
        """Status and message for a request that is refused; None if it is accepted."""
        path = local_path(scope)
        if not is_open(path):
            return 404, "there is nothing here"
        if self.authorization and path.startswith("/gradio_api/mcp"):
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self.authorization):
                return 401, "send the name and password of --auth as HTTP Basic authentication"
        if scope["method"] != "POST":
            return None
        largest = self._max_body(path)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > largest:
            return 413, f"a request may have {largest:,} bytes here"
        if self._in_progress >= self.limits.concurrent:
            return 503, f"{self.limits.concurrent} requests are in progress; try again in a moment"
        if not self._take_token(visitor(scope)):
            return 429, f"more than {self.limits.rate:g} requests a second came from your address; wait a moment"
        return None

    def _max_body(self, path: str) -> int:
        # The multipart form adds some bytes to an upload.
        return self.limits.upload + (64 << 10) if path.startswith("/gradio_api/upload") else self.limits.body

    def _take_token(self, who: str) -> bool:
        """Take a token from the visitor's bucket, which holds `burst` and gains `rate` per second. False if it is empty."""
        now = self.clock()
        left, before = self._buckets.pop(who, (float(self.limits.burst), now))
        left = min(self.limits.burst, left + self.limits.rate * (now - before))
        self._buckets[who] = (max(left - 1, 0.0) if left >= 1 else left, now)
        if len(self._buckets) > self.limits.visitors:
            self._buckets.popitem(last=False)
        return left >= 1

    def _limit_body(self, scope: Message, receive: Receive) -> Receive:
        """Wrap `receive` to raise TooLargeError when a body exceeds its limit. A chunked body has no content-length."""
        largest, received = self._max_body(local_path(scope)), 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > largest:
                raise TooLargeError(f"a request may have {largest:,} bytes here", message.get("more_body", False))
            return message

        return limited


class TooLargeError(Exception):
    """A body exceeds its limit; `more` says whether the client is still sending."""

    def __init__(self, message: str, more: bool) -> None:
        super().__init__(message)
        self.more = more


def local_path(scope: Message) -> str:
    """The path of a request without the server's root path (GRADIO_ROOT_PATH), which a proxy may leave in it."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    return path.removeprefix(root) if f"{path}/".startswith(f"{root}/") else path


def is_open(path: str) -> bool:
    """Whether a path is open, with or without a trailing slash."""
    name = path.rstrip("/")
    return (name or "/") in PATHS or f"{name}/".startswith(PREFIXES)


def visitor(scope: Message) -> str:
    """The client's IP address. In a Space, it is the last one in X-Forwarded-For, which the proxy adds."""
    forwarded = dict(scope["headers"]).get(b"x-forwarded-for", b"").decode("latin-1")
    if forwarded and "SPACE_ID" in os.environ:
        return forwarded.rpartition(",")[2].strip()
    return scope["client"][0] if scope.get("client") else ""


async def drain_body(scope: Message, receive: Receive) -> None:
    """Read and discard the rest of a body (nginx: lingering close). A client that sent Expect waits, so nothing is read."""
    if b"expect" in dict(scope["headers"]):
        return
    received, more = 0, True
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while more and received < DRAIN_BYTES:
                message = await receive()
                received, more = received + len(message.get("body", b"")), message.get("more_body", False)
    except TimeoutError:
        pass


async def answer(send: Send, status: int, text: str, request_id: str) -> None:
    """Send a short JSON response."""
    body = json.dumps({"status" if status == 200 else "error": text, "request": request_id}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in (429, 503):
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def log(request_id: str, path: str, status: int, started_at: float, text: str) -> None:
    """Print one line of JSON on standard error for a refused or failed request."""
    duration = round(1000 * (time.perf_counter() - started_at), 1)
    record = {"time": time.time(), "request": request_id, "path": path[:200], "status": status, "ms": duration, "text": text}
    print(json.dumps(record), file=sys.stderr, flush=True)


def parse_auth(given: str | None) -> tuple[str, str] | None:
    """Split NAME:PASSWORD. Raises ValueError if it has another form."""
    if not given:
        return None
    name, colon, password = given.partition(":")
    if not (name and colon and password):
        raise ValueError("--auth must be NAME:PASSWORD.")
    return name, password
