"""Bells of several servers that share a PostgreSQL: what rings in one rings in all.

A bell only says "look again", so a message that is lost costs a wait, nothing else: after a break
everything rings and is read anew, and every loop and every held poll looks by itself after seconds.
``joined`` and ``people``, which are kept in memory, are read again where they have changed.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import psycopg

from westward.server.bells import ALL, messages
from westward.server.core import Core
from westward.store.turns import CONNECT

CHANNEL = "westward"
GATHER_S = 0.002
"""What rings within is told in one message."""
LOOK_EVERY_S = 2.0
"""A connection that says nothing is asked whether it is there."""
GONE_MS = 30_000
"""A session that asked nothing for so long is ended by the database: its server is gone or stopped,
and notifications must not be kept for it."""
AGAIN_S = 0.5
log = logging.getLogger("westward.server")
Connection: TypeAlias = "psycopg.AsyncConnection[tuple[Any, ...]]"


class Relay:
    """Of one server, from ``start`` to ``stop``. ``whole`` while it hears the others."""

    def __init__(self, core: Core, url: str, name: str) -> None:
        self.core = core
        self.url = url
        self.name = name
        self.whole = False
        self._out: dict[str, set[str]] = {}
        self._rung = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        core = self.core
        for name, bell in self._loops_bells().items():
            bell.also = partial(self.tell, "loops", name)
        core.sites.also = partial(self.tell, "sites")
        core.jobs.also = partial(self.tell, "jobs")
        core.view_changed = partial(self.tell, "views")
        for work in (self._hear, self._say):
            self._tasks.append(asyncio.create_task(self._for_ever(work), name=work.__name__))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell(self, kind: str, name: str) -> None:
        self._out.setdefault(kind, set()).add(name)
        self._rung.set()

    def _loops_bells(self) -> Mapping[str, Any]:
        core = self.core
        return {"plan": core.plan_bell, "settle": core.settle_bell, "hold": core.hold_bell}

    async def _for_ever(self, work: Any) -> None:
        while True:
            try:
                await work()
            except (psycopg.Error, OSError, TimeoutError) as error:
                log.warning("bells of other servers are not heard: %s", error)
            except Exception:
                log.exception("the relay failed")
            await asyncio.sleep(AGAIN_S)

    # -- hearing

    async def _hear(self) -> None:
        async with await connect(self.url) as connection:
            await connection.execute(f"SET idle_session_timeout = {GONE_MS}")
            await connection.execute(f"LISTEN {CHANNEL}")
            try:
                await self._look_everywhere()
                self.whole = True
                while True:
                    async for heard in connection.notifies(timeout=LOOK_EVERY_S):
                        await self._take(heard.payload)
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await connection.execute("SELECT 1")
            finally:
                self.whole = False

    async def _look_everywhere(self) -> None:
        core = self.core
        for view in ("sites", "people"):
            await core.look_again(view)
        for bell in self._loops_bells().values():
            bell.ring_here()
        core.sites.ring_all()
        core.jobs.ring_all()

    async def _take(self, payload: str) -> None:
        core = self.core
        message = json.loads(payload)
        if message.pop("from", "") == self.name:
            return
        for view in message.get("views", ()):
            await core.look_again(view)
        for name in message.get("loops", ()):
            self._loops_bells()[name].ring_here()
        for kind, bells in (("sites", core.sites), ("jobs", core.jobs)):
            names = message.get(kind, ())
            if ALL in names:
                bells.ring_all()
            for name in names:
                bells.ring_here(name)
        if core.traces is not None:
            core.traces.note(one for one in message.get("jobs", ()) if one.startswith("job_"))

    # -- telling

    async def _say(self) -> None:
        async with await connect(self.url) as connection:
            await connection.execute(f"SET idle_session_timeout = {GONE_MS}")
            await connection.execute("SET synchronous_commit = off")  # bells need no disk
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._rung.wait()
                await asyncio.sleep(GATHER_S)
                self._rung.clear()
                out, self._out = self._out, {}
                async with asyncio.timeout(LOOK_EVERY_S):
                    for text in messages(self.name, out):
                        await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))
                    if not out:
                        await connection.execute("SELECT 1")


async def connect(url: str) -> Connection:
    """A connection of its own, each statement a transaction. A database that is gone is noticed."""
    return await psycopg.AsyncConnection.connect(url, autocommit=True, **CONNECT)
