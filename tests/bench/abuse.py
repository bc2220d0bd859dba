"""What strangers may send: damaged pictures, hostile values and broken requests, thousands of them, against a running explorer.

Run by hand:  python tests/bench/abuse.py [--pictures 1500] [--seed 0] [--json]

Method: the explorer runs as a process of its own with its pretrained models. Pictures (`damaged`) are made of good files of
every common format, grey, colour, palette and transparent: cut off, bytes flipped, joined, renamed, bombs, headers that claim
huge sizes, other kinds of file under a picture's name. Each is uploaded as the page does it and given to the Encode tab's
function and to /encode and /anomaly. Values (`hostile`) go into every argument of every endpoint and every server function,
one at a time, the other arguments being good: wrong types, numbers that are not finite, too large or too many, names that are
paths. Requests (`broken`) are wrong as HTTP: bad JSON, deep nesting, bodies over the limit, paths out of the folders that are
handed out.

A leak is a traceback, or a path of the server that was not sent and is not Gradio's handle to a file that it made for the
caller, in any answer. A crash is an answer of 500 without words of ours, a connection that ends, or a server that no longer
runs. All of it is sent `--passes` times after a first time, in which whatever is loaded once is loaded: the server's resident
set, and the median of 50 good requests, after each time, the first included.
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
"""Words that no answer may hold but for what the caller had sent himself: the handles of files that the page fetches, Gradio's
and the catalogue's, are none of them."""


def good(rng: random.Random) -> dict[str, bytes]:
    """Good pictures of every format and mode, by name."""
    made = {}
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
            made[f"{kind}-{mode.replace(';', '')}.{kind.lower()}"] = buffer.getvalue()
    return made


