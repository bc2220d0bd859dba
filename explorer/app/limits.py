"""What the server bears from strangers: sizes, rates and numbers of requests, and what it tells them when something breaks.

An ASGI layer around Gradio's app. It answers /health itself, closes the doors of Gradio that the explorer has no use for, and
gives each request a number, which the visitor sees in a header and in an error, and which the log names.
"""

import asyncio
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

CLOSED = ("/monitoring", "/gradio_api/dev", "/gradio_api/vibe", "/gradio_api/undo-vibe", "/gradio_api/run", "/gradio_api/proxy")
OPEN = ("/gradio_api/run/",)
"""Paths that begin with one of CLOSED and none of OPEN are not there: reloading, editing, recording and proxying."""
EMPTY_ERROR = b'{"error":null}'
"""What Gradio says of values that it could not make anything of, as of a file that nobody uploaded."""
DRAIN_BYTES, DRAIN_SECONDS = 64 << 20, 10.0
"""So much of a refused body is heard out, and for so long: a sender whose line is cut while he speaks never reads why."""
MISREAD = (LookupError, TypeError, ValueError)
"""What reading a request raises where it is none; past that, the explorer's own functions let none of these through."""
UNREADABLE = "the request could not be read; /gradio_api/info says what the endpoints take"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # Framed by the hub's page on a Space, and by nobody else.
    "Content-Security-Policy": "frame-ancestors 'self' https://huggingface.co https://*.hf.space",
    "Cross-Origin-Resource-Policy": "same-site",
}


@dataclass(frozen=True)
class Limits:
    """How much is borne. A visitor is an address: a class behind one router shares one visitor's rate."""

    upload: int = 20 << 20
    """Bytes of an uploaded file."""
    body: int = 1 << 20
    """Bytes of any other request."""
    rate: float = 200.0
    """Requests that change or compute something, per second and visitor, in the long run."""
    burst: int = 2000
    """As many may come at once before the rate counts."""
    visitors: int = 10_000
    """Addresses whose rate is remembered; the one that was quiet longest is forgotten first."""
    concurrent: int = 256
    """Such requests under way at once, over all visitors."""


class Guard:
    """The layer: an ASGI app around another."""

    def __init__(self, app: App, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self.limits = limits
        self.clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._under_way = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number, began, path = uuid.uuid4().hex[:12], time.perf_counter(), scope["path"]
        started, held = False, None

        async def tell(message: Message) -> None:
            nonlocal started, held
            if message["type"] == "http.response.start":
                added = {**HEADERS, "X-Request-Id": number}
                message = {**message, "headers": [*message["headers"], *((k.encode(), v.encode()) for k, v in added.items())]}
                started = True
                if message["status"] == 500:
                    held = message
                    return
            if held is not None:
                start, held = held, None
                if message.get("body") == EMPTY_ERROR:
                    log(number, path, 422, began, UNREADABLE)
                    await answer(tell, 422, UNREADABLE, number)
                    return
                await send(start)
            await send(message)

        refused = self._refuse(scope)
        if refused is not None:
            log(number, path, refused[0], began, refused[1])
            await drain_body(scope, receive)
            await answer(tell, *refused, number)
            return
        if path == "/health":
            await answer(tell, 200, "ok", number)
            return
        counted = scope["method"] == "POST"
        self._under_way += counted
        try:
            await self.app(scope, self._measured(scope, receive), tell)
        except TooLargeError as error:
            log(number, path, 413, began, str(error))
            if not started:
                if error.more:
                    await drain_body(scope, receive)
                await answer(tell, 413, str(error), number)
        except MISREAD:
            log(number, path, 400, began, traceback.format_exc())
            if not started:
                await answer(tell, 400, UNREADABLE, number)
        except Exception:
            # The visitor gets a number, the log what happened.
            log(number, path, 500, began, traceback.format_exc())
            if not started:
                await answer(tell, 500, "something went wrong on the server; it is logged under this number", number)
        finally:
            self._under_way -= counted

    def _refuse(self, scope: Message) -> tuple[int, str] | None:
        """Status and words for a request that is not let through."""
        path = scope["path"]
        if path.startswith(CLOSED) and not path.startswith(OPEN):
            return 404, "there is nothing here"
        if scope["method"] != "POST":
            return None
        largest = self._largest(path)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > largest:
            return 413, f"a request may have {largest:,} bytes here"
        if self._under_way >= self.limits.concurrent:
            return 503, f"{self.limits.concurrent} requests are under way; try again in a moment"
        if not self._allow(visitor(scope)):
            return 429, f"more than {self.limits.rate:g} requests a second came from your address; wait a moment"
        return None

    def _largest(self, path: str) -> int:
        # The form around an upload takes some bytes too.
        return self.limits.upload + (64 << 10) if path.startswith("/gradio_api/upload") else self.limits.body

    def _allow(self, who: str) -> bool:
        """A token bucket per visitor: it holds `burst`, and `rate` a second flow in."""
        now = self.clock()
        left, before = self._buckets.pop(who, (float(self.limits.burst), now))
        left = min(self.limits.burst, left + self.limits.rate * (now - before))
        self._buckets[who] = (max(left - 1, 0.0) if left >= 1 else left, now)
        if len(self._buckets) > self.limits.visitors:
            self._buckets.popitem(last=False)
        return left >= 1

    def _measured(self, scope: Message, receive: Receive) -> Receive:
        """The request's body, cut off where it grows larger than it may; a chunked one does not say how long it is."""
        largest, taken = self._largest(scope["path"]), 0

        async def take() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > largest:
                raise TooLargeError(f"a request may have {largest:,} bytes here", message.get("more_body", False))
            return message

        return take


class TooLargeError(Exception):
    """A body turned out larger than it may be, and whether there is more of it."""

    def __init__(self, words: str, more: bool) -> None:
        super().__init__(words)
        self.more = more


def visitor(scope: Message) -> str:
    """The address a request comes from. Behind a Space's proxy it is the last one that the proxy noted."""
    forwarded = dict(scope["headers"]).get(b"x-forwarded-for", b"").decode("latin-1")
    if forwarded and "SPACE_ID" in os.environ:
        return forwarded.rpartition(",")[2].strip()
    return scope["client"][0] if scope.get("client") else ""


async def drain_body(scope: Message, receive: Receive) -> None:
    """Take what is still being sent of a body, and drop it (nginx's lingering close); not where the sender asked first."""
    if b"expect" in dict(scope["headers"]):
        return
    heard, more = 0, True
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while more and heard < DRAIN_BYTES:
                message = await receive()
                heard, more = heard + len(message.get("body", b"")), message.get("more_body", False)
    except TimeoutError:
        pass


async def answer(send: Send, status: int, text: str, number: str) -> None:
    """A short answer in JSON."""
    body = json.dumps({"status" if status == 200 else "error": text, "request": number}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in (429, 503):
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def log(number: str, path: str, status: int, began: float, text: str) -> None:
    """One line of JSON on standard error for a request that was refused or failed."""
    took = round(1000 * (time.perf_counter() - began), 1)
    record = {"time": time.time(), "request": number, "path": path[:200], "status": status, "ms": took, "text": text}
    print(json.dumps(record), file=sys.stderr, flush=True)


def parse_auth(given: str | None) -> tuple[str, str] | None:
    """NAME:PASSWORD as a pair; ValueError for anything else."""
    if not given:
        return None
    name, colon, password = given.partition(":")
    if not (name and colon and password):
        raise ValueError("--auth must be NAME:PASSWORD.")
    return name, password
