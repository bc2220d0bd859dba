"""The page's own modules, and plotly.js beside them, handed out from memory at an address that changes with their content.

Gradio's route for files asks the disk and its list of what is allowed for each, compresses each anew, and lets a browser
ask again at every visit. Here forty small modules cost little beside the rest of a start, and a browser that has been here asks
for none.
"""

import functools
import hashlib
import json
import re
from importlib.util import find_spec
from pathlib import Path

import brotli
from starlette.datastructures import Headers

from explorer.limits import App, Message, Receive, Send

STATIC = Path(__file__).parent / "static"
IMPORTED = r'from "\./(\w+\.js)"'
"""What a module mentions of those that it needs at once."""
QUALITY = 5
"""Of Brotli's eleven: the last that takes no more than a tenth of a second for plotly.js."""


def plotly() -> bytes:
    """plotly.js as the plotly package ships it, with every letter that is not ASCII escaped: for a few Chinese ones a browser
    would hold all of it at two bytes a letter, 5 MB more. Found without importing plotly, which takes half a second."""
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    script = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    return re.sub(r"[^\x00-\x7f]", lambda letter: json.dumps(letter[0])[1:-1], script).encode()


MODULES = {path.name: path.read_bytes() for path in sorted(STATIC.glob("*.js"))}
SCRIPTS = {**MODULES, "plotly.min.js": plotly()}
PREFIX = f"/modules-{hashlib.sha256(b''.join(name.encode() + code for name, code in SCRIPTS.items())).hexdigest()[:12]}/"


def modules(*first: str, mentioned: str) -> list[str]:
    """These modules and all that they mention, by a pattern, directly or not."""
    found: list[str] = list(first)
    for name in found:  # grows as it is walked
        found += [other for other in re.findall(mentioned, MODULES[name].decode()) if other not in found]
    return list(dict.fromkeys(found))


@functools.cache
def packed(name: str) -> bytes:
    """A script, compressed once."""
    return brotli.compress(SCRIPTS[name], mode=brotli.MODE_TEXT, quality=QUALITY)


class Assets:
    """The layer that answers for them: an ASGI app around another. They are public, whoever must log in for the rest."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        name = scope["path"].removeprefix(PREFIX) if scope["type"] == "http" else None
        if name not in SCRIPTS or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        pack = "br" in re.findall(r"\w+", Headers(scope=scope).get("accept-encoding", ""))
        body = packed(name) if pack else SCRIPTS[name]
        headers = {
            "content-type": "text/javascript; charset=utf-8",
            "content-length": str(len(body)),
            "cache-control": "public, max-age=31536000, immutable",
            "vary": "Accept-Encoding",
            **({"content-encoding": "br"} if pack else {}),
        }
        encoded = [(key.encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
