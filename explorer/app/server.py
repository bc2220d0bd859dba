"""The app: builds the page from the header and tabs, and serves it."""

import ctypes
import gc
import os
import signal
import socket
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

# Before Gradio is imported, so that it sends no usage statistics.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import torch
from starlette.middleware import Middleware

from explorer.app import api, encode, explore, header, train
from explorer.app.assets import STATIC, Assets, pack
from explorer.app.catalogue import Catalogue
from explorer.app.limits import Limits, LimitsMiddleware, parse_auth
from explorer.app.onnx_runtime import Runtime
from explorer.app.training_jobs import TrainingJobs

FIRST_PORT = 7860
SWEEP, AGE = 600, 3600
"""Interval at which uploaded files are checked, and the age at which they are deleted, in seconds."""


def build(catalogue: Catalogue, runtime: Runtime, limits: Limits, jobs: TrainingJobs | None = None) -> gr.Blocks:
    """Build the page for these models and this runtime. It has a Train tab if `jobs` are given."""
    with gr.Blocks(title="Latentscape", analytics_enabled=False, fill_width=True, delete_cache=(SWEEP, AGE)) as page:
        header.build(catalogue)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Explore", id="explore"):
                explore.build(catalogue, runtime)
            with gr.Tab("Encode", id="encode"):
                encode.build(catalogue, limits.upload)
            if jobs is not None:
                with gr.Tab("Train", id="train"):
                    train.build(jobs, limits.upload)
    # On their own page, so that the main page does not load Gradio's components for them.
    with page.route("Endpoints", api.PAGE, show_in_navbar=False):
        api.build(catalogue)
    slow_down_queue(page)
    return page


def choose_port(host: str, port: int | None) -> int:
    """The given port, or the first free one from 7860 up. Raises ValueError if the given port is not available."""
    for candidate in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
                return candidate
            except PermissionError as error:
                raise ValueError(f"port {candidate} needs more rights than this program has; choose one above 1023.") from error
            except socket.gaierror as error:
                raise ValueError(f"host must be an address of this machine; {host!r} is not: {error}.") from error
            except OSError as error:
                if port is not None:
                    raise ValueError(f"port {port} is busy on {host}; choose another --port, or none.") from error
    raise ValueError(f"no port from {FIRST_PORT} to {FIRST_PORT + 99} is free on {host}; choose one with --port.")


def trim_memory(every: float = 30.0) -> None:
    """Make glibc's allocator return freed memory to the system at intervals (seconds).

    By default it keeps freed memory in up to eight arenas per core, each as large as its peak, and memory grows with the number
    of concurrent requests.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "malloc_trim"):  # another allocator
        return
    m_arena_max = -8
    libc.mallopt(m_arena_max, 2)

    def trim() -> None:
        while True:
            time.sleep(every)
            libc.malloc_trim(0)

    threading.Thread(target=trim, daemon=True).start()


def slow_down_queue(page: gr.Blocks) -> None:
    """Make Gradio's queue check for events 10 times a second, not 1,000 times. Only the calls of gradio_client wait in it.

    Gradio has no public setting for this. If the private attribute is gone, the server only uses more of an idle processor.
    """
    queue = getattr(page, "_queue", None)
    if hasattr(queue, "sleep_when_free"):
        queue.sleep_when_free = 0.1  # pyright: ignore[reportOptionalMemberAccess]


def serve(
    bundles: list[str],
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    browser: bool = True,
    runtime: str | None = None,
    auth: str | None = None,
    limits: Limits | None = None,
    mcp: bool = False,
    runs: Path | None = None,
    encodings: Path | None = None,
) -> None:
    """Serve the explorer for these bundles, by default for all pretrained ones, until it is interrupted.

    `runtime` is a folder with ONNX Runtime Web, "none", or None for the public CDN. `auth` is NAME:PASSWORD for a login. With
    `mcp`, the named endpoints are also tools of a Model Context Protocol server. With `runs`, visitors may train models, which
    are saved in this folder. `encodings` is a file of encodings of the only bundle, shown on its map. Raises ValueError for
    errors that the user can correct.
    """
    if mcp and find_spec("mcp") is None:
        raise ValueError('--mcp needs one more package: pip install "latentscape[mcp]".')
    trim_memory()
    # Decoding one image does not gain from threads; the cores serve different requests.
    torch.set_num_threads(1)
    limits, login = limits or Limits(), parse_auth(auth)
    catalogue, source = Catalogue.of(bundles, encodings), Runtime.of(runtime)
    jobs = TrainingJobs(runs, catalogue) if runs is not None else None
    page = build(catalogue, source, limits, jobs)
    # Open the first model while the server starts.
    threading.Thread(target=lambda: catalogue[catalogue.names[0]].describe(), daemon=True).start()
    threading.Thread(target=pack, daemon=True).start()
    # Exclude the objects created so far from garbage collection: a full collection over them takes a third of a second.
    gc.collect()
    gc.freeze()
    # SIGTERM cleans up like Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    gr.set_static_paths([*source.files, *source.graphics])
    theme = gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    try:
        page.launch(
            server_name=host,
            server_port=choose_port(host, port),
            share=share,
            inbrowser=browser,
            css_paths=STATIC / "style.css",
            theme=theme,
            allowed_paths=[str(catalogue.folder)],
            show_error=False,
            max_file_size=limits.upload,
            auth=login,
            app_kwargs={"middleware": [Middleware(LimitsMiddleware, limits=limits, login=login), Middleware(Assets)]},
            run_history=False,
            footer_links=[],
            ssr_mode=False,
            mcp_server=mcp,
        )
    finally:
        if jobs is not None:
            jobs.close()
