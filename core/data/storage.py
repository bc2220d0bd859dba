"""Where images are kept while they are read: in memory, or, where that would be too small, in a file on disk."""

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
    """8-bit images (N, C, H, W) in a file on disk, indexed as a tensor: with a tensor of positions, a slice or a number.

    Nothing is held in memory: a batch is read when it is asked for, in any order, and what the system keeps of the file it
    gives back when others need the room. `open_map` maps the file: pages that were read count as this process's memory for as
    long as they are mapped, so that it is mapped anew each time.
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
        """Of these images."""
        return len(self) * int(np.prod(self._full_shape[1:]))

    def __getitem__(self, index: Tensor | slice | int) -> UInt8[Tensor, "*n _ _ _"]:
        """Read the images at these indices."""
        return torch.from_numpy(np.array(self._open_map()[self.indices[index].numpy()], order="C"))

    def select(self, index: Tensor) -> "ImagesOnDisk":
        """The images at these indices, still on disk."""
        return ImagesOnDisk(self._open_map, self.indices[index])


class ImageBuffer:
    """Images of one shape (C, H, W) that are added one block after another, `expected` in all or more.

    They go into memory as long as they take up to `limit` bytes there, else into a file in the cache folder.
    """

    def __init__(self, shape: tuple[int, int, int], expected: int, limit: int) -> None:
        self.shape, self.limit, self.count = shape, limit, 0
        self.bytes_each = int(np.prod(shape))
        on_disk = expected * self.bytes_each > limit
        self._file: IO[bytes] | None = self._open(expected * self.bytes_each) if on_disk else None
        # Pages that are never written take no memory, so that expecting too much costs nothing.
        self._array = np.empty((0 if on_disk else expected, *shape), np.uint8)

    def add(self, images: UInt8[np.ndarray, "k c h w"]) -> None:
        """Append a block."""
        end = self.count + len(images)
        if self._file is None and end > len(self._array):
            kept, room = self._array[: self.count], 2 * end
            if room * self.bytes_each > self.limit:
                self._file = self._open(room * self.bytes_each)
                self._file.write(kept.tobytes())
                self._array = kept[:0].copy()
            else:
                self._array = np.empty((room, *self.shape), np.uint8)
                self._array[: self.count] = kept
        if self._file is None:
            self._array[self.count : end] = images
        else:
            self._file.write(images.tobytes())
        self.count = end

    def close(self) -> Tensor | ImagesOnDisk:
        """All images, in order."""
        if self._file is None:
            return torch.from_numpy(self._array[: self.count])
        self._file.flush()
        # The file has no name and is gone with the process.
        return ImagesOnDisk(partial(np.memmap, self._file, np.uint8, "r", shape=(self.count, *self.shape)))

    def _open(self, needed: int) -> IO[bytes]:
        """A file with no name, if there is room for so many bytes."""
        folder = cache_folder()
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise ValueError(
                f"images take {needed / 2**30:.1f} GiB, more than they may of the memory ({self.limit / 2**30:.1f} GiB) and "
                f"more than is free in {folder} ({free / 2**30:.1f} GiB). Allow more memory, choose a smaller size, or "
                "name a folder with more room in LATENTSCAPE_CACHE."
            )
        return tempfile.TemporaryFile(dir=folder, buffering=2**20)


def cache_folder() -> Path:
    """Where images go that do not fit into memory: LATENTSCAPE_CACHE, or `latentscape` in the user's cache. Not the system's
    folder for temporary files, which is often memory itself."""
    named = os.environ.get("LATENTSCAPE_CACHE")
    folder = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentscape"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def memory_limit() -> int:
    """Bytes that images may take in memory where no limit is given: a quarter of the machine's, at most 8 GiB."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        machine = 8 * 2**30
    return min(machine // 4, 8 * 2**30)
