"""Bills as charges, statements, disputes and payouts; who paid a bill is read from the ledger (0037).

Charges are made from bills when they are asked for (0035): a month is read in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from westward.ledger.price import BILL_FIELDS, Bill
from westward.settlement.charges import (
    LOCAL_PROJECT,
    NETWORK_LINKS,
    NETWORK_POWER,
    OWNER_PREFIX,
    ROUNDING,
    SITE_PREFIX,
    BilledRun,
    Charge,
    OwnedRead,
    charges_of,
)
from westward.settlement.disputes import (
    Dispute,
    Outcome,
    Refused,
    answered,
    closed,
    corrections,
    may_open,
    with_corrections,
)
from westward.settlement.paid import shares_of
from westward.settlement.periods import Period, period_of
from westward.settlement.statements import Payout, Statement, may_pay, statement
from westward.store import codec
from westward.store.database import Store
from westward.store.money_schema import DISPUTES, PAYOUTS
from westward.store.paid import load_paid
from westward.store.rows import chunks
from westward.store.schema import BILLS, COUNTERS, DATA_USES, DATASETS, JOBS, RUNS, SNAPSHOT_VERSION

PIECE_RUNS = 500
_DISPUTE_FIELDS = tuple(field.name for field in fields(Dispute))
_PAYOUT_FIELDS = tuple(field.name for field in fields(Payout))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """``created`` false: it was there before, and the same."""

    dispute: Dispute
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    payout: Payout
    created: bool


def billed_runs(
    store: Store,
    start_ms: int,
    end_ms: int,
    *,
    after: tuple[int, str] | None = None,
    limit: int = PIECE_RUNS,
) -> tuple[BilledRun, ...]:
    """Runs whose bill was posted from ``start_ms`` until before ``end_ms``, by time and id;
    ``after``: those behind this (time, run id). Moved bytes are left 0."""
    where = and_(BILLS.c.billed_ms >= start_ms, BILLS.c.billed_ms < end_ms)
    if after is not None:
        at_ms, run_id = after
        where &= or_(
            BILLS.c.billed_ms > at_ms, and_(BILLS.c.billed_ms == at_ms, BILLS.c.run_id > run_id)
        )
    with store.read() as connection:
        return _billed(store, connection, where, limit)


def every_billed_run(store: Store, start_ms: int, end_ms: int) -> Iterator[BilledRun]:
    after: tuple[int, str] | None = None
    while some := billed_runs(store, start_ms, end_ms, after=after):
        yield from some
        after = (some[-1].billed_ms, some[-1].run_id)


def run_charges(store: Store, run_id: str) -> tuple[Charge, ...]:
    """The charges of one run with their corrections; empty: it has no bill."""
    with store.read() as connection:
        return _run_charges(store, connection, run_id)


def load_disputes(store: Store, site: str | None = None) -> tuple[Dispute, ...]:
    """The newest first."""
    query = select(DISPUTES).order_by(DISPUTES.c.opened_ms.desc(), DISPUTES.c.dispute_id)
    if site is not None:
        query = query.where(DISPUTES.c.site == site)
    with store.read() as connection:
        return tuple(_dispute(row) for row in connection.execute(query).mappings())


def correction_charges(store: Store, start_ms: int, end_ms: int) -> tuple[Charge, ...]:
    """Corrections posted in that time."""
    where = and_(DISPUTES.c.closed_ms >= start_ms, DISPUTES.c.closed_ms < end_ms)
    with store.read() as connection:
        found = [
            _dispute(row) for row in connection.execute(select(DISPUTES).where(where)).mappings()
        ]
        runs = {
            run.run_id: charges_of(run)
            for run in _billed_by_id(store, connection, [one.run_id for one in found])
        }
    made = [charge for one in found for charge in corrections(one, runs[one.run_id])]
    return tuple(sorted(made, key=lambda one: (one.posted_ms, one.charge_id)))


def open_dispute(store: Store, dispute: Dispute) -> Kept | Refused:
    """``job_id`` and ``site`` are the run's, whatever is given. Durable on return."""
    with store.write() as connection:
        run = (
            connection.execute(
                select(RUNS).where(RUNS.c.run_id == dispute.run_id).with_for_update()
            )
            .mappings()
            .one_or_none()
        )
        if run is None:
            return Refused(code="not-found", text=f"there is no run {dispute.run_id!r}")
        dispute = replace(dispute, job_id=run["job_id"], site=run["site"])
        known = _find_dispute(connection, dispute.dispute_id)
        if known is not None:
            asked = (dispute.run_id, dispute.part, dispute.reason, dispute.opened_by)
            if asked == (known.run_id, known.part, known.reason, known.opened_by):
                return Kept(dispute=known, created=False)
            text = f"dispute {dispute.dispute_id} is about something else"
            return Refused(code="dispute-id-taken", text=text)
        charges = _run_charges(store, connection, dispute.run_id)
        if not charges:
            text = f"run {dispute.run_id} has no bill yet"
            return Refused(code="not-billed", text=text)
        refused = may_open(dispute, _disputes_of(connection, [dispute.run_id]), charges)
        if refused is not None:
            return refused
        connection.execute(insert(DISPUTES), _dispute_row(dispute))
    return Kept(dispute=dispute, created=True)


