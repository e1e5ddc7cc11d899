"""Copies of a SQLite database, each as one moment saw it, taken while servers write.

A folder of backups holds ``parts/`` (64 KiB of the file each, compressed, named by their digest, kept
once however many copies have them), ``copies/`` (one JSON file each: when, which parts, the digest of
the whole) and ``backup.json`` (of which database). A copy counts once its JSON file is there; what a
crash leaves of an unfinished one is unused parts. See docs/decisions/0041.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import update

from westward.store.database import Store, open_store
from westward.store.ledger_audit import audit_ledger
from westward.store.schema import COUNTERS, FENCING_TOKEN

PART_BYTES = 64 * 1024
HEAD_FILE = "backup.json"
FORMAT = 1
TOKENS_AHEAD = 1_000_000
"""Leases granted after a copy had higher tokens than it knows: those are not given out again."""
BUSY_S = 60.0


class BackupTrouble(ValueError):
    """One sentence for people. Nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """``taken_ms``: everything committed by then is in it, and of what came after at most what was
    committed in the moments until the copy had begun."""

    taken_ms: int
    size_bytes: int
    sha256: str
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        return datetime.fromtimestamp(self.taken_ms / 1000, tz=UTC).strftime("%Y%m%dT%H%M%S.%fZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """``new_bytes``: what the copy added to the folder."""

    copy: Copy
    new_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """``tokens_from``: the fencing tokens given out from now on are higher."""

    copy: Copy
    transfers: int
    tokens_from: int


def take_copy(database: Path, folder: Path, now_ms: int) -> Taken:
    """Adds a copy of ``database`` to ``folder``, which is made if it is not there. ``now_ms`` is of
    before the call. Raises BackupTrouble, OSError."""
    source = database.resolve()
    if not source.is_file():
        raise BackupTrouble(f"there is no database {source}")
    _claim(folder, source)
    known = copies(folder)
    if known and known[-1].taken_ms >= now_ms:
        raise BackupTrouble(f"{folder} has a copy of a later time: look at this machine's clock")
    whole = folder / f"taking.{os.getpid()}"
    try:
        _snapshot(source, whole)
        names, new_bytes, digest = [], 0, hashlib.sha256()
        for part in _cut(whole):
            digest.update(part)
            name, wrote = _keep(folder, part)
            names.append(name)
            new_bytes += wrote
        copy = Copy(
            taken_ms=now_ms,
            size_bytes=whole.stat().st_size,
            sha256=digest.hexdigest(),
            parts=tuple(names),
        )
        told = {
            "taken_ms": copy.taken_ms, "size_bytes": copy.size_bytes, "sha256": copy.sha256,
            "parts": names,
        }  # fmt: skip
        _write(folder / "copies" / f"{copy.name}.json", json.dumps(told).encode())
    finally:
        whole.unlink(missing_ok=True)
    return Taken(copy=copy, new_bytes=new_bytes)


def copies(folder: Path) -> list[Copy]:
    """Oldest first. Raises BackupTrouble for a folder that holds none of ours."""
    _head(folder)
    found = []
    for path in sorted((folder / "copies").glob("*.json")):
        try:
            told = json.loads(path.read_bytes())
            found.append(
                Copy(
                    taken_ms=int(told["taken_ms"]),
                    size_bytes=int(told["size_bytes"]),
                    sha256=str(told["sha256"]),
                    parts=tuple(str(one) for one in told["parts"]),
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BackupTrouble(f"{path} is damaged ({error}); move it away") from None
    return sorted(found, key=lambda one: one.taken_ms)


def drop_copies(folder: Path, before_ms: int) -> int:
    """Copies taken earlier go, but never the last one; then parts that none has. How many copies."""
    known = copies(folder)
    old = [one for one in known[:-1] if one.taken_ms < before_ms]
    for one in old:
        (folder / "copies" / f"{one.name}.json").unlink()
    if old:
        kept = {part for one in known if one not in old for part in one.parts}
        for path in (folder / "parts").glob("*/*"):
            if path.name not in kept:
                path.unlink()
    return len(old)


def restore_copy(folder: Path, target: Path, at_ms: int | None = None) -> Restored:
    """The last copy taken at or before ``at_ms`` (None: the last) as the new file ``target``,
    verified, with the tables of this version. Raises BackupTrouble, OSError; then there is no
    ``target``."""
    for path in (target, *(Path(f"{target}{end}") for end in ("-wal", "-shm"))):
        if path.exists():
            raise BackupTrouble(f"{path} is there already; nothing is overwritten")
    known = copies(folder)
    chosen = [one for one in known if at_ms is None or one.taken_ms <= at_ms]
    if not chosen:
        first = f"the first is of {known[0].name}" if known else "there is none at all"
        raise BackupTrouble(f"{folder} has no copy of that time or before: {first}")
    copy = chosen[-1]
    made = target.with_name(f"{target.name}.restoring.{os.getpid()}")
    try:
        _put_together(folder, copy, made)
        check_whole(made)
        store = open_store(f"sqlite:///{made.resolve()}")
        try:
            report = audit_ledger(store)
            if report.faults:
                raise BackupTrouble(
                    f"the ledger of the copy does not add up: {report.faults[0]} "
                    f"({len(report.faults)} in all). Restore an earlier one with --at"
                )
            tokens = _raise_tokens(store)
        finally:
            store.close()
        os.link(made, target)  # refuses what came meanwhile
        _sync_folder(target.parent)
    finally:
        for end in ("", "-wal", "-shm"):
            Path(f"{made}{end}").unlink(missing_ok=True)
    return Restored(copy=copy, transfers=report.transfers, tokens_from=tokens)


def check_whole(database: Path) -> None:
    """SQLite's own look at every page and index of a file that nobody has open."""
    with contextlib.closing(
        sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)
    ) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if found != ["ok"]:
        raise BackupTrouble(f"the copy is not whole: {found[0]}")
    if broken is not None:
        raise BackupTrouble(f"the copy is not whole: a row of {broken[0]} has lost what it is of")


