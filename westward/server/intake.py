"""Submissions that come at the same time are read in one go and written in one go.

Each by itself costs a thread's turn to be read, another to be written, and half a dozen statements;
together they share all of that. Nobody waits for company: what comes while others are read is the
next group. What one request brings, or is refused for, touches no other. See docs/decisions/0031.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from westward.control.records import JobRecord
from westward.server.aside import each_apart
from westward.store.database import Store
from westward.store.jobs import submit_jobs
from westward.store.results import Conflict, Submission, Submitted

if TYPE_CHECKING:
    from westward.server.core import Core

TOGETHER_MOST = 50
"""Requests in one group: some tens of milliseconds in one thread."""

Admitted: TypeAlias = JobRecord | Submission
"""What to submit; or the job of a request that was made before and is no good any more."""
Answer: TypeAlias = JobRecord | Submitted | Conflict


@dataclass(slots=True, eq=False)
class Asked:
    """One request on its way. In the end ``error`` is set, or ``answer``."""

    admit: Callable[[int], Admitted]
    future: asyncio.Future[Answer]
    submission: Submission | None = None
    answer: Answer | None = None
    error: BaseException | None = None

    def read(self, now_ms: int) -> None:
        try:
            admitted = self.admit(now_ms)
        except Exception as error:
            self.error = error
            return
        if isinstance(admitted, Submission):
            self.submission = admitted
        else:
            self.answer = admitted

    def fail(self, error: Exception) -> None:
        self.error = error

    def tell(self) -> None:
        if self.future.done():  # whoever asked has gone
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        elif self.answer is not None:
            self.future.set_result(self.answer)
        else:  # this server ends
            self.future.cancel()


class Intake:
    """Of one server; used on its event loop alone."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._waiting: list[Asked] = []
        self._reading = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, admit: Callable[[int], Admitted], *, alone: bool = False) -> Answer:
        """What became of one request; durable. ``admit`` is called with the time in a reader
        thread, and what it raises is raised here. ``alone``: reading it takes long."""
        asked = Asked(admit, asyncio.get_running_loop().create_future())
        if alone:
            self._start(self._alone(asked))
        else:
            self._waiting.append(asked)
            if not self._reading:
                self._reading = True
                self._start(self._groups())
        return await asked.future

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _groups(self) -> None:
        """While one group is written the next is read."""
        try:
            while self._waiting:
                group = self._waiting[:TOGETHER_MOST]
                del self._waiting[:TOGETHER_MOST]
                self._start(self._write(group, await self._read(group)))
        finally:
            self._reading = False

    async def _alone(self, asked: Asked) -> None:
        await self._write([asked], await self._read([asked]))

    async def _read(self, group: Sequence[Asked]) -> int:
        """The time at which the group was read."""
        now_ms = self.core.clock.now_ms()
        try:
            await self.core.read(_read_each, group, now_ms)
        except Exception as error:
            for one in group:
                one.fail(error)
        return now_ms

    async def _write(self, group: Sequence[Asked], now_ms: int) -> None:
        good = [one for one in group if one.submission is not None and one.error is None]
        try:
            if good:
                await self.core.write(_write_each, self.core.store, good, now_ms)
        except Exception as error:  # the store's, and so of all of them
            for one in good:
                one.fail(error)
        finally:
            for one in group:
                one.tell()


def _read_each(group: Sequence[Asked], now_ms: int) -> None:
    for one in group:
        one.read(now_ms)


def _write_each(store: Store, group: Sequence[Asked], now_ms: int) -> None:
    def write(some: Sequence[Asked]) -> Sequence[Submitted | Conflict]:
        submissions = [one.submission for one in some if one.submission is not None]
        answers = submit_jobs(store, submissions, now_ms)
        for one, answer in zip(some, answers, strict=True):
            one.answer = answer
        return answers

    each_apart(write, group, Asked.fail)