def answer_dispute(
    store: Store, dispute_id: str, answer: str, by: str, now_ms: int
) -> Dispute | Refused:
    with store.write() as connection:
        known = _find_dispute(connection, dispute_id)
        if known is None:
            return _no_dispute(dispute_id)
        after = answered(known, answer, by, now_ms)
        if isinstance(after, Dispute):
            _save(connection, after)
        return after


def close_dispute(
    store: Store,
    dispute_id: str,
    outcome: Outcome,
    correction_micros: int,
    note: str,
    by: str,
    now_ms: int,
) -> Dispute | Refused:
    """Its correction is posted at ``now_ms``. The same words again change nothing."""
    with store.write() as connection:
        known = _find_dispute(connection, dispute_id)
        if known is None:
            return _no_dispute(dispute_id)
        charges = _run_charges(store, connection, known.run_id)
        after = closed(known, outcome, correction_micros, note, by, now_ms, charges)
        if isinstance(after, Dispute) and after != known:
            _save(connection, after)
        return after


def load_statement(store: Store, earner: str, period: Period, now_ms: int) -> Statement:
    """The earner's month; see ``settlement.statements``."""
    with store.read() as connection:
        return _statement(store, connection, earner, period, now_ms)


def pay(store: Store, payout: Payout) -> Paid | Refused:
    """Only what is owed and not disputed, at ``paid_ms``. Durable on return."""
    with store.write() as connection:
        # One at a time, where the database locks rows: two could both be owed the same money.
        counter = select(COUNTERS).where(COUNTERS.c.name == SNAPSHOT_VERSION)
        connection.execute(counter.with_for_update())
        query = select(PAYOUTS).where(PAYOUTS.c.payout_id == payout.payout_id)
        row = connection.execute(query).mappings().one_or_none()
        if row is not None:
            known = Payout(**{name: row[name] for name in _PAYOUT_FIELDS})
            if replace(payout, paid_ms=known.paid_ms) == known:
                return Paid(payout=known, created=False)
            text = f"payout {payout.payout_id} went to somebody else, or was another amount"
            return Refused(code="payout-id-taken", text=text)
        now_ms = payout.paid_ms + 1  # what was paid at this very moment counts
        current = _statement(store, connection, payout.earner, period_of(payout.paid_ms, 0), now_ms)
        refused = may_pay(payout, current.balances)
        if refused is not None:
            return refused
        connection.execute(
            insert(PAYOUTS), {name: getattr(payout, name) for name in _PAYOUT_FIELDS}
        )
    return Paid(payout=payout, created=True)


# -- within a transaction


