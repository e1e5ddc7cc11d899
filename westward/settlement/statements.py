"""What one earner (a site, an account of the network, an owner of data) is owed for a month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from westward.settlement.charges import Charge
from westward.settlement.disputes import Dispute, Refused, frozen
from westward.settlement.periods import Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """Money that went to an earner. Never edited."""

    payout_id: str
    earner: str
    micros: int
    paid_ms: int
    reference: str
    """Of the bank or the clearing house."""
    paid_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances:
    """``opening + earned + corrected − paid = closing``; of the closing, ``disputed`` is frozen."""

    opening_micros: int
    earned_micros: int
    corrected_micros: int
    paid_micros: int
    disputed_micros: int

    @property
    def closing_micros(self) -> int:
        return self.opening_micros + self.earned_micros + self.corrected_micros - self.paid_micros

    @property
    def payable_micros(self) -> int:
        """What may be paid out now; an overpaid earner is owed nothing."""
        return max(0, self.closing_micros - max(0, self.disputed_micros))


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """``as_of_ms``: the period's end, or the moment it was made if the period was not over."""

    earner: str
    period: Period
    as_of_ms: int
    balances: Balances
    charges: tuple[Charge, ...]
    """Of the period, corrections too, by when they were posted."""
    payouts: tuple[Payout, ...]
    disputes: tuple[Dispute, ...]
    """Open at ``as_of_ms``, or closed within the period, with charges of this earner."""


def statement(
    earner: str,
    period: Period,
    charges: Iterable[Charge],
    payouts: Sequence[Payout],
    disputes: Sequence[Dispute],
    now_ms: int,
    *,
    opening_micros: int = 0,
) -> Statement:
    """``charges`` and ``payouts``: the earner's; those before the period count into the opening,
    on top of ``opening_micros``. Of charges under an open dispute all must be given, however old."""
    as_of_ms = min(period.end_ms, max(now_ms, period.start_ms))
    own = [one for one in charges if one.earner == earner and one.posted_ms < as_of_ms]
    paid = [one for one in payouts if one.earner == earner and one.paid_ms < as_of_ms]
    before = sum(one.micros for one in own if one.posted_ms < period.start_ms)
    paid_before = sum(one.micros for one in paid if one.paid_ms < period.start_ms)
    current = [one for one in own if one.posted_ms >= period.start_ms]
    runs = {one.run_id for one in own}
    balances = Balances(
        opening_micros=opening_micros + before - paid_before,
        earned_micros=sum(one.micros for one in current if one.kind == "charge"),
        corrected_micros=sum(one.micros for one in current if one.kind == "correction"),
        paid_micros=sum(one.micros for one in paid if one.paid_ms >= period.start_ms),
        disputed_micros=sum(one.micros for one in own if frozen(one, disputes, as_of_ms)),
    )
    return Statement(
        earner=earner,
        period=period,
        as_of_ms=as_of_ms,
        balances=balances,
        charges=tuple(sorted(current, key=lambda one: (one.posted_ms, one.charge_id))),
        payouts=tuple(one for one in paid if one.paid_ms >= period.start_ms),
        disputes=tuple(
            one
            for one in disputes
            if one.run_id in runs
            and (
                one.open_at(as_of_ms)
                or (one.closed_ms is not None and period.start_ms <= one.closed_ms < as_of_ms)
            )
        ),
    )


def totals_by_earner(charges: Iterable[Charge], period: Period) -> Mapping[str, int]:
    """Charged and corrected within the period, by earner."""
    totals: dict[str, int] = {}
    for one in charges:
        if period.holds(one.posted_ms):
            totals[one.earner] = totals.get(one.earner, 0) + one.micros
    return dict(sorted(totals.items()))


def may_pay(payout: Payout, balances: Balances) -> Refused | None:
    """``balances`` as of now. What is not owed, or is disputed, is not paid."""
    if payout.micros <= 0:
        return Refused(code="no-amount", text="a payout is more than nothing")
    if payout.micros > balances.payable_micros:
        text = (
            f"{payout.micros} millionths are more than {payout.earner} may be paid: "
            f"{balances.closing_micros} owed, {balances.disputed_micros} of it disputed"
        )
        return Refused(code="not-payable", text=text)
    return None
