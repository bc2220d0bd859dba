"""The app: header and tabs put together, and the server that shows them."""

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

# Before Gradio is imported: nothing is reported to anybody.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import torch
from starlette.middleware import Middleware

from explorer.app import api, encode, explore, header, train
from explorer.app.assets import STATIC, Assets, pack
from explorer.app.catalogue import Catalogue
from explorer.app.limits import Guard, Limits, parse_auth
from explorer.app.onnx_runtime import Runtime
from explorer.app.training_jobs import TrainingJobs

FIRST_PORT = 7860
SWEEP, AGE = 600, 3600
"""Uploaded files are looked over this often, and deleted at this age, in seconds."""


def build(catalogue: Catalogue, runtime: Runtime, limits: Limits, jobs: TrainingJobs | None = None) -> gr.Blocks:
    """The page for these models, which decodes with this runtime, and trains where there is a workshop."""
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
    # On a page of their own: a visitor would fetch what Gradio draws their pictures, files and numbers with, for nothing.
    with page.route("Endpoints", api.PAGE, show_in_navbar=False):
        api.build(catalogue)
    return page


def choose_port(host: str, port: int | None) -> int:
    """The asked port, or the first free one from 7860 up. Raises ValueError when the asked one is taken."""
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
    """Have glibc's allocator give back what a crowd's requests have freed: of itself it keeps that in up to sixteen arenas on
    two cores, each as large as its busiest moment, and memory grows for as long as people come."""
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
    """Open the explorer on these bundles (all pretrained ones if none) and serve it until interrupted.

    `runtime` is a folder with ONNX Runtime Web, "none", or None for the public CDN; `auth` is NAME:PASSWORD, which
    visitors then must give. With `mcp`, the named endpoints are tools of a Model Context Protocol server, too.
    Where `runs` names a folder, visitors may train models of their own pictures, which are saved there. `encodings` is a file
    of those of the one bundle, all of which its map then shows. Raises ValueError for whatever the user can put right.
    """
    if mcp and find_spec("mcp") is None:
        raise ValueError('--mcp needs one more package: pip install "latentscape[mcp]".')
    trim_memory()
    # One picture is too little work to be shared: the processor's cores are for different visitors.
    torch.set_num_threads(1)
    limits, login = limits or Limits(), parse_auth(auth)
    catalogue, source = Catalogue.of(bundles, encodings), Runtime.of(runtime)
    jobs = TrainingJobs(runs, catalogue) if runs is not None else None
    page = build(catalogue, source, limits, jobs)
    # Nothing here waits in Gradio's queue, which would look into it a thousand times a second.
    page._queue.sleep_when_free = 0.1
    # The first model is opened while the server starts: whichever needs it first waits for the other no longer than needed.
    threading.Thread(target=lambda: catalogue[catalogue.names[0]].describe(), daemon=True).start()
    threading.Thread(target=pack, daemon=True).start()
    # What is there by now stays. A full collection would look through all of it: a third of a second, every few of a crowd.
    gc.collect()
    gc.freeze()
    # A polite kill cleans up as Ctrl-C does.
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
            app_kwargs={"middleware": [Middleware(Guard, limits=limits), Middleware(Assets)]},
            run_history=False,
            footer_links=[],
            ssr_mode=False,
            mcp_server=mcp,
        )
    finally:
        if jobs is not None:
            jobs.close()
