"""Robustness of the server: damaged pictures, invalid values and malformed requests; crashes, leaks, memory and response time.

Run by hand:  python tests/bench/abuse.py [--pictures 1500] [--passes 2] [--seed 0] [--json]

Method: the explorer runs in a subprocess with its pretrained models. Three kinds of requests are sent:
- Pictures (`damaged`): files of every common format and mode, truncated, with flipped bytes, concatenated, renamed, with
  extreme sizes in the header, decompression bombs, and other file types named like pictures. Each is uploaded as the page
  does it, and sent to the Encode tab's function and to /encode and /anomaly.
- Values (`hostile`): every argument of every endpoint and server function gets each value, with the other arguments valid:
  wrong types, NaN and infinity, huge values, long lists, and names that are paths.
- Requests (`broken`): invalid HTTP: bad JSON, deep nesting, bodies over the limit, paths outside of the served folders.

A leak is a traceback or a server path in a response that the request did not contain. Gradio's handles of files made for the
caller do not count. A crash is a response of 500 without an error message of ours, a closed connection, or a stopped server.
All requests are sent once to warm up, and then `--passes` times.

pictures, hostile, broken   requests of each kind in one pass
seconds                     duration of one pass, median
crashes, leaks              number over all passes; `first` lists up to 20 of each
health                      status of /health at the end
resident_mb                 resident memory of the server after each pass, MiB
good_request_ms             median time of 50 valid requests after each pass
answers                     responses of the last pass by kind and status
"""

import argparse
import io
import json
import random
import re
import statistics
import struct
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import numpy as np
from measure import serve, show
from PIL import Image

FORMATS = {"PNG": ["L", "RGB", "RGBA", "P", "1", "I;16"], "JPEG": ["L", "RGB", "CMYK"], "GIF": ["P", "L"], "BMP": ["RGB", "L"]}
FORMATS |= {"TIFF": ["L", "RGB", "F", "I;16"], "WEBP": ["RGB", "RGBA"], "PPM": ["RGB"], "ICO": ["RGBA"], "TGA": ["RGB"]}
MAGIC = ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM"]

PATHS = [
    "/etc/passwd",
    "../../../../etc/passwd",
    "file:///etc/passwd",
    "digits/../../core",
    "..",
    ".",
    "",
    " ",
    "\x00",
    "/",
    "~",
]
PATHS += [
    "....//....//etc/passwd",
    "%2e%2e%2fetc%2fpasswd",
    "/proc/self/environ",
    "hf:owner/name",
    "hf:../..",
    "C:\\Windows\\win.ini",
]
PATHS += [
    "pretrained",
    "fashion-mnist/config.json",
    "http://127.0.0.1:1/x",
    "\u202edigits",
    "digits\n",
    "DIGITS",
    "x" * 100_000,
]
STRINGS = [*PATHS, "<script>alert(1)</script>", "{{7*7}}", "${jndi:ldap://x}", "'; drop table models; --", "\ud83d\ude00" * 50]
NUMBERS = [-1, 0, 1, 101, 2**31, 2**63, -(2**63), 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf")]
OTHERS: list[Any] = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    [1, 2],
    ["a"],
    [float("nan")] * 16,
    [1e39] * 16,
    [0] * 100_000,
]
OTHERS += [[[0.0] * 16] * 65, [[0.0] * 16] * 3, [{"z": 0}] * 16, ["NaN"] * 16, [True] * 16, {"__class__": "os.system"}]
FILES: list[Any] = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in PATHS]
FILES += [{"url": "http://127.0.0.1:1/x.png", "path": "x.png", "meta": {"_type": "gradio.FileData"}}]

LEAK = re.compile(
    r"Traceback|site-packages|\.py\b|root:x:|/(work|home|root|usr|etc|proc|opt|var|srv)/\w"
    r"|/tmp/(?!gradio/[0-9a-f]{64}/|latentscape-\w{8}/\d+/[\w.-]+\")"
)
"""Patterns that a response must not contain unless the request did. File handles of Gradio and the catalogue are excluded."""


