"""`latentscape explore`: serve the app and open it in the browser."""

import os
import threading
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer


def explore(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of pretrained models, folders of bundles, or hf:owner/name; all pretrained models if not given."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 listens on every interface.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; the first free port from 7860 if not given.", min=1, max=65535)
    ] = None,
    share: Annotated[bool, typer.Option("--share", help="Create a public link through Gradio's servers.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    auth: Annotated[
        str | None,
        typer.Option(envvar="LATENTSCAPE_AUTH", help="NAME:PASSWORD that visitors must enter; no login if not given."),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            envvar="LATENTSCAPE_RUNTIME",
            help="Folder with onnxruntime-web, which decodes in the browser; the public CDN jsDelivr if not given. "
            "The value none makes the server decode.",
        ),
    ] = None,
    mcp: Annotated[bool, typer.Option("--mcp", help="Also offer the API endpoints to language models as MCP tools.")] = False,
    allow_training: Annotated[
        bool | None,
        typer.Option(
            help="Let visitors train on their own pictures. If not given, only if no other machine can reach the server."
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder for the models that are trained in the Train tab.")] = Path("runs"),
    encodings: Annotated[
        Path | None, typer.Option(help="File that `encode --data` wrote with this model; the map shows all of its images.")
    ] = None,
) -> None:
    """Start the explorer and open it in the browser."""
    # Loading torch takes half of the start-up time, so it runs in parallel with the import of Gradio.
    threading.Thread(target=import_module, args=("torch",)).start()
    from explorer.app.server import serve

    if allow_training is None:
        allow_training = is_private(host, share)
    serve(
        bundles or [],
        host=host,
        port=port,
        share=share,
        browser=not no_browser,
        runtime=runtime,
        auth=auth,
        mcp=mcp,
        runs=runs if allow_training else None,
        encodings=encodings,
    )


def is_private(host: str, share: bool) -> bool:
    """Whether only users of this machine can reach the server."""
    return host in ("127.0.0.1", "localhost", "::1") and not share and "SPACE_ID" not in os.environ
