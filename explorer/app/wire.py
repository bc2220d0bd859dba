"""What passes between the page and the server: requests and answers as JSON, pictures as bytes, uploads as paths.

A server function's exception would reach the page as null, so errors are returned as {"error": text}.
"""

import base64
import functools
import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from torch import Tensor

from explorer.app.assets import PREFIX, STATIC

Request = dict[str, Any]
Answer = dict[str, Any]

busy = threading.BoundedSemaphore(4)
"""At most this many server functions compute at once; Gradio's own queue does not limit them."""


def safe(function: Callable[[Any, Request], Answer]) -> Callable[[Any, Request], Answer]:
    """Bound the load, and turn what a visitor did wrong into an answer."""

    @functools.wraps(function)
    def answer(held: Any, request: Request) -> Answer:
        try:
            with busy:
                return function(held, check_object(request))
        except WRONG as error:
            return told(error)

    return answer


WRONG = (ValueError, KeyError, TypeError, OverflowError)
"""What a visitor's mistake raises."""


def check_object(request: object) -> Request:
    """The request, if it is one; ValueError for anything else."""
    if not isinstance(request, dict):
        raise ValueError("a request must be an object.")
    return request


def told(error: Exception) -> Answer:
    """A visitor's mistake as an answer."""
    return {"error": f"{error.args[0]} is missing." if isinstance(error, KeyError) else str(error)}


def pixels(images: Tensor) -> str:
    """8-bit images (N, C, H, W) as base64 of (N, H, W, C) bytes: what a canvas wants, at a third of a PNG's delay."""
    return base64.b64encode(images.permute(0, 2, 3, 1).contiguous().numpy().tobytes()).decode()


def uploaded(path: object) -> Path:
    """A path that came from the page: only a file that Gradio's upload put there; ValueError for any other."""
    folder = Path(get_upload_folder()).resolve()
    file = Path(str(path)).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        raise ValueError("the picture is no longer on the server; upload it again.")
    return file


def server_functions(held: Any, *functions: Callable[[Any, Request], Any]) -> list[Callable[..., Any]]:
    """The functions as Gradio wants them: named, of one JSON argument; `held` is their first: the catalogue, the workshop."""

    def bind(function: Callable[[Any, Request], Any]) -> Callable[..., Any]:
        def call(request: Request) -> Answer:
            return function(held, request)

        async def wait(request: Request) -> Answer:
            return await function(held, request)

        bound = wait if inspect.iscoroutinefunction(function) else call
        bound.__name__ = function.__name__
        return bound

    return [bind(function) for function in functions]


def component(name: str, held: Any, *functions: Callable[[Any, Request], Any], **props: Any) -> None:
    """Put the component of this name on the page: its HTML, its module, its server functions, and what it is told."""
    gr.HTML(
        html_template=(STATIC / name / f"{name}.html").read_text(encoding="utf-8"),
        js_on_load=(STATIC / "load.js").read_text(encoding="utf-8"),
        server_functions=server_functions(held, *functions),
        apply_default_css=False,
        elem_id=name,
        module=f"{PREFIX}{name}/{name}.js",
        fetch=f"{PREFIX}shared/fetch.js",
        **props,
    )