def valid_pictures(rng: random.Random) -> dict[str, bytes]:
    """Valid pictures of every format and mode, by name."""
    pictures = {}
    for kind, modes in FORMATS.items():
        for mode in modes:
            side = rng.choice([16, 28, 31, 64])
            values = np.frombuffer(rng.randbytes(side * side * 4), np.uint8).reshape(side, side, 4)
            image = Image.fromarray(values, "RGBA").convert(
                "RGB" if mode in ("CMYK", "P", "1") else "L" if mode in ("F", "I;16") else mode
            )
            image = image.convert(mode) if mode != "I;16" else Image.fromarray(np.asarray(image).astype(np.uint16) * 256)
            buffer = io.BytesIO()
            image.save(buffer, kind)
            pictures[f"{kind}-{mode.replace(';', '')}.{kind.lower()}"] = buffer.getvalue()
    return pictures


def png(width: int, height: int, body: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header can contradict its body."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def special_files(rng: random.Random, pictures: dict[str, bytes]) -> dict[str, bytes]:
    """Decompression bombs, false headers, polyglots and other file types, by name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../evil.py", "import os")
    first = pictures["PNG-RGB.png"]
    files = {
        "empty.png": b"",
        "bomb.png": png(50_000, 50_000, zlib.compress(bytes(20_000_000), 9)),
        "just-too-large.png": png(7072, 7072, zlib.compress(bytes(7072 * (7072 * 3 + 1)), 9)),
        "zero.png": png(0, 0, zlib.compress(b"")),
        "maximum-size.png": png(2**31 - 1, 2**31 - 1, b""),
        "thin.png": png(1_000_000, 1, zlib.compress(bytes(3_000_001), 9)),
        "deep.png": png(28, 28, zlib.compress(bytes(28 * 169)), 16),
        "odd-colour.png": png(28, 28, zlib.compress(bytes(28 * 29)), 8, 5),
        "polyglot.png": first + packed.getvalue(),
        "zip.png": packed.getvalue(),
        "html.png": b"<html><script>fetch('/config')</script></html>",
        "script.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script><image href="file:///etc/passwd"/></svg>',
        "pickle.png": b"\x80\x04cposix\nsystem\n(S'true'\ntR.",
        "document.pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>",
        "postscript.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file\n",
        "shell.png": b"#!/bin/sh\ncat /etc/passwd\n",
        "text.png": "Ünïcödé".encode() * 1000,
        "null.png": bytes(100_000),
        "noise.png": rng.randbytes(100_000),
        "frames.gif": animation(rng, 400),
    }
    named = [
        "../../../tmp/evil.png",
        "/etc/cron.d/evil.png",
        "a\x00b.png",
        "." * 200 + ".png",
        "x" * 300 + ".png",
        "con.png",
        "🦊.png",
    ]
    return files | dict.fromkeys(named, first)


def animation(rng: random.Random, frames: int) -> bytes:
    """A GIF of many frames."""
    images = [Image.new("L", (64, 64), rng.randrange(256)) for _ in range(frames)]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:])
    return buffer.getvalue()


def damage(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """A valid file, damaged in one of six ways."""
    damaged = bytearray(data)
    match rng.randrange(6):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            for _ in range(rng.choice([1, 4, 64])):
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        case 2:
            at = rng.randrange(min(len(damaged), 64))
            damaged[at : at + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"])
        case 3:
            other = rng.choice(others)
            return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]
        case 4:
            at = rng.randrange(len(damaged))
            damaged[at:at] = rng.randbytes(rng.choice([1, 100, 5000]))
        case _:
            at = rng.randrange(len(damaged))
            del damaged[at : at + rng.choice([1, 10, 200])]
    return bytes(damaged)


def damaged_pictures(rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents of damaged pictures."""
    pictures = valid_pictures(rng)
    yield from special_files(rng, pictures).items()
    names, contents = list(pictures), list(pictures.values())
    for i in range(count):
        name = names[i % len(names)]
        extension = rng.choice([name.rpartition(".")[2], "png", "jpg", "exe", "html"])
        yield f"{i}.{extension}", damage(rng, pictures[name], contents)


class Visitor:
    """A client that records statuses, leaks and crashes."""

    def __init__(self, address: str) -> None:
        self.client = httpx.Client(base_url=address, timeout=120)
        self.config = self.client.get("/config").json()
        self.components = {
            name: part["id"] for part in self.config["components"] for name in part["props"].get("server_fns") or []
        }
        self.statuses: Counter[str] = Counter()
        self.leaks: list[str] = []
        self.crashes: list[str] = []

    def send(self, kind: str, method: str, path: str, **request: Any) -> httpx.Response | None:
        """Send a request and check its response."""
        try:
            url = self.client.base_url.copy_with(raw_path=path.encode())  # so that "//x" is a path and not a host
            response = self.client.request(method, url, **request)
        except httpx.HTTPError as error:
            self.crashes.append(f"{kind}: {type(error).__name__}")
            return None
        self.statuses[f"{kind} {response.status_code}"] += 1
        if response.status_code >= 500 and not self.has_message(response):
            self.crashes.append(f"{kind}: {response.status_code} {response.text[:200]}")
        if response.headers.get("content-type", "").startswith(("application/json", "text/plain", "text/event-stream")):
            sent = unescaped(f"{unquote(path)} {request}")
            self.leaks += [f"{kind}: {part}" for word, part in self.leaks_in(unescaped(response.text)) if word not in sent]
        return response

    @staticmethod
    def has_message(response: httpx.Response) -> bool:
        """Whether a 500 response has an error message of ours; Gradio's named endpoints report errors in this way."""
        try:
            return bool(response.json().get("error"))
        except ValueError:
            return False

    @staticmethod
    def leaks_in(text: str) -> list[tuple[str, str]]:
        """Each match of LEAK in a text, alone and with its context."""
        return [(m.group(), text[max(0, m.start() - 20) : m.end() + 40]) for m in LEAK.finditer(text)]

    def upload(self, name: str, data: bytes) -> str | None:
        """Upload a file. Return the server's handle."""
        response = self.send("upload", "POST", "/gradio_api/upload", files={"files": (name, data)})
        return response.json()[0] if response is not None and response.status_code == 200 else None

    def function(self, name: str, data: Any, kind: str = "function") -> None:
        """Call a server function of the page."""
        body = {"session_hash": "abuse", "component_id": self.components[name], "fn_name": name, "data": data}
        self.send(kind, "POST", "/gradio_api/component_server", content=dump(body), headers=JSON)

    def endpoint(self, name: str, *arguments: Any) -> None:
        """Call a named endpoint."""
        self.send("endpoint", "POST", f"/gradio_api/run/{name}", content=dump({"data": arguments}), headers=JSON)


def unescaped(text: str) -> str:
    """The text with each run of backslashes reduced to one."""
    return re.sub(r"\\\\+", r"\\", text)


JSON = {"content-type": "application/json"}


def dump(value: Any) -> bytes:
    """JSON with NaN and Infinity, and integers of any length."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def send_pictures(visitor: Visitor, pictures: list[tuple[str, bytes]]) -> int:
    """Upload and encode every picture. Return their number."""
    for name, data in pictures:
        path = visitor.upload(name, data)
        if path is None:
            continue
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        visitor.function("encode_upload", {"model": "digits", "path": path}, "picture")
        visitor.endpoint("encode", "digits", file)
        visitor.endpoint("anomaly", "digits", file)
    return len(pictures)


def hostile(visitor: Visitor) -> int:
    """Send every value in every argument of every function and endpoint. Return the number of requests."""
    z, path = [0.0] * 8, "/tmp/gradio/none.png"
    functions: dict[str, dict[str, Any]] = {
        "open_model": {"model": "digits"},
        "cover": {"model": "digits"},
        "colour": {"model": "digits", "by": "label", "of": "map"},
        "decode_point": {"model": "digits", "z": z},
        "decode_points": {"model": "digits", "z": [z]},
        "decode_image": {"model": "digits", "index": 0},
        "decode_row": {"model": "digits", "index": 0},
        "find": {"model": "digits", "text": "3"},
        "decode_place": {"model": "digits", "x": 0.0, "y": 0.0},
        "draw_samples": {"model": "digits", "seed": 0, "temperature": 1.0, "count": 4},
        "draw_again": {"model": "digits", "mean": z, "log_variance": z, "seed": 0},
        "encode_upload": {"model": "digits", "path": path, "polarity": "auto", "trim": True, "crop": [0, 0, 1, 1]},
        "begin_run": {},
        "add_pictures": {"run": "none", "pieces": [["a.png", path]]},
        "look_at_pictures": {"run": "none", "options": {}},
        "train_run": {"run": "none", "options": {}},
        "watch_run": {"run": "none", "after": 0},
        "stop_run": {"run": "none"},
        "discard_run": {"run": "none"},
    }
    endpoints: dict[str, list[Any]] = {
        "models": [],
        "decode": ["digits", z],
        "encode": ["digits", None],
        "anomaly": ["digits", None],
        "sample": ["digits", 1, 0],
        "interpolate": ["digits", z, z, 10, "linear"],
        "neighbours": ["digits", z, 10],
    }
    missing = set(visitor.components) - set(functions)
    assert not missing, f"server functions that are not tested: {missing}"
    values = [*STRINGS, *NUMBERS, *OTHERS, *FILES]
    sent = 0
    for name, request in functions.items():
        for wrong in values:
            visitor.function(name, wrong)
            sent += 1
            for key in request:
                visitor.function(name, {**request, key: wrong})
                sent += 1
        for key in request:
            visitor.function(name, {k: v for k, v in request.items() if k != key})
            sent += 1
    for name, request in endpoints.items():
        for wrong in values:
            for i in range(len(request)):
                visitor.endpoint(name, *request[:i], wrong, *request[i + 1 :])
                sent += 1
        for length in range(len(request)):
            visitor.endpoint(name, *request[:length])
            sent += 1
    return sent


def broken(visitor: Visitor) -> int:
    """Send malformed requests. Return their number."""
    calls: list[tuple[str, str, dict[str, Any]]] = []
    bodies = [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"data":' * 50_000,
        b"x" * ((1 << 20) + 1),
        b'{"data":1}',
    ]
    endpoints = [
        "component_server",
        "run/decode",
        "call/decode",
        "queue/join",
        "run/nothing",
        "upload",
        "reset",
        "cancel",
        "heartbeat/x",
    ]
    for endpoint in endpoints:
        for body in bodies:
            for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x", "multipart/form-data"):
                calls.append(("POST", f"/gradio_api/{endpoint}", {"content": body, "headers": {"content-type": kind}}))
    for target in PATHS:
        safe = quote(target.encode("utf-8", "surrogatepass"), safe="/.%~:")[:5000]
        for route in ("file=", "file/", "static/", "assets/", "proxy=", "stream/", "component/", "custom_component/"):
            calls.append(("GET", f"/gradio_api/{route}{safe.lstrip('/')}", {}))
            calls.append(("GET", f"/gradio_api/{route}/{safe.lstrip('/')}", {}))
        calls.append(("GET", f"/{safe}", {}))
    for fake in (
        {"fn_name": "__init__"},
        {"component_id": -1},
        {"component_id": "x"},
        {"fn_name": "os.system"},
        {"session_hash": None},
    ):
        body = {
            "session_hash": "abuse",
            "component_id": next(iter(visitor.components.values())),
            "fn_name": "cover",
            "data": {},
        }
        calls.append(("POST", "/gradio_api/component_server", {"content": dump({**body, **fake}), "headers": JSON}))
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        calls.append((method, "/gradio_api/upload", {}))
    for method, path, request in calls:
        visitor.send("broken", method, path, **request)
    return len(calls)


def resident(pid: int) -> float:
    """Resident memory of a process, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def valid_request_ms(visitor: Visitor) -> float:
    """Time of a valid request, the median of 50."""
    times = []
    for _ in range(50):
        began = time.perf_counter()
        visitor.function("decode_point", {"model": "digits", "z": [0.0] * 8}, "good")
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1500)
    parser.add_argument("--passes", type=int, default=2, help="passes after the warm-up")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    pictures = list(damaged_pictures(random.Random(arguments.seed), arguments.pictures))
    crashes: list[str] = []
    leaks: list[str] = []
    with serve("-m", "explorer", "explore", "--no-browser", "--runtime", "none") as server:
        memory, times, seconds, sent, visitor = [], [], [], {}, Visitor(server.address)
        for _ in range(1 + arguments.passes):  # the first is the warm-up
            visitor, began = Visitor(server.address), time.perf_counter()
            sent = {"pictures": send_pictures(visitor, pictures), "hostile": hostile(visitor), "broken": broken(visitor)}
            seconds.append(time.perf_counter() - began)
            times.append(valid_request_ms(visitor))
            memory.append(resident(server.pid))
            crashes += visitor.crashes
            leaks += visitor.leaks
        health = visitor.client.get("/health").status_code
    result = {
        **sent,
        "seconds": statistics.median(seconds),
        "crashes": len(crashes),
        "leaks": len(leaks),
        "health": health,
        "resident_mb": [round(mb) for mb in memory],
        "good_request_ms": [round(ms, 1) for ms in times],
        "answers": dict(sorted(visitor.statuses.items())),
        "first": {"crashes": sorted(set(crashes))[:20], "leaks": sorted(set(leaks))[:20]},
    }
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
