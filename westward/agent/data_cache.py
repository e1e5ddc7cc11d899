"""Data sets kept at the site, whole and checked, shared by its runs, oldest use removed first.

``ROOT/DIGEST/files`` is a data set, read-only, and ``ROOT/DIGEST/entry.json`` says what it holds
and when it was used last (its own time). ``ROOT/DIGEST.part`` is one that is coming: ``files``
that are whole, ``coming`` for bytes of others, which a later agent process goes on with.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from westward.agent.engines.processes import read_json, write_atomic
from westward.model.dataset import DataFile, path_problem

SPARE_BYTES = 2**30
"""Of the disk, never used for data sets."""
PART = ".part"


class NoRoom(Exception):
    """The cache cannot hold the data set beside what its runs use; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A whole data set; ``source_site`` is where this site had it from."""

    files: Path
    size_bytes: int
    source_site: str


class DataCache:
    """One site's. Every method only touches this machine's files, and may take a while."""

    def __init__(self, root: Path, most_bytes: int):
        self.root = root
        self.most_bytes = most_bytes
        root.mkdir(parents=True, exist_ok=True)

    def files(self, digest: str) -> Path:
        return self.root / digest / "files"

    def find(self, digest: str, files: Sequence[DataFile]) -> Entry | None:
        """The data set, if it is whole here. A file that was touched since it was checked is read
        anew; where its bytes have changed, the data set is removed."""
        note = self.root / digest / "entry.json"
        entry = read_json(str(note))
        if entry is None:
            if (self.root / digest).exists():
                _remove(self.root / digest)
            return None
        times = {path: (size, time) for path, size, time in entry["files"]}
        for one in files:
            path = self.files(digest) / one.path
            try:
                now = path.stat()
            except OSError:
                now = None
            sound = now is not None and times.get(one.path) == (now.st_size, now.st_mtime_ns)
            if not sound and (now is None or digest_of(path) != one.sha256):
                _remove(self.root / digest)
                return None
        os.utime(note)
        return Entry(
            files=self.files(digest),
            size_bytes=int(entry["size_bytes"]),
            source_site=str(entry["source_site"]),
        )

    def whole_file(self, digest: str, one: DataFile) -> Path:
        """Where the file stands once it is whole and checked."""
        problem = path_problem(one.path)  # the server checks too, but this disk is ours
        if problem is not None:
            raise ValueError(f"{one.path!r}: {problem}")
        return self.root / f"{digest}{PART}" / "files" / one.path

    def coming_file(self, digest: str, one: DataFile) -> Path:
        """Where its bytes are gathered until then; there may be some."""
        return self.root / f"{digest}{PART}" / "coming" / one.sha256

    def accept(self, digest: str, one: DataFile) -> bool:
        """The gathered bytes become the file if they are what the manifest says; else they are
        thrown away."""
        coming, whole = self.coming_file(digest, one), self.whole_file(digest, one)
        if coming.stat().st_size != one.size_bytes or digest_of(coming) != one.sha256:
            coming.unlink()
            return False
        with open(coming, "rb") as file:
            os.fsync(file.fileno())
        whole.parent.mkdir(parents=True, exist_ok=True)
        os.replace(coming, whole)
        return True

    def finish(self, digest: str, files: Sequence[DataFile], source_site: str) -> Entry:
        """All files are whole: from now on runs may use the data set."""
        part = self.root / f"{digest}{PART}"
        listed = []
        for one in files:
            path = part / "files" / one.path
            path.chmod(0o444)
            listed.append((one.path, one.size_bytes, path.stat().st_mtime_ns))
        for folder, _, _ in os.walk(part / "files", topdown=False):
            os.chmod(folder, 0o555)
        shutil.rmtree(part / "coming", ignore_errors=True)
        size_bytes = sum(one.size_bytes for one in files)
        note = {"size_bytes": size_bytes, "source_site": source_site, "files": listed}
        write_atomic(str(part / "entry.json"), json.dumps(note))
        os.replace(part, self.root / digest)
        return Entry(files=self.files(digest), size_bytes=size_bytes, source_site=source_site)

    def make_room(self, digest: str, size_bytes: int, in_use: Collection[str]) -> None:
        """Remove data sets, those longest unused first, until ``size_bytes`` for ``digest`` fit.
        Those ``in_use`` stay. Raises NoRoom, having removed nothing more than it could."""
        if size_bytes > self.most_bytes:
            raise NoRoom(f"{size_bytes} bytes are more than this site's cache of {self.most_bytes}")
        kept = self._kept()
        own = next((size for _, name, size in kept if name == f"{digest}{PART}"), 0)
        used = sum(size for _, _, size in kept) - own
        to_come = max(0, size_bytes - own)
        for _, name, size in sorted(kept):
            free = shutil.disk_usage(self.root).free - SPARE_BYTES
            if used + size_bytes <= self.most_bytes and to_come <= free:
                return
            if name.removesuffix(PART) in in_use or name.removesuffix(PART) == digest:
                continue
            _remove(self.root / name)
            used -= size
        free = shutil.disk_usage(self.root).free - SPARE_BYTES
        if used + size_bytes > self.most_bytes:
            raise NoRoom(
                f"{size_bytes} bytes do not fit beside {used} bytes of data sets in use; this "
                f"site's cache takes {self.most_bytes}"
            )
        if to_come > free:
            raise NoRoom(f"{to_come} bytes do not fit: the site's disk has {max(0, free)} to spare")

    def _kept(self) -> list[tuple[int, str, int]]:
        """(last used, name, bytes) of everything here."""
        found = []
        for folder in self.root.iterdir():
            entry = read_json(str(folder / "entry.json"))
            try:
                if entry is not None:
                    used_ns = (folder / "entry.json").stat().st_mtime_ns
                    found.append((used_ns, folder.name, int(entry["size_bytes"])))
                else:
                    found.append((folder.stat().st_mtime_ns, folder.name, _size(folder)))
            except FileNotFoundError:
                continue
        return found


def digest_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_at(path: Path, offset: int, data: bytes) -> None:
    """Put ``data`` at ``offset``. Repeating it, or being killed at it, does no harm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as file:
        file.seek(offset)
        file.write(data)


def _size(folder: Path) -> int:
    return sum(
        os.lstat(os.path.join(base, name)).st_size
        for base, _, names in os.walk(folder)
        for name in names
    )


def _remove(folder: Path) -> None:
    """Also what is read-only. First out of its name, so that half a data set is never found."""
    going = folder.with_name(f"{folder.name}.going")
    shutil.rmtree(going, ignore_errors=True)
    os.replace(folder, going)
    for base, _, _ in os.walk(going):
        os.chmod(base, stat.S_IRWXU)
    shutil.rmtree(going, ignore_errors=True)
