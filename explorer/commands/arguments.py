"""Arguments and options that several commands have in common."""

from typing import Annotated

import typer

Bundle = Annotated[str, typer.Argument(help="A pretrained name, a folder, or hf:owner/name.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
