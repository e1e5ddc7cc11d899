"""The only writer of job states: load, ``control.machine.handle``, guarded write, in one short
transaction. Also the leases: granting (which raises the fencing token), renewing, finding those
that ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import Connection, Integer, bindparam, case, func, select, update

from westward.control import machine
from westward.control.events import Event, LeaseExpired, LeaseGranted, RunEnded, RunStarted
from westward.control.machine import Ignored, InvalidTransition, Step
from westward.control.records import Binding, JobRecord, JobState
from westward.model.wire import HeldRun, Reading
from westward.store.database import Store
from westward.store.readings import add_readings
from westward.store.results import Applied, Change, GrantRequest, PoolFull, Stale
from westward.store.rows import (
    load_records,
    load_story_lines,
    raise_counter,
    raise_snapshot_version,
    save_step,
)
from westward.store.schema import FENCING_TOKEN, LIVE, RUNS, SITES

EXPIRED_BATCH = 500
"""Leases taken from ``expired_leases`` at once."""
STORY_IN_ERROR = 200
"""Story lines attached to an ``InvalidTransition``."""


def apply_event(
    store: Store, job_id: str, event: Event, now_ms: int, *, expected_version: int | None = None
) -> Applied | Ignored | Stale:
    """One event for one job; see ``apply_events``."""
    change = Change(job_id=job_id, event=event, expected_version=expected_version)
    return apply_events(store, (change,), now_ms)[0]


def apply_events(
    store: Store, changes: Sequence[Change], now_ms: int
) -> tuple[Applied | Ignored | Stale, ...]:
    """Each event in the order given, all in one transaction, durable on return.

    ``Stale``: no such job, or its version is not the expected one; then the job's later events in
    this batch are as well, for they were decided for what the first would have made of it.
    ``Ignored``: the machine refused a late or repeated report. Raises ``InvalidTransition`` with the job's story for an
    impossible event; then nothing of the batch is written.
    """
    answers: list[Applied | Ignored | Stale] = []
    with store.write() as connection:
        records = load_records(store, connection, [c.job_id for c in changes], lock=True)
        moved = False
        behind: dict[str, Stale] = {}
        for change in changes:
            record = records.get(change.job_id)
            stale = behind.get(change.job_id) or _stale(
                change.job_id, record, change.expected_version
            )
            if stale is not None or record is None:
                stale = stale or Stale(job_id=change.job_id, reason="no such job")
                behind[change.job_id] = stale
                answers.append(stale)
                continue
            answer = step_record(connection, record, change.event, now_ms)
            answers.append(answer)
            if isinstance(answer, Applied):
                records[change.job_id] = answer.record
                moved = moved or answer.record.version != record.version
        if moved:
            raise_snapshot_version(connection)
    return tuple(answers)


def step_record(
    connection: Connection, record: JobRecord, event: Event, now_ms: int
) -> Applied | Ignored:
    """The machine's step on a record that the caller's transaction has loaded, written back."""
    step = _handle(connection, record, event, now_ms)
    if step.ignored is not None:
        return step.ignored
    save_step(connection, record, step)
    return Applied(record=step.record, instructions=step.instructions)


def _handle(connection: Connection, record: JobRecord, event: Event, now_ms: int) -> Step:
    try:
        return machine.handle(record, event, now_ms)
    except InvalidTransition as broken:
        story = load_story_lines(connection, record.job_id, 0, STORY_IN_ERROR)
        raise broken.with_story(story) from None


def _stale(job_id: str, record: JobRecord | None, expected_version: int | None) -> Stale | None:
    if record is None:
        return Stale(job_id=job_id, reason="no such job")
    if expected_version is not None and record.version != expected_version:
        return Stale(
            job_id=job_id,
            reason=f"it is at version {record.version} ({record.state.value}), "
            f"not at {expected_version}",
        )
    return None


def grant_leases(
    store: Store, requests: Sequence[GrantRequest], ttl_ms: int, now_ms: int
) -> tuple[Applied | Stale | PoolFull, ...]:
    """Gives each bound job leave to start, under a new fencing token; durable on return.

    Refused (as a value) when the job changed since ``expected_version``, is not bound to the
    ``place`` its caller saw (a row edited by hand keeps its version), or when its pool's live runs
    and this one together exceed ``capacity_milli``. The check and the grant are one transaction, so
    no interleaving of callers puts more on a pool than it has.
    """
    answers: list[Applied | Stale | PoolFull] = []
    with store.write() as connection:
        records = load_records(store, connection, [r.job_id for r in requests], lock=True)
        held = _held_milli(connection)
        granted = False
        for request in requests:
            record = records.get(request.job_id)
            refusal = _grant_refusal(request, record, held)
            if refusal is not None or record is None or record.bound is None:
                answers.append(refusal or Stale(job_id=request.job_id, reason="it is not bound"))
                continue
            event = LeaseGranted(
                run_id=request.run_id,
                token=raise_counter(connection, FENCING_TOKEN),
                lease_expires_ms=now_ms + ttl_ms,
            )
            step = _handle(connection, record, event, now_ms)
            save_step(connection, record, step)
            pool = record.bound.pool
            held[pool] = held.get(pool, 0) + record.bound.need_milli
            records[request.job_id] = step.record
            granted = True
            answers.append(Applied(record=step.record, instructions=step.instructions))
        if granted:
            raise_snapshot_version(connection)
    return tuple(answers)


def _held_milli(connection: Connection) -> dict[str, int]:
    """Milli-devices that live runs hold, by pool."""
    return {pool: int(total) for pool, total in connection.execute(_HELD_MILLI)}


def _grant_refusal(
    request: GrantRequest, record: JobRecord | None, held: dict[str, int]
) -> Stale | PoolFull | None:
    stale = _stale(request.job_id, record, request.expected_version)
    if stale is not None or record is None:
        return stale
    if record.state is not JobState.BOUND or record.bound is None:
        return Stale(job_id=request.job_id, reason=f"it is {record.state.value}, not bound")
    place = record.bound
    if place != request.place:
        return Stale(
            job_id=request.job_id,
            reason=f"it is bound in another way now: {_differences(request.place, place)}",
        )
    free = request.capacity_milli - held.get(place.pool, 0)
    if place.need_milli > free:
        return PoolFull(
            job_id=request.job_id, pool=place.pool, need_milli=place.need_milli, free_milli=free
        )
    return None


def _differences(seen: Binding, now: Binding) -> str:
    pairs = [(one.name, getattr(seen, one.name), getattr(now, one.name)) for one in fields(now)]
    return ", ".join(f"{name} {had}, now {has}" for name, had, has in pairs if had != has)


def report_run(
    store: Store,
    run_id: str,
    event: RunStarted | RunEnded,
    now_ms: int,
    readings: Sequence[Reading] = (),
) -> Applied | Ignored:
    """What a site says of a run. Readings are stored in the same transaction, and only if the
    report counts: after the end of a run nothing is added to what it will be charged."""
    with store.write() as connection:
        job_id = connection.execute(_JOB_OF_RUN, {"of_run": run_id}).scalar_one_or_none()
        if job_id is None:
            return Ignored(code="unknown-run", reason=f"there is no run {run_id}")
        record = load_records(store, connection, [job_id], lock=True)[job_id]
        answer = step_record(connection, record, event, now_ms)
        if isinstance(answer, Applied):
            add_readings(connection, run_id, readings, now_ms)
            raise_snapshot_version(connection)
        return answer


def renew_leases(
    store: Store, held: Sequence[HeldRun], ttl_ms: int, now_ms: int
) -> tuple[HeldRun, ...]:
    """Extends the leases of those runs that are live under the given token; answers which."""
    with store.write() as connection:
        return extend_leases(connection, held, now_ms + ttl_ms)


def extend_leases(
    connection: Connection, held: Sequence[HeldRun], expires_ms: int
) -> tuple[HeldRun, ...]:
    """As ``LeaseRenewed`` does for one run, in one statement each: a lease only grows, and only
    while its run is live under that token. (A test holds the two to each other.)"""
    values = [
        {"run": run.run_id, "run_token": run.token, "expires": expires_ms} for run in set(held)
    ]
    if not values:
        return ()
    if connection.execute(_EXTEND, values).rowcount == len(values):  # as nearly always
        return tuple(held)
    live = {
        (one["run"], one["run_token"])
        for one in values
        if connection.execute(_EXTEND, one).rowcount == 1
    }
    return tuple(run for run in held if (run.run_id, run.token) in live)


_EXTEND = (
    update(RUNS)
    .where(
        RUNS.c.run_id == bindparam("run"),
        RUNS.c.token == bindparam("run_token"),
        LIVE,
    )
    .values(
        lease_expires_ms=case(
            (RUNS.c.lease_expires_ms < bindparam("expires"), bindparam("expires")),
            else_=RUNS.c.lease_expires_ms,
        )
    )
)


_EXPIRED = (
    select(RUNS.c.job_id, RUNS.c.run_id, RUNS.c.token, RUNS.c.lease_expires_ms)
    .where(LIVE, RUNS.c.lease_expires_ms <= bindparam("until_ms"))
    .order_by(RUNS.c.lease_expires_ms, RUNS.c.run_id)
    .limit(bindparam("most", type_=Integer))
)
_NEXT_END = select(func.min(RUNS.c.lease_expires_ms)).where(LIVE)
_HELD_MILLI = select(RUNS.c.pool, func.sum(RUNS.c.need_milli)).where(LIVE).group_by(RUNS.c.pool)
_JOB_OF_RUN = select(RUNS.c.job_id).where(RUNS.c.run_id == bindparam("of_run"))


def expired_leases(
    store: Store, now_ms: int, margin_ms: int, limit: int = EXPIRED_BATCH
) -> tuple[Change, ...]:
    """Leases that ended at least ``margin_ms`` ago, longest ago first, as events to apply. One
    that is renewed before the event is applied is left alone by the machine."""
    values = {"until_ms": now_ms - margin_ms, "most": limit}
    with store.read() as connection:
        return tuple(
            Change(
                job_id=job_id,
                event=LeaseExpired(run_id=run_id, token=token, seen_expires_ms=expires_ms),
            )
            for job_id, run_id, token, expires_ms in connection.execute(_EXPIRED, values)
        )


def next_lease_end(store: Store) -> int | None:
    """When the next lease ends (ms UTC, without margin); None if there is none."""
    with store.read() as connection:
        found = connection.execute(_NEXT_END).scalar_one()
        return None if found is None else int(found)


def heed_clock(store: Store, now_ms: int, lease_most_ms: int) -> bool:
    """For a server that starts: nothing was heard, and no lease was given, after now. Where the
    store says otherwise the clock was set back meanwhile; those times count as now. True: some did.

    ``lease_most_ms``: from its renewal to its end a lease lasts no longer. An agent that renewed at
    the last moment before this has at most that left, so no lease is cut short by this.
    """
    late_runs = update(RUNS).where(LIVE, RUNS.c.lease_expires_ms > now_ms + lease_most_ms)
    late_sites = update(SITES).where(SITES.c.last_seen_ms > now_ms)
    with store.write() as connection:
        runs = connection.execute(late_runs.values(lease_expires_ms=now_ms + lease_most_ms))
        sites = connection.execute(late_sites.values(last_seen_ms=now_ms))
        return runs.rowcount + sites.rowcount > 0
