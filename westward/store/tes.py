"""Jobs that came as GA4GH TES tasks: found by the beginning of their ids."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select

from westward.control.records import JobRecord, JobState
from westward.store.database import Store
from westward.store.results import Unreadable
from westward.store.rows import assemble, of_accounts
from westward.store.schema import JOBS

ID_PREFIX = "job_tes-"
_ID_END = "job_tes."
"""The first text after every id with that prefix."""


def list_tes_jobs(
    store: Store,
    *,
    states: Sequence[JobState] | None,
    before: str | None,
    limit: int,
    accounts: Collection[str] | None = None,
) -> tuple[JobRecord, ...]:
    """At most ``limit`` of them, newest first, beginning after the job ``before``; an unknown
    ``before`` gives none. Rows that cannot be read are left out. ``accounts``: as ``list_jobs``."""
    query = select(JOBS).where(JOBS.c.job_id >= ID_PREFIX, JOBS.c.job_id < _ID_END)
    query = of_accounts(query, accounts).order_by(JOBS.c.seq.desc()).limit(limit)
    if states is not None:
        query = query.where(JOBS.c.state.in_([state.value for state in states]))
    if before is not None:
        first = select(JOBS.c.seq).where(JOBS.c.job_id == before)
        start = of_accounts(first, accounts).scalar_subquery()
        query = query.where(JOBS.c.seq < start)
    unreadable: list[Unreadable] = []
    with store.read() as connection:
        return tuple(assemble(store, connection, query, unreadable=unreadable))
