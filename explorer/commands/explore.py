"""`latentscape explore`: the app in the browser."""

import os
import threading
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer


def explore(
    bundles: Annotated[
        list[str] | None, typer.Argument(help="Pretrained names or folders; all pretrained ones if none.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port; without it, the first free one from 7860 up.", min=1, max=65535)
    ] = None,
    share: Annotated[bool, typer.Option("--share", help="Make a public link through Gradio.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    auth: Annotated[
        str | None, typer.Option(envvar="LATENTSCAPE_AUTH", help="NAME:PASSWORD that visitors must give; nobody else sees it.")
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            envvar="LATENTSCAPE_RUNTIME",
            help="Folder with onnxruntime-web, which decodes in the browser; none: the server does. A public CDN if not given.",
        ),
    ] = None,
    mcp: Annotated[bool, typer.Option("--mcp", help="Offer the endpoints to language models as tools, too.")] = False,
    allow_training: Annotated[
        bool | None,
        typer.Option(help="Let visitors train on their own pictures; if not said, only where none but this machine can ask."),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder for what is trained on the page.")] = Path("runs"),
    encodings: Annotated[
        Path | None, typer.Option(help="A file that `encode --data` wrote with this model: the map shows all of its images.")
    ] = None,
) -> None:
    """Open the explorer in the browser."""
    # Half of the start is torch reading its libraries: it does so beside Gradio's own imports.
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
    """Whether nobody but the people at this machine can reach a server."""
    return host in ("127.0.0.1", "localhost", "::1") and not share and "SPACE_ID" not in os.environ
