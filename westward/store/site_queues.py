"""When runs were handed over to a pool, and when they started there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Integer, bindparam, func, select

from westward.store.database import Store
from westward.store.schema import DATA_USES, RUNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A run that has started. ``staged_ms``: when the last of its data sets was whole there; None:
    it had none."""

    need_milli: int
    granted_ms: int
    staged_ms: int | None
    started_ms: int


def last_begun(store: Store, pool: str, most: int) -> tuple[Begun, ...]:
    """The runs that started last at ``pool``, whatever became of them, the newest first."""
    with store.read() as connection:
        return tuple(
            Begun(
                need_milli=need_milli,
                granted_ms=granted_ms,
                staged_ms=staged_ms,
                started_ms=started_ms,
            )
            for need_milli, granted_ms, staged_ms, started_ms in connection.execute(
                _LAST_BEGUN, {"at_pool": pool, "most": most}
            )
        )


def whole_data(store: Store, run_ids: Collection[str]) -> dict[str, tuple[int, int]]:
    """By run: how many of its data sets are whole where it is to run, and since when the last is."""
    query = (
        select(DATA_USES.c.run_id, func.count(), func.max(DATA_USES.c.staged_ms))
        .where(DATA_USES.c.run_id.in_(run_ids), DATA_USES.c.staged_ms.is_not(None))
        .group_by(DATA_USES.c.run_id)
    )
    with store.read() as connection:
        return {
            run_id: (int(count), int(last_ms))
            for run_id, count, last_ms in connection.execute(query)
        }


_STAGED_MS = (
    select(func.max(DATA_USES.c.staged_ms))
    .where(DATA_USES.c.run_id == RUNS.c.run_id)
    .scalar_subquery()
)
_LAST_BEGUN = (
    select(RUNS.c.need_milli, RUNS.c.granted_ms, _STAGED_MS, RUNS.c.started_ms)
    .where(RUNS.c.pool == bindparam("at_pool"), RUNS.c.started_ms.is_not(None))
    .order_by(RUNS.c.started_ms.desc())
    .limit(bindparam("most", type_=Integer))
)
