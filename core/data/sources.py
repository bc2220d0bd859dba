"""Sources of pictures: the entries of a folder or zip file, each a possible picture with labels."""

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, runtime_checkable

from core.data.pictures import EXTENSIONS, MAX_BYTES, PictureError, Reason

LeftOut = tuple[str, Reason]
"""The name of a file that is left out, and the reason."""

MAX_UNPACKED_BYTES, MAX_COMPRESSION_RATIO = 2**20, 200
"""A member of a zip file is refused if it exceeds both limits, as a zip bomb does."""


class ZipMember(NamedTuple):
    """A member of a zip file."""

    archive: str
    member: str


Content = str | bytes | ZipMember
"""The bytes of a file, its path, or the zip member that holds it."""


class Entry(NamedTuple):
    """A possible picture: its name in the source, its content, its official split ("": none), and its labels."""

    name: str
    content: Content
    split: str
    labels: dict[str, Any]


@runtime_checkable
class Source(Protocol):
    """Entries in a fixed order, which can be iterated repeatedly, and the files left out without being read."""

    left_out: list[LeftOut]

    def __len__(self) -> int:
        """The number of entries, as far as it is known."""
        ...

    def __iter__(self) -> Iterator[Entry]: ...

    def sample(self, n: int) -> Iterator[Entry]:
        """A sample of at most n entries."""
        ...


def read_content(content: Content, name: str) -> bytes:
    """Read the bytes of an entry. Raises PictureError if they cannot be read, are empty, or are too many."""
    try:
        if isinstance(content, bytes):
            data = content
        elif isinstance(content, ZipMember):
            data = open_archive(content.archive, os.getpid(), os.stat(content.archive).st_mtime_ns).read(content.member)
        else:
            data = _read(content, name)
    except (OSError, RuntimeError, NotImplementedError) as error:  # the latter two: encrypted, or unknown compression
        raise PictureError("unreadable", f"{name} cannot be read: {error}.") from error
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError("broken", f"{name} is damaged: {error}.") from error
    except Exception as error:  # zlib, lzma and bz2 raise their own errors
        raise PictureError("broken", f"{name} is damaged: {error}.") from error
    if not data:
        raise PictureError("empty", f"{name} is empty.")
    return data


def _read(path: str, name: str) -> bytes:
    """Read a regular file."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # opening a pipe must not block
    with io.FileIO(os.open(path, flags)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise PictureError("unreadable", f"{name} is not a file.")
        if status.st_size > MAX_BYTES:
            raise PictureError("too large", f"{name} has more than {MAX_BYTES // 2**20} MiB.")
        return file.readall()


@lru_cache(maxsize=4)
def open_archive(path: str, process: int, modified: int) -> zipfile.ZipFile:
    """Open a zip file, cached per process, because processes must not share a file position, and per modification time."""
    return zipfile.ZipFile(path)


@dataclass
class FileSource:
    """The files of a folder or zip file. Top-level folders are labels, below an official split `train` and `test`, if any."""

    names: list[str]
    folder: str = ""
    archive: str | None = None
    root: str = ""
    """The folder in the zip file that contains all names."""
    left_out: list[LeftOut] = field(default_factory=list)
    has_split: bool = False

    def __post_init__(self) -> None:
        tops = {name.partition("/")[0] for name in self.names if "/" in name}
        if {"train", "test"} <= tops:
            self.has_split = True
            outside = [name for name in self.names if not name.startswith(("train/", "test/"))]
            self.left_out = [*self.left_out, *((name, "no split") for name in outside)]
            self.names = [name for split in ("train/", "test/") for name in self.names if name.startswith(split)]
        self.has_labels = any(self._split_and_label(name)[1] for name in self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Entry]:
        return map(self._entry, self.names)

    def sample(self, n: int) -> Iterator[Entry]:
        """At most n evenly spaced entries."""
        count = min(n, len(self.names))
        return (self._entry(self.names[i * len(self.names) // count]) for i in range(count))

    def _entry(self, name: str) -> Entry:
        split, label = self._split_and_label(name)
        content = ZipMember(self.archive, self.root + name) if self.archive else f"{self.folder}/{name}"
        return Entry(name, content, split, {"label": label} if self.has_labels else {})

    def _split_and_label(self, name: str) -> tuple[str, str]:
        """The official split and the label of a file ("": none)."""
        split, _, rest = name.partition("/") if self.has_split else ("", "", name)
        label, slash, _ = rest.partition("/")
        return split, label if slash else ""


def open_folder(folder: Path) -> FileSource:
    """Open a folder with its subfolders and linked folders. Each folder is read once; hidden files are left out."""
    names: list[str] = []
    left_out: list[LeftOut] = []
    # A link to a parent folder would add everything in it.
    parents = {_identity(parent) for parent in folder.resolve().parents}
    seen: set[tuple[int, int]] = set()
    links: list[str] = []

    def add_folder(start: str) -> None:
        """Add the files of a folder, depth first in order of names. Linked folders follow after all real ones."""
        pending = [start]
        while pending:
            path = pending.pop()
            if path and not path.endswith("/"):
                names.append(path)
                continue
            identity = _identity(folder / path)
            if identity in seen or identity in parents:
                left_out.append((path.rstrip("/"), "link loop"))
                continue
            seen.add(identity)
            found: list[str] = []
            try:
                entries = sorted(os.scandir(folder / path), key=lambda entry: entry.name)
            except OSError:
                left_out.append((path.rstrip("/"), "unreadable"))
                continue
            for entry in entries:
                name = path + entry.name
                if is_hidden(entry.name):
                    left_out.append((name, "hidden"))
                elif entry.is_symlink() and os.path.isdir(entry.path):
                    links.append(name + "/")
                else:
                    found.append(name + "/" if entry.is_dir(follow_symlinks=False) else name)
            pending += reversed(found)

    add_folder("")
    while links:
        add_folder(links.pop(0))
    return FileSource(names, str(folder), left_out=left_out)


def _identity(folder: Path) -> tuple[int, int]:
    """The device and inode of a folder."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def open_zip(path: Path) -> FileSource:
    """Open a zip file without unpacking it. A single folder that contains everything is not part of the names."""
    try:
        with zipfile.ZipFile(path) as opened:
            members = opened.infolist()
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{path} is not a zip file that can be read: {error}.") from error
    names: list[str] = []
    left_out: list[LeftOut] = []
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        if member.is_dir():
            continue
        if ".." in parts or member.filename.startswith(("/", "\\")) or ":" in (parts or ("",))[0]:
            left_out.append((member.filename, "unsafe name"))
        elif any(map(is_hidden, parts)):
            left_out.append((member.filename, "hidden"))
        elif member.file_size > min(MAX_BYTES, max(MAX_UNPACKED_BYTES, MAX_COMPRESSION_RATIO * member.compress_size)):
            left_out.append((member.filename, "too large"))
        elif stat.S_ISLNK(member.external_attr >> 16):
            left_out.append((member.filename, "unreadable"))
        else:
            names.append(member.filename)
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    root = f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
    names = sorted((name.removeprefix(root) for name in names), key=lambda name: name.split("/"))
    left_out = [(name.removeprefix(root), reason) for name, reason in left_out]
    return FileSource(names, archive=str(path), root=root, left_out=left_out)


def is_hidden(name: str) -> bool:
    """Whether this is the name of a hidden or system file or folder."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def is_picture_name(name: str) -> bool:
    """Whether a file has the extension of a picture."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS
