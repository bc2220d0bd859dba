"""The page's own modules, handed out from memory at an address that changes with their content.

Gradio's route for files asks the disk and its list of what is allowed for each of them, and lets a browser ask again at every
visit. Here forty small modules cost little beside the rest of a start, and a browser that has been here asks for none.
"""

import hashlib
import re
from pathlib import Path

from explorer.limits import App, Message, Receive, Send

STATIC = Path(__file__).parent / "static"
MODULES = {path.name: path.read_bytes() for path in sorted(STATIC.glob("*.js"))}
PREFIX = f"/modules-{hashlib.sha256(b''.join(name.encode() + code for name, code in MODULES.items())).hexdigest()[:12]}/"
IMPORTED = r'from "\./(\w+\.js)"'
"""What a module mentions of those that it needs at once."""


def modules(*first: str, mentioned: str) -> list[str]:
    """These modules and all that they mention, by a pattern, directly or not."""
    found: list[str] = list(first)
    for name in found:  # grows as it is walked
        found += [other for other in re.findall(mentioned, MODULES[name].decode()) if other not in found]
    return list(dict.fromkeys(found))


class Assets:
    """The layer that answers for them: an ASGI app around another. They are public, whoever must log in for the rest."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        name = scope["path"].removeprefix(PREFIX) if scope["type"] == "http" else None
        if name not in MODULES or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        headers = {
            "content-type": "text/javascript; charset=utf-8",
            "content-length": str(len(MODULES[name])),
            "cache-control": "public, max-age=31536000, immutable",
        }
        encoded = [(key.encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else MODULES[name]})
