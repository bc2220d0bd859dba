"""The interface between page and server: requests and answers as JSON, images as bytes, uploads as paths.

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

slots = threading.BoundedSemaphore(4)
"""Limits how many server functions compute at once; Gradio's queue does not limit them."""


def errors_as_answers(function: Callable[[Any, Request], Answer]) -> Callable[[Any, Request], Answer]:
    """Limit concurrency, and return errors of the request as an answer."""

    @functools.wraps(function)
    def answer(state: Any, request: Request) -> Answer:
        try:
            with slots:
                return function(state, check_object(request))
        except REQUEST_ERRORS as error:
            return error_answer(error)

    return answer


REQUEST_ERRORS = (ValueError, KeyError, TypeError, OverflowError)
"""The exceptions that an invalid request raises."""


def check_object(request: object) -> Request:
    """Return the request. Raises ValueError if it is not an object."""
    if not isinstance(request, dict):
        raise ValueError("a request must be an object.")
    return request


def error_answer(error: Exception) -> Answer:
    """Return the answer that reports an error."""
    return {"error": f"{error.args[0]} is missing." if isinstance(error, KeyError) else str(error)}


def pixels(images: Tensor) -> str:
    """8-bit images (N, C, H, W) as base64 of (N, H, W, C) bytes: the layout of a canvas, with a third of the delay of a PNG."""
    return base64.b64encode(images.permute(0, 2, 3, 1).contiguous().numpy().tobytes()).decode()


def uploaded(path: object) -> Path:
    """Check a path that the page sent. Raises ValueError unless it is an existing upload."""
    folder = Path(get_upload_folder()).resolve()
    file = Path(str(path)).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        raise ValueError("the picture is no longer on the server; upload it again.")
    return file


def server_functions(state: Any, *functions: Callable[[Any, Request], Any]) -> list[Callable[..., Any]]:
    """Bind the functions' first argument, the catalogue or the training jobs. Gradio calls them by name with one JSON value."""

    def bind(function: Callable[[Any, Request], Any]) -> Callable[..., Any]:
        def call(request: Request) -> Answer:
            return function(state, request)

        async def wait(request: Request) -> Answer:
            return await function(state, request)

        bound = wait if inspect.iscoroutinefunction(function) else call
        bound.__name__ = function.__name__
        return bound

    return [bind(function) for function in functions]


def component(name: str, state: Any, *functions: Callable[[Any, Request], Any], **props: Any) -> None:
    """Add a component to the page: its HTML, JavaScript module, server functions and props."""
    gr.HTML(
        html_template=(STATIC / name / f"{name}.html").read_text(encoding="utf-8"),
        js_on_load=(STATIC / "load.js").read_text(encoding="utf-8"),
        server_functions=server_functions(state, *functions),
        apply_default_css=False,
        elem_id=name,
        module=f"{PREFIX}{name}/{name}.js",
        fetch=f"{PREFIX}shared/fetch.js",
        **props,
    )
