"""One of several servers leads: its loops plan, end leases, hold money and settle.

The leader holds an advisory lock in a session of its own, which the database ends when nothing was
heard in it for ``SILENT_MS``: a server that is killed loses it at once, one that is stopped or cut
off within that time. Whoever gets it raises the epoch; from then on nothing is written for an
earlier one (``core.write`` of a loop), so a leader that wakes up late does no harm until it notices.
See docs/decisions/0041.
"""

from __future__ import annotations

import asyncio
import logging
import time

import psycopg

from westward.server.clock import SharedClock
from westward.server.core import LEADING, Core
from westward.server.loops import Loops
from westward.server.relay import Connection, connect
from westward.store.leadership import LEADER_LOCK, take_office

SILENT_MS = 3_000
"""A leader's session that asked nothing for so long is ended by the database."""
BEAT_S = 0.5
"""So often the leader's session asks, and the others try for the lock."""
ANSWER_S = 2.0
"""A database that does not answer for so long has no leader here."""
AGAIN_S = 0.5
_ASK = "SELECT extract(epoch FROM clock_timestamp()) * 1000"
log = logging.getLogger("westward.server")


class Leading:
    """Of one server, from ``start`` to ``stop``: runs ``loops`` while it leads. ``epoch`` is None
    while it does not."""

    def __init__(self, core: Core, loops: Loops, url: str, name: str) -> None:
        self.core = core
        self.loops = loops
        self.url = url
        self.name = name
        self.epoch: int | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._for_ever(), name="leading")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _for_ever(self) -> None:
        while True:
            try:
                async with await connect(self.url) as connection:
                    await connection.execute(f"SET idle_session_timeout = {SILENT_MS}")
                    await self._stand(connection)
                    await self._lead(connection)
            except (psycopg.Error, OSError, TimeoutError) as error:
                log.warning("no session for leading: %s", error or type(error).__name__)
            except Exception:
                log.exception("leading failed")
            finally:
                await self._step_down()
            await asyncio.sleep(AGAIN_S)

    async def _stand(self, connection: Connection) -> None:
        """Until the lock is ours."""
        while True:
            (got, told_ms), took_ms = await self._ask(
                connection, f"SELECT pg_try_advisory_lock({LEADER_LOCK}), ({_ASK})"
            )
            self._steer(told_ms, took_ms)
            if got:
                return
            await asyncio.sleep(BEAT_S)

    async def _lead(self, connection: Connection) -> None:
        """While the lock is ours, which is as long as its session answers."""
        core = self.core
        taking = asyncio.create_task(
            core.write(take_office, core.store, self.name, core.clock.now_ms())
        )
        try:
            while True:
                if self.epoch is None and taking.done():
                    self._begin(taking.result())
                row, took_ms = await self._ask(connection, _ASK)
                self._steer(row[0], took_ms)
                # Until the office is ours, which waits for the turn, at once when it is.
                waits = {taking} if self.epoch is None else set()
                if waits:
                    await asyncio.wait(waits, timeout=BEAT_S)
                else:
                    await asyncio.sleep(BEAT_S)
        finally:
            taking.cancel()

    def _begin(self, epoch: int) -> None:
        log.info("%s leads, epoch %d", self.name, epoch)
        self.epoch = epoch
        self.core.since_ms = self.core.clock.now_ms()
        before = LEADING.set(epoch)  # the loops' tasks take it with them
        try:
            self.loops.start()
        finally:
            LEADING.reset(before)

    async def _step_down(self) -> None:
        if self.epoch is not None:
            log.warning("%s leads no more (epoch %d)", self.name, self.epoch)
            self.epoch = None
            await self.loops.stop()

    async def _ask(self, connection: Connection, question: str) -> tuple[tuple[object, ...], float]:
        asked = time.monotonic()
        async with asyncio.timeout(ANSWER_S):
            row = await (await connection.execute(question)).fetchone()
        assert row is not None
        return row, (time.monotonic() - asked) * 1000

    def _steer(self, told_ms: object, took_ms: float) -> None:
        if isinstance(self.core.clock, SharedClock):
            self.core.clock.steer(float(str(told_ms)), took_ms)