def _statement(
    store: Store, connection: Connection, earner: str, period: Period, now_ms: int
) -> Statement:
    """Bills before the period are summed by the database, but for those with disputes: of these
    every charge is needed, and the owners of data have no column."""
    start_ms, end_ms = period.start_ms, period.end_ms
    query = select(DISPUTES)
    if earner.startswith(SITE_PREFIX):
        query = query.where(DISPUTES.c.site == earner.removeprefix(SITE_PREFIX))
    disputes = [_dispute(row) for row in connection.execute(query).mappings()]
    by_run: dict[str, list[Dispute]] = {}
    for one in disputes:
        by_run.setdefault(one.run_id, []).append(one)
    disputed = {run.run_id: run for run in _billed_by_id(store, connection, list(by_run))}
    charges: list[Charge] = []
    for run_id, run in disputed.items():
        charges += with_corrections(charges_of(run), by_run[run_id])
    where = and_(BILLS.c.billed_ms >= start_ms, BILLS.c.billed_ms < end_ms, _of(earner))
    for run in _billed(store, connection, where, None):
        if run.run_id not in disputed:
            charges += charges_of(run)
    old = sum(
        one.micros
        for one in charges
        if one.kind == "charge" and one.earner == earner and one.posted_ms < start_ms
    )
    before = _earned_before(store, connection, earner, start_ms)
    payouts = connection.execute(select(PAYOUTS).where(PAYOUTS.c.earner == earner))
    return statement(
        earner,
        period,
        charges,
        [Payout(**{name: row[name] for name in _PAYOUT_FIELDS}) for row in payouts.mappings()],
        disputes,
        now_ms,
        opening_micros=before - old,
    )


_COLUMN_OF = {
    NETWORK_POWER: BILLS.c.power_micros,
    NETWORK_LINKS: BILLS.c.transfer_micros,
    ROUNDING: BILLS.c.rounding_micros,
}


def _of(earner: str) -> ColumnElement[bool]:
    """Which bills hold something for it."""
    if earner.startswith(SITE_PREFIX):
        return BILLS.c.site == earner.removeprefix(SITE_PREFIX)
    if earner in _COLUMN_OF:
        return _COLUMN_OF[earner] != 0
    return BILLS.c.data_micros != 0


def _earned_before(store: Store, connection: Connection, earner: str, at_ms: int) -> int:
    where = and_(BILLS.c.billed_ms < at_ms, _of(earner))
    if earner.startswith(OWNER_PREFIX):
        return sum(
            one.micros
            for run in _billed(store, connection, where, None)
            for one in charges_of(run)
            if one.earner == earner
        )
    column = _COLUMN_OF.get(earner, BILLS.c.device_micros)
    total = connection.execute(select(func.coalesce(func.sum(column), 0)).where(where)).scalar_one()
    return int(total)


def _billed_by_id(store: Store, connection: Connection, run_ids: Sequence[str]) -> list[BilledRun]:
    found: list[BilledRun] = []
    for chunk in chunks(dict.fromkeys(run_ids)):
        found += _billed(store, connection, BILLS.c.run_id.in_(chunk), None)
    return found


