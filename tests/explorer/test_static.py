"""Tests of the page's JavaScript in Node's test runner, with reference values computed by core."""

import base64
import io
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from node import NODE, assert_passes_in_node, png
from PIL import Image, ImageDraw, ImageFilter

from core import Architecture, Bundle, interpolate
from core.bundle.export import onnx_files
from core.data.framing import MAX_FRAMED_PIXELS
from core.data.preprocessing import Preprocessing, flatten
from core.latent.geometry import neighbours
from core.latent.projection import LIFT, PLACE
from core.model.architecture import NETWORKS

pytestmark = pytest.mark.skipif(NODE is None and not os.environ.get("CI"), reason="no Node on this machine")


@pytest.mark.parametrize("name", ["latest", "idle_queue", "frame", "fetch", "decoder", "hands", "prior", "cells"])
def test_javascript_modules_without_reference_data(name: str) -> None:
    assert_passes_in_node(f"{name}.test.mjs")


def paths() -> list[dict]:
    """Return endpoints and core's paths in double precision: random, and where the great circle is undefined."""
    generator = torch.Generator().manual_seed(0)
    ends = [torch.randn(2, n, generator=generator, dtype=torch.float64) for n in (1, 2, 8, 16, 64) for _ in range(4)]
    point = ends[-1][0]
    ends += [torch.stack([point, factor * point]) for factor in (1.0, 2.0, -1.0, 0.0)]
    ends += [torch.stack([torch.zeros_like(point), point]), torch.zeros(2, 8, dtype=torch.float64)]
    # On both sides of the angle below which interpolation is linear.
    ends += [torch.tensor([[1.0, 0.0], [1.0, tilt]], dtype=torch.float64) for tilt in (9e-5, 1.1e-4)]
    return [
        {
            "start": start.tolist(),
            "end": end.tolist(),
            "method": method,
            "path": interpolate(start, end, steps, method).tolist(),
        }
        for start, end in ends
        for method in ("linear", "spherical")
        for steps in (2, 7, 33)
    ]


def test_page_interpolates_as_core_does(tmp_path: Path) -> None:
    cases = tmp_path / "paths.json"
    cases.write_text(json.dumps(paths()))
    assert_passes_in_node("geometry.test.mjs", PATHS=cases)


def test_page_map_matches_core(bundle: Bundle, tmp_path: Path) -> None:
    maps = []
    generator = torch.Generator().manual_seed(0)
    for method in ("umap", "pca"):
        made = bundle if method == "umap" else bundle.projected("pca")
        assert made.gallery is not None
        assert made.map is not None
        (tmp_path / f"{method}.points").write_bytes(made.gallery.xy.numpy().astype("<f4").tobytes())
        (tmp_path / f"{method}.means").write_bytes(made.gallery.mean.numpy().astype("<f2").tobytes())
        low, high = made.gallery.xy.min(0).values, made.gallery.xy.max(0).values
        xy = low + (high - low) * (1.2 * torch.rand(40, 2, generator=generator) - 0.1)
        z = torch.randn(40, 4, generator=generator)
        lifted, gaps = made.map.lift(xy), neighbours(xy, made.gallery.xy, 1)[0][:, 0]
        placed, nearest = made.map.place(z), neighbours(z, made.gallery.mean, 1)[0][:, 0]
        maps.append(
            {
                "map": {**made.config["map"], "place": PLACE, "lift": LIFT},
                "lift": [
                    {"xy": a.tolist(), "z": b.tolist(), "gap": c.item()} for a, b, c in zip(xy, lifted, gaps, strict=True)
                ],
                "place": [
                    {"z": a.tolist(), "xy": b.tolist(), "nearest": c.item()} for a, b, c in zip(z, placed, nearest, strict=True)
                ],
            }
        )
    bits = [0, 1, 1023, 1024, 0x3C00, 0xBC00, 0x7BFF, 0x3555, 0xC248]
    halves = [{"bits": b, "value": float(np.uint16(b).view(np.float16))} for b in bits]
    (tmp_path / "cases.json").write_text(json.dumps({"maps": maps, "halves": halves}))
    assert_passes_in_node("projection.test.mjs", CASES=tmp_path)


