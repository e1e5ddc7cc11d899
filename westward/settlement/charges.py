"""A bill as charges: one row for each part, each who earns it and each who pays it.

Rows of a run add up to its bill, its bill's parts and its payers' shares, all exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from westward.ledger.price import Bill
from westward.ledger.rounding import round_half_even
from westward.model.units import BYTES_PER_GB

Part = Literal["device", "power", "transfer", "data", "rounding"]
PARTS: tuple[Part, ...] = ("device", "power", "transfer", "data", "rounding")
Kind = Literal["charge", "correction"]

LOCAL_PROJECT = "local"
"""Pays for jobs that name no account."""
NETWORK_POWER = "network-power"
NETWORK_LINKS = "network-links"
ROUNDING = "rounding"
SITE_PREFIX = "site:"
OWNER_PREFIX = "data-owner:"


def site_account(site: str) -> str:
    """Who earns the device time of ``site``."""
    return SITE_PREFIX + site


def owner_account(owner: str) -> str:
    """Who earns what ``owner`` asks for reading its data sets ("" = nobody's)."""
    return OWNER_PREFIX + owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one payer bears of a whole bill, and why. Below nought only by what it got back: rounding,
    or power at a negative price, of a bill that others paid."""

    payer: str
    micros: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedRead:
    """A data set that a run read, at its owner's price."""

    owner: str
    size_bytes: int
    micros_per_gb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledRun:
    """A settled run with all that its charges say. Times in ms UTC."""

    job_id: str
    job_name: str
    run_id: str
    attempt: int
    site: str
    pool: str
    project: str
    began_ms: int
    """Its start; of a run that never started, its grant."""
    ended_ms: int
    billed_ms: int
    bill: Bill
    reads: tuple[OwnedRead, ...] = ()
    moved_bytes: int = 0
    """Of the transfers charged for."""
    device_price_micros: int | None = None
    """Per device-hour, where it is known and is what the bill was made with."""
    shares: tuple[Share, ...] = ()
    """Who pays; together the bill's total. Empty: the project pays it all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One row. ``quantity`` (milli-device ms, joules or bytes, by ``part``) cost ``basis_micros``, of
    which this payer bears ``micros``. Both 0 for rounding and for corrections."""

    charge_id: str
    kind: Kind
    part: Part
    job_id: str
    job_name: str
    run_id: str
    attempt: int
    site: str
    pool: str
    project: str
    earner: str
    payer: str
    payer_reason: str
    began_ms: int
    ended_ms: int
    posted_ms: int
    """When it came to be: what decides its month."""
    micros: int
    basis_micros: int = 0
    quantity: int = 0
    unit_price_micros: int | None = None
    """Of device time, per device-hour; None: not known, or not one price."""
    dispute_id: str = ""
    """Of a correction."""
    corrects_ms: int | None = None
    """Of a correction: when what it corrects was posted."""

    @property
    def own_quantity(self) -> Fraction:
        """This row's part of the quantity."""
        if self.basis_micros == 0:
            return Fraction(self.quantity)
        return Fraction(self.quantity * self.micros, self.basis_micros)


@dataclass(frozen=True, slots=True)
class _Item:
    part: Part
    earner: str
    micros: int
    quantity: int


def charges_of(run: BilledRun) -> tuple[Charge, ...]:
    """The charges of a run's bill. Raises ValueError if its shares are not its total."""
    bill = run.bill
    shares = run.shares or (Share(payer=run.project, micros=bill.total_micros),)
    if sum(one.micros for one in shares) != bill.total_micros:
        raise ValueError(f"run {run.run_id}: its payers' shares are not its bill")
    items = [one for one in _items(run) if one.micros or one.quantity]
    cells = allocate([one.micros for one in items], [one.micros for one in shares])
    charges: list[Charge] = []
    for at, (item, row) in enumerate(zip(items, cells, strict=True)):
        paid = [(share, micros) for share, micros in zip(shares, row, strict=True) if micros]
        for number, (share, micros) in enumerate(paid or [(shares[0], 0)]):
            charges.append(
                Charge(
                    charge_id=f"{run.run_id}:{at}.{number}",
                    kind="charge",
                    part=item.part,
                    job_id=run.job_id,
                    job_name=run.job_name,
                    run_id=run.run_id,
                    attempt=run.attempt,
                    site=run.site,
                    pool=run.pool,
                    project=run.project,
                    earner=item.earner,
                    payer=share.payer,
                    payer_reason=share.reason,
                    began_ms=run.began_ms,
                    ended_ms=run.ended_ms,
                    posted_ms=run.billed_ms,
                    micros=micros,
                    basis_micros=0 if item.part == "rounding" else item.micros,
                    quantity=item.quantity,
                    unit_price_micros=run.device_price_micros if item.part == "device" else None,
                )
            )
    return tuple(charges)


def _items(run: BilledRun) -> Iterable[_Item]:
    bill = run.bill
    yield _Item("device", site_account(run.site), bill.device_micros, bill.device_milli_ms)
    yield _Item("power", NETWORK_POWER, bill.power_micros, bill.energy_j)
    yield _Item("transfer", NETWORK_LINKS, bill.transfer_micros, run.moved_bytes)
    asks: dict[str, Fraction] = {}
    sizes: dict[str, int] = {}
    for read in run.reads:
        ask = Fraction(read.size_bytes * read.micros_per_gb, BYTES_PER_GB)
        asks[read.owner] = asks.get(read.owner, Fraction(0)) + ask
        sizes[read.owner] = sizes.get(read.owner, 0) + read.size_bytes
    if not asks and bill.data_micros:
        asks, sizes = {"": Fraction(1)}, {"": 0}  # a bill is owed whatever the catalogue says now
    for owner, micros in zip(asks, apportion(bill.data_micros, list(asks.values())), strict=True):
        yield _Item("data", owner_account(owner), micros, sizes[owner])
    yield _Item("rounding", ROUNDING, bill.rounding_micros, 0)


def allocate(rows: Sequence[int], columns: Sequence[int]) -> list[list[int]]:
    """A table of integers with the given sums of its rows and of its columns, which must agree.

    Rows are covered in order by columns in order; a negative row goes to the largest column whole,
    and a negative column to the largest row. Raises ValueError where that is not so.
    """
    if sum(rows) != sum(columns) or not columns:
        raise ValueError("rows and columns do not agree")
    if len(columns) == 1:
        return [[row] for row in rows]
    below = {at: micros for at, micros in enumerate(columns) if micros < 0}
    if below and max(rows, default=0) <= 0:
        raise ValueError("rows and columns do not agree")
    largest = max(range(len(columns)), key=lambda at: columns[at])
    widest = max(range(len(rows)), key=lambda at: rows[at]) if rows else 0
    left = [max(0, one) for one in columns]
    left[largest] -= sum(one for one in rows if one < 0)
    table = []
    at = 0
    for number, row in enumerate(rows):
        cells = [0] * len(columns)
        if row < 0:
            cells[largest] = row
        elif below and number == widest:
            for column, micros in below.items():
                cells[column] = micros
                row -= micros
        while row > 0:
            taken = min(row, left[at])
            cells[at] += taken
            left[at] -= taken
            row -= taken
            if row:
                at += 1
        table.append(cells)
    return table


def apportion(total: int, weights: Sequence[Fraction | int]) -> tuple[int, ...]:
    """``total`` in proportion to ``weights`` (none negative), exactly: the rounded running sums'
    differences. Weights that are all 0 count as equal."""
    if not weights:
        if total:
            raise ValueError("there is nobody to bear it")
        return ()
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight is negative")
    whole = sum(weights, Fraction(0))
    if whole == 0:
        weights, whole = [1] * len(weights), Fraction(len(weights))
    parts, running, given = [], Fraction(0), 0
    for weight in weights:
        running += weight
        due = round_half_even(total * running / whole)
        parts.append(due - given)
        given = due
    return tuple(parts)
