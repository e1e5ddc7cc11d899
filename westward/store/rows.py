"""Reading and writing whole job records inside a transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update
from sqlalchemy.sql import Select

from westward.control import validate
from westward.control.machine import Step
from westward.control.records import JobRecord, RunRecord
from westward.control.story import StoryLine
from westward.store import codec
from westward.store.database import Store
from westward.store.results import Unreadable
from westward.store.schema import COUNTERS, JOBS, RUNS, SNAPSHOT_VERSION, STORY

IDS_PER_STATEMENT = 500
"""SQLite and PostgreSQL both limit the parameters of one statement."""


_Rows = TypeVar("_Rows", bound=Select[Any])


class LostWrite(Exception):
    """A row changed under the transaction that had read it: the locking is broken."""


def chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while chunk := list(islice(rest, IDS_PER_STATEMENT)):
        yield chunk


def of_accounts(query: _Rows, accounts: Collection[str] | None) -> _Rows:
    """Of all jobs those of the projects ``accounts``; None: all. Asked of the database, so that a
    page is full and another project's jobs leave no gap in it."""
    return query if accounts is None else query.where(JOBS.c.account.in_(sorted(accounts)))


def load_records(
    store: Store,
    connection: Connection,
    job_ids: Sequence[str],
    *,
    lock: bool = False,
    unreadable: list[Unreadable] | None = None,
) -> dict[str, JobRecord]:
    """Those of ``job_ids`` that exist. ``lock`` holds the rows until the transaction ends (where
    the database locks rows; SQLite's writers hold the whole file)."""
    found: dict[str, JobRecord] = {}
    for chunk in chunks(dict.fromkeys(job_ids)):
        for record in assemble(
            store, connection, _JOBS_OF_IDS, {"ids": chunk}, lock=lock, unreadable=unreadable
        ):
            found[record.job_id] = record
    return found


def assemble(
    store: Store,
    connection: Connection,
    jobs: Select[tuple[object, ...]],
    values: Mapping[str, object] | None = None,
    *,
    lock: bool = False,
    unreadable: list[Unreadable] | None = None,
) -> list[JobRecord]:
    """The records of the job rows that ``jobs`` selects (with ``values`` for its parameters), in
    its order, with their runs.

    A row that does not make a record is a ValueError that names the job, or goes to ``unreadable``
    if that is given.
    """
    locked = lock and connection.dialect.name != "sqlite"
    asked = jobs.with_for_update() if locked else jobs
    rows = connection.execute(asked, values).mappings().all()
    runs: dict[str, list[RowMapping]] = {}
    for chunk in chunks(row["job_id"] for row in rows):
        query = _RUNS_OF_JOBS.with_for_update() if locked else _RUNS_OF_JOBS
        for row in connection.execute(query, {"ids": chunk}).mappings():
            runs.setdefault(row["job_id"], []).append(row)
    records = []
    for row in rows:
        try:
            own = tuple(codec.run_record(run) for run in runs.get(row["job_id"], ()))
            records.append(codec.job_record(store, row, own))
        except (ValueError, TypeError, KeyError) as error:
            if unreadable is None:
                raise ValueError(f"job {row['job_id']} cannot be read: {error}") from error
            unreadable.append(Unreadable(job_id=row["job_id"], problem=str(error)))
    return records


def save_step(connection: Connection, before: JobRecord, step: Step) -> None:
    """Writes what changed between ``before`` and the step's record, with its story.

    Guarded by version, token, state and lease end as they were read.
    """
    after = step.record
    validate.check(after)
    _update_job(connection, before, after)
    had = {run.run_id: run for run in before.runs}
    for run in after.runs:
        old = had.get(run.run_id)
        if old is None:
            connection.execute(_INSERT_RUN, codec.run_row(after.job_id, run))
        elif old != run:
            _update_run(connection, after.job_id, old, run)
    add_story(connection, after.job_id, step.story)


def add_story(connection: Connection, job_id: str, story: Sequence[StoryLine]) -> None:
    if story:
        connection.execute(_INSERT_STORY, [codec.story_row(job_id, line) for line in story])


def load_story_lines(
    connection: Connection, job_id: str, after_seq: int, limit: int
) -> tuple[StoryLine, ...]:
    query = (
        select(STORY)
        .where(STORY.c.job_id == job_id, STORY.c.seq > after_seq)
        .order_by(STORY.c.seq)
        .limit(limit)
    )
    return tuple(codec.story_line(row) for row in connection.execute(query).mappings())


def raise_counter(connection: Connection, name: str) -> int:
    """The next value of a counter. Never given out twice: it is part of the transaction."""
    result = connection.execute(_RAISE, {"counter": name})
    if result.rowcount != 1:
        raise LostWrite(f"the counter {name} is missing")
    return int(connection.execute(_READ_COUNTER, {"counter": name}).scalar_one())


def read_counter(connection: Connection, name: str) -> int:
    return int(connection.execute(_READ_COUNTER, {"counter": name}).scalar_one())


def raise_snapshot_version(connection: Connection) -> None:
    """Called once by each transaction that changes what a planner would see."""
    if connection.execute(_RAISE, {"counter": SNAPSHOT_VERSION}).rowcount != 1:
        raise LostWrite(f"the counter {SNAPSHOT_VERSION} is missing")


_RAISE = (
    update(COUNTERS)
    .where(COUNTERS.c.name == bindparam("counter"))
    .values(value=COUNTERS.c.value + 1)
)
_READ_COUNTER = select(COUNTERS.c.value).where(COUNTERS.c.name == bindparam("counter"))


def _update_job(connection: Connection, before: JobRecord, after: JobRecord) -> None:
    values = {
        **codec.job_row(after),
        "had_job_id": before.job_id,
        "had_version": before.version,
        "had_state": before.state.value,
    }
    if connection.execute(_UPDATE_JOB, values).rowcount != 1:
        raise LostWrite(f"{before.job_id} changed under its transaction")


def _update_run(connection: Connection, job_id: str, old: RunRecord, run: RunRecord) -> None:
    values = {
        **codec.run_row(job_id, run),
        "had_run_id": old.run_id,
        "had_token": old.token,
        "had_state": old.state.value,
        "had_expires_ms": old.lease_expires_ms,
    }
    if connection.execute(_UPDATE_RUN, values).rowcount != 1:
        raise LostWrite(f"run {old.run_id} changed under its transaction")


# Built once: putting a statement together takes longer than running it. The columns to set are
# named by the parameters given.
_JOBS_OF_IDS = select(JOBS).where(JOBS.c.job_id.in_(bindparam("ids", expanding=True)))
_RUNS_OF_JOBS = (
    select(RUNS).where(RUNS.c.job_id.in_(bindparam("ids", expanding=True))).order_by(RUNS.c.attempt)
)
_UPDATE_JOB = update(JOBS).where(
    JOBS.c.job_id == bindparam("had_job_id"),
    JOBS.c.version == bindparam("had_version"),
    JOBS.c.state == bindparam("had_state"),
)
_UPDATE_RUN = update(RUNS).where(
    RUNS.c.run_id == bindparam("had_run_id"),
    RUNS.c.token == bindparam("had_token"),
    RUNS.c.state == bindparam("had_state"),
    RUNS.c.lease_expires_ms == bindparam("had_expires_ms"),
)
_INSERT_RUN = insert(RUNS)
_INSERT_STORY = insert(STORY)
