"""The bytes of jobs' checkpoints, as files named by their digest in a folder for each job.

``DATA/checkpoints/JOB/SHA256`` is whole; ``SHA256.part`` is on its way. What is asked twice is
answered twice: a part is appended only where the file ends now.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from westward.model.wire import SavedFile

FILES_MOST = 10_000
"""Of one checkpoint."""
PART_MOST_BYTES = 4 * 2**20
FREE_LEAST_BYTES = 2**30
"""Left free on the server's disk: its database lies there too."""
LOCK_FILE = "writing.lock"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_JOB_ID = re.compile(r"job_[A-Za-z0-9._-]{1,195}")


class WrongFiles(ValueError):
    """A list of files that cannot be a checkpoint."""


class CheckpointFiles:
    """Shared by all threads, and by servers whose ``root`` is the same folder."""

    def __init__(self, root: Path):
        self.root = root
        self._threads = threading.Lock()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._threads:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)

    def folder(self, job_id: str) -> Path:
        if _JOB_ID.fullmatch(job_id) is None:
            raise WrongFiles(f"{job_id!r} is no job id")
        return self.root / job_id

    def missing(self, job_id: str, files: Iterable[SavedFile]) -> tuple[tuple[str, int], ...]:
        """(digest, bytes there) of what is not whole yet."""
        folder = self.folder(job_id)
        wanted = {one.sha256: one for one in files if not one.link}
        return tuple(
            (sha256, _size(folder / f"{sha256}.part") or 0)
            for sha256, one in wanted.items()
            if _size(folder / sha256) != one.size_bytes
        )

    def room_for(self, job_id: str, files: Iterable[SavedFile]) -> bool:
        """Whether what is missing fits on the disk."""
        sizes = {one.sha256: one.size_bytes for one in files}
        to_come = sum(sizes[sha256] - had for sha256, had in self.missing(job_id, files))
        self.root.mkdir(parents=True, exist_ok=True)
        return to_come <= 0 or shutil.disk_usage(self.root).free >= to_come + FREE_LEAST_BYTES

    def append(self, job_id: str, sha256: str, size_bytes: int, offset: int, data: bytes) -> int:
        """Bytes there afterwards. A file whose digest turns out wrong begins anew (0)."""
        if _SHA256.fullmatch(sha256) is None:
            raise WrongFiles("that is no digest")
        folder = self.folder(job_id)
        with self._writing():
            if _size(folder / sha256) == size_bytes:
                return size_bytes
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{sha256}.part"
            had = _size(part) or 0
            if offset != had or had + len(data) > size_bytes:
                if had > size_bytes:
                    part.unlink()
                    return 0
                return had
            with open(part, "ab") as file:
                file.write(data)
                if had + len(data) == size_bytes:  # what a crash spoils before, the digest tells
                    file.flush()
                    os.fsync(file.fileno())
            if had + len(data) < size_bytes:
                return had + len(data)
            if digest_of(part) != sha256:
                part.unlink()
                return 0
            os.replace(part, folder / sha256)
            return size_bytes

    def read(self, job_id: str, sha256: str, offset: int, most: int) -> bytes:
        """FileNotFoundError: it is not kept."""
        if _SHA256.fullmatch(sha256) is None:
            raise WrongFiles("that is no digest")
        with open(self.folder(job_id) / sha256, "rb") as file:
            file.seek(offset)
            return file.read(min(most, PART_MOST_BYTES))

    def keep_only(self, job_id: str, files: Iterable[SavedFile]) -> None:
        """Drop what a newer checkpoint no longer has."""
        kept = {one.sha256 for one in files}
        with self._writing(), contextlib.suppress(FileNotFoundError):
            for path in self.folder(job_id).iterdir():
                if path.name not in kept:
                    path.unlink(missing_ok=True)

    def jobs(self) -> list[str]:
        """Job ids with a folder here."""
        try:
            return [name for name in os.listdir(self.root) if _JOB_ID.fullmatch(name)]
        except FileNotFoundError:
            return []

    def drop(self, job_ids: Collection[str]) -> None:
        """Their jobs are over."""
        with self._writing():
            for job_id in job_ids:
                shutil.rmtree(self.folder(job_id), ignore_errors=True)


def check_files(files: Sequence[SavedFile]) -> None:
    """Raises WrongFiles for paths that lead out of the folder, digests that are none."""
    if len(files) > FILES_MOST:
        raise WrongFiles(f"a checkpoint has at most {FILES_MOST} files, not {len(files)}")
    seen: set[str] = set()
    for one in files:
        path = PurePosixPath(one.path)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in one.path:
            raise WrongFiles(f"the path {one.path!r} leads out of the checkpoint")
        if str(path) in seen:
            raise WrongFiles(f"{one.path!r} stands twice")
        seen.add(str(path))
        if one.link:
            if PurePosixPath(one.link).is_absolute() or one.size_bytes or one.sha256:
                raise WrongFiles(f"{one.path!r} is no link within the checkpoint")
        elif _SHA256.fullmatch(one.sha256) is None or one.size_bytes < 0:
            raise WrongFiles(f"{one.path!r} has no proper digest or size")


def digest_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
