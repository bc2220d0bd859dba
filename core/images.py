"""Images: 8-bit tensors, and the preprocessing that turns any picture into what one model was trained on."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from core.binarization import Binarization, binarize
from core.dsprites import DSprites
from core.pictures import MAX_PIXELS, Paper, flatten, opaque, shrink
from core.store import Stored

Images = UInt8[Tensor, "_ _ _ _"] | DSprites | Stored
"""8-bit images (N, C, H, W): in memory, or drawn or read from disk when they are indexed."""

Fit = Literal["pad", "crop", "stretch"]
Polarity = Literal["auto", "keep", "invert"]


def to_unit(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """8-bit images as float32 in [0, 1], where 255 is 1."""
    return images.to(torch.float32).div_(255)


def to_bytes(images: Float[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Images in [0, 1] as the nearest 8-bit levels; values outside are clipped."""
    return images.detach().mul(255).round_().clamp_(0, 255).to(torch.uint8)


def to_pil(image: UInt8[Tensor, "c h w"]) -> Image.Image:
    """One image of 1 or 3 channels as a Pillow picture."""
    array = image.cpu().numpy()
    return Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


def to_png(image: UInt8[Tensor, "c h w"]) -> bytes:
    """One image as the bytes of a PNG file."""
    file = io.BytesIO()
    to_pil(image).save(file, "PNG", optimize=True)
    return file.getvalue()


def from_png(png: bytes) -> UInt8[Tensor, "c h w"]:
    """The image in a PNG file written by `to_png`."""
    array = np.asarray(Image.open(io.BytesIO(png)))
    return torch.from_numpy(np.array(array[None] if array.ndim == 2 else array.transpose(2, 0, 1)))


