"""Pace: how many images a second a model trains on here."""

import time

import torch

import core
from core.data.preprocessing import Images, to_unit


def measure(
    architecture: core.Architecture, images: Images, batch_size: int, device: torch.device, seconds: float = 2.0
) -> float:
    """Images a second of whole training steps, by a few of them on a model that is then thrown away.

    The global generator is left as it was.
    """
    with torch.random.fork_rng():
        vae = architecture.build().to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        optimizer = torch.optim.AdamW(vae.parameters(), fused=True)
        index = torch.arange(batch_size) % len(images)
        times: list[float] = []
        # The first step does not count: it reserves what all others then use.
        while len(times) < 3 or sum(times) < seconds:
            start = time.perf_counter()
            loss = -vae.elbo(to_unit(images[index].to(device)).contiguous(memory_format=torch.channels_last)).value.mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss.item()  # waits for the device
            times.append(time.perf_counter() - start)
    return batch_size * len(times[1:]) / sum(times[1:])


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes with bfloat16 itself; a processor without it takes ten times as long as for float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
