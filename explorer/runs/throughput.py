"""Training throughput of this machine, in images per second."""

import time

import torch

import core
from core.data.preprocessing import Images, to_unit


def measure(
    architecture: core.Architecture, images: Images, batch_size: int, device: torch.device, seconds: float = 2.0
) -> float:
    """Measure training throughput in images per second, on a temporary model, for about `seconds` seconds.

    The state of the global random generator is restored.
    """
    with torch.random.fork_rng():
        vae = architecture.build().to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        optimizer = torch.optim.AdamW(vae.parameters(), fused=True)
        index = torch.arange(batch_size) % len(images)
        times: list[float] = []
        # The first step is not counted, because it allocates the memory that the others reuse.
        while len(times) < 3 or sum(times) < seconds:
            start = time.perf_counter()
            loss = -vae.elbo(to_unit(images[index].to(device)).contiguous(memory_format=torch.channels_last)).value.mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss.item()  # wait for the device
            times.append(time.perf_counter() - start)
    return batch_size * len(times[1:]) / sum(times[1:])


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device supports bfloat16 in hardware. A CPU without support takes ten times as long as with float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
