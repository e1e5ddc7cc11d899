"""A folder's manifest, read here: every file's path, size and SHA-256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from westward.agent.data_urls import Folder, Unreadable
from westward.cli.fail import Failure

PART_BYTES = 8 * 2**20
Json = dict[str, Any]


def url_of(place: str) -> str:
    """A URL as it is; a path of this machine as a file: URL."""
    if urlsplit(place).scheme and "://" in place:
        return place.rstrip("/")
    path = Path(place).expanduser().resolve()
    if not os.path.isdir(path):
        raise Failure(f"{place}: there is no such folder. A data set is a folder of files.")
    return path.as_uri()


def scan(url: str, tell: Callable[[int, int], None]) -> list[Json]:
    """The files below ``url``, by path. ``tell(done, bytes)`` after each."""
    try:
        folder = Folder(url)
        listed = folder.walk()
        if not listed:
            raise Failure(f"{url}: there are no files. A data set has at least one.")
        whole = sum(size for _, size in listed)
        done = 0
        files = []
        for path, size in listed:
            files.append({"path": path, "size_bytes": size, "sha256": _digest(folder, path, size)})
            done += size
            tell(done, whole)
        return files
    except Unreadable as error:
        raise Failure(f"{error}. Check the URL, and the keys of this machine.") from error


def _digest(folder: Folder, path: str, size: int) -> str:
    digest = hashlib.sha256()
    at = 0
    while at < size:
        part = folder.read(path, at, min(PART_BYTES, size - at))
        if not part:
            raise Failure(f"{folder.url}/{path} ended after {at} of {size} bytes. Try again.")
        digest.update(part)
        at += len(part)
    return digest.hexdigest()
