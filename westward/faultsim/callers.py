"""A caller inside the server that is wrong: it asks for what cannot be, or for what is late.

Each thing asked has its answer beforehand, from plain rows (``_wrongs``): that it cannot be
(``IMPOSSIBLE``), or the code by which it counts for nothing. The shipped store must answer so, and
no row may differ afterwards. ``copies`` plays on with records that are never written.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from westward.control.events import (
    AfterFailed,
    CancelRequested,
    Event,
    HoldEnded,
    JobBound,
    JobRefused,
    JobUnbound,
    LeaseExpired,
    LeaseGranted,
    LeaseRenewed,
    PauseRequested,
    ResumeRequested,
    RunEnded,
    RunOffered,
    RunStarted,
)
from westward.control.machine import Ignored, InvalidTransition
from westward.control.records import Aim, HoldCode, PauseKind
from westward.faultsim.checkers import OVER, Broken
from westward.faultsim.copies import PLACE, on_copies
from westward.faultsim.net import Answer, Caller, Net
from westward.faultsim.users import TIMEOUT_MS, Ask
from westward.model.wire import HeldRun
from westward.server.core import Core
from westward.server.writer import Bulk
from westward.store.database import Store
from westward.store.jobs import load_job
from westward.store.lifecycle import apply_event, renew_leases
from westward.store.results import Stale

IMPOSSIBLE = "impossible"
ASKED_MOST = 2
"""Jobs, those with a run first: asking takes as long as some seconds of a world."""
HELD_BY: tuple[tuple[HoldCode, PauseKind], ...] = (("suspended", "suspend"), ("money", "money"))
"""A hold, and the request that leads to it."""
TOKEN = 10**9
"""Above all that were given."""
_ROWS = (
    "SELECT * FROM jobs ORDER BY job_id",
    "SELECT * FROM runs ORDER BY run_id",
    "SELECT * FROM story ORDER BY seq",
    "SELECT * FROM counters ORDER BY name",
)

Row = dict[str, Any]
Wrong = tuple[Event, tuple[str, ...], int]
"""An event, the answers that are right, and when it is told."""


@dataclass(frozen=True, slots=True)
class Callers:
    """``raw``: the disk, as the rules see it. ``spoiled``: jobs whose rows were made wrong. ``fail``
    hears of what is not as foretold."""

    raw: sqlite3.Connection
    spoiled: set[str]
    fail: Callable[[Broken], None]
    size: int

    async def serve(self, core: Core, _caller: Caller) -> Answer:
        now_ms = core.clock.now_ms()
        try:
            await core.write(self._ask_all, core.store, now_ms)
            await _wrong_works(core)
        except Broken as broken:
            self.fail(broken)
        return 200, b""

    def _ask_all(self, store: Store, now_ms: int) -> None:
        before = self._all_rows()
        jobs = self._rows("SELECT * FROM jobs ORDER BY job_id")
        jobs = [one for one in jobs if one["job_id"] not in self.spoiled]
        live = {row["job_id"] for row in self._rows("SELECT job_id FROM runs WHERE live = 1")}
        first = self.size % max(1, len(jobs))
        jobs = [*jobs[first:], *jobs[:first]]
        jobs.sort(key=lambda one: one["job_id"] not in live)
        for job in jobs[:ASKED_MOST]:
            query = f"SELECT * FROM runs WHERE job_id = '{job['job_id']}' ORDER BY token"
            runs = self._rows(query)
            for event, right, at_ms in _wrongs(job, runs, now_ms):
                had = _answer(store, job["job_id"], event, at_ms)
                if had not in right:
                    raise Broken("caller-heeded", f"{event} of {job['state']}: {had}, not {right}")
            record = load_job(store, job["job_id"])
            if record is not None:
                on_copies(store, record, now_ms, self.size)
        self._renewals(store, now_ms)
        if self._all_rows() != before:
            raise Broken("caller-heeded", "what was refused changed rows")

    def _renewals(self, store: Store, now_ms: int) -> None:
        """One statement renews many leases: of live runs, under their tokens, never backwards."""
        rows = self._rows("SELECT run_id, token, live, lease_expires_ms FROM runs ORDER BY token")
        held, wanted = [], []
        for at, row in enumerate(rows):
            token = row["token"] + (at % 3 == 2)
            ttl_ms = 5_000 - 10_000 * (at % 2)
            held.append((HeldRun(run_id=row["run_id"], token=token), ttl_ms))
            right = row["live"] == 1 and token == row["token"]
            had = row["lease_expires_ms"]
            wanted.append(max(had, now_ms + ttl_ms) if right else had)
        try:
            with store.write():
                for one, ttl_ms in held:
                    renew_leases(store, (one,), ttl_ms, now_ms)
                found = [
                    row["lease_expires_ms"]
                    for row in self._rows("SELECT lease_expires_ms FROM runs ORDER BY token")
                ]
                raise _Undone
        except _Undone:
            if found != wanted:
                raise Broken("renewed-otherwise", f"{found} for {wanted}") from None

    def _rows(self, query: str) -> list[Row]:
        cursor = sqlite3.Connection.execute(self.raw, query)
        names = [one[0] for one in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def _all_rows(self) -> list[list[Row]]:
        return [self._rows(query) for query in _ROWS]


class _Undone(Exception):
    """Nothing of it is to be kept."""


def callers(net: Net, wrong: Callers) -> Ask:
    async def ask() -> None:
        status, _ = await net.call("users", "wrong-caller", wrong.serve, TIMEOUT_MS)
        if status >= 500:
            raise OSError("the server could not do it")

    return ask


def _answer(store: Store, job_id: str, event: Event, at_ms: int) -> str:
    try:
        told = apply_event(store, job_id, event, at_ms)
    except InvalidTransition as error:
        return IMPOSSIBLE if job_id in str(error) else f"says nothing of {job_id}"
    if isinstance(told, Ignored):
        return told.code
    return "stale" if isinstance(told, Stale) else "taken"


def _wrongs(job: Row, runs: Sequence[Row], now_ms: int) -> Iterator[Wrong]:
    """What must not be taken of a job in this state."""
    for event, right in (
        *_of_planners(job, runs),
        *_of_owners(job, runs),
        *(one for run in runs for one in _of_sites(run)),
    ):
        yield event, (right,) if isinstance(right, str) else right, now_ms
    for run in runs:
        if run["live"]:
            name, token, end_ms = run["run_id"], run["token"], run["lease_expires_ms"]
            renewed = LeaseExpired(run_id=name, token=token, seen_expires_ms=end_ms - 1)
            yield renewed, ("lease-renewed",), end_ms + 1
            early = LeaseExpired(run_id=name, token=token, seen_expires_ms=end_ms)
            yield early, (IMPOSSIBLE,), end_ms - 1


_Right = tuple[Event, str | tuple[str, ...]]


def _of_planners(job: Row, runs: Sequence[Row]) -> Iterator[_Right]:
    state = job["state"]
    if state != "pending":
        yield JobBound(binding=PLACE), IMPOSSIBLE
        yield JobBound(binding=PLACE, leaves="elsewhere"), IMPOSSIBLE
    if state != "bound":
        yield JobUnbound(reason="no reason"), IMPOSSIBLE
        yield LeaseGranted(run_id="run_wrong", token=TOKEN, lease_expires_ms=1), IMPOSSIBLE
    if state not in ("pending", "held"):
        yield JobRefused(reason="no reason"), IMPOSSIBLE
    for run in runs:
        used = LeaseGranted(run_id=run["run_id"], token=TOKEN, lease_expires_ms=1)
        yield used, IMPOSSIBLE
        low = LeaseGranted(run_id="run_wrong", token=run["token"], lease_expires_ms=1)
        yield low, IMPOSSIBLE


def _of_owners(job: Row, runs: Sequence[Row]) -> Iterator[_Right]:
    state = job["state"]
    yield PauseRequested(kind="move"), IMPOSSIBLE
    yield PauseRequested(kind="suspend", aim=Aim(site="nowhere")), IMPOSSIBLE
    holds = {one["code"] for one in json.loads(job["holds"] or "[]")}
    if state in OVER:
        yield CancelRequested(), "job-over"
        yield PauseRequested(kind="suspend"), "job-over"
        yield ResumeRequested(), "job-over"
        yield HoldEnded(code="retry", reason=""), "job-over"
        yield AfterFailed(job_id="job_none", reason=""), "job-over"
        return
    if state == "cancelling":
        yield CancelRequested(), "repeat"
        yield PauseRequested(kind="suspend"), "being-cancelled"
    elif not any(run["live"] for run in runs):
        yield PauseRequested(kind="preempt"), "not-running"
        for code, kind in HELD_BY:
            if code in holds:
                yield PauseRequested(kind=kind), "repeat"
    elif json.loads(job["spec"]).get("checkpoint") is None:
        yield PauseRequested(kind="suspend"), "no-checkpoint"
        yield PauseRequested(kind="money"), "no-checkpoint"
    elif state == "suspending":
        yield PauseRequested(kind="preempt"), "repeat"
    if "suspended" not in holds and state != "suspending":
        yield ResumeRequested(), "not-suspended"
    for hold in get_args(HoldCode):
        if hold not in holds:
            yield HoldEnded(code=hold, reason=""), "not-held"
    if "after" not in holds:
        yield AfterFailed(job_id="job_none", reason=""), "not-held"


def _of_sites(run: Row) -> Iterator[_Right]:
    name, token = run["run_id"], run["token"]
    for about, number, code in (
        ("run_nobody", token, "unknown-run"), (name, token + 1, "stale-token"),
    ):  # fmt: skip
        yield RunOffered(run_id=about, token=number, session=1), code
        yield LeaseRenewed(run_id=about, token=number, lease_expires_ms=10**15), code
        yield RunStarted(run_id=about, token=number), code
        yield RunEnded(run_id=about, token=number, outcome="failed", exit_code=1), code
        yield LeaseExpired(run_id=about, token=number, seen_expires_ms=10**15), code
    if run["live"]:
        earlier = run["lease_expires_ms"] - 1
        yield LeaseRenewed(run_id=name, token=token, lease_expires_ms=earlier), "repeat"
        if run["started_ms"] is not None:
            yield RunStarted(run_id=name, token=token), "repeat"
        if run["offered_session"] is not None:
            told = run["offered_session"]
            yield RunOffered(run_id=name, token=token, session=told), "repeat"
            yield RunOffered(run_id=name, token=token, session=told + 1), "run-over"
        return
    yield RunOffered(run_id=name, token=token, session=1), "run-over"
    yield LeaseRenewed(run_id=name, token=token, lease_expires_ms=10**15), "run-over"
    yield RunStarted(run_id=name, token=token), ("repeat", "run-over")
    outcome = run["outcome"]
    if outcome in ("succeeded", "failed", "cancelled", "preempted", "lease-expired"):
        told_again = RunEnded(run_id=name, token=token, outcome=outcome, exit_code=1)
        yield told_again, "repeat"
    other: Any = "failed" if outcome != "failed" else "succeeded"
    yield RunEnded(run_id=name, token=token, outcome=other, exit_code=0), "run-over"


# -- works of the writer ----------------------------------------------------------------------


async def _wrong_works(core: Core) -> None:
    """Works that break the writer's own rules must harm nobody else."""

    def stops() -> int:
        return next(iter(()))

    def forgets(items: Sequence[Any]) -> Sequence[Any]:
        """Of several it loses one; one of them it cannot do at all."""
        if 3 in items:
            raise ValueError("three is too many")
        return [one * 2 for one in items[: max(1, len(items) - 1)]]

    async def told(asked: Awaitable[Any]) -> object:
        try:
            return await asked
        except (RuntimeError, ValueError) as error:
            return type(error)

    gone = asyncio.ensure_future(core.write(lambda: None))
    bulk = Bulk(forgets, 5)
    waiting = [
        asyncio.ensure_future(told(core.write(stops))),
        *(asyncio.ensure_future(told(core.write_in_bulk(bulk, item))) for item in (1, 2)),
        asyncio.ensure_future(told(core.write(lambda: 7))),
        *(asyncio.ensure_future(told(core.write_in_bulk(bulk, item))) for item in (3, 4)),
    ]
    await asyncio.sleep(0)  # all are handed in before one of them is no longer waited for
    gone.cancel()
    had = await asyncio.gather(*waiting)
    if had != [RuntimeError, 2, 4, 7, ValueError, 8]:
        raise Broken("work-answered-otherwise", str(had))
