"""Jobs by what binds them together: names, arrays, and what others wait for."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam, func, or_, select

from westward.control.records import JobRecord, JobState
from westward.store.database import Store
from westward.store.results import Unreadable
from westward.store.rows import assemble, chunks, of_accounts
from westward.store.schema import JOBS


def find_named(
    store: Store, name: str, limit: int = 10, accounts: Collection[str] | None = None
) -> tuple[str, ...]:
    """Ids of the jobs and arrays of this name, newest first; an array is one. ``accounts``: of
    these projects alone."""
    query = (
        select(JOBS.c.job_id, JOBS.c.array_id)
        .where(
            or_(
                (JOBS.c.name == name) & JOBS.c.array_id.is_(None),
                (JOBS.c.name == f"{name}.0") & (JOBS.c.array_index == 0),
            )
        )
        .order_by(JOBS.c.seq.desc())
        .limit(limit)
    )
    query = of_accounts(query, accounts)
    with store.read() as connection:
        return tuple(array_id or job_id for job_id, array_id in connection.execute(query))


def states_of(
    store: Store, ids: Collection[str], accounts: Collection[str] | None = None
) -> dict[str, tuple[JobState, ...]]:
    """The states of each job or, for an array's id, of all its jobs; unknown ids are left out, and
    those of other projects than ``accounts``."""
    found: dict[str, list[JobState]] = {}
    with store.read() as connection:
        for chunk in chunks(dict.fromkeys(ids)):
            for query in (_JOBS_STATES, _ARRAYS_STATES):
                asked = of_accounts(query, accounts)
                for key, state in connection.execute(asked, {"ids": chunk}):
                    found.setdefault(key, []).append(JobState(state))
    return {key: tuple(states) for key, states in found.items()}


def load_array(store: Store, array_id: str) -> tuple[JobRecord, ...]:
    """The array's jobs by index; empty for an unknown one."""
    query = select(JOBS).where(JOBS.c.array_id == array_id).order_by(JOBS.c.array_index)
    unreadable: list[Unreadable] = []
    with store.read() as connection:
        return tuple(assemble(store, connection, query, unreadable=unreadable))


def count_arrays(store: Store, array_ids: Collection[str]) -> dict[str, dict[JobState, int]]:
    """How many jobs of each array are in which state."""
    counts: dict[str, dict[JobState, int]] = {}
    with store.read() as connection:
        for chunk in chunks(dict.fromkeys(array_ids)):
            query = (
                select(JOBS.c.array_id, JOBS.c.state, func.count())
                .where(JOBS.c.array_id.in_(chunk))
                .group_by(JOBS.c.array_id, JOBS.c.state)
            )
            for array_id, state, count in connection.execute(query):
                counts.setdefault(array_id, {})[JobState(state)] = int(count)
    return counts


def load_held(store: Store) -> tuple[JobRecord, ...]:
    """Held jobs in the order of submission; rows that cannot be read are left out here, and told
    by the planner's own look."""
    unreadable: list[Unreadable] = []
    with store.read() as connection:
        return tuple(assemble(store, connection, _HELD, unreadable=unreadable))


_HELD = select(JOBS).where(JOBS.c.state == JobState.HELD.value).order_by(JOBS.c.seq)
_JOBS_STATES = select(JOBS.c.job_id, JOBS.c.state).where(
    JOBS.c.job_id.in_(bindparam("ids", expanding=True))
)
_ARRAYS_STATES = select(JOBS.c.array_id, JOBS.c.state).where(
    JOBS.c.array_id.in_(bindparam("ids", expanding=True))
)
