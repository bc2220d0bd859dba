"""The page's own modules, and plotly.js beside them, handed out from memory at an address that changes with their content.

Gradio's route for files asks the disk and its list of what is allowed for each, compresses it anew for each visitor, and lets a
browser ask again at every visit. Here each is compressed once, and a browser that has been here asks for none.
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
"""The modules that a module needs at once, as it names them."""
MENTIONED = r'"(\.\.?/[\w/]+\.js)"'
"""What a module mentions at all: workers and later imports, too."""
PACK = {
    "br": functools.partial(brotli.compress, mode=brotli.MODE_TEXT, quality=5),
    "gzip": functools.partial(gzip.compress, compresslevel=6),
}
"""How a script can be compressed, the best first. Over plain HTTP browsers take no Brotli, but from this machine."""


def plotly() -> bytes:
    """plotly.js as the plotly package ships it, with every letter that is not ASCII escaped: for a few Chinese ones a browser
    would hold all of it at two bytes a letter, 5 MB more. Found without importing plotly, which takes half a second."""
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    script = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    return re.sub(r"[^\x00-\x7f]", lambda letter: json.dumps(letter[0])[1:-1], script).encode()


MODULES = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in sorted(STATIC.rglob("*.js"))}
SCRIPTS = {**MODULES, "plotly.min.js": plotly()}
PREFIX = f"/modules-{hashlib.sha256(b''.join(name.encode() + code for name, code in SCRIPTS.items())).hexdigest()[:12]}/"


def mentions(name: str, pattern: str) -> list[str]:
    """The modules that one mentions, by a pattern."""
    return [posixpath.normpath(f"{name}/../{other}") for other in re.findall(pattern, MODULES[name].decode())]


def modules(*first: str, mentioned: str) -> list[str]:
    """These modules and all that they mention, by a pattern, directly or not."""
    found: list[str] = list(first)
    for name in found:  # grows as it is walked
        found += [other for other in mentions(name, mentioned) if other not in found]
    return list(dict.fromkeys(found))


@functools.cache
def packed(name: str, coding: str) -> bytes:
    """A script, compressed; once."""
    return PACK[coding](SCRIPTS[name])


def pack() -> None:
    """Compress everything ahead, as most visitors will want it."""
    for name in sorted(SCRIPTS, key=lambda name: len(SCRIPTS[name])):
        packed(name, "br")


class Assets:
    """The layer that answers for them: an ASGI app around another. They are public, whoever must log in for the rest."""

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
