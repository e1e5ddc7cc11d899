"""Voucher rules of made-up funders, drawn from one number, and what their one claimant has shown.

Any term of a rule may be there or not; together they are far stranger than the rules of real
cities, which ``networks/`` holds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from westward.model.voucher import (
    Condition,
    Contract,
    ContractTerms,
    Figure,
    NamedFact,
    Rule,
    Step,
    Tier,
    VoucherClaim,
)

ENTITY = "lab"
MONTH_MS = 30 * 24 * 3_600_000
DAY_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Funders:
    """``facts``: of the claimant. ``paid_in``: by rule, millionths for the year."""

    rules: tuple[Rule, ...]
    claims: tuple[VoucherClaim, ...]
    facts: tuple[NamedFact, ...]
    contract: Contract | None
    paid_in: dict[str, int]


def funders(number: int, unit: str, epoch_ms: int) -> Funders:
    """``epoch_ms``: when the world begins."""
    dice = random.Random(f"westward-faultsim-funders-{number}")
    rules: list[Rule] = []
    for at in range(dice.choice((1, 2, 3, 5))):
        rules.append(_rule(dice, at, rules, unit, epoch_ms))
    claims = []
    for rule in rules:
        if dice.random() < 0.1:
            continue
        done = tuple(step.name for step in rule.procedure[: dice.choice((0, 2, 2, 2))])
        claims.append(
            VoucherClaim(
                id=f"{ENTITY}:{rule.name}", rule=rule.name, entity=ENTITY, done=done,
                approved_micros=_maybe(dice, 0.2, (500, 10**9)),
                approved_device_milli_ms=_maybe(dice, 0.2, (5_000_000, 10**12)),
                expires_ms=_maybe(dice, 0.1, (epoch_ms + 8_000, epoch_ms - 1)),
                revoked=dice.random() < 0.03,
            )
        )  # fmt: skip
    facts = []
    for name, values in _FACTS:
        if dice.random() < 0.7:
            until = _maybe(dice, 0.15, (epoch_ms + 6_000, epoch_ms - 1))
            value = dice.choice(values)
            facts.append(NamedFact(name=name, value=value, evidence="shown", until_ms=until))
    return Funders(
        rules=tuple(sorted(rules, key=lambda one: (one.order, one.name))),
        claims=tuple(claims),
        facts=tuple(facts),
        contract=_contract(dice, epoch_ms) if dice.random() < 0.7 else None,
        paid_in={one.name: dice.choice((0, 2_000, 300_000, 10**9)) for one in rules},
    )


_FACTS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("seat", ("here", "there")),
    ("trade", ("software", "mining")),
    ("staff", (3, 40)),
    ("debts", (0, 9, True)),
    ("last-offence", ("none", "2019-05-01", "2026-12-24", "2024-02-29", "long ago")),
)
_CONDITIONS = (
    Condition(subject="entity", fact="seat", test="is", value="here"),
    Condition(subject="entity", fact="trade", test="one_of", value=("software", "steel")),
    Condition(subject="entity", fact="staff", test="at_least", value=10),
    Condition(subject="entity", fact="debts", test="at_most", value=5),
    Condition(subject="entity", fact="last-offence", test="none_within_years", value=3),
    Condition(subject="contract", fact="paid", test="is", value=True),
)


def _maybe(dice: random.Random, share: float, values: tuple[Any, ...]) -> Any:
    return dice.choice(values) if dice.random() < share else None


def _figure(dice: random.Random, share: float, *values: int) -> Figure:
    return Figure(value=_maybe(dice, share, values))


def _clauses(dice: random.Random, share: float) -> tuple[tuple[Condition, ...], ...]:
    if dice.random() >= share:
        return ()
    return tuple(
        tuple(dice.sample(_CONDITIONS, dice.choice((1, 1, 2)))) for _ in range(dice.choice((1, 2)))
    )


def _rule(dice: random.Random, at: int, before: list[Rule], unit: str, epoch_ms: int) -> Rule:
    tiers: tuple[Tier, ...] = ()
    if dice.random() < 0.3:
        share = _figure(dice, 0.8, 300_000, 700_000)
        tiers = (Tier(label="more", share_ppm=share, when=_clauses(dice, 1.0)),)
    steps: tuple[Step, ...] = ()
    if dice.random() < 0.4:
        steps = (
            Step(name="claim", evidence=("form",)), Step(name="approve"), Step(name="use"),
            Step(name="settle", evidence=("invoice",)), Step(name="redeem"),
        )  # fmt: skip
    terms = ContractTerms()
    if dice.random() < 0.3:
        terms = ContractTerms(
            required=dice.random() < 0.3,
            max_months=_figure(dice, 0.4, 6, 24),
            signed_from_ms=_figure(dice, 0.4, epoch_ms - 4 * MONTH_MS, epoch_ms),
            signed_until_ms=_figure(dice, 0.4, epoch_ms - MONTH_MS, epoch_ms + MONTH_MS),
            claims_max=_figure(dice, 0.3, 1),
            paid_first=dice.random() < 0.3,
        )
    included = tuple(one.name for one in before[-1:]) if dice.random() < 0.2 else ()
    return Rule(
        name=f"rule{at}", label="", place="here",
        level=dice.choice(("nation", "city", "district")),
        instrument="voucher", funder=f"funder{dice.randrange(2)}", currency=unit, source="drawn",
        grade="-",
        standing="press" if dice.random() < 0.05 else "text",
        pays="supplier" if dice.random() < 0.15 else "price",
        valid_from_ms=_figure(dice, 0.15, epoch_ms - DAY_MS, epoch_ms + 5_000),
        valid_until_ms=_figure(dice, 0.15, epoch_ms - DAY_MS, epoch_ms + 15_000),
        utc_offset_minutes=dice.choice((0, 0, 480)),
        base="contract-value" if dice.random() < 0.15 else "price",
        spend=dice.choice((("compute",), ("compute", "electricity"), ("network",), ("compute",))),
        share_ppm=_figure(dice, 0.95, 200_000, 500_000, 1_000_000),
        tiers=tiers,
        includes=("nowhere",) if included and dice.random() < 0.2 else included,
        cap_entity_year_micros=_figure(dice, 0.3, 0, 1_500, 10**8),
        cap_claim_micros=_figure(dice, 0.2, 900, 10**8),
        cap_contract_micros=_figure(dice, 0.15, 700, 10**8),
        pot_year_micros=_figure(dice, 0.7, 10**12),
        min_spend_year_micros=_figure(dice, 0.15, 1_000),
        auto_device_milli_ms=_figure(dice, 0.2, 0, 8_000_000),
        entity_months=_figure(dice, 0.2, 0, 1, 12),
        contract=terms,
        eligible=_clauses(dice, 0.25),
        counts=_clauses(dice, 0.1),
        unrelated_party=dice.random() < 0.1,
        via_platform=dice.random() < 0.2,
        excludes=dice.choice(("", "", "", "any", "level")),
        order=dice.choice((10, 100)),
        ceiling_ppm=_figure(dice, 0.3, 600_000),
        sharing="pro-rata" if dice.random() < 0.2 else "first-come",
        procedure=steps,
    )  # fmt: skip


def _contract(dice: random.Random, epoch_ms: int) -> Contract:
    return Contract(
        id="k1",
        value_micros=_maybe(dice, 0.8, (1_000, 10**10)),
        signed_ms=_maybe(dice, 0.8, (epoch_ms - 2 * MONTH_MS, epoch_ms - 9 * MONTH_MS)),
        start_ms=_maybe(dice, 0.8, (epoch_ms - MONTH_MS,)),
        end_ms=_maybe(dice, 0.8, (epoch_ms + 2 * MONTH_MS, epoch_ms + 12 * MONTH_MS)),
        related=_maybe(dice, 0.8, (False, False, True)),
        facts=(NamedFact(name="paid", value=dice.random() < 0.6, evidence="bank"),),
    )


def never_pays(rule: Rule, epoch_ms: int) -> bool:
    """By its plainest terms, whatever happens in a world that begins then."""
    until = rule.valid_until_ms.value
    silent = not rule.spend or (rule.share_ppm.value is None and not rule.tiers)
    over = until is not None and until <= epoch_ms - DAY_MS
    return rule.standing == "press" or silent or over


def most_ppm(rule: Rule) -> int:
    """Of the spend that counts, at most."""
    shares = [rule.share_ppm.value or 0, *(tier.share_ppm.value or 0 for tier in rule.tiers)]
    ceiling = rule.ceiling_ppm.value
    most = max(shares)
    return most if ceiling is None or rule.pays == "supplier" else min(most, ceiling)


__all__ = ["ENTITY", "Funders", "funders", "most_ppm", "never_pays"]
