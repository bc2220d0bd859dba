"""Time to the first HTTP response, compared with a hello-world Gradio app in the same environment.

Run by hand:  python tests/bench/startup.py [--rounds 5] [--json]

Method: each round starts both programs as new processes, one after the other, and requests / every 20 ms until the status is
200. The time runs from starting the process.

hello_world_s, explorer_s   time to the first response, median over rounds in seconds
ratio                       explorer_s / hello_world_s
imported                    which of umap, numba and sklearn the explorer has imported by then; it should be none
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HELLO = """
import gradio as gr
with gr.Blocks(analytics_enabled=False) as page:
    gr.Markdown("hello")
page.launch(server_port={port}, ssr_mode=False)
"""
EXPLORER = """
import sys, threading, time, urllib.request
def watch():
    while True:
        try:
            urllib.request.urlopen("http://127.0.0.1:{port}", timeout=5).read()
            break
        except OSError:
            time.sleep(0.05)
    print("imported:", [name for name in ("umap", "numba", "sklearn") if name in sys.modules], file=sys.stderr, flush=True)
threading.Thread(target=watch, daemon=True).start()
from explorer.cli import main
main(["explore", "--no-browser", "--port", "{port}"])
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def time_to_answer(program: str) -> tuple[float, str]:
    """Seconds from starting the process to its first response, and its standard error."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "stderr").open("w+") as stderr:
        environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", program.replace("{port}", str(port))],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=environment,
        )
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=30).read()
                    break
                except OSError:
                    if process.poll() is not None:
                        raise RuntimeError((Path(folder) / "stderr").read_text()) from None
                    time.sleep(0.02)
            seconds = time.perf_counter() - start
            time.sleep(0.5)
        finally:
            process.kill()
            process.wait()
        return seconds, (Path(folder) / "stderr").read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for program in (HELLO, EXPLORER):  # the first start of each reads from disk
        time_to_answer(program)
    hello, explorer, errors = [], [], ""
    for _ in range(arguments.rounds):
        hello.append(time_to_answer(HELLO)[0])
        seconds, errors = time_to_answer(EXPLORER)
        explorer.append(seconds)
    result = {
        "hello_world_s": statistics.median(hello),
        "explorer_s": statistics.median(explorer),
        "ratio": statistics.median(explorer) / statistics.median(hello),
        "imported": next(line for line in errors.splitlines() if line.startswith("imported:")).removeprefix("imported: "),
    }
    print(json.dumps(result) if arguments.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