def _snapshot(source: Path, target: Path) -> None:
    """All pages in one reading transaction: writers go on, and none of what they do is half there."""
    with (
        contextlib.closing(
            sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=BUSY_S)
        ) as there,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        there.backup(copy, pages=-1)
    check_whole(target)


def _raise_tokens(store: Store) -> int:
    with store.write() as connection:
        row = COUNTERS.c.name == FENCING_TOKEN
        connection.execute(
            update(COUNTERS).where(row).values(value=COUNTERS.c.value + TOKENS_AHEAD)
        )
        return int(connection.execute(COUNTERS.select().where(row)).mappings().one()["value"])


def _claim(folder: Path, source: Path) -> None:
    """A folder holds copies of one database; another's would be taken for it."""
    if not folder.exists() or not any(folder.iterdir()):
        (folder / "copies").mkdir(parents=True, exist_ok=True)
        (folder / "parts").mkdir(exist_ok=True)
        head = {"format": FORMAT, "database": str(source)}
        _write(folder / HEAD_FILE, json.dumps(head).encode())
        return
    head = _head(folder)
    if head["database"] != str(source):
        raise BackupTrouble(
            f"{folder} holds copies of {head['database']}, not of {source}; name another folder"
        )


def _head(folder: Path) -> dict[str, object]:
    path = folder / HEAD_FILE
    try:
        head = json.loads(path.read_bytes())
        if head["format"] != FORMAT:
            raise BackupTrouble(f"{folder} is of another version of Westward: {head['format']!r}")
        return dict(head)
    except FileNotFoundError:
        raise BackupTrouble(f"{folder} is no folder of backups: there is no {path}") from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, BackupTrouble):
            raise
        raise BackupTrouble(f"{path} is damaged ({error})") from None


def _cut(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while part := file.read(PART_BYTES):
            yield part


def _keep(folder: Path, part: bytes) -> tuple[str, int]:
    """Its name, and how many bytes were written (0: it was there)."""
    name = hashlib.sha256(part).hexdigest()
    path = folder / "parts" / name[:2] / name
    if path.exists():
        return name, 0
    path.parent.mkdir(exist_ok=True)
    packed = zlib.compress(part, 3)
    _write(path, packed)
    return name, len(packed)


def _put_together(folder: Path, copy: Copy, target: Path) -> None:
    whole = hashlib.sha256()
    with open(target, "xb") as file:
        for name in copy.parts:
            path = folder / "parts" / name[:2] / name
            try:
                part = zlib.decompress(path.read_bytes())
            except FileNotFoundError:
                raise BackupTrouble(f"{path} is missing: the copy cannot be restored") from None
            except zlib.error as error:
                raise BackupTrouble(f"{path} is damaged: {error}") from None
            if hashlib.sha256(part).hexdigest() != name:
                raise BackupTrouble(f"{path} is damaged: it is not what its name says")
            whole.update(part)
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    if whole.hexdigest() != copy.sha256 or target.stat().st_size != copy.size_bytes:
        raise BackupTrouble(f"the copy of {copy.name} is damaged: its parts make another file")


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and on the disk."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
