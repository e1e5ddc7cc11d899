"""Many callers, one batch: transfers that wait together are judged and committed together.

A commit waits for the disk, and everybody who uses one pot waits for its row. So callers that come
while a batch is being written make up the next one. Nobody is answered before his transfers are
durable; a refused one takes nothing of the others with it, since each has an outcome of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from westward.ledger.transfers import Outcome, Transfer
from westward.store.database import Store
from westward.store.ledger import post

TOGETHER_MOST = 500
"""Transfers in one batch; a caller with more is a batch of his own."""


@dataclass(slots=True)
class _Waiting:
    transfers: Sequence[Transfer]
    woken: threading.Event = field(default_factory=threading.Event)
    """Answered, or the one to write the next batch."""
    outcomes: tuple[Outcome, ...] | None = None
    error: BaseException | None = None


class Desk:
    """Safe to share between threads. Not for use within ``Store.together``."""

    def __init__(self, store: Store, clock_ms: Callable[[], int]) -> None:
        self.store, self.clock_ms = store, clock_ms
        self._waiting: list[_Waiting] = []
        self._changing = threading.Lock()
        self._busy = False
        """Somebody writes a batch, or was woken to do so."""

    def post(self, transfers: Sequence[Transfer]) -> tuple[Outcome, ...]:
        """As ``ledger.post`` at the clock's time; blocks until durable. Raises what that raises:
        then none of the batch was accepted, and all its callers may ask again."""
        mine = _Waiting(transfers)
        with self._changing:
            self._waiting.append(mine)
            writes = not self._busy
            self._busy = True
        if not writes:
            mine.woken.wait()
        if mine.outcomes is None and mine.error is None:
            self._write_next()
        if mine.error is not None:
            raise mine.error
        assert mine.outcomes is not None
        return mine.outcomes

    def _write_next(self) -> None:
        """The batch with the first who wait, the caller among them; then the next caller's turn."""
        batch = self._take()
        try:
            asked = [one for waiting in batch for one in waiting.transfers]
            outcomes = post(self.store, asked, self.clock_ms())
            at = 0
            for waiting in batch:
                waiting.outcomes = outcomes[at : at + len(waiting.transfers)]
                at += len(waiting.transfers)
        except BaseException as error:
            for waiting in batch:
                waiting.error = error
        with self._changing:
            following = self._waiting[0] if self._waiting else None
            self._busy = following is not None
        for waiting in batch:
            waiting.woken.set()
        if following is not None:
            following.woken.set()

    def _take(self) -> list[_Waiting]:
        """Those who came first. A group that is asked for twice goes into two batches: side by
        side it would be taken for one larger group."""
        taken: list[_Waiting] = []
        groups: set[str] = set()
        count = 0
        with self._changing:
            for waiting in self._waiting:
                size = len(waiting.transfers)
                mine = {one.group_id for one in waiting.transfers} - {""}
                if taken and (count + size > TOGETHER_MOST or mine & groups):
                    break
                taken.append(waiting)
                groups |= mine
                count += size
            del self._waiting[: len(taken)]
        return taken
