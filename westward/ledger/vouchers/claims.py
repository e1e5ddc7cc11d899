"""The life of a claim under one rule: its steps with their evidence, and taking money back.

Which steps a rule has, and what must be shown at each, stands in the rule. A step is taken in the
rule's order, once, with every kind of evidence that it names; anything else is a refusal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar

from westward.ledger.vouchers.calendar import day_of
from westward.ledger.vouchers.reasons import money
from westward.ledger.vouchers.split import Part
from westward.ledger.vouchers.usage import Usage
from westward.model.voucher import Evidence, Rule, Step, StepName, VoucherClaim

K = TypeVar("K")


class ClaimRefusal(NamedTuple):
    code: Literal[
        "claim-of-another-rule", "claim-complete", "claim-out-of-order", "claim-evidence",
        "claim-expired", "claim-revoked",
    ]  # fmt: skip
    text: str


def pending_step(claim: VoucherClaim, rule: Rule) -> Step | None:
    """The next step; None when all are done."""
    return next((step for step in rule.procedure if step.name not in claim.done), None)


def advance(
    claim: VoucherClaim,
    rule: Rule,
    step: StepName,
    evidence: Sequence[Evidence],
    at_ms: int,
    *,
    approved_micros: int | None = None,
    approved_device_milli_ms: int | None = None,
    expires_ms: int | None = None,
) -> VoucherClaim | ClaimRefusal:
    """The claim after ``step``, or why it cannot be taken.

    What was approved and until when may be said at ``approve`` only. ``use`` and what follows may
    come after the claim's end: the spend must lie before it, the papers need not.
    """
    if claim.rule != rule.name:
        return ClaimRefusal("claim-of-another-rule", f"claim {claim.id} is under {claim.rule}")
    if claim.revoked:
        return ClaimRefusal("claim-revoked", f"claim {claim.id} was revoked")
    awaited = pending_step(claim, rule)
    if awaited is None:
        return ClaimRefusal("claim-complete", f"claim {claim.id} has taken every step")
    if step != awaited.name:
        return ClaimRefusal("claim-out-of-order", f"the next step is {awaited.name}, not {step}")
    early = step in ("claim", "approve", "hold")
    if early and claim.expires_ms is not None and at_ms >= claim.expires_ms:
        day = day_of(claim.expires_ms, rule.utc_offset_minutes)
        return ClaimRefusal("claim-expired", f"claim {claim.id} ended on {day}")
    shown = {one.kind for one in evidence if one.step == step and one.reference}
    missing = [kind for kind in awaited.evidence if kind not in shown]
    if missing:
        return ClaimRefusal("claim-evidence", f"{step} needs: {', '.join(missing)}")
    moved = replace(claim, done=(*claim.done, step), evidence=(*claim.evidence, *evidence))
    if step != "approve":
        return moved
    return replace(
        moved,
        approved_micros=approved_micros,
        approved_device_milli_ms=approved_device_milli_ms,
        expires_ms=expires_ms if expires_ms is not None else claim.expires_ms,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClawBack:
    """Transfers that take money back: they sum to nought, the entity owes what the pot gets."""

    claim: VoucherClaim
    """Revoked."""
    parts: tuple[Part, ...]
    reason: str

    @property
    def micros(self) -> int:
        return self.parts[-1].micros


def claw_back(
    claim: VoucherClaim,
    paid: Sequence[Part],
    reason: str,
    *,
    micros: int | None = None,
) -> ClawBack:
    """Takes back ``micros`` (None: all) of what the claim's rule has paid.

    The newest year first; each year's money goes back to the pot and cap of that year. Raises
    ``ValueError`` for a negative amount, for more than was paid, or without a reason.
    """
    if not reason.strip():
        raise ValueError("a claw-back needs a reason")
    by_year: dict[tuple[int, str], int] = defaultdict(int)
    for part in paid:
        if part.rule == claim.rule and part.year is not None:
            by_year[part.year, part.payer] += part.micros
    total = sum(by_year.values())
    left = total if micros is None else micros
    if not 0 <= left <= total:
        raise ValueError(f"{money(left)} cannot be taken back of {money(total)}")
    parts = []
    for (year, payer), amount in sorted(by_year.items(), reverse=True):
        taken = min(left, amount)
        if taken:
            parts.append(Part(payer=payer, rule=claim.rule, year=year, micros=-taken))
            left -= taken
    owed = -sum(part.micros for part in parts)
    own = Part(payer=claim.entity, rule="", year=None, micros=owed)
    return ClawBack(claim=replace(claim, revoked=True), parts=(*parts, own), reason=reason)


def returned(usage: Usage, back: ClawBack) -> Usage:
    """Usage once the money is back: pot and caps of its year are free again.

    That the entity was paid from a certain day, and that the contract was funded, stays.
    """
    pot, entity, contract = dict(usage.pot), dict(usage.entity), dict(usage.contract)
    for part in back.parts:
        if part.year is None:
            continue
        _add(pot, (part.rule, part.year), part.micros)
        _add(entity, (part.rule, back.claim.entity, part.year), part.micros)
        if back.claim.contract:
            _add(contract, (part.rule, back.claim.contract), part.micros)
    return replace(usage, pot=pot, entity=entity, contract=contract)


def _add(counter: dict[K, int], key: K, micros: int) -> None:
    counter[key] = counter.get(key, 0) + micros
