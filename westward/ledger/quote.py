"""A quote: what a job would cost at each pool, and who would pay which part of it. Nothing is held.

The estimates are the planner's (a pool, its best hour, the expected length there); the bill is made
from them by the rules that make it from a meter, and split as a real one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from westward.ledger.charged import Charged, charged
from westward.ledger.price import Bill, DataRead, MeteredInterval, PriceList, Transfer
from westward.ledger.vouchers import Split, Usage, split
from westward.model.plan import Estimate
from westward.model.voucher import BillLine, Contract, Entity, NamedFact, Rule, VoucherClaim


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pool at its best hour, with its terms."""

    estimate: Estimate
    prices: PriceList
    transfers: tuple[Transfer, ...] = ()
    reads: tuple[DataRead, ...] = ()
    facts: tuple[NamedFact, ...] = ()
    """What the pool's bills show for rules that ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Whose job it is and who funds it. ``rules``: those that this organisation was admitted to.

    ``usage``: of everybody, this organisation's other runs among them. ``budget_micros``: what the
    project may still spend; None: it has no budget.
    """

    entity: Entity
    rules: tuple[Rule, ...] = ()
    claims: tuple[VoucherClaim, ...] = ()
    contract: Contract | None = None
    usage: Usage
    budget_micros: int | None = None
    adopted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """One pool's price. ``own_micros`` and what funders pay sum to ``bill.total_micros`` exactly."""

    estimate: Estimate
    bill: Bill
    lines: tuple[BillLine, ...]
    split: Split
    own_micros: int
    """With the bill's rounding, and power at a price below nought: no funder has part in them."""
    hold_micros: int
    """Of the project, held before the start: of a short job more than it will cost."""
    budget_after_micros: int | None

    @property
    def funded_micros(self) -> int:
        return sum(part.micros for part in self.split.parts if part.year is not None)


def quote(
    candidates: Sequence[Candidate], payer: Payer, at_ms: int, hold_least_ms: int = 0
) -> tuple[Quoted, ...]:
    """One answer a candidate, the cheapest for the payer first, then the earliest to end.

    Each stands alone: no candidate uses up what another one's funders would pay. ``at_ms``: when the
    contract's facts are read. ``hold_least_ms``: shorter jobs are held for as long.
    """
    found = [_quoted(one, payer, at_ms, hold_least_ms) for one in candidates]
    return tuple(
        sorted(
            found,
            key=lambda one: (
                one.own_micros,
                one.estimate.start_ms + one.estimate.duration_ms,
                one.estimate.pool,
            ),
        )
    )


def _quoted(one: Candidate, payer: Payer, at_ms: int, hold_least_ms: int) -> Quoted:
    estimate = one.estimate
    made, who = _billed(one, payer, at_ms, estimate.duration_ms)
    held = who
    if estimate.duration_ms < hold_least_ms:
        _, held = _billed(one, payer, at_ms, hold_least_ms)
    funded = sum(part.micros for part in who.parts if part.year is not None)
    own = made.bill.total_micros - funded
    budget = payer.budget_micros
    return Quoted(
        estimate=estimate,
        bill=made.bill,
        lines=made.lines,
        split=who,
        own_micros=own,
        hold_micros=held.own_micros,
        budget_after_micros=None if budget is None else budget - own,
    )


def _billed(one: Candidate, payer: Payer, at_ms: int, wall_ms: int) -> tuple[Charged, Split]:
    """If it ran ``wall_ms`` with all it asks for."""
    estimate = one.estimate
    metered = MeteredInterval(
        start_ms=estimate.start_ms,
        wall_ms=wall_ms,
        device_milli_ms=estimate.need_milli * wall_ms,
    )
    made = charged(
        one.prices, (metered,), one.transfers, one.reads, began_ms=estimate.start_ms,
        facts=one.facts, offsets={rule.utc_offset_minutes for rule in payer.rules},
    )  # fmt: skip
    who = split(
        made.lines, payer.claims, payer.rules, payer.usage, payer.entity, at_ms,
        contract=payer.contract, adopted=payer.adopted,
    )  # fmt: skip
    return made, who
