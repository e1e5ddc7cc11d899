"""Sums for those who watch: what each pool has leased, and what ended for good since when."""

from __future__ import annotations

from sqlalchemy import func, select

from westward.control.records import JobRecord
from westward.control.story import StoryLine
from westward.store.database import Store
from westward.store.results import Unreadable
from westward.store.rows import load_records, load_story_lines
from westward.store.schema import JOBS, LIVE, RUNS

STORY_MOST = 1_000


def leased_milli(store: Store) -> dict[str, tuple[int, int]]:
    """By pool: runs that hold a lease, and their milli-devices. Pools without one are not there."""
    query = (
        select(RUNS.c.pool, func.count(), func.sum(RUNS.c.need_milli))
        .where(LIVE)
        .group_by(RUNS.c.pool)
    )
    with store.read() as connection:
        return {pool: (int(runs), int(need)) for pool, runs, need in connection.execute(query)}


def finished_after(store: Store, after_ms: int, most: int) -> tuple[str, ...]:
    """Ids of jobs that came to their end after ``after_ms``, the earliest first. Reads all jobs."""
    query = (
        select(JOBS.c.job_id)
        .where(JOBS.c.finished_ms > after_ms)
        .order_by(JOBS.c.finished_ms)
        .limit(most)
    )
    with store.read() as connection:
        return tuple(connection.execute(query).scalars())


def life_of(
    store: Store, job_id: str
) -> tuple[JobRecord, dict[str, int | None], tuple[StoryLine, ...]] | None:
    """The job, when each of its runs was settled (None: not yet), and its story."""
    with store.read() as connection:
        unreadable: list[Unreadable] = []
        record = load_records(store, connection, [job_id], unreadable=unreadable).get(job_id)
        if record is None:
            return None
        query = select(RUNS.c.run_id, RUNS.c.settled_ms).where(RUNS.c.job_id == job_id)
        settled = {str(run_id): at_ms for run_id, at_ms in connection.execute(query)}
        return record, settled, load_story_lines(connection, job_id, 0, STORY_MOST)
