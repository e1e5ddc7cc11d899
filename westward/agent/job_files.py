"""What a job left on disk, read and removed as what it is: written by somebody who may mean harm.

A tree may be deeper than Python recurses, hold links in circles or out of its folder, names that
are no text, pipes that never answer, and change while it is read. Reading goes by descriptors that
are checked once open (``open_inside``): a file that is exchanged for a link in between is refused.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

DEPTH_MOST = 200
"""Folders within each other that are looked into; beyond it the tree is refused."""
ENTRIES_MOST = 1_000_000
"""Names in one tree."""
HOLLOW_FROM_BYTES = 2**30
HOLLOW_RATIO = 100
"""A larger file of whose bytes not one in so many lies on a disk is refused: it costs its writer
nothing, and whoever reads it hours of a processor and, where it is copied, the disk."""


class Unsafe(OSError):
    """A tree or file that is not taken; the text says why."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text


def real(path: Path) -> Path:
    """Where ``path`` leads, links followed; a circle of links leads to itself."""
    return Path(os.path.realpath(path))


def entries(folder: Path) -> Iterator[Path]:
    """Every file and link below ``folder`` (links are not followed), in no order. Raises Unsafe
    for trees too deep or too large, OSError for folders that cannot be read."""
    waiting = [(folder, 0)]
    seen = 0
    while waiting:
        inner, depth = waiting.pop()
        if depth > DEPTH_MOST:
            raise Unsafe(f"it holds more than {DEPTH_MOST} folders within each other")
        try:
            names = list(os.scandir(inner))
        except OSError as error:  # gone, or exchanged for what is no folder
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                continue
            raise
        seen += len(names)
        if seen > ENTRIES_MOST:
            raise Unsafe(f"it holds more than {ENTRIES_MOST} names")
        for one in names:
            if one.is_dir(follow_symlinks=False):
                waiting.append((Path(one.path), depth + 1))
            else:
                yield Path(one.path)


def name_below(path: Path, base: Path) -> str:
    """``path`` as counted from ``base``. Raises Unsafe for a name that is not text."""
    shown = str(path.relative_to(base))
    if not shown.isascii() and any("\ud800" <= char <= "\udfff" for char in shown):
        raise Unsafe(f"the file name {os.fsencode(shown)!r} is not UTF-8")
    return shown


def open_inside(inside: Path, path: Path) -> int | None:
    """A descriptor of the regular file at ``path``, for reading; None: it is no regular file, or
    does not lie below ``inside`` (a real path). The caller closes it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # gone, a circle of links, a socket, not ours to read
        return None
    try:
        kind = os.fstat(file).st_mode
        lies = Path(os.readlink(f"/proc/self/fd/{file}"))
        if stat.S_ISREG(kind) and lies.is_relative_to(inside):
            return file
    except OSError:
        pass
    os.close(file)
    return None


def digest_of(file: int) -> str:
    """SHA-256 (hex) of an open file, from its beginning. Raises Unsafe for one that is hollow."""
    told = os.fstat(file)
    there = 512 * told.st_blocks
    if told.st_size > HOLLOW_FROM_BYTES and there * HOLLOW_RATIO < told.st_size:
        raise Unsafe(f"it holds a file of {told.st_size} bytes of which {there} are on the disk")
    with open(os.dup(file), "rb") as reader:
        reader.seek(0)
        return hashlib.file_digest(reader, "sha256").hexdigest()


def remove(folder: Path) -> None:
    """The tree is gone as far as this user can make it; however deep."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        subprocess.run(
            ["rm", "-rf", "--", str(folder)], stdin=subprocess.DEVNULL, capture_output=True
        )
