"""The page's JavaScript modules and plotly.js, served from memory at addresses that change with their content.

Gradio's file route reads the disk, checks its permissions and compresses the file for each request, and browsers revalidate it
at each visit. Here each file is compressed once, and browsers cache it for good.
"""

import functools
import gzip
import hashlib
import json
import posixpath
import re
from importlib.util import find_spec
from pathlib import Path

import brotli
from starlette.datastructures import Headers

from explorer.app.limits import App, Message, Receive, Send

STATIC = Path(__file__).parents[1] / "static"
IMPORTED = r'from "(\.\.?/[\w/]+\.js)"'
"""Matches the static imports of a module."""
MENTIONED = r'"(\.\.?/[\w/]+\.js)"'
"""Matches every module name in a module: static and dynamic imports, and workers."""
PACK = {
    "br": functools.partial(brotli.compress, mode=brotli.MODE_TEXT, quality=5),
    "gzip": functools.partial(gzip.compress, compresslevel=6),
}
"""Content codings, best first. Over plain HTTP, browsers accept Brotli only from localhost."""


def plotly() -> bytes:
    """Return plotly.js from the plotly package, with characters outside ASCII escaped.

    A few Chinese characters would make the browser store the script with two bytes per character, 5 MB more. The package is
    located without importing it, which takes half a second.
    """
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    script = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    return re.sub(r"[^\x00-\x7f]", lambda character: json.dumps(character[0])[1:-1], script).encode()


MODULES = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in sorted(STATIC.rglob("*.js"))}
SCRIPTS = {**MODULES, "plotly.min.js": plotly()}
PREFIX = f"/modules-{hashlib.sha256(b''.join(name.encode() + code for name, code in SCRIPTS.items())).hexdigest()[:12]}/"


def mentions(name: str, pattern: str) -> list[str]:
    """The modules that a module names, by a pattern."""
    return [posixpath.normpath(f"{name}/../{other}") for other in re.findall(pattern, MODULES[name].decode())]


def modules(*first: str, mentioned: str) -> list[str]:
    """These modules and all modules that they name by a pattern, directly or indirectly."""
    found: list[str] = list(first)
    for name in found:  # the list grows during the loop
        found += [other for other in mentions(name, mentioned) if other not in found]
    return list(dict.fromkeys(found))


@functools.cache
def packed(name: str, coding: str) -> bytes:
    """A compressed script. Cached."""
    return PACK[coding](SCRIPTS[name])


def pack() -> None:
    """Compress all scripts in the most common coding, so that the first visitor does not wait."""
    for name in sorted(SCRIPTS, key=lambda name: len(SCRIPTS[name])):
        packed(name, "br")


class Assets:
    """ASGI middleware that serves the scripts. They are public even if the page requires a login."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        name = scope["path"].removeprefix(PREFIX) if scope["type"] == "http" else None
        if name not in SCRIPTS or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        taken = re.sub(r"\w+\s*;\s*q=0(\.0*)?\s*(,|$)", "", Headers(scope=scope).get("accept-encoding", ""))
        coding = next((coding for coding in PACK if coding in re.findall(r"\w+", taken)), None)
        body = packed(name, coding) if coding else SCRIPTS[name]
        headers = {
            "content-type": "text/javascript; charset=utf-8",
            "content-length": str(len(body)),
            "cache-control": "public, max-age=31536000, immutable",
            "vary": "Accept-Encoding",
            **({"content-encoding": coding} if coding else {}),
        }
        encoded = [(key.encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