@pytest.mark.parametrize("channels", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_onnx_runtime_decodes_as_torch_does(runtime: Path, tmp_path: Path, channels: int) -> None:
    """Tests every network with grey and colour images."""
    cases = []
    for network in NETWORKS:
        torch.manual_seed(0)
        architecture = Architecture(channels, 13, 18, 5, network)
        vae = architecture.build().eval()
        z = 1.5 * torch.randn(6, 5)
        with torch.no_grad():
            for weights in vae.parameters():
                weights.copy_((weights + 0.02 * torch.randn_like(weights)).half().float())
            mean = vae.decode(z).mean
        (tmp_path / f"{network}.onnx").write_bytes(onnx_files(vae, architecture.shape)["decoder.onnx"])
        cases.append({"name": network, "z": z.tolist(), "dims": list(mean.shape), "mean": mean.flatten().tolist()})
    (tmp_path / "networks.json").write_text(json.dumps(cases))
    assert_passes_in_node("runtime.test.mjs", CASES=tmp_path, RUNTIME=runtime)


def raw(picture: Image.Image) -> dict:
    """Return an opaque picture in the format of the page."""
    return {
        "width": picture.width,
        "height": picture.height,
        "channels": len(picture.getbands()),
        "data": base64.b64encode(picture.tobytes()).decode(),
    }


def interlaced(picture: Image.Image) -> bytes:
    """Encode a grey picture as an interlaced PNG (Adam7), which Pillow can read but not write."""
    pixels, lines = np.asarray(picture), b""
    for x, y, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        lines += b"".join(b"\0" + row.tobytes() for row in pixels[y::dy, x::dx] if len(row))
    head = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 0, 0, 0, 1)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def photographs() -> list[Image.Image]:
    """Return pictures of every kind that `prepare` distinguishes: objects on plain backgrounds, noise, narrow pictures."""
    random = np.random.default_rng(0)
    shoe = Image.new("RGB", (160, 120), (250, 249, 246))
    ImageDraw.Draw(shoe).polygon([(22, 82), (30, 66), (80, 45), (110, 40), (136, 82)], fill=(70, 60, 90))
    grain = np.asarray(shoe.filter(ImageFilter.GaussianBlur(1)), int) + random.integers(-6, 7, (120, 160, 3))
    noise = random.integers(0, 256, (90, 61, 3), np.uint8)
    night = Image.new("L", (75, 200), 8)
    ImageDraw.Draw(night).ellipse((20, 60, 50, 150), fill=180)
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    ImageDraw.Draw(clear).ellipse((9, 12, 50, 40), fill=(200, 30, 60, 200))
    veil = np.dstack([noise[:61, :61], random.integers(0, 256, (61, 61), np.uint8)])
    return [
        shoe,
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)),
        Image.fromarray(noise),
        Image.fromarray(noise[..., 0]),
        night,
        clear,
        Image.fromarray(veil),
        Image.fromarray(noise[:, :1]),
        Image.new("L", (2, 300), 90),
        Image.new("RGB", (40, 30), "white"),
        *(Image.fromarray(random.integers(0, 256, size, np.uint8)) for size in ((18, 13), (18, 13, 3), (5, 7), (1, 1))),
    ]


