"""The page and its server: one module for each tab, and what they stand on."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`serve`, as Spaces exported before import it from here, when it is asked for: the server takes seconds to import."""
    if name == "serve":
        from explorer.app.server import serve

        return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
