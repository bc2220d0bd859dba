"""Images: 8-bit tensors, and the preprocessing that turns any picture into what one model was trained on."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from core.data.binarization import Binarization, binarize
from core.data.dsprites import DSprites
from core.data.framing import border, frame_content, is_plain, level_background, placement
from core.data.pictures import Colour, flatten, shrink, to_8bit
from core.data.storage import ImagesOnDisk

Images = UInt8[Tensor, "_ _ _ _"] | DSprites | ImagesOnDisk
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


@dataclass(frozen=True)
class Prepared:
    """What a model sees of a picture, and what was done to get there, in words."""

    image: UInt8[Tensor, "c h w"]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Preprocessing:
    """The shape and look of a model's training images; it travels in the bundle and prepares every later picture.

    `background` is the grey level or colour of the rim, where nearly all training images share one. `extent` is then the share
    of the frame that their content fills and `centre` where its middle is, both in the median, and `usual` how far these three
    range (lowest and highest) over all but the outermost percent. With them a shoe on white paper becomes the light-on-black,
    close-cut shoe that Fashion-MNIST holds, and a picture that lies as training images do stays as it lies. `binarization`
    tells a model of black and white from one of grey. `paper` is the colour under transparent pictures; without one it is
    white, or black under light ones.
    """

    channels: int
    height: int
    width: int
    fit: Fit = "pad"
    background: Sequence[int] | None = None
    extent: float = 1.0
    centre: Sequence[float] = (0.5, 0.5)
    usual: Sequence[Sequence[float]] | None = None
    binarization: Binarization = "none"
    paper: Colour | None = None

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}; got {self.fit!r}.")
        if self.binarization not in get_args(Binarization):
            raise ValueError(f"binarization must be one of {', '.join(get_args(Binarization))}; got {self.binarization!r}.")
        if not 0 < self.extent <= 1:
            raise ValueError(f"extent must be a share of the frame, above 0 and up to 1; got {self.extent!r}.")
        spans = (self.centre, *(self.usual or ()))
        if len(spans) not in (1, 4) or any(len(span) != 2 or not all(0 <= share <= 1 for share in span) for span in spans):
            got = f"{self.centre!r:.100} and {self.usual!r:.200}"
            raise ValueError(f"centre must be two shares of the frame, and usual three pairs of them; got {got}.")
        centre, *usual = map(tuple, spans)
        object.__setattr__(self, "centre", centre)
        object.__setattr__(self, "usual", tuple(usual) or None)
        if self.background is not None:
            object.__setattr__(self, "background", tuple(self.background))
            if len(self.background) != self.channels or any(type(v) is not int or not 0 <= v <= 255 for v in self.background):
                raise ValueError(f"background must be {self.channels} levels from 0 to 255; got {self.background!r:.200}.")
        if self.paper is not None:
            object.__setattr__(self, "paper", tuple(self.paper))

    @classmethod
    def measure(cls, images: Images, fit: Fit = "pad") -> "Preprocessing":
        """Read shape, background and how the content lies off training images (an even sample of at most 2,000)."""
        sample = images[:: max(1, len(images) // 2000)].permute(0, 2, 3, 1).numpy()
        rims = np.concatenate([border(image) for image in sample])
        colours, counts = np.unique(rims, axis=0, return_counts=True)
        background = colours[counts.argmax()]
        near = (np.abs(rims.astype(int) - background) <= 8).all(1).mean()
        channels, height, width = images.shape[1:]
        if near < 0.6:
            return cls(channels, height, width, fit)
        plain = cls(channels, height, width, fit, tuple(background.tolist()))
        placements = [found for image in sample if (found := placement(image, background)) is not None]
        if not placements:
            return plain
        extent, *centre = np.median(placements, axis=0).round(4).tolist()
        return replace(
            plain, extent=extent, centre=centre, usual=np.percentile(placements, [1, 99], axis=0).T.round(4).tolist()
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.height, self.width

    @property
    def resize_only(self) -> "Preprocessing":
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

    def evaluation_images(self, images: Images, seed: int = 0) -> Images:
        """The images as this model is scored on them: a fixed black-and-white sample of each for a binarized model."""
        self.check(images[:1])
        return images if self.binarization == "none" else binarize(images[:], seed)

    def prepare(self, picture: Image.Image, polarity: Polarity = "auto", trim: bool = True) -> Prepared:
        """Turn any picture into what the model was trained on.

        A picture that has exactly the model's size and colour passes untouched (unless polarity is "invert"). Any other is
        flattened to 8 bits; where the model and the picture both have a plain background, it is inverted when its rim says
        so ("auto", grey models only) and its background is levelled; then it is fitted to size. With `trim`, one whose
        content does not lie as that of training images does is cut to it first, and framed as they are.
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
            plain = self.background is not None and is_plain(pixels)
            if plain and self.background in ((0,), (255,)):
                pixels = level_background(pixels, float(np.median(border(pixels))), self.background[0])
                steps.append("background levelled")
            fitted = self._fit_pixels(pixels)
            if plain and trim and not self._has_usual_placement(fitted):
                pixels, more = frame_content(pixels, (self.width, self.height), self.extent, self.centre)
                fitted, steps = self._fit_pixels(pixels), steps + more
            pixels = fitted
            steps.append(f"{self.fit} to {self.width}x{self.height}")
        return Prepared(self.evaluation_images(torch.tensor(pixels.transpose(2, 0, 1))[None])[0], tuple(steps))

    def fit_picture(self, picture: Image.Image) -> UInt8[np.ndarray, "h w c"]:
        """The pixels of a picture of a data set: fitted to size and colour and otherwise left as they are."""
        size = self.width, self.height
        picture = to_8bit(shrink(picture, size), self.paper, size)
        mode = "L" if self.channels == 1 else "RGB"
        picture = picture if picture.mode == mode else picture.convert(mode)
        return np.atleast_3d(np.asarray(picture if picture.size == size else self._resize(picture)))

    def _is_negative(self, pixels: np.ndarray) -> bool:
        """Whether the picture's plain rim is nearer to the opposite of the training background than to it."""
        if self.channels != 1 or self.background is None or not is_plain(pixels):
            return False
        rim = float(np.median(border(pixels)))
        return abs(rim - self.background[0]) > abs(255 - rim - self.background[0])

    def _has_usual_placement(self, fitted: np.ndarray) -> bool:
        """Whether its content lies within what training images show, to a pixel."""
        assert self.background is not None
        found = placement(fitted, np.array(self.background))
        if found is None or self.usual is None:
            return False
        slack = 1 / min(self.width, self.height)
        return all(low - slack <= share <= high + slack for share, (low, high) in zip(found, self.usual, strict=True))

    def _fit_pixels(self, pixels: np.ndarray) -> UInt8[np.ndarray, "h w c"]:
        """Pixels padded, cropped or stretched to the model's size."""
        return np.atleast_3d(np.asarray(self._resize(Image.fromarray(pixels.squeeze(2) if self.channels == 1 else pixels))))

    def _resize(self, picture: Image.Image) -> Image.Image:
        """The same of a picture."""
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