def test_page_preprocesses_pictures_as_core_does(tmp_path: Path) -> None:
    """Resampler, transparency and every step of `prepare` give identical pixel values."""
    random = np.random.default_rng(1)
    resized = []
    for (w, h), (to_w, to_h), channels in (
        ((300, 200), (28, 28), 1),
        ((13, 9), (64, 31), 3),
        ((28, 28), (28, 28), 1),
        ((640, 28), (28, 28), 3),
        ((2, 410), (28, 28), 1),
        ((1, 1), (8, 8), 3),
    ):
        picture = Image.fromarray(random.integers(0, 256, (h, w, channels), np.uint8).squeeze(2 if channels == 1 else ()))
        for box in (None, (0.1 * w, 0.25 * h, 0.9 * w, 0.75 * h + 0.2)):
            wanted = picture.resize((to_w, to_h), Image.Resampling.LANCZOS, box)
            resized.append({"given": raw(picture), "box": box, "wanted": raw(wanted)})
    # Every grey level with every opacity, on a white, a black and a coloured matte.
    levels, opacity = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    veils = [np.dstack([levels, levels, levels, opacity]), np.dstack([levels | 192, levels | 128, levels, opacity])]
    flat = [
        {"given": raw(Image.fromarray(veil)), "matte": matte, "wanted": raw(flatten(Image.fromarray(veil), matte))}
        for veil in veils
        for matte in (None, (37, 90, 200))
    ]
    prepared = []
    for model in (
        Preprocessing(1, 18, 13, background=(0,), extent=0.9),
        Preprocessing(1, 18, 13, background=(255,), extent=0.6, centre=(0.4, 0.7), usual=((0.3, 0.7), (0.3, 0.6), (0.2, 0.8))),
        Preprocessing(1, 16, 20, background=(90,)),
        Preprocessing(3, 18, 13, fit="crop"),
        Preprocessing(3, 18, 13, background=(255, 255, 255), extent=0.8, centre=(0.5, 0.58)),
        Preprocessing(3, 18, 18, background=(255, 255, 255), usual=((0.5, 1.0), (0.4, 0.6), (0.4, 0.6))),
        Preprocessing(3, 20, 15, fit="stretch"),
        Preprocessing(3, 20, 15),
    ):
        for picture in photographs():
            for polarity, trim in (("auto", True), ("auto", False), ("keep", True), ("invert", True)):
                made = model.prepare(picture, polarity, trim)  # pyright: ignore[reportArgumentType]
                image = base64.b64encode(made.image.permute(1, 2, 0).contiguous().numpy().tobytes()).decode()
                case = {"model": model.as_dict(), "polarity": polarity, "trim": trim, "image": image, "steps": made.steps}
                prepared.append({"given": raw(picture), **case})
    grey = Image.fromarray(random.integers(0, 256, (21, 35), np.uint8))
    colour = Image.fromarray(random.integers(0, 256, (21, 35, 3), np.uint8))
    deep = Image.fromarray(random.integers(0, 65536, (21, 35), np.uint16))
    palette = colour.quantize(16)
    files = {
        "grey": png(grey),
        "black and white": png(grey.convert("1")),
        "colour": png(colour),
        "smooth": png(colour.filter(ImageFilter.GaussianBlur(4))),
        "grey in colour": png(grey.convert("RGB")),
        "palette": png(palette),
        "palette of four": png(colour.quantize(4), bits=2),
        "palette with holes": png(palette, transparency=bytes([0, 90, 255, 200])),
        "opacity": png(photographs()[6]),
        "grey with opacity": png(photographs()[6].convert("LA")),
        "one clear level": png(grey, transparency=7),
        "one clear colour": png(colour, transparency=colour.getpixel((3, 3))),
        "sixteen bits": png(deep),
        "in passes": interlaced(grey),
        "three pixels in passes": interlaced(grey.crop((0, 0, 3, 1))),
    }
    pngs = [
        {"name": name, "file": base64.b64encode(file).decode(), "wanted": raw(flatten(Image.open(io.BytesIO(file))))}
        for name, file in files.items()
    ]
    # Content that is 2 pixels wide and 4,000 high, in a frame that is 2,000 times as wide as high.
    sliver = Image.new("L", (40, 4000), 255)
    sliver.paste(0, (19, 100, 21, 3900))
    wide = Preprocessing(1, 1, 2000, background=(255,))
    with pytest.raises(ValueError, match="too large for this model") as refusal:
        wide.prepare(sliver, "keep")
    framed = {"given": raw(sliver), "model": wide.as_dict(), "max_pixels": MAX_FRAMED_PIXELS, "error": str(refusal.value)}
    broken = [base64.b64encode(files["colour"][:length]).decode() for length in (20, 40, 400)]
    cases = {"resized": resized, "flat": flat, "prepared": prepared, "pngs": pngs, "broken": broken, "framed": framed}
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    assert_passes_in_node("images.test.mjs", CASES=tmp_path)
