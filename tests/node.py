"""Run the JavaScript tests of the page with Node, and make PNG files for them."""

import io
import os
import shutil
import subprocess
from pathlib import Path

from PIL import Image

NODE = shutil.which("node")
TESTS = Path(__file__).parent / "explorer" / "static"


def assert_passes_in_node(file: str, **environment: object) -> None:
    assert NODE is not None, "CI must have Node"
    variables = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    # Node 20 detects the page's files as modules by their content and writes a warning to standard error.
    result = subprocess.run([NODE, "--test", TESTS / file], capture_output=True, text=True, env=variables, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr


def png(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return file.getvalue()
