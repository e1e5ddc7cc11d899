"""The server's disk: a real SQLite database in memory, which fails when it is told to.

What SQLite promises with WAL and ``synchronous=FULL`` is modelled as: a transaction is on the disk,
whole, exactly when its COMMIT returned. A server that is killed comes back to the last of these
states. (That SQLite keeps the promise when the log's end is torn off is tested on real files:
tests/faults/test_torn_log.py.)
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from sqlalchemy import create_engine

from westward.faultsim.loop import OWNER, Crash, VirtualLoop
from westward.server.writer import Task, Writer
from westward.store.database import Store, open_store
from westward.store.lean import LeanConnection, LeanEngine
from westward.store.sqlite import STATEMENTS_KEPT

CHANGES = ("INSERT", "UPDATE", "DELETE")


@lru_cache(maxsize=1)
def empty_database() -> bytes:
    """All tables, nothing in them. Migrating takes longer than a whole simulated world."""
    with tempfile.TemporaryDirectory(prefix="westward-faultsim-") as folder:
        path = Path(folder) / "empty.db"
        open_store(f"sqlite:///{path}").close()
        source = sqlite3.connect(path)
        copy = sqlite3.connect(":memory:")
        source.backup(copy)
        source.close()
        image = bytearray(copy.serialize())
        copy.close()
    image[18] = image[19] = 1  # not WAL: a database in memory has no log
    return bytes(image)


class _Driver(sqlite3.Connection):
    """The driver's connection: fails as its disk says. Nobody of the simulated world closes it."""

    disk: Disk

    def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
        if sql.startswith(CHANGES):
            self.disk.before_change()
        return super().execute(sql, values)

    def executemany(self, sql: str, values: Any, /) -> sqlite3.Cursor:
        if sql.startswith(CHANGES):
            self.disk.before_change()
        return super().executemany(sql, values)

    def commit(self) -> None:
        self.disk.before_commit()
        super().commit()

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()


class _Engine(LeanEngine):
    """Everybody gets the disk's one connection: simulated threads take turns."""

    disk: Disk

    def take(self) -> LeanConnection:
        return LeanConnection(self, self.disk.raw)

    def give_back(self, raw: sqlite3.Connection) -> None:
        """It stays."""


class Disk:
    """One for a whole worker: compiled statements are kept with it. ``reset`` between worlds."""

    def __init__(self) -> None:
        self.engine = create_engine("sqlite://")
        self.lean = _Engine(self.engine, lambda: self.raw)
        self.lean.disk = self
        self.raw = self._fresh()
        self.reset()

    def _fresh(self) -> _Driver:
        raw = sqlite3.connect(
            ":memory:", check_same_thread=False, isolation_level=None, factory=_Driver,
            cached_statements=STATEMENTS_KEPT,
        )  # fmt: skip
        assert isinstance(raw, _Driver)
        raw.disk = self
        raw.deserialize(empty_database())
        sqlite3.Connection.execute(raw, "PRAGMA foreign_keys = ON")
        return raw

    def reset(self) -> None:
        self.raw.close()
        sqlite3.Connection.close(self.raw)
        self.raw = self._fresh()
        self.writes = 0
        """Statements that changed something, since the world began."""
        self.crash_at_write: int | None = None
        self.crash_before_commit = False
        self.crash_after_commit = False
        self.full = False
        self.give_up_whole = False
        """While it is full: SQLite ends the whole transaction, not the statement alone."""
        self.refused = 0
        self.commit_us: Callable[[], int] = lambda: 0

    def open(self) -> Store:
        return Store(self.engine, lean=self.lean)

    def before_change(self) -> None:
        """A statement that writes is about to run."""
        self.writes += 1
        if self.crash_at_write is not None and self.writes >= self.crash_at_write:
            self.crash_at_write = None
            die()
        if self.full:
            self.refused += 1
            if self.give_up_whole and self.raw.in_transaction:
                self.raw.rollback()
            raise sqlite3.OperationalError("database or disk is full")

    def before_commit(self) -> None:
        if self.crash_before_commit and OWNER.get() is not None and self.raw.in_transaction:
            self.crash_before_commit = False
            die()


def die() -> None:
    """Kills the process whose code runs now."""
    process = OWNER.get()
    if process is not None:
        process.kill()
        raise Crash


class _Queue(SimpleQueue[Task | None]):
    """Whatever is handed in gets its turn."""

    def __init__(self, turn_later: Callable[[], None]) -> None:
        self._turn_later = turn_later

    def put(self, item: Task | None, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        if item is not None:
            self._turn_later()


class DiskWriter(Writer):
    """The shipped writer without its thread: its transactions run between two steps of the loop."""

    def __init__(
        self, store: Store, disk: Disk, loop: VirtualLoop, alone: Callable[[], bool],
        committed: Callable[[], None],
    ) -> None:  # fmt: skip
        self._disk = disk
        self._loop = loop
        self._turning = False
        self._asked = 0
        self._alone = alone
        """Whether a transaction takes no more than it has so far."""
        self._committed = committed
        super().__init__(store, self._elapsed)
        self._queue = _Queue(self._turn_later)

    def _elapsed(self) -> float:
        self._asked += 1
        return float(self._asked * 3600) if self._alone() else 0.0

    def _start(self) -> None:
        """There is no thread."""

    def _turn_later(self) -> None:
        if not self._turning:
            self._turning = True
            self._loop.at_us(self._loop.now_us + self._disk.commit_us(), self._turn)

    def _turn(self) -> None:
        self._turning = False
        task = self._queue.get_nowait()
        if task is not None:
            self._transaction(task)
            process = OWNER.get()
            if process is None or process.alive:
                self._committed()
        if not self._queue.empty():
            self._turn_later()

    def _tell(self, done: list[Task]) -> None:
        process = OWNER.get()
        if process is not None and not process.alive:
            return
        if self._disk.crash_after_commit:  # durable, and nobody hears of it
            self._disk.crash_after_commit = False
            self._committed()
            if process is not None:
                process.kill()
            return
        super()._tell(done)
