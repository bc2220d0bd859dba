"""Run `latentscape` commands in subprocesses."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]

SESSION = """
import contextlib, io, json, sys
from explorer.cli import main
results = []
for command in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(command)
    except SystemExit as ended:
        results.append([ended.code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


def variables(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a subprocess: the current one without HF_ variables, then `environment`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}


def session(environment: dict[str, str], folder: Path, *commands: list[str]) -> list[tuple[int, str, str]]:
    """Run commands one after another in one subprocess in `folder`. Return the status, output and errors of each."""
    run = subprocess.run(
        [sys.executable, "-c", SESSION, json.dumps(commands)],
        env=variables(environment),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(result) for result in json.loads(run.stdout.splitlines()[-1])]


def free_port() -> int:
    """A free port. The explorer's own search can return the same port to two servers that start at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(environment: dict[str, str], folder: Path, *arguments: str) -> Iterator[str]:
    """Run `latentscape` with these arguments in `folder`. Yield its address when it is printed."""
    command = [sys.executable, "-m", "explorer", *arguments, "--no-browser", "--port", str(free_port())]
    process = subprocess.Popen(
        command, env=variables(environment), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if found := re.search(r"http://[\d.]+:(\d+)", line):
                yield f"http://127.0.0.1:{found[1]}"
                return
        raise RuntimeError(f"the explorer did not start:\n{printed}")
    finally:
        process.terminate()
        process.wait(60)


def get(address: str) -> bytes:
    """Return the body of a response."""
    with urllib.request.urlopen(address, timeout=60) as response:
        return response.read()
