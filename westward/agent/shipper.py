"""Carries one run's news to the server: started, log bytes, readings, ended. Safe to restart.

Everything is read from the engine and repeated until acknowledged. What has been acknowledged
is not remembered across agent restarts: the server ignores repeats by (run, sequence) and
(run, rank, offset).
"""

from __future__ import annotations

import asyncio
import base64
import logging

from westward.agent.checkpoints import Checkpoints
from westward.agent.data import Data
from westward.agent.engines.base import Engine, RunResult, RunStatus, RunView
from westward.agent.link import Refused, ServerLink, SessionEnded
from westward.agent.outputs import Outputs
from westward.agent.words import told
from westward.model.wire import (
    LOG_FULL,
    LOG_GAP,
    Ack,
    LogChunk,
    Readings,
    RunEnded,
    RunStarted,
)

LOG_CHUNK_BYTES = 256 * 1024
LOG_LIMIT_BYTES = 64 * 2**20
"""Shipped per rank; the rest stays in the site's file."""
LOOK_EVERY_MS = 250
"""How often a run's log files are looked at, when nothing else wakes the shipper."""
READINGS_PER_MESSAGE = 500

log = logging.getLogger("westward.agent")


class Stale(Exception):
    """The server refused this token: the run is not ours any more."""


class Shipper:
    """Lives as long as the run is held. ``wake`` is set when the engine has news."""

    def __init__(
        self,
        engine: Engine,
        link: ServerLink,
        run_id: str,
        token: int,
        checkpoints: Checkpoints | None = None,
        data: Data | None = None,
        outputs: Outputs | None = None,
    ):
        self.data = data
        self.outputs = outputs
        self.checkpoints = checkpoints
        self.outcome: str | None = None
        """Of the run, once it has been told."""
        self.engine = engine
        self.link = link
        self.run_id = run_id
        self.token = token
        self.wake = asyncio.Event()
        self.stale = False
        self.told_started = False
        self.telling_end = False
        """The end is on its way; a poll that crossed it may call the run unknown."""
        self.sequence = -1
        self.offsets: dict[int, int] = {}

    async def ship(self) -> None:
        """Until the end is acknowledged, or the run is dropped and nothing of it lives."""
        try:
            while not self.stale:
                if await self._ship_news():
                    break
                await self._next_news()
        except Stale as refusal:
            log.warning("run %s token %d is stale: %s", self.run_id, self.token, refusal)
            self.stale = True
        if self.stale:
            await self._drop()
        await asyncio.to_thread(self.engine.forget, self.run_id)
        if self.checkpoints is not None:
            await asyncio.to_thread(self.checkpoints.forget, self.run_id, self.outcome)
        if self.data is not None:
            self.data.forget(self.run_id)

    def drop(self) -> None:
        """The server does not know this run as ours: kill it and forget it."""
        self.stale = True
        self.wake.set()

    async def _next_news(self) -> None:
        try:
            await asyncio.wait_for(self.wake.wait(), LOOK_EVERY_MS / 1000)
        except TimeoutError:
            return
        self.wake.clear()

    async def _ship_news(self) -> bool:
        """Everything there is now; true when the run's end has been acknowledged."""
        view = await self._look()
        if view.started and not self.told_started:
            begun = RunStarted(token=self.token, ago_ms=view.started_ago_ms)
            self._check(await self._report(begun))
            self.told_started = True
        await self._ship_logs()
        if view.result is None:
            await self._ship_readings()
            return False
        if self.checkpoints is not None:  # before the end: the lease still holds
            await self.checkpoints.hand_over(
                self.run_id, self.token, view.result, lambda: self.stale
            )
        result = view.result
        if self.outputs is not None:
            result = await self.outputs.publish(self.run_id, self.token, result, lambda: self.stale)
        await self._ship_end(result)
        return True

    async def _look(self) -> RunView:
        view = self.engine.look(self.run_id)
        if view.status is RunStatus.VANISHED:
            detail = "the run's supervisor vanished; what it left was killed"
            await asyncio.to_thread(self.engine.clean, self.run_id, detail)
            view = self.engine.look(self.run_id)
        return view

    async def _ship_logs(self) -> None:
        for rank in range(self.engine.ranks(self.run_id)):
            while True:
                offset = self.offsets.get(rank, 0)
                most = min(LOG_CHUNK_BYTES, LOG_LIMIT_BYTES - offset)
                data = self.engine.read_log(self.run_id, rank, offset, most) if most > 0 else b""
                if not data:
                    break
                text = base64.b64encode(data).decode("ascii")
                chunk = LogChunk(token=self.token, rank=rank, offset=offset, data_b64=text)
                ack = await self._report(chunk)
                self.offsets[rank] = self._next_offset(ack, offset + len(data))

    def _next_offset(self, ack: Ack, sent_to: int) -> int:
        """Where to go on: after what was sent, unless the server asks otherwise."""
        if ack.accepted:
            return LOG_LIMIT_BYTES if ack.reason == LOG_FULL else sent_to
        word, _, expected = ack.reason.partition(" ")
        if word != LOG_GAP:
            raise Stale(ack.reason)
        return int(expected)

    async def _ship_readings(self) -> None:
        """In messages of at most READINGS_PER_MESSAGE."""
        while fresh := self.engine.readings(self.run_id, self.sequence)[:READINGS_PER_MESSAGE]:
            self._check(await self._report(Readings(token=self.token, readings=fresh)))
            self.sequence = fresh[-1].sequence

    async def _ship_end(self, result: RunResult) -> None:
        """The last readings travel with the end, so that ending and settling is one message."""
        self.telling_end = True
        fresh = self.engine.readings(self.run_id, self.sequence)
        if len(fresh) > READINGS_PER_MESSAGE:
            await self._ship_readings()
            fresh = ()
        ended = RunEnded(
            token=self.token,
            outcome=result.outcome,
            exit_code=result.exit_code,
            detail=told(result.detail),
            readings=fresh,
        )
        ack = await self._report(ended)
        self.outcome = result.outcome if ack.accepted else None
        log.info(
            "run %s ended: %s exit=%s accepted=%s %s",
            self.run_id,
            result.outcome,
            result.exit_code,
            ack.accepted,
            ack.reason,
        )

    async def _report(self, message: RunStarted | Readings | LogChunk | RunEnded) -> Ack:
        try:
            return await self.link.report(self.run_id, message)
        except (Refused, SessionEnded) as error:
            raise Stale(str(error)) from error

    def _check(self, ack: Ack) -> None:
        if not ack.accepted:
            raise Stale(ack.reason)

    async def _drop(self) -> None:
        """Asks again while the site cannot even note that the run is to stop (its disk is full)."""
        asked = False
        while True:
            if not asked:
                try:
                    self.engine.stop(self.run_id, "lease-expired")
                    asked = True
                except OSError as error:
                    log.error("run %s cannot be told to stop: %s", self.run_id, error)
            if (await self._look()).result is not None:
                return
            await self._next_news()
