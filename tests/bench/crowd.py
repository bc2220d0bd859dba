"""Fifty visitors at once on one server that decodes: how long each waits, and whether anybody gets another's picture.

Run by hand on an otherwise idle machine:  python tests/bench/crowd.py [BUNDLE] [--visitors 50] [--seconds 15] [--json]

Method: the explorer runs as a process of its own, on the machine's cores. Each simulated visitor keeps one connection and
asks for pictures as a page does while a slider is dragged (the server function decode_points, over HTTP): one request in
flight, at most ten a second, each at a point of its own that no other visitor asks for, and from an address of its own
(127.0.0.x). The wait is from sending to the whole answer. Every picture is compared with what torch draws at that very point;
more than two levels off is somebody else's picture. The visitors run in this process, on the same cores, which counts against
the server.
"""

import argparse
import asyncio
import base64
import gc
import json
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import torch
from measure import explorer, percentile, serve, show

import core
from explorer.describe import decode

RATE = 10


async def drag(
    address: str, component: int, name: str, visitor: int, start: torch.Tensor, seconds: float
) -> list[tuple[float, torch.Tensor, str]]:
    """One visitor: wait in seconds, z, and the pixels that came, of each request."""
    answers = []
    direction = torch.nn.functional.normalize(torch.randn(start.shape), dim=0)
    host, port = urlsplit(address).netloc.split(":")
    reader, writer = await asyncio.open_connection(host, port, local_addr=(f"127.0.0.{visitor + 2}", 0))
    end, step = time.perf_counter() + seconds, 0
    while (began := time.perf_counter()) < end:
        z = start + 0.05 * step * direction
        data = {"model": name, "z": [z.tolist()]}
        body = {"session_hash": f"v{visitor}", "component_id": component, "fn_name": "decode_points", "data": data}
        answer = await post(reader, writer, "/gradio_api/component_server", json.dumps(body).encode())
        answers.append((time.perf_counter() - began, z, answer["pixels"]))
        step += 1
        await asyncio.sleep(max(0.0, began + 1 / RATE - time.perf_counter()))
    writer.close()
    return answers


async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes) -> Any:
    """The answer to one request, on a connection that stays open. A whole HTTP client takes as long as the server's work."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    answer = json.loads(await reader.readexactly(int(head.partition("content-length:")[2].split()[0])))
    if " 200 " not in head.partition("\r\n")[0] or "error" in answer:
        raise RuntimeError(f"{head.partition(chr(13))[0]}: {answer}")
    return answer


async def crowd(address: str, bundle: core.Bundle, visitors: int, seconds: float) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=address) as client:
        config = (await client.get("/config")).json()
    component = next(c["id"] for c in config["components"] if "decode_points" in (c["props"].get("server_fns") or []))
    torch.manual_seed(0)
    starts = torch.randn(visitors, bundle.vae.prior.latents)
    await asyncio.gather(*(drag(address, component, bundle.name, i, start, 1) for i, start in enumerate(starts)))
    gc.collect()
    gc.freeze()  # this process's own pauses are no wait for the server
    results = await asyncio.gather(
        *(drag(address, component, bundle.name, i, start, seconds) for i, start in enumerate(starts)), return_exceptions=True
    )
    answers = [answer for result in results if not isinstance(result, BaseException) for answer in result]
    waits = [1000 * wait for wait, _, _ in answers]
    strangers = 0
    for part in range(0, len(answers), 256):
        chunk = answers[part : part + 256]
        drawn = decode(bundle, torch.stack([z for _, z, _ in chunk])).permute(0, 2, 3, 1).flatten(1).numpy().astype(int)
        came = np.stack([np.frombuffer(base64.b64decode(pixels), np.uint8) for _, _, pixels in chunk])
        strangers += int((np.abs(drawn - came).max(1) > 2).sum())
    return {
        "requests": len(answers),
        "per_second": len(answers) / seconds,
        "median_ms": percentile(waits, 50),
        "p95_ms": percentile(waits, 95),
        "max_ms": max(waits),
        "errors": sum(isinstance(result, BaseException) for result in results),
        "others_pictures": strangers,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="fashion-mnist")
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    bundle = core.load(arguments.bundle)
    with serve(*explorer(arguments.bundle, "none")) as server:
        cpu = server.cpu_seconds()
        result = asyncio.run(crowd(server.address, bundle, arguments.visitors, arguments.seconds))
        result["server_cpu"] = (server.cpu_seconds() - cpu) / (arguments.seconds + 1)
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
