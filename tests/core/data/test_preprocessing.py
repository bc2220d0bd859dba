"""Tests of reading and preprocessing pictures."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from core import Preprocessing, read_image
from core.data.framing import placement
from core.data.pictures import flatten
from core.data.preprocessing import Fit, from_png, to_bytes, to_pil, to_png, to_unit

RAMP = np.linspace(0, 255, 12 * 16).round().astype(np.uint8).reshape(12, 16)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def grey(image: Image.Image) -> np.ndarray:
    """The grey levels of the flattened picture. Fails if it has colour."""
    flat = flatten(image)
    assert flat.mode == "L"
    return np.asarray(flat)


# --- 8-bit conversion ------------------------------------------------------------------------------------------------


def test_conversion_to_floats_and_back_is_lossless() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_bytes(to_unit(levels)), levels)
    assert to_unit(levels).min() == 0
    assert to_unit(levels).max() == 1


def test_values_outside_the_unit_interval_are_clipped() -> None:
    assert to_bytes(torch.tensor([[[[-0.3, 1.7, 0.5]]]])).flatten().tolist() == [0, 255, 128]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("flat", [True, False])
def test_png_encoding_is_lossless(channels: int, flat: bool) -> None:
    """Also with few colours, where an encoder could use a palette."""
    image = torch.randint(0, 2 if flat else 256, (channels, 9, 14)).to(torch.uint8)
    assert torch.equal(from_png(to_png(image)), image)
    assert to_png(image).startswith(b"\x89PNG")
    assert to_pil(image).size == (14, 9)


# --- Modes -------------------------------------------------------------------------------------------------------------


def test_grey_pictures_are_unchanged() -> None:
    assert (grey(Image.fromarray(RAMP)) == RAMP).all()


def test_1_bit_pictures_become_0_and_255() -> None:
    bits = Image.fromarray(RAMP > 99)
    assert bits.mode == "1"
    assert (grey(bits) == np.where(RAMP > 99, 255, 0)).all()


def test_colour_is_unchanged_and_rgb_with_equal_channels_becomes_grey() -> None:
    colour = np.stack([RAMP, RAMP[::-1], 255 - RAMP], -1)
    assert flatten(Image.fromarray(colour)).mode == "RGB"
    assert (np.asarray(flatten(Image.fromarray(colour))) == colour).all()
    assert (grey(Image.fromarray(np.stack([RAMP] * 3, -1))) == RAMP).all()


def test_a_palette_is_converted_to_its_colours() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([200, 10, 30, 0, 90, 255])
    picture.putpixel((1, 0), 1)
    assert np.asarray(flatten(picture)).tolist() == [[[200, 10, 30], [0, 90, 255]]]


def test_a_transparent_palette_entry_becomes_the_matte_colour() -> None:
    picture = Image.new("P", (4, 4))
    picture.putpalette([0, 255, 0, 20, 20, 20])
    picture.putpixel((1, 2), 1)
    opened = read_image(saved(picture, transparency=0))
    assert opened.mode == "P"
    levels = grey(opened)
    assert levels[2, 1] == 20
    assert (np.delete(levels.ravel(), 9) == 255).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize(("ink", "matte"), [(30, 255), (220, 0)])
def test_the_matte_is_white_for_dark_and_black_for_light_pictures(mode: str, ink: int, matte: int) -> None:
    """The colour stored in transparent pixels is not used."""
    alpha = np.zeros((8, 8), np.uint8)
    alpha[2:6, 2:6] = 255
    level = np.where(alpha > 0, ink, 90).astype(np.uint8)
    picture = Image.merge(mode, [Image.fromarray(level)] * (1 if mode == "LA" else 3) + [Image.fromarray(alpha)])
    assert (grey(read_image(saved(picture))) == np.where(alpha > 0, ink, matte)).all()


def test_a_fully_transparent_picture_is_blank() -> None:
    assert len(np.unique(np.asarray(flatten(Image.new("RGBA", (5, 5), (200, 100, 0, 0)))))) == 1


def test_cmyk_becomes_rgb() -> None:
    picture = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    red, green, blue = np.asarray(flatten(read_image(saved(picture, "TIFF"))))[0, 0].tolist()
    assert red > 200
    assert green < 60
    assert blue < 60


def test_16_bit_grey_is_scaled_by_its_full_range() -> None:
    """A dark 16-bit picture stays dark: 65535 is white, independent of the picture's maximum."""
    values = (RAMP.astype(np.uint16) * 257) // 2
    opened = read_image(saved(Image.fromarray(values)))
    assert opened.mode.startswith("I;16")
    assert np.abs(grey(opened).astype(int) - RAMP.astype(int) / 2).max() <= 1


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_pictures_are_scaled_by_their_own_range(dtype: type) -> None:
    values = RAMP.astype(dtype) * 10 - 500
    opened = read_image(saved(Image.fromarray(values), "TIFF"))
    assert opened.mode == ("I" if dtype is np.int32 else "F")
    assert np.abs(grey(opened).astype(int) - RAMP.astype(int)).max() <= 1