def _billed(
    store: Store, connection: Connection, where: ColumnElement[bool], limit: int | None
) -> tuple[BilledRun, ...]:
    query = (
        select(
            BILLS,
            RUNS.c.attempt,
            RUNS.c.pool,
            RUNS.c.granted_ms,
            RUNS.c.started_ms,
            RUNS.c.ended_ms,
            JOBS.c.spec,
        )
        .join(RUNS, RUNS.c.run_id == BILLS.c.run_id)
        .join(JOBS, JOBS.c.job_id == BILLS.c.job_id)
        .where(where)
        .order_by(BILLS.c.billed_ms, BILLS.c.run_id)
        .limit(limit)
    )
    runs = []
    reading: dict[str, list[tuple[str, int, int, int]]] = {}
    for row in connection.execute(query).mappings():
        job = codec.job_spec(store, row["job_id"], row["spec"])
        began_ms = row["started_ms"] if row["started_ms"] is not None else row["granted_ms"]
        if row["data_micros"] and row["started_ms"] is not None:
            reading[row["run_id"]] = [
                (one.dataset, one.version, one.size_bytes, one.price_micros_per_gb)
                for one in job.datasets
                if one.price_micros_per_gb is not None
            ]
        runs.append(
            BilledRun(
                job_id=row["job_id"],
                job_name=job.name,
                run_id=row["run_id"],
                attempt=row["attempt"],
                site=row["site"],
                pool=row["pool"],
                project=job.account or LOCAL_PROJECT,
                began_ms=began_ms,
                ended_ms=row["ended_ms"] if row["ended_ms"] is not None else row["billed_ms"],
                billed_ms=row["billed_ms"],
                bill=Bill(**{name: row[name] for name in BILL_FIELDS}),
            )
        )
    owned = _owned_reads(connection, reading) if reading else {}
    paid = load_paid(connection, {one.run_id: one.job_id for one in runs})
    return tuple(
        replace(
            one,
            reads=owned.get(one.run_id, ()),
            shares=shares_of(paid.get(one.run_id, {}), one.project, one.bill.total_micros),
        )
        for one in runs
    )


def _owned_reads(
    connection: Connection, reading: dict[str, list[tuple[str, int, int, int]]]
) -> dict[str, tuple[OwnedRead, ...]]:
    """Of what the jobs ask for, what was whole at the site, with its owner."""
    whole: dict[tuple[str, str, int], str] = {}
    for chunk in chunks(reading):
        query = (
            select(DATA_USES.c.run_id, DATA_USES.c.name, DATA_USES.c.version, DATASETS.c.owner)
            .join(
                DATASETS,
                and_(
                    DATASETS.c.name == DATA_USES.c.name,
                    DATASETS.c.version == DATA_USES.c.version,
                ),
            )
            .where(DATA_USES.c.run_id.in_(chunk), DATA_USES.c.staged_ms.is_not(None))
        )
        for row in connection.execute(query).mappings():
            whole[row["run_id"], row["name"], row["version"]] = row["owner"]
    return {
        run_id: tuple(
            OwnedRead(owner=whole[run_id, name, version], size_bytes=size, micros_per_gb=price)
            for name, version, size, price in wanted
            if (run_id, name, version) in whole
        )
        for run_id, wanted in reading.items()
    }


def _run_charges(store: Store, connection: Connection, run_id: str) -> tuple[Charge, ...]:
    runs = _billed(store, connection, BILLS.c.run_id == run_id, None)
    if not runs:
        return ()
    return with_corrections(charges_of(runs[0]), _disputes_of(connection, [run_id]))


def _disputes_of(connection: Connection, run_ids: Sequence[str]) -> list[Dispute]:
    query = select(DISPUTES).where(DISPUTES.c.run_id.in_(run_ids)).order_by(DISPUTES.c.opened_ms)
    return [_dispute(row) for row in connection.execute(query).mappings()]


def _find_dispute(connection: Connection, dispute_id: str) -> Dispute | None:
    query = select(DISPUTES).where(DISPUTES.c.dispute_id == dispute_id).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _dispute(row)


def _dispute(row: object) -> Dispute:
    return Dispute(**{name: row[name] for name in _DISPUTE_FIELDS})  # type: ignore[index]


def _dispute_row(dispute: Dispute) -> dict[str, object]:
    return {name: getattr(dispute, name) for name in _DISPUTE_FIELDS}


def _save(connection: Connection, dispute: Dispute) -> None:
    """Guarded: a closed dispute stays as it is."""
    connection.execute(
        update(DISPUTES)
        .where(DISPUTES.c.dispute_id == dispute.dispute_id, DISPUTES.c.closed_ms.is_(None))
        .values(**_dispute_row(dispute))
    )


def _no_dispute(dispute_id: str) -> Refused:
    return Refused(code="not-found", text=f"there is no dispute {dispute_id!r}")
