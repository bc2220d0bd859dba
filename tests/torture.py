"""The torture folder: 300 files, with pictures of every mode and shape and with every kind of unreadable file.

    python tests/torture.py FOLDER

Every picture has four quadrants of one colour each, so the expected image is known without reading the file.
"""

import io
import os
import socket
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

FILES = 300
MATTE = (10, 200, 30)
"""The matte colour under transparent pictures, RGB."""

Colours = list[tuple[int, int, int]]
"""The RGB colours of the quadrants: top left, top right, bottom left, bottom right."""


@dataclass
class Torture:
    """The expected result: the colours and tolerance (levels) of each picture, and the names of other files by reason."""

    pictures: dict[str, tuple[Colours, int]] = field(default_factory=dict)
    left_out: dict[str, set[str]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of files in the folder."""
        return len(self.pictures) + sum(map(len, self.left_out.values()))


def quadrants(values: list[Any], size: tuple[int, int], dtype: type = np.uint8) -> np.ndarray:
    """An array (height, width, …) of four quadrants, each of one value."""
    width, height = size
    grid = np.array(values, dtype).reshape(2, 2, *np.shape(values[0]))
    rows, columns = (np.arange(height) * 2 // max(height, 2), np.arange(width) * 2 // max(width, 2))
    return grid[rows][:, columns]


def random_colours(rng: np.random.Generator) -> Colours:
    """Four random colours, without the darkest and lightest levels."""
    return [tuple(int(c) for c in rng.integers(20, 236, 3)) for _ in range(4)]  # pyright: ignore[reportReturnType]


def greys(*levels: int) -> Colours:
    """Grey colours of these levels."""
    return [(level, level, level) for level in levels]


def build(folder: Path) -> Torture:
    """Fill a folder, deterministically. Return the expected result."""
    rng, torture = np.random.default_rng(0), Torture()
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, content: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def picture(
        name: str, image: Image.Image, colours: Colours, tolerance: int = 2, format: str | None = None, **how: Any
    ) -> None:
        file = io.BytesIO()
        image.save(file, format or Image.registered_extensions()[Path(name).suffix.lower()], **how)
        write(name, file.getvalue())
        torture.pictures[name] = colours, tolerance

    def bad_file(reason: str, name: str, make: Callable[[Path], Any] | bytes = b"") -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make) if isinstance(make, bytes) else make(path)
        torture.left_out.setdefault(reason, set()).add(name)

    _modes(picture, rng)
    _shapes(picture, rng)
    _faults(bad_file, folder, rng)
    while torture.count < FILES:
        i = len(torture.pictures)
        size = int(rng.integers(16, 200)), int(rng.integers(16, 200))
        colours = random_colours(rng)
        name = f"many/{'abc'[i % 3]}/{i}.{('png', 'webp', 'bmp')[i % 3]}"
        picture(name, Image.fromarray(quadrants(colours, size)), colours, 2, None, **({"lossless": True} if i % 3 == 1 else {}))
    return torture


def _modes(picture: Callable[..., None], rng: np.random.Generator) -> None:
    """Write a picture of every mode and format."""
    size, levels, colours = (40, 30), [0, 90, 180, 255], random_colours(rng)
    grey = Image.fromarray(quadrants(levels, size))
    colour = Image.fromarray(quadrants(colours, size))
    picture("modes/1.png", Image.fromarray(quadrants([0, 255, 255, 0], size)).convert("1"), greys(0, 255, 255, 0))
    picture("modes/L.png", grey, greys(*levels))
    picture("modes/RGB.png", colour, colours)
    picture("modes/P.png", colour.quantize(8), colours, 6)
    picture("modes/YCbCr.jpg", colour, colours, 12, quality=95, subsampling=0)
    other = Image.fromarray(quadrants(colours[::-1], size))
    picture("modes/progressive.jpg", other, colours[::-1], 12, progressive=True, quality=95)
    grey_alpha, colour_alpha = [(0, 255), (90, 255), (180, 255), (7, 0)], [*((*c, 255) for c in colours[:3]), (9, 9, 9, 0)]
    for mode, values in (("LA", grey_alpha), ("RGBA", colour_alpha)):
        clear = [*(greys(*levels[:3]) if mode == "LA" else colours[:3]), MATTE]
        image = Image.fromarray(quadrants(values, size))
        picture(f"modes/{mode}.png", image, clear)
        picture(f"modes/{mode}.webp", image.convert("RGBA"), clear, 3, lossless=True)
    half = [(200, 100, 0, 128)] * 4
    mixed = tuple(round((c * 128 + p * 127) / 255) for c, p in zip((200, 100, 0), MATTE, strict=True))
    picture("modes/half.png", Image.fromarray(quadrants(half, size)), [mixed] * 4)  # pyright: ignore[reportArgumentType]
    palette = Image.fromarray(quadrants([0, 1, 2, 3], size)).convert("P")
    palette.putpalette([level for one in colours for level in one])
    picture("modes/P-entry.png", palette, [colours[0], MATTE, *colours[2:]], transparency=1)
    picture("modes/P-bytes.png", palette, [MATTE, *colours[1:]], transparency=bytes([0, 255, 255, 255]))
    picture("modes/P-entry.gif", palette, [*colours[:2], MATTE, colours[3]], transparency=2)
    picture("modes/RGB-key.png", colour, [*colours[:3], MATTE], transparency=colours[3])
    picture("modes/L-key.png", grey, [MATTE, *greys(*levels[1:])], transparency=0)
    inks = [(0, 0, 0, 0), (0, 0, 0, 255), (255, 0, 0, 0), (0, 255, 255, 0)]
    printed = [(255, 255, 255), (0, 0, 0), (0, 255, 255), (255, 0, 0)]
    for kind in ("jpg", "tif"):
        picture(f"modes/CMYK.{kind}", Image.fromarray(quadrants(inks, size), "CMYK"), printed, 12)
    deep = Image.fromarray(quadrants([level * 257 for level in levels], size, np.uint16))
    picture("modes/I16.png", deep, greys(*levels))
    picture("modes/I16.tif", deep, greys(*levels))
    picture("modes/I16B.tif", Image.frombytes("I;16B", size, np.asarray(deep).astype(">u2").tobytes()), greys(*levels))
    picture("modes/I.tif", Image.fromarray(quadrants([-400, 0, 200, 800], size, np.int32)), greys(0, 85, 128, 255))
    picture("modes/F.tif", Image.fromarray(quadrants([0, 0.25, 0.5, 1], size, np.float32)), greys(0, 64, 128, 255))
    broken_floats = quadrants([0, 2, 4, 8], size, np.float32)
    broken_floats[0, 0], broken_floats[0, -1] = np.inf, np.nan
    picture("modes/F-inf.tif", Image.fromarray(broken_floats), greys(0, 64, 128, 255))
    lab = ImageCms.profileToProfile(colour, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
    assert lab is not None
    picture("modes/LAB.tif", lab, colours, 8)
    picture("modes/JPEG2000.jp2", colour, colours)
    picture("modes/AVIF.avif", colour, colours, 16, quality=95)
    picture("modes/PGM.pgm", grey, greys(*levels))
    picture("modes/QOI.qoi", colour, colours)
    picture("modes/ICO.ico", Image.fromarray(quadrants(colours, (32, 32))), colours, sizes=[(32, 32)])
    picture("modes/no-suffix", Image.fromarray(quadrants(colours[::-1], (33, 31))), colours[::-1], format="PNG")
    picture("modes/wrong-suffix.jpg", Image.fromarray(quadrants(colours, (35, 31))), colours, format="PNG")
    picture("modes/SHOUTING.PNG", Image.fromarray(quadrants(colours, (36, 31))), colours)
    frames = [Image.fromarray(quadrants(order, (24, 24))) for order in (colours, colours[::-1])]
    for kind, tolerance in (("gif", 6), ("webp", 3), ("png", 2), ("tif", 2)):
        how = {"lossless": True} if kind == "webp" else {}
        picture(f"modes/moving.{kind}", frames[0], colours, tolerance, save_all=True, append_images=frames[1:], **how)


def _shapes(picture: Callable[..., None], rng: np.random.Generator) -> None:
    """Write EXIF orientations, extreme aspect ratios, large pictures, unusual names, nested folders, one without a label."""
    for orientation in range(1, 9):
        colours = random_colours(rng)
        upright = Image.fromarray(quadrants(colours, (32, 48)))
        undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the camera's rotation, as Pillow's transpositions
        rotated = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
        exif = Image.Exif()
        exif[0x0112] = orientation
        kind = ("jpg", "png")[orientation % 2]
        how = {"quality": 95, "subsampling": 0} if kind == "jpg" else {}
        picture(f"held/{orientation}.{kind}", rotated, colours, 14, exif=exif, **how)
    for width, height in ((1, 1), (1, 500), (500, 1), (3000, 10), (10, 3000), (16, 16)):
        colours = random_colours(rng)
        colours = [colours[0]] * 4 if width == height == 1 else colours
        colours = [colours[0], colours[0], colours[2], colours[2]] if width == 1 < height else colours
        colours = [colours[0], colours[1], colours[0], colours[1]] if height == 1 < width else colours
        picture(f"shapes/{width}x{height}.png", Image.fromarray(quadrants(colours, (width, height))), colours, 4)
    for kind in ("png", "jpg"):
        colours = random_colours(rng)
        how = {"compress_level": 1} if kind == "png" else {}
        picture(f"shapes/large.{kind}", Image.fromarray(quadrants(colours, (5000, 5000))), colours, 6, **how)
    awkward = ["mit Leer zeichen", "äöü-日本-🦊", "100%#[x]{y}", "a'b\"c"]
    for name in (*(f"names/{name}.png" for name in awkward), "top.png", "deep/a/b/c/d/e.png"):
        colours = random_colours(rng)
        picture(name, Image.fromarray(quadrants(colours, (20, 20))), colours)


def _faults(bad_file: Callable[..., None], folder: Path, rng: np.random.Generator) -> None:
    """Write files that are not readable pictures, one or more for each reason."""
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(file, "PNG")
    png = file.getvalue()
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(file, "JPEG")
    jpeg = file.getvalue()
    for i, kind in enumerate(("png", "jpg", "gif", "tif", "webp", "bmp", "txt", "")):
        bad_file("empty", f"faults/empty-{i}.{kind}".rstrip("."))
    for i in range(8):
        bad_file("broken", f"faults/cut-{i}.png", png[: 40 + i * (len(png) // 9)])
        bad_file("broken", f"faults/cut-{i}.jpg", jpeg[: 25 + i * (len(jpeg) // 9)])
        bad_file("broken", f"faults/noise-{i}.{('png', 'jpg', 'gif', 'webp')[i % 4]}", rng.bytes(500 + i))
        bad_file("not an image", f"faults/noise-{i}.dat", rng.bytes(600 + i))
    bad_file("broken", "faults/checksum.png", png[:60] + bytes([png[60] ^ 255]) + png[61:])
    bad_file("broken", "faults/text.png", b"this is not a picture")
    bad_file("broken", "faults/zeros.tif", bytes(1000))
    bad_file("broken", "faults/page.jpg", b"<!doctype html><title>404</title>")
    text = b"Comment\0\0" + zlib.compress(bytes(100 * 2**20), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    bad_file("broken", "faults/text-bomb.png", png[:33] + chunk + png[33:])
    for name, content in {
        "notes.txt": b"notes",
        "metadata.json": b"{}",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "paper.pdf": b"%PDF-1.4\n%%EOF",
        "figure.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "film.mp4": b"\0\0\0\x18ftypmp42" + bytes(100),
        "table.csv": b"file,label\na.png,1\n",
        "code.py": b"print(1)\n",
    }.items():
        bad_file("not an image", f"faults/{name}", content)
    for i, (width, height) in enumerate(((100_000, 100_000), (20_000, 20_000), (2**31 - 1, 1), (65_000, 1_000))):
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        header = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
        bad_file("too large", f"faults/bomb-{i}.png", png[:8] + header + png[33:])
    bad_file("too large", "faults/black.png", _black(9000))
    bad_file("too large", "faults/sparse.bmp", lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 2**33))
    for i, name in enumerate(("modes/L.png", "modes/RGB.png", "held/3.png", "shapes/1x1.png", "top.png", "modes/CMYK.jpg")):
        copy = (folder / name).read_bytes()
        # Its name sorts after the original's, so that the copy is left out.
        bad_file("duplicate", f"zz copies/{i}{Path(name).suffix}", copy)
        bad_file("duplicate", f"zz copies/{i} (1){Path(name).suffix}", copy)
    bad_file("duplicate", "zz copies/link.png", lambda path: path.symlink_to(folder / "modes/LA.png"))
    for i in range(4):
        bad_file("unreadable", f"faults/dangling-{i}.png", lambda path: path.symlink_to("nowhere.png"))
    bad_file("unreadable", "faults/self.png", lambda path: path.symlink_to(path))
    bad_file("unreadable", "faults/pipe.png", os.mkfifo)
    bad_file("unreadable", "faults/socket.png", _socket)
    bad_file("unreadable", "faults/device.png", lambda path: path.symlink_to("/dev/zero"))
    if os.geteuid():  # root can read every file
        bad_file("unreadable", "faults/forbidden.png", lambda path: (path.write_bytes(png), path.chmod(0)))
    for name in (".DS_Store", "._top.png", "faults/Thumbs.db", "faults/.hidden.png"):
        bad_file("hidden", name, png)
    bad_file("hidden", ".git", lambda path: (path.mkdir(), (path / "x.png").write_bytes(png)))
    bad_file("hidden", "__MACOSX", lambda path: (path.mkdir(), (path / "x.png").write_bytes(png)))
    for name, target in {"loops/up": "..", "loops/here": ".", "loops/above": "../../..", "loops/modes": "../modes"}.items():
        bad_file("link loop", name, lambda path, target=target: path.symlink_to(target))


def _black(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    return file.getvalue()


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's address is limited to 108 characters
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
    os.chdir(here)


if __name__ == "__main__":
    print(f"{build(Path(sys.argv[1])).count} files in {sys.argv[1]}")