def border(pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "p c"]:
    """The pixels on the rim of a picture."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


@dataclass(frozen=True)
class Prepared:
    """What a model sees of a picture, and what was done to get there, in words."""

    image: UInt8[Tensor, "c h w"]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Preprocessing:
    """The shape and look of a model's training images; it travels in the bundle and prepares every later picture.

    `background` is the grey level or colour of the rim, where nearly all training images share one, and `extent` the
    share of the frame their content then fills. With them a shoe on white paper becomes the light-on-black, close-cut shoe
    that Fashion-MNIST holds. `binarization` tells a model of black and white from one of grey. `paper` is the colour under
    transparent pictures; without one it is white, or black under light ones.
    """

    channels: int
    height: int
    width: int
    fit: Fit = "pad"
    background: Sequence[int] | None = None
    extent: float = 1.0
    binarization: Binarization = "none"
    paper: Paper | None = None

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}; got {self.fit!r}.")
        if self.binarization not in get_args(Binarization):
            raise ValueError(f"binarization must be one of {', '.join(get_args(Binarization))}; got {self.binarization!r}.")
        if not 0 < self.extent <= 1:
            raise ValueError(f"extent must be a share of the frame, above 0 and up to 1; got {self.extent!r}.")
        if self.background is not None:
            object.__setattr__(self, "background", tuple(self.background))
            if len(self.background) != self.channels or any(type(v) is not int or not 0 <= v <= 255 for v in self.background):
                raise ValueError(f"background must be {self.channels} levels from 0 to 255; got {self.background!r:.200}.")
        if self.paper is not None:
            object.__setattr__(self, "paper", tuple(self.paper))

    @classmethod
    def measure(cls, images: Images, fit: Fit = "pad") -> "Preprocessing":
        """Read shape, background and extent off training images (an even sample of at most 2,000)."""
        sample = images[:: max(1, len(images) // 2000)].permute(0, 2, 3, 1).numpy()
        rims = np.concatenate([border(image) for image in sample])
        colours, counts = np.unique(rims, axis=0, return_counts=True)
        background = colours[counts.argmax()]
        near = (np.abs(rims.astype(int) - background) <= 8).all(1).mean()
        channels, height, width = images.shape[1:]
        if near < 0.6:
            return cls(channels, height, width, fit)
        boxes = [content_box(image, background) for image in sample]
        extents = [max((b[2] - b[0]) / width, (b[3] - b[1]) / height) for b in boxes if b]
        return cls(
            channels, height, width, fit, tuple(background.tolist()), round(float(np.median(extents)), 4) if extents else 1.0
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.height, self.width

    @property
    def plain(self) -> "Preprocessing":
        """The same shape, for pictures that are to be fitted and otherwise left as they are."""
        return Preprocessing(*self.shape, fit=self.fit, paper=self.paper)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return asdict(self)

    def check(self, images: Tensor) -> UInt8[Tensor, "n c h w"]:
        """The same images, if they are 8-bit and of this model's shape; ValueError otherwise."""
        rule = f"images must be 8-bit (uint8), (N, {self.channels}, {self.height}, {self.width}), for this model"
        if not isinstance(images, Tensor) or images.dtype != torch.uint8:
            got = getattr(images, "dtype", type(images).__name__)
            raise ValueError(f"{rule}; got {got}. Scale to 0…255 and convert to a uint8 tensor.")
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(
                f"{rule}; got {tuple(images.shape)}. Pass picture files, which are resized, or resize the arrays first."
            )
        return images

    def view(self, images: Images, seed: int = 0) -> Images:
        """The images as this model is scored on them: a fixed black-and-white sample of each for a binarized model."""
        self.check(images[:1])
        return images if self.binarization == "none" else binarize(images[:], seed)

    def prepare(self, picture: Image.Image, polarity: Polarity = "auto", trim: bool = True) -> Prepared:
        """Turn any picture into what the model was trained on.

        A picture that has exactly the model's size and colour passes untouched (unless polarity is "invert"). Any other is
        flattened to 8 bits; where the model and the picture both have a plain background, it is inverted when its rim says
        so ("auto", grey models only), its background is levelled, and, with `trim`, it is cut to its content; then it is
        fitted to size.
        """
        picture = flatten(picture, self.paper)
        if polarity not in get_args(Polarity):
            raise ValueError(f"polarity must be one of {', '.join(get_args(Polarity))}; got {polarity!r}.")
        exact = picture.size == (self.width, self.height) and picture.mode == ("L" if self.channels == 1 else "RGB")
        picture = picture.convert("L" if self.channels == 1 else "RGB")
        steps: list[str] = []
        pixels = np.atleast_3d(np.asarray(picture))
        if polarity == "invert" or (polarity == "auto" and not exact and self._is_negative(pixels)):
            pixels, steps = 255 - pixels, ["inverted"]
        if not exact:
            if self.background is not None and is_plain(pixels):
                pixels, more = self._like_training(pixels, trim)
                steps += more
            picture = self._fit(Image.fromarray(pixels.squeeze(2) if self.channels == 1 else pixels))
            pixels = np.atleast_3d(np.asarray(picture))
            steps.append(f"{self.fit} to {self.width}x{self.height}")
        return Prepared(self.view(torch.tensor(pixels.transpose(2, 0, 1))[None])[0], tuple(steps))

    def fit_in(self, picture: Image.Image) -> UInt8[np.ndarray, "h w c"]:
        """The pixels of a picture of a data set: fitted to size and colour and otherwise left as they are."""
        size = self.width, self.height
        picture = opaque(shrink(picture, size), self.paper, size)
        mode = "L" if self.channels == 1 else "RGB"
        picture = picture if picture.mode == mode else picture.convert(mode)
        return np.atleast_3d(np.asarray(picture if picture.size == size else self._fit(picture)))

    def _is_negative(self, pixels: np.ndarray) -> bool:
        """Whether the picture's plain rim is nearer to the opposite of the training background than to it."""
        if self.channels != 1 or self.background is None or not is_plain(pixels):
            return False
        rim = float(np.median(border(pixels)))
        return abs(rim - self.background[0]) > abs(255 - rim - self.background[0])

    def _like_training(self, pixels: np.ndarray, trim: bool) -> tuple[np.ndarray, list[str]]:
        """Make a plain background exactly the training one, and the content fill as much of the frame as it does there."""
        assert self.background is not None
        steps: list[str] = []
        rim = np.median(border(pixels), axis=0)
        if self.channels == 1 and self.background[0] in (0, 255):
            pixels = level(pixels, rim[0], self.background[0])
            rim = np.array(self.background)
            steps.append("background levelled")
        box = content_box(pixels, rim)
        if not trim or box is None:
            return pixels, steps
        left, top, right, bottom = box
        content = pixels[top:bottom, left:right]
        # A canvas with the model's aspect ratio in which the content's longest side takes `extent` of the frame.
        scale = max((right - left) / self.width, (bottom - top) / self.height) / self.extent
        size = max(round(self.height * scale), bottom - top), max(round(self.width * scale), right - left)
        if size[0] * size[1] > 4 * MAX_PIXELS:
            raise ValueError(
                f"the image is too large for this model: framed, it has {size[1]}x{size[0]} pixels. Make it smaller."
            )
        canvas = np.empty((*size, pixels.shape[2]), np.uint8)
        canvas[:] = np.rint(rim)
        y, x = (size[0] - (bottom - top)) // 2, (size[1] - (right - left)) // 2
        canvas[y : y + bottom - top, x : x + right - left] = content
        return canvas, [*steps, f"cut to its {right - left}x{bottom - top} content"]

    def _fit(self, picture: Image.Image) -> Image.Image:
        """Pad, crop or stretch to the model's size."""
        size = self.width, self.height
        if self.fit == "stretch":
            return picture.resize(size, Image.Resampling.LANCZOS)
        if self.fit == "crop":
            return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
        rim = border(np.atleast_3d(np.asarray(picture)))
        colour = tuple(self.background or np.median(rim, axis=0).astype(int).tolist())
        # Not ImageOps.pad, which fails where the shorter side would vanish.
        scale = min(size[0] / picture.width, size[1] / picture.height)
        inner = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        canvas = Image.new(picture.mode, size, colour[0] if self.channels == 1 else colour)
        canvas.paste(picture.resize(inner, Image.Resampling.LANCZOS), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
        return canvas


def is_plain(pixels: UInt8[np.ndarray, "h w c"]) -> bool:
    """Whether at least 60 % of the rim lies within 24 levels of its median: paper, a backdrop, a drawing's ground."""
    rim = border(pixels).astype(int)
    return bool((np.abs(rim - np.median(rim, axis=0)) <= 24).all(1).mean() >= 0.6)


def content_box(
    pixels: UInt8[np.ndarray, "h w c"], background: Sequence[float] | np.ndarray
) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of what differs from the background by more than 24 levels; None when nothing does."""
    rows, columns = np.nonzero((np.abs(pixels.astype(int) - np.asarray(background)) > 24).any(-1))
    if len(rows) == 0:
        return None
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def level(pixels: UInt8[np.ndarray, "h w 1"], rim: float, background: int) -> UInt8[np.ndarray, "h w 1"]:
    """Stretch grey levels until the rim, grain and shadow included, is the background (0 or 255); the far end stays."""
    distance = np.abs(pixels.astype(np.float64) - rim)
    grain = np.percentile(np.abs(border(pixels).astype(np.float64) - rim), 60)
    reach = np.percentile(distance, 99.5)
    strength = np.clip((distance - grain) / max(reach - grain, 24.0), 0, 1) * max(reach, 1)
    # The far end keeps its own level rather than being pulled to full contrast: a grey shirt stays grey.
    strength = np.clip(strength * 255 / max(255 - abs(rim - background), 1), 0, 255)
    return np.rint(strength if background == 0 else 255 - strength).astype(np.uint8)
