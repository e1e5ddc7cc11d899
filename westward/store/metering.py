"""Bills: which runs still need one, one bill per run, and sums by site."""

from __future__ import annotations

from sqlalchemy import Integer, bindparam, case, func, insert, select, update

from westward.ledger.price import BILL_FIELDS, Bill
from westward.store import codec
from westward.store.database import Store
from westward.store.readings import load_readings, record_readings
from westward.store.results import RunToSettle, SiteTotal
from westward.store.schema import BILLS, NOT_LIVE, RUNS

__all__ = [
    "load_bills",
    "load_readings",
    "record_readings",
    "save_bill",
    "site_totals",
    "unsettled_runs",
]

SETTLE_BATCH = 200
"""Runs taken from ``unsettled_runs`` at once."""


def unsettled_runs(
    store: Store, limit: int = SETTLE_BATCH, after_token: int = 0
) -> tuple[RunToSettle, ...]:
    """Runs that are over and have no bill, the first granted first (``after_token``: those
    granted after it, so that a run that cannot be settled does not hide the rest). This list, not a message, is
    what keeps ``SettleRun`` from being lost in a crash."""
    values = {"after_token": after_token, "most": limit}
    with store.read() as connection:
        return tuple(
            RunToSettle(job_id=row["job_id"], run=codec.run_record(row))
            for row in connection.execute(_UNSETTLED, values).mappings()
        )


_UNSETTLED = (
    select(RUNS)
    .where(RUNS.c.settled_ms.is_(None), NOT_LIVE, RUNS.c.token > bindparam("after_token"))
    .order_by(RUNS.c.token)
    .limit(bindparam("most", type_=Integer))
)
_SETTLE = (
    update(RUNS)
    .where(
        RUNS.c.run_id == bindparam("of_run"),
        RUNS.c.job_id == bindparam("of_job"),
        NOT_LIVE,
        RUNS.c.settled_ms.is_(None),
    )
    .values(settled_ms=bindparam("now_ms"))
)
_SITE_OF_RUN = select(RUNS.c.site).where(RUNS.c.run_id == bindparam("of_run"))
_INSERT_BILL = insert(BILLS)


def save_bill(store: Store, job_id: str, run_id: str, bill: Bill, now_ms: int) -> bool:
    """Settles the run. False: it was settled before (or is not over); nothing is changed then."""
    with store.write() as connection:
        settled = connection.execute(
            _SETTLE, {"of_run": run_id, "of_job": job_id, "now_ms": now_ms}
        )
        if settled.rowcount != 1:
            return False
        site = connection.execute(_SITE_OF_RUN, {"of_run": run_id}).scalar_one()
        connection.execute(
            _INSERT_BILL,
            {
                "run_id": run_id,
                "job_id": job_id,
                "site": site,
                "billed_ms": now_ms,
                **{name: getattr(bill, name) for name in BILL_FIELDS},
            },
        )
    return True


def load_bills(store: Store, job_id: str) -> tuple[tuple[str, Bill], ...]:
    """(run id, bill) of the job's settled runs, by attempt."""
    query = (
        select(BILLS)
        .join(RUNS, RUNS.c.run_id == BILLS.c.run_id)
        .where(BILLS.c.job_id == job_id)
        .order_by(RUNS.c.attempt)
    )
    with store.read() as connection:
        return tuple(
            (row["run_id"], Bill(**{name: row[name] for name in BILL_FIELDS}))
            for row in connection.execute(query).mappings()
        )


def site_totals(store: Store) -> tuple[SiteTotal, ...]:
    """Every bill summed by site, by name of site."""
    sums = [func.sum(BILLS.c[name]).label(name) for name in BILL_FIELDS]
    unknown = func.sum(case((BILLS.c.carbon_location_ug.is_(None), 1), else_=0))
    query = (
        select(BILLS.c.site, func.count().label("runs"), unknown.label("unknown"), *sums)
        .group_by(BILLS.c.site)
        .order_by(BILLS.c.site)
    )
    with store.read() as connection:
        return tuple(
            SiteTotal(
                site=row["site"],
                runs=int(row["runs"]),
                carbon_unknown_runs=int(row["unknown"]),
                # PostgreSQL sums BIGINT as a decimal.
                sums=Bill(
                    **{n: None if row[n] is None else int(row[n]) for n in BILL_FIELDS}  # type: ignore[arg-type]
                ),
            )
            for row in connection.execute(query).mappings()
        )
