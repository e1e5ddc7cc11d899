"""What the database has of a site's runs in a month, for ``settlement.reconcile``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, and_, or_, select

from westward.control.records import RunRecord
from westward.model.units import MS_PER_DAY
from westward.settlement.periods import Period
from westward.settlement.reconcile import RunFacts
from westward.store import codec
from westward.store.database import Store
from westward.store.money_schema import DISPUTES
from westward.store.paid import load_paid
from westward.store.rows import chunks
from westward.store.schema import BILLS, JOBS, NOT_LIVE, READINGS, RUNS

PAGE_RUNS = 500
_METER = ("wall_ms", "device_milli_ms", "cpu_ms", "max_rss_kib")


def load_run_facts(
    store: Store, site: str, period: Period, *, after_token: int = 0, limit: int = PAGE_RUNS
) -> tuple[tuple[RunRecord, RunFacts], ...]:
    """By the order of grants, those after ``after_token``. A run is of the month in which its bill
    was posted, or, without one, in which it ended; runs of a day around it are given too. Prices
    are left for whoever knows the network."""
    start_ms, end_ms = period.start_ms, period.end_ms
    near = RUNS.c.ended_ms.between(start_ms - MS_PER_DAY, end_ms + MS_PER_DAY)
    billed = and_(BILLS.c.billed_ms >= start_ms, BILLS.c.billed_ms < end_ms)
    query = (
        select(
            RUNS,
            JOBS.c.name.label("job_name"),
            BILLS.c.billed_ms,
            BILLS.c.device_milli_ms,
            BILLS.c.device_micros,
            BILLS.c.total_micros,
        )
        .join(JOBS, JOBS.c.job_id == RUNS.c.job_id)
        .outerjoin(BILLS, BILLS.c.run_id == RUNS.c.run_id)
        .where(RUNS.c.site == site, RUNS.c.token > after_token, NOT_LIVE)
        .where(or_(near, billed))
        .order_by(RUNS.c.token)
        .limit(limit)
    )
    with store.read() as connection:
        rows = connection.execute(query).mappings().all()
        ids = [row["run_id"] for row in rows]
        meters = _meters(connection, ids)
        corrected = _corrected(connection, ids)
        paid = load_paid(connection, {row["run_id"]: row["job_id"] for row in rows})
    found = []
    for row in rows:
        of_period_ms = row["billed_ms"] if row["billed_ms"] is not None else row["ended_ms"]
        count, missing, wall_ms, device_milli_ms, repeated_ms = meters.get(
            row["run_id"], (0, 0, 0, 0, 0)
        )
        micros, disputes = corrected.get(row["run_id"], (0, ()))
        facts = RunFacts(
            job_id=row["job_id"],
            job_name=row["job_name"] or "",
            run_id=row["run_id"],
            attempt=row["attempt"],
            pool=row["pool"],
            need_milli=row["need_milli"],
            started_ms=row["started_ms"],
            ended_ms=row["ended_ms"],
            outcome=row["outcome"] or "",
            in_period=period.holds(of_period_ms),
            readings=count,
            missing_readings=missing,
            wall_ms=wall_ms,
            device_milli_ms=device_milli_ms,
            repeated_ms=repeated_ms,
            billed=row["billed_ms"] is not None,
            bill_device_milli_ms=row["device_milli_ms"] or 0,
            bill_device_micros=row["device_micros"] or 0,
            bill_micros=row["total_micros"] or 0,
            corrected_micros=micros,
            disputes_closed=disputes,
            posted_micros=sum(paid[row["run_id"]].values()) if row["run_id"] in paid else None,
        )
        found.append((codec.run_record(row), facts))
    return tuple(found)


def _meters(
    connection: Connection, run_ids: Sequence[str]
) -> dict[str, tuple[int, int, int, int, int]]:
    """By run: readings, missing numbers, wall ms, device milli-ms, wall ms of repeats."""
    found: dict[str, tuple[int, int, int, int, int]] = {}
    for chunk in chunks(run_ids):
        rows = connection.execute(
            select(READINGS)
            .where(READINGS.c.run_id.in_(chunk))
            .order_by(READINGS.c.run_id, READINGS.c.sequence)
        )
        last_run, last = "", None
        for row in rows.mappings():
            run_id = row["run_id"]
            count, _, wall_ms, device_milli_ms, repeated_ms = found.get(run_id, (0, 0, 0, 0, 0))
            figures = tuple(row[name] for name in _METER)
            if run_id == last_run and figures == last and row["wall_ms"]:
                repeated_ms += row["wall_ms"]
            count += 1
            found[run_id] = (
                count,
                row["sequence"] + 1 - count,
                wall_ms + row["wall_ms"],
                device_milli_ms + row["device_milli_ms"],
                repeated_ms,
            )
            last_run, last = run_id, figures
    return found


def _corrected(
    connection: Connection, run_ids: Iterable[str]
) -> dict[str, tuple[int, tuple[str, ...]]]:
    """By run: corrections of closed disputes, and which."""
    found: dict[str, tuple[int, tuple[str, ...]]] = {}
    for chunk in chunks(run_ids):
        query = select(DISPUTES.c.run_id, DISPUTES.c.dispute_id, DISPUTES.c.correction_micros)
        upheld = DISPUTES.c.outcome == "upheld"
        for row in connection.execute(query.where(DISPUTES.c.run_id.in_(chunk), upheld)).mappings():
            micros, disputes = found.get(row["run_id"], (0, ()))
            found[row["run_id"]] = (
                micros + row["correction_micros"],
                (*disputes, row["dispute_id"]),
            )
    return found
