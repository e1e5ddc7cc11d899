"""What has been used of each rule so far: the counters that caps and pots are held against.

Money counts as used from the moment it is held, so that no two claims can be promised the same.
Plain mappings here, by calendar year of the rule; ``store.money`` keeps them for the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Used by claims other than the one that is being split. Absent keys are nought."""

    pot: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """(rule, year) → micros."""
    entity: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    """(rule, entity, year) → micros. For a supplier's reward the entity is the seller."""
    contract: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(rule, contract) → micros paid."""
    contract_counted: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(rule, contract) → micros of spend that the rule has counted."""
    contract_claims: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(rule, contract) → other claims that were paid under it."""
    contract_rules: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """contract → rules that have paid for it."""
    spend: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    """(rule, entity, year) → micros of spend of the rule's kind, paid for or not."""
    device_milli_ms: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    """(rule, entity, year) → device time paid for."""
    first_paid_ms: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(rule, entity) → the entity's first paid line."""


NO_USAGE = Usage()

_SUMS = ("pot", "entity", "contract", "contract_counted", "contract_claims", "spend",
         "device_milli_ms")  # fmt: skip


def used(usage: Usage, own: Usage) -> Usage:
    """Usage once a split, which uses ``own``, is posted too: what the next claim is held against."""
    changed: dict[str, Any] = {
        name: _sum(getattr(usage, name), getattr(own, name)) for name in _SUMS
    }
    contract_rules = dict(usage.contract_rules)
    for contract, rules in own.contract_rules.items():
        contract_rules[contract] = contract_rules.get(contract, frozenset()) | rules
    first = dict(usage.first_paid_ms)
    for key, at_ms in own.first_paid_ms.items():
        first[key] = min(first.get(key, at_ms), at_ms)
    return replace(usage, contract_rules=contract_rules, first_paid_ms=first, **changed)


def released(usage: Usage, own: Usage) -> Usage:
    """Usage without ``own``, which ``used`` had added: its claim is about to be split anew.

    When an entity was first paid, and that a contract was, is not taken back: a rule that asks for
    it errs to the funder's side until the next ``used``.
    """
    changed: dict[str, Any] = {}
    for name in _SUMS:
        less = {key: -value for key, value in getattr(own, name).items()}
        changed[name] = _sum(getattr(usage, name), less)
    return replace(usage, **changed)


def _sum(a: Mapping[Any, int], b: Mapping[Any, int]) -> dict[Any, int]:
    total = dict(a)
    for key, value in b.items():
        total[key] = total.get(key, 0) + value
    return total
