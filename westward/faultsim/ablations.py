"""Protections of the shipped code, each taken away in the simulated world alone.

A simulator that never fails proves nothing: with any of these gone it must find a broken rule.
Nothing here is a switch of the server: functions are replaced at their seams while a world is
played, and put back after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, RowMapping, func, select

from westward.agent.engines.base import LeaseTimes
from westward.control import machine
from westward.control.machine import Ignored
from westward.control.records import JobRecord, RunRecord
from westward.model.wire import Reading
from westward.server.purse import Purse
from westward.store import fencing, lifecycle, readings
from westward.store.database import Store
from westward.store.results import Stale
from westward.store.schema import READINGS, RUNS

NEVER_MS = 10**15


def _patch(stack: ExitStack, where: Any, name: str, made: Any) -> None:
    stack.enter_context(patch.object(where, name, made))


def _no_fencing(stack: ExitStack) -> None:
    """Reports count for whatever run of the job is live now, whoever sends them."""
    handle = machine.handle

    def unfenced(record: JobRecord, event: Any, now_ms: int) -> Any:
        live: RunRecord | None = record.live_run
        if live is not None and hasattr(event, "token") and record.run(event.run_id) is not None:
            event = replace(event, run_id=live.run_id, token=live.token)
        return handle(record, event, now_ms)

    def any_run(connection: Connection, run_id: str, token: int) -> RowMapping | Ignored:
        query = select(RUNS.c.job_id, RUNS.c.site, RUNS.c.token, RUNS.c.live, RUNS.c.state)
        row = connection.execute(query.where(RUNS.c.run_id == run_id)).mappings().one_or_none()
        if row is None:
            return Ignored(code="unknown-run", reason="")
        return {**row, "live": 1}  # type: ignore[return-value]

    _patch(stack, machine, "handle", unfenced)
    _patch(stack, readings, "run_under", any_run)
    _patch(stack, fencing, "run_under", any_run)


def _no_idempotence(stack: ExitStack) -> None:
    """A repeated reading is another reading."""
    add = readings.add_readings

    def again(connection: Connection, run_id: str, given: Sequence[Reading], now_ms: int) -> None:
        query = select(func.max(READINGS.c.sequence)).where(READINGS.c.run_id == run_id)
        last = connection.execute(query).scalar()
        following = 0 if last is None else last + 1
        renumbered = [replace(one, sequence=following + at) for at, one in enumerate(given)]
        add(connection, run_id, renumbered, now_ms)

    _patch(stack, readings, "add_readings", again)
    _patch(stack, lifecycle, "add_readings", again)


def _no_heartbeats(stack: ExitStack) -> None:
    """A site that hears nothing lets its work go on."""

    def for_ever(asked_ms: int, ttl_ms: int) -> LeaseTimes:
        return LeaseTimes(term_at=asked_ms + NEVER_MS, kill_at=asked_ms + NEVER_MS)

    from westward.agent import agent

    _patch(stack, agent, "lease_times", for_ever)


def _no_recheck(stack: ExitStack) -> None:
    """A plan is carried out as it was made, whatever has happened since."""

    def stale(job_id: str, record: JobRecord | None, _version: int | None) -> Stale | None:
        return Stale(job_id=job_id, reason="no such job") if record is None else None

    def refusal(request: Any, record: JobRecord | None, _held: dict[str, int]) -> Stale | None:
        return stale(request.job_id, record, None)

    _patch(stack, lifecycle, "_stale", stale)
    _patch(stack, lifecycle, "_grant_refusal", refusal)


def _no_pending_transfer(stack: ExitStack) -> None:
    """Runs start without their money being held."""

    def nothing(
        _purse: Purse, _store: Store, _network: Any, _starts: Sequence[Any], _now_ms: int
    ) -> dict[str, Any]:
        return {}

    _patch(stack, Purse, "reserve", nothing)


ABLATIONS: dict[str, Callable[[ExitStack], None]] = {
    "fencing": _no_fencing,
    "idempotence": _no_idempotence,
    "heartbeats": _no_heartbeats,
    "recheck": _no_recheck,
    "pending-transfer": _no_pending_transfer,
}
SEEDS_MOST = {
    "fencing": 50,
    "idempotence": 25,
    "heartbeats": 25,
    "recheck": 200,
    "pending-transfer": 5,
}
"""Within so many seeds, from 0, each must be found."""


@contextmanager
def without(names: Sequence[str]) -> Iterator[None]:
    """While this lasts the named protections are gone. Raises KeyError for unknown names."""
    with ExitStack() as stack:
        for name in names:
            ABLATIONS[name](stack)
        yield