def png(width: int, height: int, body: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def special(rng: random.Random, pictures: dict[str, bytes]) -> dict[str, bytes]:
    """Bombs, claims, polyglots and things that are no pictures, by name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../evil.py", "import os")
    first = pictures["PNG-RGB.png"]
    made = {
        "empty.png": b"",
        "bomb.png": png(50_000, 50_000, zlib.compress(bytes(20_000_000), 9)),
        "just-too-large.png": png(7072, 7072, zlib.compress(bytes(7072 * (7072 * 3 + 1)), 9)),
        "zero.png": png(0, 0, zlib.compress(b"")),
        "most.png": png(2**31 - 1, 2**31 - 1, b""),
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
    return made | dict.fromkeys(named, first)


def animation(rng: random.Random, frames: int) -> bytes:
    """A GIF of many frames."""
    images = [Image.new("L", (64, 64), rng.randrange(256)) for _ in range(frames)]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:])
    return buffer.getvalue()


def damage(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """A good file, spoiled in one of six ways."""
    spoiled = bytearray(data)
    match rng.randrange(6):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            for _ in range(rng.choice([1, 4, 64])):
                spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
        case 2:
            at = rng.randrange(min(len(spoiled), 64))
            spoiled[at : at + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"])
        case 3:
            other = rng.choice(others)
            return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]
        case 4:
            at = rng.randrange(len(spoiled))
            spoiled[at:at] = rng.randbytes(rng.choice([1, 100, 5000]))
        case _:
            at = rng.randrange(len(spoiled))
            del spoiled[at : at + rng.choice([1, 10, 200])]
    return bytes(spoiled)


def damaged(rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Pictures that are none, or hardly, with the names they come under."""
    pictures = good(rng)
    yield from special(rng, pictures).items()
    names, contents = list(pictures), list(pictures.values())
    for i in range(count):
        name = names[i % len(names)]
        extension = rng.choice([name.rpartition(".")[2], "png", "jpg", "exe", "html"])
        yield f"{i}.{extension}", damage(rng, pictures[name], contents)


class Visitor:
    """A stranger's connection to the server, who notes what came back."""

    def __init__(self, address: str) -> None:
        self.client = httpx.Client(base_url=address, timeout=120)
        self.config = self.client.get("/config").json()
        self.components = {
            name: part["id"] for part in self.config["components"] for name in part["props"].get("server_fns") or []
        }
        self.statuses: Counter[str] = Counter()
        self.leaks: list[str] = []
        self.crashes: list[str] = []

    def send(self, what: str, method: str, path: str, **request: Any) -> httpx.Response | None:
        """One request, of any kind; its answer is looked over."""
        try:
            url = self.client.base_url.copy_with(raw_path=path.encode())  # "//x" is a path here, and no host
            response = self.client.request(method, url, **request)
        except httpx.HTTPError as error:
            self.crashes.append(f"{what}: {type(error).__name__}")
            return None
        self.statuses[f"{what} {response.status_code}"] += 1
        if response.status_code >= 500 and not self.said(response):
            self.crashes.append(f"{what}: {response.status_code} {response.text[:200]}")
        if response.headers.get("content-type", "").startswith(("application/json", "text/plain", "text/event-stream")):
            sent = unescaped(f"{unquote(path)} {request}")
            self.leaks += [f"{what}: {found}" for word, found in self.found(unescaped(response.text)) if word not in sent]
        return response

    @staticmethod
    def said(response: httpx.Response) -> bool:
        """Whether a 500 is Gradio's form of an error in our words: that is how a named endpoint refuses."""
        try:
            return bool(response.json().get("error"))
        except ValueError:
            return False

    @staticmethod
    def found(text: str) -> list[tuple[str, str]]:
        """What must not be there, alone and with a little around it."""
        return [(m.group(), text[max(0, m.start() - 20) : m.end() + 40]) for m in LEAK.finditer(text)]

    def upload(self, name: str, data: bytes) -> str | None:
        """The server's handle to an uploaded file."""
        response = self.send("upload", "POST", "/gradio_api/upload", files={"files": (name, data)})
        return response.json()[0] if response is not None and response.status_code == 200 else None

    def function(self, name: str, data: Any, what: str = "function") -> None:
        """Call a server function of the page."""
        body = {"session_hash": "abuse", "component_id": self.components[name], "fn_name": name, "data": data}
        self.send(what, "POST", "/gradio_api/component_server", content=dump(body), headers=JSON)

    def endpoint(self, name: str, *arguments: Any) -> None:
        """Call a named endpoint."""
        self.send("endpoint", "POST", f"/gradio_api/run/{name}", content=dump({"data": arguments}), headers=JSON)


def unescaped(text: str) -> str:
    """Text in which a backslash is one, however often it was quoted."""
    return re.sub(r"\\\\+", r"\\", text)


JSON = {"content-type": "application/json"}


def dump(value: Any) -> bytes:
    """JSON with NaN and Infinity, and integers of any length."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def show_pictures(visitor: Visitor, pictures: list[tuple[str, bytes]]) -> int:
    """Upload them all and have the model look at each; returns how many."""
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
    """Every value in every argument of every function and endpoint, one at a time; returns how many were sent."""
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
    assert not missing, f"functions that nothing is sent to: {missing}"
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
        for short in range(len(request)):
            visitor.endpoint(name, *request[:short])
            sent += 1
    return sent


def broken(visitor: Visitor) -> int:
    """What is wrong before anybody looks at its values; returns how many were sent."""
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
    doors = [
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
    for door in doors:
        for body in bodies:
            for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x", "multipart/form-data"):
                calls.append(("POST", f"/gradio_api/{door}", {"content": body, "headers": {"content-type": kind}}))
    for target in PATHS:
        safe = quote(target.encode("utf-8", "surrogatepass"), safe="/.%~:")[:5000]
        for door in ("file=", "file/", "static/", "assets/", "proxy=", "stream/", "component/", "custom_component/"):
            calls.append(("GET", f"/gradio_api/{door}{safe.lstrip('/')}", {}))
            calls.append(("GET", f"/gradio_api/{door}/{safe.lstrip('/')}", {}))
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
    """The resident set of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def normal(visitor: Visitor) -> float:
    """Milliseconds that a good request takes, the median of 50."""
    times = []
    for _ in range(50):
        began = time.perf_counter()
        visitor.function("decode_point", {"model": "digits", "z": [0.0] * 8}, "good")
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1500)
    parser.add_argument("--passes", type=int, default=2, help="after the one that warms up")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    pictures = list(damaged(random.Random(arguments.seed), arguments.pictures))
    crashes: list[str] = []
    leaks: list[str] = []
    with serve("-m", "explorer", "explore", "--no-browser", "--runtime", "none") as server:
        memory, took, seconds, sent, visitor = [], [], [], {}, Visitor(server.address)
        for _ in range(1 + arguments.passes):  # the first only warms up
            visitor, began = Visitor(server.address), time.perf_counter()
            sent = {"pictures": show_pictures(visitor, pictures), "hostile": hostile(visitor), "broken": broken(visitor)}
            seconds.append(time.perf_counter() - began)
            took.append(normal(visitor))
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
        "good_request_ms": [round(ms, 1) for ms in took],
        "answers": dict(sorted(visitor.statuses.items())),
        "first": {"crashes": sorted(set(crashes))[:20], "leaks": sorted(set(leaks))[:20]},
    }
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
