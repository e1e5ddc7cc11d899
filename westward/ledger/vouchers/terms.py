"""What one rule says to one line, before any money is counted: the share and year, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from westward.ledger.vouchers.calendar import add_months, day_of, year_of
from westward.ledger.vouchers.eligibility import entity_failure, fact_value, first_failure
from westward.ledger.vouchers.reasons import Reason
from westward.ledger.vouchers.usage import Usage
from westward.model.voucher import (
    BillLine,
    Clauses,
    Contract,
    Entity,
    Figure,
    NamedFact,
    Rule,
    VoucherClaim,
)


@dataclass(frozen=True, slots=True, order=True)
class Terms:
    """``beneficiary``: whose caps count, the entity or (a supplier's reward) the seller."""

    year: int
    share_ppm: int
    beneficiary: str


Outcome = Terms | Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Everything about a claim but its lines."""

    entity: Entity
    contract: Contract | None
    claims: Mapping[str, VoucherClaim]
    """By rule."""
    rules: Mapping[str, Rule]
    sellers: Mapping[str, Entity]
    usage: Usage
    at_ms: int
    adopted: frozenset[str]
    """Rules known from the press alone that the network's operator lets pay all the same."""


def outcomes(rule: Rule, lines: Sequence[BillLine], asked: Asked) -> list[Outcome]:
    """What ``rule`` says to each line, in their order."""
    whole = _whole(rule, asked)
    if whole is not None:
        return [whole] * len(lines)
    found = [_line(rule, line, asked) for line in lines]
    months = rule.entity_months.value
    if months is None:
        return found
    # The time runs from the first payment ever, which may be in this very bill.
    first: dict[str, int] = {}
    for line, outcome in zip(lines, found, strict=True):
        if isinstance(outcome, Terms):
            who = outcome.beneficiary
            before = asked.usage.first_paid_ms.get((rule.name, who), line.at_ms)
            first[who] = min(first.get(who, before), before, line.at_ms)
    ends = {who: add_months(at, months, rule.utc_offset_minutes) for who, at in first.items()}
    return [
        Reason("entity-period-over", f"paid for {months} months at most, until {_day(rule, end)}")
        if isinstance(outcome, Terms) and line.at_ms >= (end := ends[outcome.beneficiary])
        else outcome
        for line, outcome in zip(lines, found, strict=True)
    ]


def _whole(rule: Rule, asked: Asked) -> Reason | None:
    """What does not depend on the line."""
    if rule.standing == "press" and rule.name not in asked.adopted:
        return Reason("press-only", "known from the press alone; the operator has not adopted it")
    if rule.share_ppm.value is None and not rule.tiers:
        return Reason("share-not-published", "the share is not published")
    if not rule.spend:
        return Reason("spend-not-published", "which spend counts is not published")
    contract = asked.contract
    if rule.unrelated_party and (contract is None or contract.related is None):
        return Reason("fact-not-shown", "not shown: that buyer and seller are unrelated")
    if rule.unrelated_party and contract is not None and contract.related:
        return Reason("related-party", "buyer and seller are related parties")
    return _contract(rule, asked) or _claim(rule, asked)


def _contract(rule: Rule, asked: Asked) -> Reason | None:
    terms, contract = rule.contract, asked.contract
    dated = (terms.signed_from_ms, terms.signed_until_ms)
    limited = (*dated, terms.max_months, terms.claims_max, rule.cap_contract_micros)
    needed = terms.required or terms.paid_first or rule.base == "contract-value"
    if contract is None:
        if needed or any(figure.value is not None for figure in limited):
            return Reason("contract-missing", "the rule asks for the contract; none is named")
        return None
    if rule.base == "contract-value" and contract.value_micros is None:
        return Reason("contract-missing", "the contract's value is not stated")
    if any(figure.value is not None for figure in dated):
        reason = _signed(rule, contract)
        if reason is not None:
            return reason
    months = terms.max_months.value
    if months is not None:
        if contract.start_ms is None or contract.end_ms is None:
            return Reason("contract-missing", "the contract's beginning and end are not stated")
        latest = add_months(contract.start_ms, months, rule.utc_offset_minutes)
        if contract.end_ms > latest:
            return Reason(
                "contract-too-long",
                f"the contract runs past {_day(rule, latest)}, {months} months from its beginning",
            )
    if terms.paid_first and fact_value(contract.facts, "paid", asked.at_ms) is not True:
        return Reason("contract-not-paid", "pays back only what is shown to be paid")
    others = asked.usage.contract_claims.get((rule.name, contract.id), 0)
    if terms.claims_max.value is not None and others >= terms.claims_max.value:
        return Reason(
            "contract-claims", f"{others} other claims under this contract; {others} is the most"
        )
    return None


def _signed(rule: Rule, contract: Contract) -> Reason | None:
    if contract.signed_ms is None:
        return Reason("contract-missing", "the day the contract was signed is not stated")
    first, end = rule.contract.signed_from_ms.value, rule.contract.signed_until_ms.value
    if first is not None and contract.signed_ms < first:
        return Reason("contract-date", f"the contract was signed before {_day(rule, first)}")
    if end is not None and contract.signed_ms >= end:
        return Reason(
            "contract-date", f"the contract was not signed by {_day(rule, end - 1)}, the last day"
        )
    return None


def _claim(rule: Rule, asked: Asked) -> Reason | None:
    names = [step.name for step in rule.procedure]
    before = names[: names.index("use")] if "use" in names else []
    claim = asked.claims.get(rule.name)
    if claim is not None and claim.revoked:
        return Reason("claim-revoked", f"claim {claim.id} was revoked")
    missing = [name for name in before if claim is None or name not in claim.done]
    if claim is None and missing:
        return Reason("claim-missing", "the entity has made no claim under this rule")
    if missing:
        return Reason("claim-not-approved", f"the claim still lacks: {', '.join(missing)}")
    return None


def _line(rule: Rule, line: BillLine, asked: Asked) -> Outcome:
    first, end = rule.valid_from_ms.value, rule.valid_until_ms.value
    if first is not None and line.at_ms < first:
        return Reason("not-in-force", f"in force from {_day(rule, first)}")
    if end is not None and line.at_ms >= end:
        return Reason("not-in-force", f"in force until {_day(rule, end - 1)}, the last day")
    if line.spend not in rule.spend:
        counted = ", ".join(rule.spend)
        return Reason("spend-does-not-count", f"{line.spend} does not count; {counted} does")
    if rule.via_platform and not line.via_platform:
        return Reason("not-via-platform", "pays only what is bought through the platform")
    claim = asked.claims.get(rule.name)
    if claim is not None and claim.expires_ms is not None and line.at_ms >= claim.expires_ms:
        return Reason("claim-expired", f"claim {claim.id} ended on {_day(rule, claim.expires_ms)}")
    who = asked.entity
    if rule.pays == "supplier":
        who = asked.sellers.get(line.seller, Entity(name=line.seller))
    failure = entity_failure(rule, who, asked.contract, line.at_ms) or _fails(
        rule.counts, rule, who, line, asked
    )
    if failure is not None:
        return failure
    share = _share(rule, who, line, asked)
    if isinstance(share, Reason):
        return share
    return Terms(year_of(line.at_ms, rule.utc_offset_minutes), share, who.name)


def _fails(
    clauses: Clauses, rule: Rule, who: Entity, line: BillLine, asked: Asked
) -> Reason | None:
    facts: dict[str, Sequence[NamedFact]] = {
        "entity": who.facts,
        "contract": asked.contract.facts if asked.contract is not None else (),
        "line": line.facts,
    }
    return first_failure(clauses, facts, line.at_ms, rule.utc_offset_minutes)


def _share(rule: Rule, who: Entity, line: BillLine, asked: Asked) -> int | Reason:
    """The share of the first tier that fits, less the shares counted within it."""
    stated: Figure = rule.share_ppm
    for tier in rule.tiers:
        if _fails(tier.when, rule, who, line, asked) is None:
            stated = tier.share_ppm
            break
    if stated.value is None:
        return Reason("share-not-published", "the share is not published")
    within = 0
    for name in rule.includes:
        included = asked.rules.get(name)
        if included is None:
            return Reason("share-not-published", f"the rule {name}, counted within, is not here")
        part = _share(included, who, line, asked)
        if isinstance(part, Reason):
            return Reason("share-not-published", f"the share of {name} is not published")
        within += part
    return max(0, stated.value - within)


def _day(rule: Rule, at_ms: int) -> str:
    return day_of(at_ms, rule.utc_offset_minutes).isoformat()
