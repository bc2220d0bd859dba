"""The `latentscape` command line: registers the commands and turns user errors into one line."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from explorer.commands import bundles, encode, explore, share, train

app = typer.Typer(
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train variational autoencoders and explore their latent spaces. Without a command, explore is run.",
)
COMMANDS = {
    "explore": (explore.explore, "fashion-mnist runs/shoes --port 8000"),
    "list": (bundles.list_models, ""),
    "train": (train.train, "photos/ --out runs/photos --minutes 20"),
    "recipes": (train.recipes, ""),
    "evaluate": (bundles.evaluate, "fashion-mnist --data data/fashion-mnist --json"),
    "encode": (encode.encode, "fashion-mnist shoe.jpg --json"),
    "decode": (encode.decode, 'digits --z "0,0,1.5,0,0,0,0,0" --out digit.png'),
    "project": (bundles.project, "runs/photos --method pca"),
    "calibrate": (bundles.calibrate, "runs/shoes --data data/shoes"),
    "export": (share.export, "fashion-mnist site --static --runtime runtime"),
    "publish": (share.publish, "runs/shoes ada/shoes"),
    "pull": (share.pull, "ada/shoes --out shoes"),
}
"""The function of each command, and the arguments of the example that its --help shows."""

for name, (function, example) in COMMANDS.items():
    app.command(name, epilog=f"Example:  latentscape {name} {example}".rstrip())(function)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. An error that the user can correct prints one line and exits with status 2."""
    avoid_spinning()
    args = list(sys.argv[1:] if arguments is None else arguments)
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    if not args or (args[0] not in command.commands and args[0] not in ("-h", "--help")):
        args = ["explore", *args]
    try:
        status = command.main(args, prog_name="latentscape", standalone_mode=False)
    except TyperException as error:
        fail(error.format_message())
    except (ValueError, FloatingPointError, OSError) as error:
        fail(str(error))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


def avoid_spinning() -> None:
    """Make OpenMP's threads sleep while they wait for each other, instead of spinning. Takes effect before torch is imported.

    Spinning makes training several times slower if another program uses one of the cores. A setting of the user is not changed.
    tests/bench/busy_machine.py compares the choices.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def fail(message: str) -> NoReturn:
    """Print one line on standard error and exit with status 2."""
    print("latentscape: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
