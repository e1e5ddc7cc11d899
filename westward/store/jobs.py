"""Jobs: submitting them once, and reading them back."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, func, insert, or_, select

from westward.control import machine, validate
from westward.control.events import JobRefused, JobSubmitted
from westward.control.records import ACTIVE_JOB_STATES, JobRecord, JobState
from westward.control.story import StoryLine
from westward.store import codec
from westward.store.database import Store
from westward.store.results import Active, Conflict, Submission, Submitted, Unreadable
from westward.store.rows import (
    add_story,
    assemble,
    chunks,
    load_records,
    load_story_lines,
    of_accounts,
    raise_snapshot_version,
    read_counter,
)
from westward.store.schema import JOBS, SNAPSHOT_VERSION, STORY

LIST_LIMIT_MAX = 1_000
"""Jobs in one page of ``list_jobs``."""
STORY_LIMIT = 1_000
"""Story lines of one job read at once."""


def submit_jobs(
    store: Store, submissions: Sequence[Submission], now_ms: int, *, all_or_none: bool = False
) -> tuple[Submitted | Conflict, ...]:
    """Takes each request once, all in one transaction; answers in the order given. With
    ``all_or_none`` a conflict keeps the others out too; then only the conflicts are answered.

    The same id with the same body is a repeat and answers with the job as it stands now; with
    another body it is a ``Conflict`` and changes nothing. On return the jobs are durable.
    """
    answers: list[Submitted | Conflict] = []
    with store.write() as connection:
        ids = [submission.job.job_id for submission in submissions]
        digests = _digests(connection, ids)
        known = load_records(store, connection, list(digests)) if digests else {}
        conflicts = tuple(
            Conflict(job_id=job_id, reason="another request was submitted under this id")
            for job_id, digest in ((one.job.job_id, one.body_digest) for one in submissions)
            if job_id in digests and digests[job_id] != digest
        )
        if all_or_none and conflicts:
            return conflicts
        rows: list[dict[str, object]] = []
        told: list[dict[str, object]] = []
        for submission in submissions:
            job_id = submission.job.job_id
            if job_id not in known:
                record, story = _begin(submission, now_ms)
                rows.append(
                    {
                        "body_digest": submission.body_digest,
                        **codec.fixed_row(record),
                        **codec.job_row(record),
                    }
                )
                told += [codec.story_row(job_id, line) for line in story]
                known[job_id] = record
                digests[job_id] = submission.body_digest
                answers.append(Submitted(record=known[job_id], created=True))
            elif digests[job_id] == submission.body_digest:
                answers.append(Submitted(record=known[job_id], created=False))
            else:
                answers.append(
                    Conflict(job_id=job_id, reason="another request was submitted under this id")
                )
        if rows:
            connection.execute(_INSERT_JOB, rows)
            connection.execute(_INSERT_STORY, told)
            raise_snapshot_version(connection)
    return tuple(answers)


def _begin(submission: Submission, now_ms: int) -> tuple[JobRecord, tuple[StoryLine, ...]]:
    """The new job's record and the first lines of its story; every one has a line."""
    step = machine.submit(
        JobSubmitted(job=submission.job, attempts_max=submission.attempts_max), now_ms
    )
    story = step.story
    if submission.refused is not None:
        step = machine.handle(step.record, JobRefused(reason=submission.refused), now_ms)
        story = (*story, *step.story)
    validate.check(step.record)
    return step.record, story


