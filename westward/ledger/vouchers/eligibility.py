"""Whether a rule is open to an entity, its contract and a line: conditions on named facts.

A fact that nobody has shown, or whose evidence has run out, is unknown. Unknown refuses: a rule
pays on evidence, not on silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from westward.ledger.vouchers.calendar import add_years, day_of
from westward.ledger.vouchers.reasons import Reason
from westward.model.voucher import (
    NEVER,
    Clauses,
    Condition,
    Contract,
    Entity,
    FactValue,
    NamedFact,
    Rule,
)

Holds = bool | None
"""None: not known."""


def fact_value(facts: Sequence[NamedFact], name: str, at_ms: int) -> FactValue | None:
    """What is shown at ``at_ms``; None where nothing is, or where statements disagree."""
    values = {
        (type(fact.value), fact.value)
        for fact in facts
        if fact.name == name and (fact.until_ms is None or at_ms < fact.until_ms)
    }
    return next(iter(values))[1] if len(values) == 1 else None


def holds(
    condition: Condition, facts: Sequence[NamedFact], at_ms: int, offset_minutes: int
) -> Holds:
    value = fact_value(facts, condition.fact, at_ms)
    wanted = condition.value
    if value is None:
        return None
    match condition.test:
        case "is":
            return type(value) is type(wanted) and value == wanted
        case "one_of":
            return isinstance(wanted, tuple) and value in wanted
        case "at_least":
            number = _number(value)
            return None if number is None or not isinstance(wanted, int) else number >= wanted
        case "at_most":
            number = _number(value)
            return None if number is None or not isinstance(wanted, int) else number <= wanted
        case "none_within_years":
            return _none_within(value, wanted, day_of(at_ms, offset_minutes))


def first_failure(
    clauses: Clauses,
    facts_of: dict[str, Sequence[NamedFact]],
    at_ms: int,
    offset_minutes: int,
) -> Reason | None:
    """None when every clause holds; else the first that does not, and what it asks for.

    ``facts_of``: the facts of each subject. A clause with no alternative that holds is unknown
    as soon as one of them is, for that one could still be shown.
    """
    for clause in clauses:
        verdicts = [
            holds(condition, facts_of[condition.subject], at_ms, offset_minutes)
            for condition in clause
        ]
        if True in verdicts:
            continue
        asked = " or ".join(describe(condition) for condition in clause)
        if None in verdicts:
            unknown = sorted(
                {c.fact for c, verdict in zip(clause, verdicts, strict=True) if verdict is None}
            )
            return Reason("fact-not-shown", f"not shown: {', '.join(unknown)} (asked: {asked})")
        return Reason("not-eligible", f"asked: {asked}")
    return None


def entity_failure(
    rule: Rule, entity: Entity, contract: Contract | None, at_ms: int
) -> Reason | None:
    facts: dict[str, Sequence[NamedFact]] = {
        "entity": entity.facts,
        "contract": contract.facts if contract is not None else (),
        "line": (),
    }
    return first_failure(rule.eligible, facts, at_ms, rule.utc_offset_minutes)


def describe(condition: Condition) -> str:
    """Such as ``entity registered-in is Beijing``."""
    value = condition.value
    shown = ", ".join(value) if isinstance(value, tuple) else _word(value)
    match condition.test:
        case "is":
            said = f"is {shown}"
        case "one_of":
            said = f"is one of {shown}"
        case "at_least":
            said = f"is at least {shown}"
        case "at_most":
            said = f"is at most {shown}"
        case "none_within_years":
            said = f"none in the last {shown} years"
    return f"{condition.subject} {condition.fact} {said}"


def _word(value: FactValue) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _number(value: FactValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _none_within(value: FactValue, years: object, today: date) -> Holds:
    if value == NEVER:
        return True
    if not isinstance(value, str) or not isinstance(years, int):
        return None
    try:
        last = date.fromisoformat(value)
    except ValueError:
        return None
    return add_years(last, years) <= today
