"""The one writer thread. Works that wait for it together are made durable together.

A commit waits for the disk (0.1 to 10 ms); a work takes about a millisecond. So works that have
queued up meanwhile share a transaction: each ``Store.write`` in a savepoint of its own, all works
answered after the one commit. Nobody is answered before what was written is durable, and a work
that raises takes nothing of the others with it, unless it is the database that gave up: then all of
that transaction fail. See docs/decisions/0028.

Works of one kind that wait together can be one call (``Bulk``): a batch of the ledger costs little
more than one transfer. See docs/decisions/0032.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from westward.server.aside import STORE_TROUBLE
from westward.store.database import Store

TOGETHER_MOST = 200
"""Works in one transaction."""
TOGETHER_MS = 15
"""No work joins a transaction that has been open for so long."""
log = logging.getLogger("westward.server")


@dataclass(frozen=True, slots=True)
class Bulk:
    """A work for many: it is handed the items of those who wait together, in the order in which they
    came, at most ``most``, and returns an answer for each. One call is one part of the transaction:
    if it raises, nothing of it is kept and each item is handed in alone."""

    work: Callable[[Sequence[Any]], Sequence[Any]]
    most: int

    def alone(self, item: Any) -> Any:
        (answer,) = self.work([item])
        return answer


@dataclass(slots=True)
class Task:
    """One work and who waits for it. ``error`` is set, or ``value`` counts. ``bulk``: the work may be
    done together with others' of the same, by ``item``."""

    work: Callable[[], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    value: Any = None
    error: BaseException | None = None
    bulk: Bulk | None = None
    item: Any = None

    def run(self) -> None:
        """Trouble with the store itself is raised: it has ended the transaction for all."""
        try:
            self.value = self.work()
        except STORE_TROUBLE:
            raise
        except Exception as error:
            self.error = error

    def tell(self) -> None:
        if self.future.done():  # whoever asked has gone
            return
        if isinstance(self.error, StopIteration):  # the one error that a future does not take
            spent = RuntimeError("a work raised StopIteration")
            spent.__cause__ = self.error
            self.future.set_exception(spent)
        elif self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)


class Writer:
    """Takes works from any event loop until ``close``."""

    def __init__(self, store: Store, elapsed_s: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._elapsed_s = elapsed_s
        self._queue: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._for_ever, name="writer", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[], Any]) -> Any:
        """What ``work`` answers, once it is durable. Raises what it raises: of the ``Store.write``
        in which that happened nothing is kept, what the work wrote in others before it stands."""
        return await self._hand_in(work)

    async def write_in_bulk(self, bulk: Bulk, item: Any) -> Any:
        """What ``bulk`` answers for ``item``, as ``write`` would of that alone."""
        return await self._hand_in(partial(bulk.alone, item), bulk, item)

    async def _hand_in(
        self, work: Callable[[], Any], bulk: Bulk | None = None, item: Any = None
    ) -> Any:
        if self._closed:
            raise RuntimeError("the writer is closed")
        loop = asyncio.get_running_loop()
        task = Task(work, loop.create_future(), loop, bulk=bulk, item=item)
        self._queue.put(task)
        return await task.future

    def close(self) -> None:
        """What was handed in is written first."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _for_ever(self) -> None:
        while (task := self._queue.get()) is not None:
            self._transaction(task)

    def _transaction(self, first: Task) -> None:
        """``first`` and what has queued up behind it."""
        together = [first]
        try:
            with self.store.together():
                self._fill(together)
        except BaseException as error:
            for one in together:
                one.error = one.error or error
        self._tell(together)

    def _fill(self, together: list[Task]) -> None:
        """Run the first, then those that wait, until none does or it is time to commit. Whatever was
        taken from the queue is run."""
        end = self._elapsed_s() + TOGETHER_MS / 1000
        task: Task | None = together[0]
        while task is not None:
            group, following = [task], None
            bulk = task.bulk
            while bulk is not None and following is None and len(group) < bulk.most:
                following = self._next(together, end)
                if following is None:
                    break
                if following.bulk == bulk:
                    group.append(following)
                    following = None
            self._run(group)
            task = following or self._next(together, end)

    def _next(self, together: list[Task], end: float) -> Task | None:
        """The next that waits, which is now one of those ``together``; None if none does, or it is
        time to commit."""
        if len(together) >= TOGETHER_MOST or self._elapsed_s() >= end:
            return None
        try:
            task = self._queue.get_nowait()
        except queue.Empty:
            return None
        if task is None:  # the writer is closed: for whoever looks next
            self._queue.put(None)
            return None
        together.append(task)
        return task

    def _run(self, group: Sequence[Task]) -> None:
        """One task, or several of one ``Bulk``. As ``Task.run``."""
        bulk = group[0].bulk
        if bulk is not None and len(group) > 1:
            try:
                with self.store.write():
                    answers = bulk.work([one.item for one in group])
                    if len(answers) != len(group):
                        raise ValueError(f"{len(group)} were asked for, {len(answers)} answered")
                for one, answer in zip(group, answers, strict=True):
                    one.value = answer
                return
            except STORE_TROUBLE:
                raise
            except Exception as error:
                log.info("%d works together raised, each goes alone: %r", len(group), error)
        for one in group:
            one.run()

    def _tell(self, done: list[Task]) -> None:
        """One wake-up of each event loop for all."""
        for loop in {one.loop for one in done}:
            mine = [one for one in done if one.loop is loop]
            try:
                loop.call_soon_threadsafe(_tell_all, mine)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits any more
                log.info("%d writes have nobody left to tell", len(mine))


def _tell_all(done: list[Task]) -> None:
    for one in done:
        one.tell()
