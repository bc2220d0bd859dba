"""A hundred visitors for ten minutes on a server that decodes: response times, errors, memory, and recovery from SIGKILL.

Run by hand on an otherwise idle machine:  python tests/bench/load.py [BUNDLE] [--visitors 100] [--minutes 10] [--json]

Method: the explorer runs in a subprocess. Each simulated visitor has its own address (127.0.0.x) and one connection, and sends
what a page without its own decoder sends, in random order: it drags a slider for three seconds (one request at a time, at
most ten per second), clicks the map on an image or between images, draws samples, or uploads and encodes a picture. It waits
one to four seconds between actions. After the run, every response is compared with core's result for the same request. At the
end the server is killed (SIGKILL) during requests, every bundle is loaded and its hashes are checked, and the server is
started again. The visitors run in this process, on the same cores, which slows the server.

requests, per_second                 number of responses, and their rate
errors, first_errors                 failed requests; up to ten of their messages
refused                              responses of the limits, by status (413, 429, 503)
compared, crossed                    compared responses; those with the result of another request
all_p95_ms, p95_ms, median_ms        response time, from sending to the complete response; of all kinds, and of each kind
resident_mb                          resident memory of the server, MiB; median of each minute
bundle_intact_after_kill             whether the bundle's hashes are unchanged after SIGKILL
started_again                        status of /health after the restart
"""

import argparse
import asyncio
import base64
import gc
import json
import os
import random
import signal
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import torch
from abuse import resident
from measure import explorer, percentile, serve, show

import core
from core.bundle.folders import locate
from explorer.describe import decode

RATE, DRAG = 10, 3.0


@dataclass
class Results:
    """The results of all requests."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[int] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    checks: list[Callable[[], bool]] = field(default_factory=list)
    """Functions that compare a response with core's result. They are called after the run."""
    over: bool = False


class Visitor:
    """A simulated visitor."""

    def __init__(self, number: int, address: str, component: dict[str, int], bundle: core.Bundle, results: Results) -> None:
        # Like a browser: a connection that was idle for longer is not used again, because the server may have closed it.
        limits = httpx.Limits(keepalive_expiry=2)
        transport = httpx.AsyncHTTPTransport(local_address=f"127.0.0.{number + 2}", limits=limits)
        self.client = httpx.AsyncClient(base_url=address, timeout=60, transport=transport)
        self.number, self.component, self.bundle, self.results = number, component, bundle, results
        self.random = random.Random(number)
        self.generator = torch.Generator().manual_seed(number)

    async def live(self, end: float) -> None:
        """Do random actions until the end."""
        await asyncio.sleep(self.random.uniform(0, 4))
        while time.perf_counter() < end and not self.results.over:
            await self.random.choice([self.drag, self.drag, self.click, self.click, self.samples, self.upload])()
            await asyncio.sleep(self.random.uniform(1, 4))
        await self.client.aclose()

    async def post(self, kind: str, path: str, **request: Any) -> Any:
        """Send a request. Return its response, or None if it was refused or failed."""
        began = time.perf_counter()
        try:
            response = await self.client.post(path, **request)
        except httpx.HTTPError as error:
            if not self.results.over:
                self.results.errors.append(f"{kind}: {type(error).__name__}")
            return None
        self.results.times[kind].append(1000 * (time.perf_counter() - began))
        if response.status_code in (413, 429, 503):
            self.results.refused[response.status_code] += 1
            return None
        content = response.json() if response.status_code == 200 else {"error": f"status {response.status_code}"}
        if "error" in content:
            self.results.errors.append(f"{kind}: {content['error']}")
            return None
        return content

    async def call(self, kind: str, name: str, **data: Any) -> Any:
        """Call a server function of the page."""
        data = {"model": self.bundle.name, **data}
        body = {"session_hash": f"v{self.number}", "component_id": self.component[name], "fn_name": name, "data": data}
        return await self.post(kind, "/gradio_api/component_server", json=body)

    def compare(self, response: Any, z: Callable[[], torch.Tensor]) -> None:
        """Add a check that the received pixels are those of these latents (n, latents)."""

        def correct() -> bool:
            received = np.frombuffer(base64.b64decode(response["pixels"]), np.uint8).astype(int)
            expected = decode(self.bundle, z()).permute(0, 2, 3, 1).flatten().numpy()
            return received.shape == expected.shape and bool((np.abs(received - expected) <= 2).all())

        if response is not None:
            self.results.checks.append(correct)

    async def drag(self) -> None:
        latents = self.bundle.vae.prior.latents
        start = torch.randn(latents, generator=self.generator)
        direction = torch.nn.functional.normalize(torch.randn(latents, generator=self.generator), dim=0)
        end, step = time.perf_counter() + DRAG, 0
        while (began := time.perf_counter()) < end and not self.results.over:
            z = (start + 0.05 * step * direction)[None]
            self.compare(await self.call("drag", "decode_points", z=z.tolist()), lambda z=z: z)
            step += 1
            await asyncio.sleep(max(0.0, began + 1 / RATE - time.perf_counter()))

    async def click(self) -> None:
        gallery, chart = self.bundle.gallery, self.bundle.map
        assert gallery is not None
        assert chart is not None
        index = self.random.randrange(len(gallery))
        if self.random.random() < 0.5:
            response = await self.call("click", "decode_image", index=index)
            self.compare(response, lambda: gallery.mean[index][None])
        else:
            xy = gallery.xy[index] + 0.3 * torch.randn(2, generator=self.generator)
            response = await self.call("click", "decode_place", x=xy[0].item(), y=xy[1].item())
            self.compare(response, lambda: chart.lift(xy[None]))

    async def samples(self) -> None:
        seed = self.random.randrange(2**31)
        response = await self.call("samples", "draw_samples", seed=seed, temperature=1.0, count=16)
        self.compare(response, lambda: self.bundle.vae.prior.sample(16, torch.Generator().manual_seed(seed)))

    async def upload(self) -> None:
        gallery = self.bundle.gallery
        assert gallery is not None
        index = self.random.randrange(len(gallery))
        files = {"files": (f"{self.number}.png", gallery.pngs[index], "image/png")}
        response = await self.post("upload", "/gradio_api/upload", files=files)
        if response is None:
            return
        response = await self.call("encode", "encode_upload", path=response[0], polarity="keep", trim=False)
        if response is not None:
            mean = response["mean"]
            self.results.checks.append(lambda: np.allclose(mean, gallery.mean[index], rtol=1e-2, atol=1e-2))


