"""Who of several servers on one PostgreSQL leads: plans, ends leases, settles.

The leader's session holds an advisory lock; the row here says how often that has changed. What is
written for the leader looks at it within its transaction, which has the turn (``store.turns``): a
server that was stopped and wakes up writes nothing as leader. See docs/decisions/0041.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from westward.store.database import Store
from westward.store.schema import LEADERSHIP, PLANNER

LEADER_LOCK = 0x77657374_6C656164
"""Key of the leader's advisory lock: the letters of ``westlead``."""


class NotLeader(Exception):
    """Another server leads since; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Who leads. ``epoch`` 0: nobody ever did."""

    epoch: int
    holder: str
    since_ms: int


def take_office(store: Store, holder: str, now_ms: int) -> int:
    """The epoch of the new leader, one higher than any before. Of whoever holds LEADER_LOCK."""
    with store.write() as connection:
        connection.execute(
            update(LEADERSHIP)
            .where(LEADERSHIP.c.office == PLANNER)
            .values(epoch=LEADERSHIP.c.epoch + 1, holder=holder, since_ms=now_ms)
        )
        return _office(connection).epoch


def check_office(store: Store, epoch: int) -> None:
    """Within ``Store.together`` of a server that takes turns: raises NotLeader unless ``epoch`` is
    still the leader's, and then it is until the transaction ends."""
    assert store.sharing
    with store.read() as connection:
        office = _office(connection)
    if office.epoch != epoch:
        raise NotLeader(f"epoch {epoch} is over: {office.holder} leads, epoch {office.epoch}")


def load_office(store: Store) -> Office:
    with store.read() as connection:
        return _office(connection)


def _office(connection: Connection) -> Office:
    query = select(LEADERSHIP).where(LEADERSHIP.c.office == PLANNER)
    row = connection.execute(query).mappings().one()
    return Office(epoch=row["epoch"], holder=row["holder"], since_ms=row["since_ms"])


def database_now_ms(store: Store) -> int:
    """The database's wall clock, as of the answer of the quickest of five questions."""
    best_ns, offset_ns = None, 0
    with store.engine.connect() as connection:
        for _ in range(5):
            asked = time.time_ns()
            told = connection.exec_driver_sql(
                "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
            ).scalar_one()
            took = time.time_ns() - asked
            if best_ns is None or took < best_ns:
                best_ns, offset_ns = took, int(told) * 1_000 + took // 2 - time.time_ns()
        connection.rollback()
    return (time.time_ns() + offset_ns) // 1_000_000
