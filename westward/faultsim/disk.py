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
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from westward.faultsim.loop import OWNER, Crash, VirtualLoop
from westward.server.writer import Bulk, Task, Writer
from westward.store import sqlite
from westward.store.database import Store, open_store

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


class _Kept(sqlite3.Connection):
    """SQLAlchemy closes the connection of code that was killed. This one holds the disk."""

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()


def _fresh() -> sqlite3.Connection:
    raw = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None, factory=_Kept)
    raw.deserialize(empty_database())
    return raw


class Disk:
    """One for a whole worker: SQLAlchemy keeps compiled statements by engine. ``reset`` between
    worlds."""

    def __init__(self) -> None:
        self.raw = _fresh()
        self.engine: Engine = create_engine(
            "sqlite://", creator=lambda: self.raw, poolclass=StaticPool
        )
        sqlite.prepare(self.engine)
        event.listen(self.engine, "before_cursor_execute", self._before_statement)
        event.listen(self.engine, "commit", self._before_commit)
        self.reset()

    def reset(self) -> None:
        self.engine.dispose()
        self.raw.close()
        sqlite3.Connection.close(self.raw)
        self.raw = _fresh()
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
        return Store(self.engine)

    def image(self) -> bytes:
        return self.raw.serialize()

    def _before_statement(
        self,
        _connection: Connection,
        _cursor: Any,
        statement: str,
        _parameters: Any,
        _context: Any,
        _many: bool,
    ) -> None:
        if not statement.startswith(CHANGES):
            return
        self.writes += 1
        if self.crash_at_write is not None and self.writes >= self.crash_at_write:
            self.crash_at_write = None
            die()
        if self.full:
            self.refused += 1
            if self.give_up_whole and self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
            error = sqlite3.OperationalError("database or disk is full")
            raise OperationalError(statement, None, error)

    def _before_commit(self, _connection: Connection) -> None:
        if self.crash_before_commit and OWNER.get() is not None and self.raw.in_transaction:
            self.crash_before_commit = False
            die()


def die() -> None:
    """Kills the process whose code runs now."""
    process = OWNER.get()
    if process is not None:
        process.kill()
        raise Crash


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

    def _elapsed(self) -> float:
        self._asked += 1
        return float(self._asked * 3600) if self._alone() else 0.0

    def _start(self) -> None:
        """There is no thread."""

    async def _hand_in(
        self, work: Callable[[], Any], bulk: Bulk | None = None, item: Any = None
    ) -> Any:
        future = self._loop.create_future()
        self._queue.put(Task(work, future, self._loop, bulk=bulk, item=item))
        self._turn_later()
        return await future

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