async def components(address: str) -> dict[str, int]:
    """The page's server functions → the id of their component."""
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        config = (await client.get("/config")).json()
    return {name: part["id"] for part in config["components"] for name in part["props"].get("server_fns") or []}


async def crowd(address: str, pid: int, bundle: core.Bundle, visitors: int, seconds: float, results: Results) -> list[float]:
    """Run all visitors and kill the server at the end. Return its memory (MiB), sampled every ten seconds."""
    component = await components(address)
    gc.collect()
    gc.freeze()  # so that garbage collection of this process does not add to the response times
    memory, end = [], time.perf_counter() + seconds
    tasks = [asyncio.create_task(Visitor(i, address, component, bundle, results).live(end + 60)) for i in range(visitors)]
    while time.perf_counter() < end:
        await asyncio.sleep(10)
        memory.append(resident(pid))
    results.over = True
    os.kill(pid, signal.SIGKILL)
    await asyncio.gather(*tasks)
    return memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="fashion-mnist")
    parser.add_argument("--visitors", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bundle, results = core.load(arguments.bundle), Results()
    hashes = (locate(arguments.bundle) / "manifest.json").read_bytes()
    with serve(*explorer(arguments.bundle, "none")) as server:
        memory = asyncio.run(crowd(server.address, server.pid, bundle, arguments.visitors, 60 * arguments.minutes, results))
    core.load(arguments.bundle)  # every file's size and hash is checked against the manifest
    intact = (locate(arguments.bundle) / "manifest.json").read_bytes() == hashes
    with serve(*explorer(arguments.bundle, "none")) as server:
        restarted = httpx.get(f"{server.address}/health").status_code
    with torch.no_grad():
        crossed = sum(not correct() for correct in results.checks)
    requests = sum(map(len, results.times.values()))
    result = {
        "requests": requests,
        "per_second": requests / (60 * arguments.minutes),
        "errors": len(results.errors),
        "refused": dict(results.refused),
        "compared": len(results.checks),
        "crossed": crossed,
        "all_p95_ms": percentile([time for times in results.times.values() for time in times], 95),
        "p95_ms": {kind: percentile(times, 95) for kind, times in results.times.items()},
        "median_ms": {kind: statistics.median(times) for kind, times in results.times.items()},
        "resident_mb": [round(statistics.median(memory[i : i + 6])) for i in range(0, len(memory), 6)],
        "bundle_intact_after_kill": intact,
        "started_again": restarted,
        "first_errors": sorted(set(results.errors))[:10],
    }
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
