"""Storage for images while they are read: in memory or, if they do not fit, in a file on disk."""

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor


class ImagesOnDisk:
    """8-bit images (N, C, H, W) in a file on disk, indexed like a tensor: with a tensor of indices, a slice or an integer.

    Indexing reads the requested images, in any order. `open_map` memory-maps the file. It is called for each read, because
    the pages of an open map count as memory of this process.
    """

    def __init__(self, open_map: Callable[[], np.ndarray], indices: Int[Tensor, " n"] | None = None) -> None:
        self._open_map = open_map
        self._full_shape = open_map().shape
        self.indices = torch.arange(self._full_shape[0]) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        return torch.Size((len(self), *self._full_shape[1:]))

    @property
    def nbytes(self) -> int:
        """Bytes of these images."""
        return len(self) * int(np.prod(self._full_shape[1:]))

    def __getitem__(self, index: Tensor | slice | int) -> UInt8[Tensor, "*n _ _ _"]:
        """Read the images at these indices into memory."""
        return torch.from_numpy(np.array(self._open_map()[self.indices[index].numpy()], order="C"))

    def select(self, index: Tensor) -> "ImagesOnDisk":
        """The images at these indices, without reading them."""
        return ImagesOnDisk(self._open_map, self.indices[index])


class ImageBuffer:
    """A growing buffer of images of one shape (C, H, W); `expected` is an estimate of their number.

    The images are in memory as long as they take at most `limit` bytes, else in a file in the cache folder.
    """

    def __init__(self, shape: tuple[int, int, int], expected: int, limit: int) -> None:
        self.shape, self.limit, self.count = shape, limit, 0
        self.bytes_each = int(np.prod(shape))
        on_disk = expected * self.bytes_each > limit
        self._file: IO[bytes] | None = self._open(expected * self.bytes_each) if on_disk else None
        # Pages that are never written take no memory, so a high estimate is free.
        self._array = np.empty((0 if on_disk else expected, *shape), np.uint8)

    def add(self, images: UInt8[np.ndarray, "k c h w"]) -> None:
        """Append a block of images."""
        end = self.count + len(images)
        if self._file is None and end > len(self._array):
            filled, capacity = self._array[: self.count], 2 * end
            if capacity * self.bytes_each > self.limit:
                self._file = self._open(capacity * self.bytes_each)
                self._file.write(filled.tobytes())
                self._array = filled[:0].copy()
            else:
                self._array = np.empty((capacity, *self.shape), np.uint8)
                self._array[: self.count] = filled
        if self._file is None:
            self._array[self.count : end] = images
        else:
            self._file.write(images.tobytes())
        self.count = end

    def close(self) -> Tensor | ImagesOnDisk:
        """All images, in order. Nothing can be added afterwards."""
        if self._file is None:
            return torch.from_numpy(self._array[: self.count])
        self._file.flush()
        # The file has no name, so the system deletes it when the process ends.
        return ImagesOnDisk(partial(np.memmap, self._file, np.uint8, "r", shape=(self.count, *self.shape)))

    def _open(self, needed: int) -> IO[bytes]:
        """Open an unnamed temporary file. Raises ValueError if the disk has less than `needed` bytes free."""
        folder = cache_folder()
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise ValueError(
                f"images take {needed / 2**30:.1f} GiB, more than the memory limit ({self.limit / 2**30:.1f} GiB) and "
                f"more than is free in {folder} ({free / 2**30:.1f} GiB). Raise the memory limit, choose a smaller size, or "
                "set LATENTSCAPE_CACHE to a folder on a larger disk."
            )
        return tempfile.TemporaryFile(dir=folder, buffering=2**20)


def cache_folder() -> Path:
    """The folder for images that do not fit into memory: LATENTSCAPE_CACHE, or `latentscape` in the user's cache folder.

    The system's folder for temporary files is not used, because it is often in memory.
    """
    chosen = os.environ.get("LATENTSCAPE_CACHE")
    folder = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentscape"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def memory_limit() -> int:
    """The default limit in bytes for images in memory: a quarter of the machine's memory, at most 8 GiB."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        total = 8 * 2**30
    return min(total // 4, 8 * 2**30)
