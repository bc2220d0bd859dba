"""Call server functions with requests like the page's, and read their responses."""

import base64
import inspect
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from loop import run

from explorer.app.catalogue import Catalogue
from explorer.app.wire import Answer, Request


def picture(answer: Answer, n: int = 1) -> np.ndarray:
    return np.frombuffer(base64.b64decode(answer["pixels"]), np.uint8).reshape(n, 8, 8)


def awaited(answer: Any) -> Answer:
    """The response; a coroutine is run first."""
    return run(answer) if inspect.iscoroutine(answer) else answer


def ask(function: Callable[[Catalogue, Request], Any], catalogue: Catalogue, **request: Any) -> Answer:
    """Call a function with a request like the page's. Check that the response is valid JSON without an error."""
    answer = awaited(function(catalogue, {"model": "tiny", **request}))
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert "error" not in answer
    return answer


def with_values(column: dict[str, Any]) -> dict[str, Any]:
    """A colour column of the map, with the numbers instead of the path of their file."""
    if "codes" in column:
        codes = np.fromfile(column["codes"], f"<u{column['bytes']}")
        return {"classes": column["classes"], "codes": codes.tolist()}
    return {"values": np.fromfile(column["values"], "<f4").tolist()}
