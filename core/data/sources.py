"""Sources of pictures: streams of entries that may be pictures, with labels. Here those of files: folders and zip files."""

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
"""The name of a file that is left out, and why."""

BOMB = 2**20, 200
"""A packed file is refused if it unpacks to more than so many bytes and to more than so many times its size."""


class ZipMember(NamedTuple):
    """A file inside a zip file."""

    archive: str
    member: str


Content = str | bytes | ZipMember
"""The bytes of a file, or where they are: a path, or a place in a zip file."""


class Entry(NamedTuple):
    """What may be a picture: its name in the source, its content or where that is, its part of an official split ("" where
    there is none), and its labels."""

    name: str
    content: Content
    split: str
    labels: dict[str, Any]


@runtime_checkable
class Source(Protocol):
    """Entries in a fixed order, as often as they are asked for, and the files that were left out without a look."""

    left_out: list[LeftOut]

    def __len__(self) -> int:
        """How many entries there are, as far as is known."""
        ...

    def __iter__(self) -> Iterator[Entry]: ...

    def sample(self, n: int) -> Iterator[Entry]:
        """At most n entries that stand for all."""
        ...


def read_content(content: Content, name: str) -> bytes:
    """The bytes of an entry. Raises PictureError when there are none to have, or too many."""
    try:
        if isinstance(content, bytes):
            data = content
        elif isinstance(content, ZipMember):
            data = open_archive(content.archive, os.getpid(), os.stat(content.archive).st_mtime_ns).read(content.member)
        else:
            data = _read(content, name)
    except (OSError, RuntimeError, NotImplementedError) as error:  # the latter two: encrypted, or packed in an unknown way
        raise PictureError("unreadable", f"{name} cannot be read: {error}.") from error
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError("broken", f"{name} is damaged: {error}.") from error
    except Exception as error:  # zlib, lzma and bz2 have errors of their own
        raise PictureError("broken", f"{name} is damaged: {error}.") from error
    if not data:
        raise PictureError("empty", f"{name} is empty.")
    return data


def _read(path: str, name: str) -> bytes:
    """The bytes of a file."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # else a pipe would wait for ever
    with io.FileIO(os.open(path, flags)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise PictureError("unreadable", f"{name} is not a file.")
        if found.st_size > MAX_BYTES:
            raise PictureError("too large", f"{name} has more than {MAX_BYTES // 2**20} MiB.")
        return file.readall()


@lru_cache(maxsize=4)
def open_archive(path: str, process: int, changed: int) -> zipfile.ZipFile:
    """An open zip file, one for each process, which must not share a place in it, and one for each time it was changed."""
    return zipfile.ZipFile(path)


@dataclass
class FileSource:
    """Named files; the first folder of a name, after an official `train` or `test`, is its label, if any file has one."""

    names: list[str]
    folder: str = ""
    archive: str | None = None
    top: str = ""
    """The folder in the zip file that all names are in."""
    left_out: list[LeftOut] = field(default_factory=list)
    official: bool = False

    def __post_init__(self) -> None:
        tops = {name.partition("/")[0] for name in self.names if "/" in name}
        if {"train", "test"} <= tops:
            self.official = True
            outside = [name for name in self.names if not name.startswith(("train/", "test/"))]
            self.left_out = [*self.left_out, *((name, "no split") for name in outside)]
            self.names = [name for part in ("train/", "test/") for name in self.names if name.startswith(part)]
        self.labelled = any(self._split_and_label(name)[1] for name in self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Entry]:
        return map(self._entry, self.names)

    def sample(self, n: int) -> Iterator[Entry]:
        """Evenly spread ones."""
        count = min(n, len(self.names))
        return (self._entry(self.names[i * len(self.names) // count]) for i in range(count))

    def _entry(self, name: str) -> Entry:
        split, label = self._split_and_label(name)
        content = ZipMember(self.archive, self.top + name) if self.archive else f"{self.folder}/{name}"
        return Entry(name, content, split, {"label": label} if self.labelled else {})

    def _split_and_label(self, name: str) -> tuple[str, str]:
        """The part of an official split and the folder in it that a file is in ("": none)."""
        split, _, rest = name.partition("/") if self.official else ("", "", name)
        label, slash, _ = rest.partition("/")
        return split, label if slash else ""


def open_folder(folder: Path) -> FileSource:
    """All files of a folder, of its subfolders and of folders that links lead to, each folder once, hidden ones left out."""
    names: list[str] = []
    left_out: list[LeftOut] = []
    # A link to a folder above would take in everything that lies there.
    above = {_identity(parent) for parent in folder.resolve().parents}
    seen: set[tuple[int, int]] = set()
    links: list[str] = []

    def enter(start: str) -> None:
        """Read a folder, depth first, in the order of names; links to folders wait until all real ones are known."""
        pending = [start]
        while pending:
            here = pending.pop()
            if here and not here.endswith("/"):
                names.append(here)
                continue
            identity = _identity(folder / here)
            if identity in seen or identity in above:
                left_out.append((here.rstrip("/"), "link loop"))
                continue
            seen.add(identity)
            found: list[str] = []
            try:
                entries = sorted(os.scandir(folder / here), key=lambda entry: entry.name)
            except OSError:
                left_out.append((here.rstrip("/"), "unreadable"))
                continue
            for entry in entries:
                name = here + entry.name
                if is_hidden(entry.name):
                    left_out.append((name, "hidden"))
                elif entry.is_symlink() and os.path.isdir(entry.path):
                    links.append(name + "/")
                else:
                    found.append(name + "/" if entry.is_dir(follow_symlinks=False) else name)
            pending += reversed(found)

    enter("")
    while links:
        enter(links.pop(0))
    return FileSource(names, str(folder), left_out=left_out)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def open_zip(path: Path) -> FileSource:
    """The files in a zip file, which are read where they are. A single folder around all of them does not count."""
    try:
        with zipfile.ZipFile(path) as opened:
            members = opened.infolist()
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{path} is not a zip file that can be read: {error}.") from error
    names: list[str] = []
    left_out: list[LeftOut] = []
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        largest, ratio = BOMB
        if member.is_dir():
            continue
        if ".." in parts or member.filename.startswith(("/", "\\")) or ":" in (parts or ("",))[0]:
            left_out.append((member.filename, "unsafe name"))
        elif any(map(is_hidden, parts)):
            left_out.append((member.filename, "hidden"))
        elif member.file_size > MAX_BYTES or member.file_size > max(largest, ratio * member.compress_size):
            left_out.append((member.filename, "too large"))
        elif stat.S_ISLNK(member.external_attr >> 16):
            left_out.append((member.filename, "unreadable"))
        else:
            names.append(member.filename)
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    top = f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
    names = sorted((name.removeprefix(top) for name in names), key=lambda name: name.split("/"))
    left_out = [(name.removeprefix(top), reason) for name, reason in left_out]
    return FileSource(names, archive=str(path), top=top, left_out=left_out)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is a system's, not a person's."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def is_picture_name(name: str) -> bool:
    """Whether a file says by its name that it is a picture."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS
