"""Arguments and options shared by several commands."""

from typing import Annotated

import typer

Bundle = Annotated[str, typer.Argument(help="Name of a pretrained model, folder of a bundle, or hf:owner/name.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
