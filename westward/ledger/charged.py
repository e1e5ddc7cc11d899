"""A run's bill and what vouchers see of it, cut where a calendar year of a rule ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from typing import Any, NamedTuple

from westward.ledger.price import (
    BILL_FIELDS,
    Bill,
    DataRead,
    MeteredInterval,
    PriceList,
    Transfer,
    bill,
)
from westward.ledger.road import bill_lines
from westward.ledger.vouchers.calendar import next_year_ms
from westward.model.voucher import BillLine, NamedFact

SPEND_FIELDS = ("device_micros", "power_micros", "transfer_micros", "data_micros")
"""Parts of a bill that vouchers may pay, millionths."""


class Charged(NamedTuple):
    bill: Bill
    lines: tuple[BillLine, ...]
    """As much in all as the bill's parts above nought."""


def charged(
    prices: PriceList,
    metered: Sequence[MeteredInterval],
    transfers: Sequence[Transfer] = (),
    reads: Sequence[DataRead] = (),
    *,
    began_ms: int,
    facts: tuple[NamedFact, ...] = (),
    offsets: Iterable[int] = (),
) -> Charged:
    """The bill of everything metered, ``ledger.price.bill`` where all of it lies in one year.

    ``offsets``: minutes that the rules' calendars are ahead of UTC. Use that reaches into another
    year is billed apart, each part rounded by itself; moves and reads are of the year it began.
    """
    ends = [one.start_ms + one.wall_ms for one in metered]
    edges = {began_ms, max([began_ms + 1, *ends])}
    for offset in set(offsets):
        turn = next_year_ms(began_ms, offset)
        while turn < max(edges):
            edges.add(turn)
            turn = next_year_ms(turn, offset)
    parts: list[tuple[int, Bill]] = []
    for number, (since, until) in enumerate(pairwise(sorted(edges))):
        first = number == 0
        part = bill(
            prices,
            [one for each in metered for one in _within(each, since, until, first=first)],
            transfers if first else (),
            reads if first else (),
        )
        parts.append((since, part))
    bills = [part for _, part in parts]
    lines: list[BillLine] = []
    # Of one year there is nothing to net, and that is nearly every bill.
    for (since, _), seen in zip(parts, _netted(bills) if len(bills) > 1 else bills, strict=True):
        lines += bill_lines(seen, prices.site, since, facts=facts)
    return Charged(reduce(add_bills, bills), tuple(lines))


def _netted(parts: Sequence[Bill]) -> list[Bill]:
    """The years' bills as vouchers see them: what is below nought in one year (power at a negative
    price) lowers what is above it in the others, the earliest first. So the lines are as much as
    the parts of the whole bill that are above nought, which is what is earned."""
    seen = list(parts)
    for name in SPEND_FIELDS:
        short = -sum(min(0, getattr(part, name)) for part in parts)
        for at, part in enumerate(seen):
            micros = max(0, getattr(part, name))
            lowered = min(short, micros)
            short -= lowered
            seen[at] = replace(part, **{name: micros - lowered})
    return seen


def _within(
    one: MeteredInterval, since_ms: int, until_ms: int, *, first: bool
) -> Iterable[MeteredInterval]:
    """The part of an interval that lies in [since, until). Device time is shared out so that the
    parts add up to the whole."""
    start, end = one.start_ms, one.start_ms + one.wall_ms
    low = start if first else max(start, since_ms)
    high = min(end, until_ms)
    if high <= low:
        return
    done = one.device_milli_ms * (low - start) // one.wall_ms
    used = one.device_milli_ms * (high - start) // one.wall_ms - done
    yield replace(one, start_ms=low, wall_ms=high - low, device_milli_ms=used)


def add_bills(one: Bill, other: Bill) -> Bill:
    """Part by part; what is unknown in either is unknown in the sum."""
    sums: dict[str, Any] = {}
    for name in BILL_FIELDS:
        a, b = getattr(one, name), getattr(other, name)
        sums[name] = None if a is None or b is None else a + b
    return Bill(**sums)
