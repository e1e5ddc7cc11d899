"""Shares as the operator has set them, and what projects' runs have held: for the order of jobs."""

from __future__ import annotations

from typing import cast

from sqlalchemy import delete, insert, or_, select

from westward.model.people import LOCAL_PROJECT
from westward.model.shares import ShareKind, ShareRow, ShareTerms, Use
from westward.store.database import Store
from westward.store.schema import JOBS, RUNS, SHARE_TERMS, SHARES

TERMS = "use"
_ALL = select(SHARES).order_by(SHARES.c.kind, SHARES.c.name)


def load_shares(store: Store) -> tuple[ShareRow, ...]:
    """By kind and name; none: jobs wait in order of arrival."""
    with store.read() as connection:
        return tuple(
            ShareRow(
                kind=cast(ShareKind, row["kind"]),
                name=row["name"],
                group=row["group"],
                weight_milli=row["weight_milli"],
            )
            for row in connection.execute(_ALL).mappings()
        )


def set_share(store: Store, row: ShareRow, now_ms: int, by: str) -> None:
    """In place of what was set for the same."""
    with store.write() as connection:
        connection.execute(
            delete(SHARES).where(SHARES.c.kind == row.kind, SHARES.c.name == row.name)
        )
        connection.execute(
            insert(SHARES),
            {
                "kind": row.kind, "name": row.name, "group": row.group,
                "weight_milli": row.weight_milli, "set_ms": now_ms, "set_by": by,
            },
        )  # fmt: skip


def remove_share(store: Store, kind: ShareKind, name: str) -> bool:
    """False: none was set."""
    with store.write() as connection:
        done = connection.execute(
            delete(SHARES).where(SHARES.c.kind == kind, SHARES.c.name == name)
        )
        return done.rowcount == 1


def load_terms(store: Store) -> ShareTerms:
    with store.read() as connection:
        row = connection.execute(select(SHARE_TERMS)).mappings().one_or_none()
    if row is None:
        return ShareTerms()
    return ShareTerms(half_life_ms=row["half_life_ms"], window_ms=row["window_ms"])


def set_terms(store: Store, terms: ShareTerms, now_ms: int, by: str) -> None:
    with store.write() as connection:
        connection.execute(delete(SHARE_TERMS))
        connection.execute(
            insert(SHARE_TERMS),
            {
                "terms": TERMS, "half_life_ms": terms.half_life_ms, "window_ms": terms.window_ms,
                "set_ms": now_ms, "set_by": by,
            },
        )  # fmt: skip


def uses_since(store: Store, since_ms: int, now_ms: int) -> tuple[Use, ...]:
    """What every run that was not over by ``since_ms`` has held until ``now_ms``."""
    query = (
        select(JOBS.c.account, RUNS.c.need_milli, RUNS.c.started_ms, RUNS.c.ended_ms)
        .join(JOBS, JOBS.c.job_id == RUNS.c.job_id)
        .where(
            RUNS.c.started_ms.is_not(None),
            or_(RUNS.c.ended_ms.is_(None), RUNS.c.ended_ms > since_ms),
        )
    )
    with store.read() as connection:
        return tuple(
            Use(
                project=row.account or LOCAL_PROJECT,
                need_milli=row.need_milli,
                start_ms=row.started_ms,
                end_ms=now_ms if row.ended_ms is None else row.ended_ms,
            )
            for row in connection.execute(query)
        )
