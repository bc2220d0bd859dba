"""Image conversions, and the preprocessing that makes any picture look like a model's training images."""

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
"""8-bit images (N, C, H, W): in memory, or drawn or read from disk when indexed."""

Fit = Literal["pad", "crop", "stretch"]
Polarity = Literal["auto", "keep", "invert"]


def to_unit(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """8-bit images as float32 in [0, 1], where 255 is 1."""
    return images.to(torch.float32).div_(255)


def to_bytes(images: Float[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Images in [0, 1], rounded to 8-bit levels; values outside are clipped."""
    return images.detach().mul(255).round_().clamp_(0, 255).to(torch.uint8)


def to_pil(image: UInt8[Tensor, "c h w"]) -> Image.Image:
    """One image of 1 or 3 channels as a Pillow image."""
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
    """A picture as a model input, and a description of each step that was applied."""

    image: UInt8[Tensor, "c h w"]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Preprocessing:
    """The shape, background and framing of a model's training images. It is saved in the bundle and prepares pictures.

    `background` is the level or colour of the training images' borders, or None if these vary; the next three fields need it.
    `extent` is the share of the frame that the content takes and `centre` its centre (x, y), both medians. `usual` holds the
    1st and 99th percentiles of extent, x and y. With these values, a photo of a shoe on white paper becomes a light, closely
    cropped shoe on black, as in Fashion-MNIST. A picture framed like the training images keeps its framing.

    `fit` is how a picture is brought to the model's aspect ratio. `binarization` is the model's binarization protocol. `paper`
    is the matte colour under transparent pictures; None means white, or black under light pictures.
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
        """Measure the shape, background and framing of training images, on a regular sample of fewer than 4,000."""
        sample = images[:: max(1, len(images) // 2000)].permute(0, 2, 3, 1).numpy()
        edges = np.concatenate([border(image) for image in sample])
        colours, counts = np.unique(edges, axis=0, return_counts=True)
        background = colours[counts.argmax()]
        near = (np.abs(edges.astype(int) - background) <= 8).all(1).mean()
        channels, height, width = images.shape[1:]
        if near < 0.6:
            return cls(channels, height, width, fit)
        unframed = cls(channels, height, width, fit, tuple(background.tolist()))
        placements = [found for image in sample if (found := placement(image, background)) is not None]
        if not placements:
            return unframed
        extent, *centre = np.median(placements, axis=0).round(4).tolist()
        return replace(
            unframed, extent=extent, centre=centre, usual=np.percentile(placements, [1, 99], axis=0).T.round(4).tolist()
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.height, self.width

    @property
    def resize_only(self) -> "Preprocessing":
        """The preprocessing that only resizes pictures to the same shape."""
        return Preprocessing(*self.shape, fit=self.fit, paper=self.paper)

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain values for config.json."""
        return asdict(self)

    def check(self, images: Tensor) -> UInt8[Tensor, "n c h w"]:
        """Return the images if they are 8-bit and have the model's shape. Raises ValueError otherwise."""
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
        """The images a model is evaluated on: a fixed black-and-white sample if it is binarized, else the images themselves."""
        self.check(images[:1])
        return images if self.binarization == "none" else binarize(images[:], seed)

    def prepare(self, picture: Image.Image, polarity: Polarity = "auto", trim: bool = True) -> Prepared:
        """Make a picture look like the model's training images.

        The picture is converted to 8 bits and the model's channels. A picture that already has the model's size and mode is
        not changed otherwise. Any other is resized according to `fit`. Two steps come first if both the model and the picture
        have a plain background. For a grey model, the picture's background is levelled to the model's black or white.
        With `trim`, a picture that is not framed like the training images is cut to its content and framed like them.

        Polarity "invert" inverts every picture, "keep" none. "auto" inverts a picture for a grey model if this brings its plain
        background closer to the model's. For a binarized model, the result is a black-and-white sample. Raises ValueError if
        the polarity is unknown or the framed picture is too large.
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
        """The pixels of a picture for a data set: only resized and converted to the model's channels."""
        size = self.width, self.height
        picture = to_8bit(shrink(picture, size), self.paper, size)
        mode = "L" if self.channels == 1 else "RGB"
        picture = picture if picture.mode == mode else picture.convert(mode)
        return np.atleast_3d(np.asarray(picture if picture.size == size else self._resize(picture)))

    def _is_negative(self, pixels: np.ndarray) -> bool:
        """Whether the picture has a plain background that is closer to the model's after inverting."""
        if self.channels != 1 or self.background is None or not is_plain(pixels):
            return False
        found = float(np.median(border(pixels)))
        return abs(found - self.background[0]) > abs(255 - found - self.background[0])

    def _has_usual_placement(self, fitted: np.ndarray) -> bool:
        """Whether the placement of the content is within the training images' range, to within one pixel."""
        assert self.background is not None
        found = placement(fitted, np.array(self.background))
        if found is None or self.usual is None:
            return False
        tolerance = 1 / min(self.width, self.height)
        return all(low - tolerance <= share <= high + tolerance for share, (low, high) in zip(found, self.usual, strict=True))

    def _fit_pixels(self, pixels: np.ndarray) -> UInt8[np.ndarray, "h w c"]:
        """Pixels padded, cropped or stretched to the model's size."""
        return np.atleast_3d(np.asarray(self._resize(Image.fromarray(pixels.squeeze(2) if self.channels == 1 else pixels))))

    def _resize(self, picture: Image.Image) -> Image.Image:
        """A picture padded, cropped or stretched to the model's size."""
        size = self.width, self.height
        if self.fit == "stretch":
            return picture.resize(size, Image.Resampling.LANCZOS)
        if self.fit == "crop":
            return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
        edge = border(np.atleast_3d(np.asarray(picture)))
        colour = tuple(self.background or np.median(edge, axis=0).astype(int).tolist())
        # ImageOps.pad fails if the shorter side is rounded to zero pixels.
        scale = min(size[0] / picture.width, size[1] / picture.height)
        inner = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        canvas = Image.new(picture.mode, size, colour[0] if self.channels == 1 else colour)
        canvas.paste(picture.resize(inner, Image.Resampling.LANCZOS), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
        return canvas