def test_nan_pixels_become_black() -> None:
    values = RAMP.astype(np.float32) / 255
    values[3, 3] = np.nan
    levels = grey(Image.fromarray(values))
    assert levels[3, 3] == 0
    assert np.abs(np.delete(levels.ravel().astype(int) - RAMP.ravel(), 3 * 16 + 3)).max() <= 1


# --- Files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    """The eight orientations of EXIF, compared with their definition."""
    transpositions = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [4], 7: [6], 8: [2]}
    colour = Image.fromarray(RAMP)
    rotated = colour
    for step in transpositions[orientation]:
        rotated = rotated.transpose(Image.Transpose(step) if step not in (2, 4) else Image.Transpose({2: 4, 4: 2}[step]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert rotated.size == ((16, 12) if orientation < 5 else (12, 16))
    upright = read_image(saved(rotated, exif=exif))
    assert upright.size == (16, 12)
    assert (np.asarray(upright) == RAMP).all()


def test_reading_a_path_equals_reading_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved(Image.fromarray(RAMP)))
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes()):
        assert (np.asarray(read_image(source)) == RAMP).all()


def huge(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header states this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


@pytest.mark.parametrize(("width", "height"), [(10_000, 5_001), (100_000, 100_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_raises_an_error_before_it_is_decoded(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="pixels"):
        read_image(huge(width, height))


def test_a_file_that_is_not_a_picture_raises_an_error_that_names_it(tmp_path: Path) -> None:
    whole = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)))
    for name, content in {"text.png": b"hello", "cut.png": whole[: len(whole) // 2], "empty.jpg": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}.* is not an image that can be read \(PNG, JPEG"):
            read_image(tmp_path / name)
    with pytest.raises(ValueError, match=r"no image file at .*absent\.png"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ValueError, match="no image file at"):
        read_image(tmp_path)


# --- Preprocessing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_the_models_shape_is_unchanged(channels: int) -> None:
    """Also if its border is light, which would invert a larger picture. So a gallery image is unchanged."""
    image = torch.randint(0, 256, (channels, 12, 16)).to(torch.uint8)
    image[:, [0, -1]] = 255
    image[:, :, [0, -1]] = 255
    prepared = Preprocessing(channels, 12, 16, background=(0,) * channels, extent=0.7).prepare(to_pil(image))
    assert torch.equal(prepared.image, image)
    assert prepared.steps == ()


def test_inversion_is_exact() -> None:
    prepared = Preprocessing(1, 12, 16).prepare(Image.fromarray(RAMP), "invert")
    assert (prepared.image[0].numpy() == 255 - RAMP).all()
    assert prepared.steps == ("inverted",)


FASHION = Preprocessing(1, 28, 28, background=(0,), extent=1.0)


def wedge(ink: int, background: int, grain: float = 0.0) -> Image.Image:
    """A wedge, 120x40, off the centre of a 300x200 picture."""
    picture = Image.new("L", (300, 200), background)
    ImageDraw.Draw(picture).polygon([(60, 140), (60, 110), (110, 101), (179, 130), (179, 140)], fill=ink)
    noise = np.random.default_rng(0).normal(0, grain, (200, 300)) if grain else 0
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(("background", "grain"), [(255, 0), (235, 0), (235, 4)])
def test_a_dark_object_on_white_becomes_a_light_object_on_black(background: int, grain: float) -> None:
    """The picture is inverted and cropped to the wedge. The background is exactly 0; the wedge spans the frame's width."""
    prepared = FASHION.prepare(wedge(40, background, grain))
    picture = prepared.image[0]
    assert prepared.image.shape == (1, 28, 28)
    assert prepared.steps[0] == "inverted"
    assert any(step.startswith("cut to its") for step in prepared.steps)
    assert (picture[:6] == 0).all()
    assert (picture[-6:] == 0).all()
    columns = (picture > 60).any(0).nonzero().flatten()
    assert columns[0] <= 1
    assert columns[-1] >= 26
    assert picture[11:18].float().mean() > 90


def test_a_light_object_on_black_is_not_inverted() -> None:
    prepared = FASHION.prepare(wedge(215, 0))
    assert "inverted" not in prepared.steps
    assert prepared.image.max() > 150
    assert (prepared.image[0, :6] == 0).all()


def test_inversion_can_be_disabled() -> None:
    assert "inverted" not in FASHION.prepare(wedge(40, 255), "keep").steps


def test_without_trimming_the_picture_is_not_cropped() -> None:
    """The wedge spans 120 of 300 columns, not the whole width."""
    picture = FASHION.prepare(wedge(40, 255), trim=False).image[0]
    columns = (picture > 60).any(0).nonzero().flatten()
    assert int(columns[-1] - columns[0]) + 1 <= 13


def test_the_content_fills_the_same_share_of_the_frame_as_in_training() -> None:
    picture = Preprocessing(1, 28, 28, background=(0,), extent=0.5).prepare(wedge(40, 255)).image[0]
    columns = (picture > 60).any(0).nonzero().flatten()
    assert abs(int(columns[-1] - columns[0]) + 1 - 14) <= 1
    assert abs(int(columns[-1] + columns[0]) - 27) <= 2


def test_a_blank_picture_becomes_the_background() -> None:
    assert (FASHION.prepare(Image.new("L", (50, 70), 255)).image == 0).all()


def test_a_picture_without_a_uniform_border_is_neither_inverted_nor_cropped() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)
    assert FASHION.prepare(Image.fromarray(noise)).steps == ("pad to 28x28",)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 90), (300, 7), (16, 12), (12, 16)])
