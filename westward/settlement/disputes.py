"""Disputes: somebody doubts what a run was charged. Until it is closed, what the doubted charges
earn is not paid out; closing may correct them.

Pure: who may ask is the server's business, and nothing is edited but a dispute's own answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from westward.settlement.charges import Charge, Part, apportion

DisputeState = Literal["open", "answered", "closed"]
Outcome = Literal["upheld", "rejected", "withdrawn"]
OUTCOMES: tuple[Outcome, ...] = ("upheld", "rejected", "withdrawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """``part`` None: the whole run. ``correction_micros``: added to what the doubted charges come
    to, when it is closed as upheld; negative = charged too much."""

    dispute_id: str
    run_id: str
    job_id: str
    site: str
    part: Part | None
    reason: str
    opened_by: str
    opened_ms: int
    answer: str = ""
    answered_by: str = ""
    answered_ms: int | None = None
    outcome: Outcome | None = None
    correction_micros: int = 0
    note: str = ""
    closed_by: str = ""
    closed_ms: int | None = None

    @property
    def state(self) -> DisputeState:
        if self.closed_ms is not None:
            return "closed"
        return "open" if self.answered_ms is None else "answered"

    def covers(self, part: Part) -> bool:
        return self.part is None or self.part == part

    def open_at(self, at_ms: int) -> bool:
        """Whether it freezes anything at that instant."""
        return self.opened_ms < at_ms and (self.closed_ms is None or self.closed_ms >= at_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing was changed. ``code`` is stable."""

    code: str
    text: str


def may_open(
    dispute: Dispute, others: Sequence[Dispute], charges: Sequence[Charge]
) -> Refused | None:
    """``others``: the run's other disputes; ``charges``: the run's, with corrections."""
    if not any(dispute.covers(one.part) for one in charges):
        text = f"run {dispute.run_id} has no charge for {dispute.part or 'anything'}"
        return Refused(code="no-such-charge", text=text)
    for one in others:
        overlaps = one.part is None or dispute.part is None or one.part == dispute.part
        if one.closed_ms is None and overlaps:
            text = f"dispute {one.dispute_id} about it is open since before"
            return Refused(code="disputed-already", text=text)
    return None


def answered(dispute: Dispute, answer: str, by: str, now_ms: int) -> Dispute | Refused:
    """A later answer takes the place of an earlier one, until it is closed."""
    if dispute.closed_ms is not None:
        return _closed(dispute)
    return replace(dispute, answer=answer, answered_by=by, answered_ms=now_ms)


def closed(
    dispute: Dispute,
    outcome: Outcome,
    correction_micros: int,
    note: str,
    by: str,
    now_ms: int,
    charges: Sequence[Charge],
) -> Dispute | Refused:
    """``charges``: the run's, with the corrections so far. The same words again change nothing."""
    if dispute.closed_ms is not None:
        same = (dispute.outcome, dispute.correction_micros, dispute.note)
        return dispute if same == (outcome, correction_micros, note) else _closed(dispute)
    if outcome == "upheld":
        due = sum(one.micros for one in charges if dispute.covers(one.part))
        if correction_micros == 0:
            text = "a dispute that is upheld corrects something: state by how much"
            return Refused(code="no-correction", text=text)
        if due + correction_micros < 0:
            text = f"more than was charged cannot be taken back: the charge is {due} millionths"
            return Refused(code="correction-too-large", text=text)
    elif correction_micros != 0:
        text = f"a dispute that is {outcome} corrects nothing"
        return Refused(code="correction-not-upheld", text=text)
    return replace(
        dispute,
        outcome=outcome,
        correction_micros=correction_micros,
        note=note,
        closed_by=by,
        closed_ms=now_ms,
    )


def corrections(dispute: Dispute, charges: Sequence[Charge]) -> tuple[Charge, ...]:
    """What closing it posts: the correction, over the doubted charges in proportion to what each
    came to (rounding aside, while anything else is there to bear it).

    ``charges``: the run's first charges, without corrections.
    """
    if dispute.closed_ms is None or dispute.correction_micros == 0:
        return ()
    doubted = [one for one in charges if dispute.covers(one.part)]
    bearing = [one for one in doubted if one.micros > 0] or doubted[:1]
    amounts = apportion(dispute.correction_micros, [max(0, one.micros) for one in bearing])
    return tuple(
        replace(
            one,
            charge_id=f"{dispute.dispute_id}:{one.charge_id}",
            kind="correction",
            posted_ms=dispute.closed_ms,
            micros=amount,
            basis_micros=0,
            quantity=0,
            unit_price_micros=None,
            dispute_id=dispute.dispute_id,
            corrects_ms=one.posted_ms,
        )
        for one, amount in zip(bearing, amounts, strict=True)
        if amount
    )


def with_corrections(charges: Sequence[Charge], disputes: Iterable[Dispute]) -> tuple[Charge, ...]:
    """A run's charges and every correction to them, by when they were posted."""
    found = list(charges)
    for one in sorted(disputes, key=lambda d: (d.closed_ms or 0, d.dispute_id)):
        found += corrections(one, charges)
    return tuple(found)


def frozen(charge: Charge, disputes: Iterable[Dispute], at_ms: int) -> bool:
    """Whether an open dispute covers it at that instant."""
    return any(
        one.run_id == charge.run_id and one.covers(charge.part) and one.open_at(at_ms)
        for one in disputes
    )


def _closed(dispute: Dispute) -> Refused:
    text = f"dispute {dispute.dispute_id} is closed ({dispute.outcome})"
    return Refused(code="dispute-closed", text=text)
