"""The page's own tests, run by Node, and the PNG files that they are given."""

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
    # The page's files are modules by their content, which Node 20 says on standard error.
    result = subprocess.run([NODE, "--test", TESTS / file], capture_output=True, text=True, env=variables, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr


def png(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return file.getvalue()
