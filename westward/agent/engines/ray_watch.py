"""Follows each run on Ray from the order to its end, in the engine's own thread.

Two voices tell of a run: Ray's Jobs API, and the run's own lodger through the door and in the last
line of its output. How a run ended is the lodger's word; Ray's word alone is never success. A run
of which neither can be heard is unknown, until every promise made to its lodger is over: then
nothing of it lives, and it has vanished.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any

from westward.agent.engines.base import RunResult, RunStatus, read_result
from westward.agent.engines.door import Door, note_readings
from westward.agent.engines.processes import boot_ms
from westward.agent.engines.ray_link import Missing, RayLink, Refused, Unreachable
from westward.agent.engines.ray_log import LogCutter
from westward.agent.engines.watched import Told, WatchedRuns

log = logging.getLogger("westward.agent")

LOOK_S = 1.0
"""Each run is asked for this often."""
RETRY_S = 0.5
AGAIN_S = 5.0
"""After an error of ours, a run is followed again."""
LAST_LOG_S = 15
"""After a run's own word that it ended, the rest of its output is waited for this long."""
OVER = ("SUCCEEDED", "FAILED", "STOPPED")
DELETE_AGAIN_S = 20.0


@dataclass
class RayWatch:
    """All methods on the engine's loop."""

    runs: WatchedRuns
    door: Door
    link: RayLink
    ends: dict[str, RunResult] = field(default_factory=dict)
    """How runs ended by the last line of their output."""
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    others: set[asyncio.Task[None]] = field(default_factory=set)
    news: dict[str, asyncio.Event] = field(default_factory=dict)

    def follow(self, run_id: str) -> None:
        if run_id in self.tasks or self.runs.has_ended(run_id):
            return
        self.news[run_id] = asyncio.Event()
        self.tasks[run_id] = asyncio.create_task(self._follow(run_id), name=f"follow {run_id}")

    def stop(self, run_id: str) -> None:
        self.door.tell(run_id)
        event = self.news.get(run_id)
        if event is not None:
            event.set()

    def forget(self, run_id: str) -> None:
        task = self.tasks.pop(run_id, None)
        if task is not None:
            task.cancel()
        self.news.pop(run_id, None)
        self.ends.pop(run_id, None)
        self.door.forget(run_id)
        self._also(self._delete(run_id))

    async def close(self) -> None:
        tasks = [*self.tasks.values(), *self.others]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _also(self, coroutine: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(coroutine)
        self.others.add(task)
        task.add_done_callback(self.others.discard)
        return task

    async def _delete(self, run_id: str) -> None:
        """Ray keeps no record of a run that the server has acknowledged. One that is still in Ray's
        queue can only be deleted when it has come to its turn, and was sent away."""
        while True:
            try:
                await self.link.delete(run_id)
                return
            except Missing:
                return
            except (Unreachable, Refused):
                await asyncio.sleep(DELETE_AGAIN_S)

    # -- one run

    async def _follow(self, run_id: str) -> None:
        while True:
            try:
                await self._follow_to_end(run_id)
                return
            except Exception as error:  # a broken invariant; the run's lodger holds its lease
                log.critical("run %s cannot be followed", run_id, exc_info=error)
                self._tell(run_id, RunStatus.UNKNOWN, f"cannot be followed: {error!r}")
                await asyncio.sleep(AGAIN_S)

    async def _follow_to_end(self, run_id: str) -> None:
        order = self.runs.order(run_id)
        if order is None:
            return
        if self.runs.marked(run_id, "submitted") is None and not await self._submit(run_id, order):
            return
        output = self._also(self._follow_log(run_id, str(order["key"])))
        try:
            while not self.runs.has_ended(run_id):
                result = await self._look(run_id, output)
                if result is not None:
                    self.runs.note_ended(run_id, result)
                    self.door.tell(run_id)
                    return
                await self._nap(run_id)
        finally:
            output.cancel()

    async def _nap(self, run_id: str) -> None:
        event = self.news[run_id]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), LOOK_S)
        event.clear()

    def _tell(self, run_id: str, status: RunStatus, words: str) -> None:
        told = Told(status=status, engine_state=words)
        if self.runs.told.get(run_id) != told and not self.runs.has_ended(run_id):
            self.runs.told[run_id] = told
            self.runs.wake()

    async def _submit(self, run_id: str, order: dict[str, Any]) -> bool:
        """Until Ray has it; false when it ended without."""
        while True:
            stopping = self.runs.stopping(run_id)
            if stopping is not None or self.runs.lease(run_id).term_at <= boot_ms():
                # One sent by us, or by an agent before us, may still arrive: the door refuses it.
                outcome = stopping or "lease-expired"
                self._never_ran(run_id, outcome, "Ray did not take the run in time")
                return False
            try:
                await self.link.submit(order["submission"])
            except Refused as error:
                self._never_ran(run_id, "lease-expired", f"Ray refused the run: {error}")
                return False
            except (Unreachable, Missing) as error:
                self._tell(run_id, RunStatus.UNKNOWN, f"Ray does not answer: {error}")
                await asyncio.sleep(RETRY_S)
            else:
                self.runs.mark(run_id, "submitted", {"at": boot_ms()})
                self._tell(run_id, RunStatus.STARTING, "submitted")
                return True

    def _never_ran(self, run_id: str, outcome: Any, detail: str) -> None:
        self.runs.note_ended(run_id, RunResult(outcome=outcome, exit_code=None, detail=detail))

    def _begun(self, run_id: str) -> bool:
        """Whether a lodger was ever given leave."""
        return self.runs.marked(run_id, "instance") is not None

    async def _look(self, run_id: str, output: asyncio.Task[None]) -> RunResult | None:
        """Ask Ray once. Not None when the run has ended and everything of it was heard."""
        if run_id in self.ends or run_id in self.door.ends:
            return await self._own_word(run_id, output)
        if await self._left_the_queue(run_id):
            return None
        try:
            info = await self.link.info(run_id)
        except Unreachable as error:
            self._unheard(run_id, f"Ray does not answer: {error}")
            return None
        except (Missing, Refused) as error:
            self._unheard(run_id, f"Ray does not know it any more: {error}", missing=True)
            return None
        status = str(info.get("status"))
        if status in OVER:
            return await self._over(run_id, info, output)
        started = self.runs.started_ago_ms(run_id) is not None
        running = RunStatus.RUNNING if started else RunStatus.STARTING
        self._tell(run_id, running, f"ray: {status.lower()}")
        return None

    def _unheard(self, run_id: str, words: str, *, missing: bool = False) -> None:
        begun = self._begun(run_id)
        if (begun and self.door.silent(run_id)) or (missing and not begun):
            self._tell(run_id, RunStatus.VANISHED, f"{words}; its lodger is over, too")
        else:
            self._tell(run_id, RunStatus.UNKNOWN, words)

    async def _left_the_queue(self, run_id: str) -> bool:
        """A run that Ray has not begun ends at once when it is to: Ray hears of a stop only when
        it has begun it, but from now on the door does not let it in."""
        outcome = self.runs.stopping(run_id)
        if outcome is None and self.runs.lease(run_id).term_at <= boot_ms():
            outcome = "lease-expired"
        if outcome is None or self._begun(run_id):
            return False
        with contextlib.suppress(Unreachable, Missing, Refused):
            await self.link.stop(run_id)
        if self._begun(run_id):
            return False
        self._never_ran(run_id, outcome, "it had not begun")
        return True

    async def _own_word(self, run_id: str, output: asyncio.Task[None]) -> RunResult:
        """The rest of the output is waited for, as long as Ray still can be asked for it."""
        if run_id not in self.ends:
            await asyncio.wait([output], timeout=LAST_LOG_S)
        return self.ends.get(run_id) or self.door.ends[run_id]

    async def _over(
        self, run_id: str, info: dict[str, Any], output: asyncio.Task[None]
    ) -> RunResult | None:
        """Ray says it is over. Without the lodger's word its supervisor may live on, at most until
        what was promised to it ends."""
        await asyncio.wait([output], timeout=LAST_LOG_S)
        if run_id in self.ends or run_id in self.door.ends:
            return await self._own_word(run_id, output)
        begun = self._begun(run_id)
        if begun and not self.door.silent(run_id):
            self._tell(run_id, RunStatus.UNKNOWN, f"ray: {info['status']}, its end was not told")
            return None
        words = str(info.get("message") or info["status"]).strip()[:500]
        stopping = self.runs.stopping(run_id)
        if stopping is not None:
            return RunResult(outcome=stopping, exit_code=None, detail=f"stopped: {words}")
        if begun:
            detail = f"ended by Ray before its own end: {words}"
            return RunResult(outcome="lease-expired", exit_code=None, detail=detail)
        return RunResult(
            outcome="failed", exit_code=None, detail=f"Ray could not start it: {words}"
        )

    async def _follow_log(self, run_id: str, key: str) -> None:
        """Until its last line, or Ray says that there is no more."""
        while True:
            cutter = LogCutter(key, skip=self.runs.log_size(run_id, 0))
            whole = False
            try:
                async for piece in self.link.log(run_id):
                    self.runs.append_log(run_id, 0, cutter.feed(piece))
                    if cutter.end is not None:
                        break
                whole = True
            except Unreachable:
                pass
            if cutter.end is not None:
                note_readings(self.runs, run_id, cutter.end.get("readings") or [])
                self.ends[run_id] = read_result(cutter.end)
                event = self.news.get(run_id)
                if event is not None:
                    event.set()
                return
            if whole and await self._is_over(run_id):
                self.runs.append_log(run_id, 0, cutter.rest())
                return
            await asyncio.sleep(LOOK_S)

    async def _is_over(self, run_id: str) -> bool:
        try:
            return (await self.link.info(run_id)).get("status") in OVER
        except Missing:
            return True
        except (Unreachable, Refused):
            return False