def test_any_picture_gets_the_models_shape(channels: int, fit: Fit, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    for background in (None, (0,) * channels):
        prepared = Preprocessing(channels, 12, 16, fit, background).prepare(Image.fromarray(noise))
        assert prepared.image.shape == (channels, 12, 16)
        assert prepared.image.dtype == torch.uint8


def test_pad_keeps_all_content_crop_keeps_the_centre_and_stretch_fills_the_frame() -> None:
    """A picture twice as wide as high, its left quarter white, is fitted into a square."""
    pixels = np.zeros((20, 40), np.uint8)
    pixels[:, :10] = 255
    columns = {
        fit: Preprocessing(1, 16, 16, fit).prepare(Image.fromarray(pixels), "keep").image[0].float().mean(0)
        for fit in ("pad", "crop", "stretch")
    }
    whites = {fit: int((column > 100).sum()) for fit, column in columns.items()}
    assert whites == {"pad": 4, "crop": 0, "stretch": 4}
    assert columns["stretch"].max() > 250
    assert columns["pad"].max() < 200


def test_measure_finds_the_background_and_the_extent_of_the_content() -> None:
    images = torch.zeros(50, 1, 20, 20, dtype=torch.uint8)
    images[:, :, 5:15, 7:12] = 200
    measured = Preprocessing.measure(images, "pad")
    assert measured == Preprocessing(1, 20, 20, "pad", (0,), 0.5, (0.475, 0.5), ((0.5, 0.5), (0.475, 0.475), (0.5, 0.5)))
    assert Preprocessing(**json.loads(json.dumps(measured.as_dict()))) == measured


def test_a_picture_framed_like_the_training_images_is_left_unchanged() -> None:
    """Content can vary in position and size, or be cut by the frame. Other pictures are framed like the median image."""
    random, images = np.random.default_rng(0), torch.full((60, 3, 32, 32), 255, dtype=torch.uint8)
    for image in images:
        left, width, top = random.integers(2, 10), random.integers(12, 20), random.integers(4, 14)
        image[:, top:, left : left + width] = torch.from_numpy(random.integers(0, 200, (3, 1, 1), np.uint8))
    model = Preprocessing.measure(images, "crop")
    for image in images:
        picture = to_pil(image).resize((320, 320), Image.Resampling.NEAREST)
        prepared = model.prepare(picture)
        assert prepared.steps == ("crop to 32x32",)
        assert (prepared.image.int() - image.int()).abs().float().mean() < 3
    corner = Image.new("RGB", (400, 400), "white")
    corner.paste((20, 40, 60), (10, 10, 70, 90))
    prepared = model.prepare(corner)
    assert prepared.steps == ("cut to its 60x80 content", "crop to 32x32")
    found = placement(prepared.image.permute(1, 2, 0).numpy(), np.array([255, 255, 255]))
    assert found == pytest.approx((model.extent, *model.centre), abs=1 / 32)
    assert model.prepare(corner, trim=False).steps == ("crop to 32x32",)


@pytest.mark.parametrize("wrong", [{"centre": [0.5]}, {"centre": [0.5, 1.5]}, {"usual": [[0.0, 1.0]]}, {"usual": [[0.5]] * 3}])
def test_invalid_placements_raise_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="centre must be two shares of the frame, and usual three pairs"):
        Preprocessing(1, 8, 8, **wrong)


def test_measure_finds_no_background_in_noise() -> None:
    images = torch.randint(0, 256, (20, 3, 9, 9)).to(torch.uint8)
    assert Preprocessing.measure(images, "crop") == Preprocessing(3, 9, 9, "crop")


def test_arrays_of_another_type_or_shape_raise_an_error() -> None:
    model = Preprocessing(1, 12, 16)
    valid = torch.zeros(3, 1, 12, 16, dtype=torch.uint8)
    assert model.check(valid) is valid
    with pytest.raises(ValueError, match=r"8-bit \(uint8\), \(N, 1, 12, 16\).*got torch.float32.*0…255"):
        model.check(valid.float())
    with pytest.raises(ValueError, match=r"\(N, 1, 12, 16\).*got \(3, 1, 16, 12\).*resize"):
        model.check(valid.transpose(2, 3))
