"""Requests to the server's functions as the page makes them, and their answers as the page reads them."""

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


def settled(answer: Any) -> Answer:
    """The answer, which some functions have to be waited for."""
    return run(answer) if inspect.iscoroutine(answer) else answer


def ask(function: Callable[[Catalogue, Request], Any], catalogue: Catalogue, **request: Any) -> Answer:
    """A request as the page makes it; the answer has to survive JSON."""
    answer = settled(function(catalogue, {"model": "tiny", **request}))
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert "error" not in answer
    return answer


def unfiled(column: dict[str, Any]) -> dict[str, Any]:
    """What the page is told to colour a map by, with the numbers in place of their file."""
    if "codes" in column:
        codes = np.fromfile(column["codes"], f"<u{column['bytes']}")
        return {"classes": column["classes"], "codes": codes.tolist()}
    return {"values": np.fromfile(column["values"], "<f4").tolist()}
