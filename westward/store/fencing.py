"""Whether a report on a run comes under the fencing token that the run holds."""

from __future__ import annotations

from sqlalchemy import Connection, RowMapping, bindparam, select

from westward.control.machine import Ignored
from westward.control.records import RunState
from westward.store.schema import RUNS

_RUN = select(RUNS.c.job_id, RUNS.c.site, RUNS.c.token, RUNS.c.live, RUNS.c.state).where(
    RUNS.c.run_id == bindparam("of_run")
)
_LOCKED = _RUN.with_for_update()


def run_under(
    connection: Connection, run_id: str, token: int, *, lock: bool = True
) -> RowMapping | Ignored:
    """Job, site, token, state and ``live`` of the run, over or not, if this is its token. Its row
    stays locked until the transaction ends; one that only reads must do without (``lock``)."""
    query = _LOCKED if lock else _RUN
    row = connection.execute(query, {"of_run": run_id}).mappings().one_or_none()
    if row is None:
        return Ignored(code="unknown-run", reason=f"there is no run {run_id}")
    if row["token"] != token:
        return Ignored(
            code="stale-token",
            reason=f"run {run_id} holds token {row['token']}, the report carries {token}",
        )
    return row


def live_run(
    connection: Connection, run_id: str, token: int, *, lock: bool = True
) -> RowMapping | Ignored:
    """As ``run_under``, while the run holds its lease."""
    row = run_under(connection, run_id, token, lock=lock)
    if not isinstance(row, Ignored) and row["live"] != 1:
        state = RunState(row["state"]).value
        return Ignored(code="run-over", reason=f"run {run_id} is over: {state}")
    return row
