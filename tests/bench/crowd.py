"""Concurrent visitors of a server that decodes: response times, and responses with another visitor's images.

Run by hand on an otherwise idle machine:  python tests/bench/crowd.py [BUNDLE] [--visitors 50] [--seconds 15] [--json]

Method: the explorer runs in a subprocess on the same machine. Each simulated visitor has one connection from its own address
(127.0.0.x). It sends requests like a dragged slider (server function decode_points over HTTP): one at a time, at most ten per
second, each for latents that no other visitor requests. Every image is compared with torch's output for the same latents; a
difference above two levels means another visitor's image. The visitors run in this process, on the same cores, which slows
the server.

requests, per_second          number of responses, and their rate
median_ms, p95_ms, max_ms     response time, from sending to the complete response
errors                        visitors that ended with an error
others_pictures               images of another visitor
server_cpu                    processor time of the server per second, in cores
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
    """Run one visitor. Return the response time in seconds, z and the received pixels of each request."""
    responses = []
    direction = torch.nn.functional.normalize(torch.randn(start.shape), dim=0)
    host, port = urlsplit(address).netloc.split(":")
    reader, writer = await asyncio.open_connection(host, port, local_addr=(f"127.0.0.{visitor + 2}", 0))
    end, step = time.perf_counter() + seconds, 0
    while (began := time.perf_counter()) < end:
        z = start + 0.05 * step * direction
        data = {"model": name, "z": [z.tolist()]}
        body = {"session_hash": f"v{visitor}", "component_id": component, "fn_name": "decode_points", "data": data}
        response = await post(reader, writer, "/gradio_api/component_server", json.dumps(body).encode())
        responses.append((time.perf_counter() - began, z, response["pixels"]))
        step += 1
        await asyncio.sleep(max(0.0, began + 1 / RATE - time.perf_counter()))
    writer.close()
    return responses


async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes) -> Any:
    """Send a request on an open connection. Return the response. A full HTTP client would take as long as the server."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    response = json.loads(await reader.readexactly(int(head.partition("content-length:")[2].split()[0])))
    if " 200 " not in head.partition("\r\n")[0] or "error" in response:
        raise RuntimeError(f"{head.partition(chr(13))[0]}: {response}")
    return response


async def crowd(address: str, bundle: core.Bundle, visitors: int, seconds: float) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=address) as client:
        config = (await client.get("/config")).json()
    component = next(c["id"] for c in config["components"] if "decode_points" in (c["props"].get("server_fns") or []))
    torch.manual_seed(0)
    starts = torch.randn(visitors, bundle.vae.prior.latents)
    await asyncio.gather(*(drag(address, component, bundle.name, i, start, 1) for i, start in enumerate(starts)))
    gc.collect()
    gc.freeze()  # so that garbage collection of this process does not add to the response times
    results = await asyncio.gather(
        *(drag(address, component, bundle.name, i, start, seconds) for i, start in enumerate(starts)), return_exceptions=True
    )
    responses = [response for result in results if not isinstance(result, BaseException) for response in result]
    times = [1000 * seconds for seconds, _, _ in responses]
    foreign_images = 0
    for part in range(0, len(responses), 256):
        chunk = responses[part : part + 256]
        expected = decode(bundle, torch.stack([z for _, z, _ in chunk])).permute(0, 2, 3, 1).flatten(1).numpy().astype(int)
        received = np.stack([np.frombuffer(base64.b64decode(pixels), np.uint8) for _, _, pixels in chunk])
        foreign_images += int((np.abs(expected - received).max(1) > 2).sum())
    return {
        "requests": len(responses),
        "per_second": len(responses) / seconds,
        "median_ms": percentile(times, 50),
        "p95_ms": percentile(times, 95),
        "max_ms": max(times),
        "errors": sum(isinstance(result, BaseException) for result in results),
        "others_pictures": foreign_images,
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