def _digests(connection: Connection, job_ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for chunk in chunks(dict.fromkeys(job_ids)):
        rows = connection.execute(_DIGESTS_OF_IDS, {"ids": chunk})
        found.update((job_id, digest) for job_id, digest in rows)
    return found


# Built once: putting a statement together takes longer than running it.
_DIGESTS_OF_IDS = select(JOBS.c.job_id, JOBS.c.body_digest).where(
    JOBS.c.job_id.in_(bindparam("ids", expanding=True))
)
_IN_STATES = (
    select(JOBS).where(JOBS.c.state.in_(bindparam("states", expanding=True))).order_by(JOBS.c.seq)
)
_INSERT_JOB = insert(JOBS)
_INSERT_STORY = insert(STORY)


def submitted_before(store: Store, job_id: str, body_digest: str) -> JobRecord | None:
    """The job, if this very request was submitted before under this id."""
    with store.read() as connection:
        if _digests(connection, [job_id]).get(job_id) != body_digest:
            return None
        return load_records(store, connection, [job_id]).get(job_id)


def submitted_under(store: Store, base: str, body_digest: str) -> tuple[JobRecord, ...]:
    """The jobs that this very request brought under ``base`` (``base`` itself, or ``base.…``), in
    its order; empty if it was not made before."""
    query = select(JOBS).where(
        JOBS.c.body_digest == body_digest,
        or_(
            JOBS.c.job_id == base,
            # Between "base." and "base/", the next character: no pattern, so nothing to escape.
            (JOBS.c.job_id >= f"{base}.") & (JOBS.c.job_id < f"{base}/"),
        ),
    )
    with store.read() as connection:
        return tuple(assemble(store, connection, query.order_by(JOBS.c.seq)))


def load_job(store: Store, job_id: str) -> JobRecord | None:
    """The job as it stands, or None if there is none of that id."""
    with store.read() as connection:
        return load_records(store, connection, [job_id]).get(job_id)


def load_readable(
    store: Store, job_ids: Collection[str]
) -> tuple[dict[str, JobRecord], dict[str, str]]:
    """Those of ``job_ids`` that exist, by id; and of those that cannot be read what is wrong."""
    unreadable: list[Unreadable] = []
    with store.read() as connection:
        found = load_records(store, connection, list(job_ids), unreadable=unreadable)
    return found, {one.job_id: one.problem for one in unreadable}


def list_jobs(
    store: Store,
    *,
    state: JobState | None = None,
    states: Sequence[JobState] | None = None,
    limit: int = 100,
    after: str | None = None,
    newest_first: bool = False,
    arrays_once: bool = False,
    accounts: Collection[str] | None = None,
) -> tuple[JobRecord, ...]:
    """A page of jobs in the order of submission (or its reverse), beginning after the job
    ``after``; rows that cannot be read are left out. ``limit`` is cut to LIST_LIMIT_MAX; an unknown
    ``after`` gives an empty page. ``arrays_once``: the first job stands for its array.
    ``accounts``: of these projects alone, as if there were no other jobs."""
    query = of_accounts(select(JOBS), accounts).limit(max(0, min(limit, LIST_LIMIT_MAX)))
    query = query.order_by(JOBS.c.seq.desc() if newest_first else JOBS.c.seq)
    if state is not None:
        query = query.where(JOBS.c.state == state.value)
    if states is not None:
        query = query.where(JOBS.c.state.in_([one.value for one in states]))
    if arrays_once and state is None:
        query = query.where(or_(JOBS.c.array_index.is_(None), JOBS.c.array_index == 0))
    if after is not None:
        first = select(JOBS.c.seq).where(JOBS.c.job_id == after)
        start = of_accounts(first, accounts).scalar_subquery()
        query = query.where(JOBS.c.seq < start if newest_first else JOBS.c.seq > start)
    unreadable: list[Unreadable] = []
    with store.read() as connection:
        return tuple(assemble(store, connection, query, unreadable=unreadable))


def jobs_waiting(store: Store) -> tuple[JobRecord, ...]:
    """Pending and bound jobs in the order of submission."""
    return _in_states(store, (JobState.PENDING, JobState.BOUND)).records


def load_active(store: Store) -> Active:
    """Every job that is not over, with the snapshot version: one consistent view."""
    return _in_states(store, ACTIVE_JOB_STATES)


def _in_states(store: Store, states: Sequence[JobState]) -> Active:
    values = {"states": [state.value for state in states]}
    with store.read() as connection:
        version = read_counter(connection, SNAPSHOT_VERSION)
        unreadable: list[Unreadable] = []
        records = tuple(assemble(store, connection, _IN_STATES, values, unreadable=unreadable))
    return Active(version=version, records=records, unreadable=tuple(unreadable))


def snapshot_version(store: Store) -> int:
    """Raised by every change of what a planner would see."""
    with store.read() as connection:
        return read_counter(connection, SNAPSHOT_VERSION)


def count_jobs(store: Store) -> dict[JobState, int]:
    """How many jobs are in each state; every state is a key."""
    query = select(JOBS.c.state, func.count()).group_by(JOBS.c.state)
    with store.read() as connection:
        found = {state: int(count) for state, count in connection.execute(query)}
    return {state: found.get(state.value, 0) for state in JobState}


def load_story(
    store: Store, job_id: str, after_seq: int = 0, limit: int = STORY_LIMIT
) -> tuple[StoryLine, ...]:
    """What happened to the job, oldest first."""
    with store.read() as connection:
        return load_story_lines(connection, job_id, after_seq, limit)


def tell_story(store: Store, job_id: str, line: StoryLine) -> None:
    """Adds a line that goes with no change of the job; nothing if there is no such job."""
    with store.write() as connection:
        query = select(JOBS.c.job_id).where(JOBS.c.job_id == job_id)
        if connection.execute(query).scalar_one_or_none() is not None:
            add_story(connection, job_id, (line,))
