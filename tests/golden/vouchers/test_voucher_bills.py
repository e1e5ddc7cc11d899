"""Golden bills: each NAME.yaml is a bill under shipped rules; NAME.txt is what a reviewer reads.

``by_hand`` of every step was worked out by hand from the rule's text, in currency units, and is
held against the result apart from the printed page. ``WESTWARD_UPDATE_GOLDEN=1`` rewrites the
pages (never the sums by hand). A step is a reading: the claim's bill grows by its lines. ``next``
begins a new claim; ``claw_back`` takes the claim's money back.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from westward.cli.render_voucher import render_split
from westward.ledger.vouchers import NO_USAGE, Usage, claw_back, increments, split, used
from westward.ledger.vouchers.claims import returned
from westward.ledger.vouchers.reasons import money
from westward.ledger.vouchers.split import Part
from westward.model.units import MS_PER_HOUR, parse_instant_ms
from westward.model.voucher import BillLine, Contract, Entity, NamedFact, VoucherClaim
from westward.network.voucher_files import VoucherFolder, load_vouchers

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
FOLDERS = ("networks/east-west", "examples/vouchers/india")
CASES = sorted(path.stem for path in HERE.glob("*.yaml"))
MICROS = 1_000_000


def folders() -> list[VoucherFolder]:
    found = [load_vouchers(PROJECT / folder) for folder in FOLDERS]
    return [one for one in found if one is not None]


def micros(value: object) -> int:
    exact = Fraction(str(value)) * MICROS
    assert exact.denominator == 1
    return exact.numerator


def facts(stated: dict[str, Any] | None) -> tuple[NamedFact, ...]:
    return tuple(NamedFact(name=k, value=v) for k, v in (stated or {}).items())


def instant(text: object) -> int:
    written = str(text)
    return parse_instant_ms(written if "T" in written else f"{written}T00:00:00Z", 0)


def read_lines(stated: list[dict[str, Any]]) -> list[BillLine]:
    return [
        BillLine(
            spend=one["spend"],
            micros=micros(one["amount"]),
            at_ms=instant(one["at"]),
            seller=one["seller"],
            device_milli_ms=one.get("hours", 0) * 1000 * MS_PER_HOUR,
            via_platform=one.get("via_platform", False),
            facts=facts(one.get("facts")),
        )
        for one in stated
    ]


def read_contract(stated: dict[str, Any] | None) -> Contract | None:
    if stated is None:
        return None
    days = {f"{k}_ms": instant(stated[k]) for k in ("signed", "start", "end") if k in stated}
    return Contract(
        id=stated["id"],
        value_micros=micros(stated["value"]) if "value" in stated else None,
        related=stated.get("related"),
        facts=facts(stated.get("facts")),
        **days,
    )


def read_usage(case: dict[str, Any]) -> Usage:
    entity, other = case["entity"]["name"], case.get("used", {})
    pot = {(r, y): micros(m) for r, ys in other.get("pot", {}).items() for y, m in ys.items()}
    cap = {
        (r, entity, y): micros(m) for r, ys in other.get("cap", {}).items() for y, m in ys.items()
    }
    spend = {
        (r, entity, y): micros(m) for r, ys in other.get("spend", {}).items() for y, m in ys.items()
    }
    first = {(r, entity): instant(at) for r, at in other.get("first_paid", {}).items()}
    return replace(NO_USAGE, pot=pot, entity=cap, spend=spend, first_paid_ms=first)


def read_claims(case: dict[str, Any]) -> list[VoucherClaim]:
    return [
        VoucherClaim(
            id=one.get("id", "claim-1"),
            rule=one["rule"],
            entity=case["entity"]["name"],
            done=tuple(one.get("done", ())),
            approved_micros=micros(one["approved"]) if "approved" in one else None,
            approved_device_milli_ms=one["approved_hours"] * 1000 * MS_PER_HOUR
            if "approved_hours" in one
            else None,
            expires_ms=instant(one["expires"]) if "expires" in one else None,
        )
        for one in case.get("claims", ())
    ]


def by_payer(parts: Sequence[Part], entity: str) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for part in parts:
        total["own" if part.payer == entity and not part.rule else part.payer] += part.micros
    return {payer: amount for payer, amount in total.items() if amount}


def play(case: dict[str, Any]) -> str:
    known = {rule.name: (rule, one.currency) for one in folders() for rule in one.rules}
    rules = [known[name][0] for name in case["rules"]]
    currency = known[case["rules"][0]][1]
    entity = Entity(name=case["entity"]["name"], facts=facts(case["entity"].get("facts")))
    contract, usage, claims = (
        read_contract(case.get("contract")),
        read_usage(case),
        read_claims(case),
    )
    sellers = {
        name: Entity(name=name, facts=facts(stated))
        for name, stated in case.get("sellers", {}).items()
    }
    text = [case["title"], "", f"  payer: {entity.name}"]
    text += [f"    {fact.name}: {fact.value}".rstrip() for fact in entity.facts]
    if "contract" in case:
        text.append("  contract: " + ", ".join(f"{k} {v}" for k, v in case["contract"].items()))
    before, lines = None, []
    for number, step in enumerate(case["steps"], 1):
        text += ["", f"{number}. {step['what']}", ""]
        if "claw_back" in step:
            assert before is not None
            back = claw_back(
                VoucherClaim(id="claim-1", rule=step["claw_back"], entity=entity.name),
                before.parts,
                step["what"],
                micros=micros(step["amount"]) if "amount" in step else None,
            )
            usage, before, lines = returned(used(usage, before.usage), back), None, []
            assert by_payer(back.parts, entity.name) == {
                payer: micros(amount) for payer, amount in step["by_hand"].items()
            }
            for part in back.parts:
                text.append(f"  {part.payer}: {money(part.micros)} ({part.year or 'owed'})")
            for (name, year), left in sorted(usage.pot.items()):
                text.append(f"  used of {name} {year} afterwards: {money(left)}")
            continue
        if step.get("next"):
            assert before is not None
            usage, before, lines = used(usage, before.usage), None, []
        lines = lines + read_lines(step["lines"])
        adopted = frozenset(case.get("adopted", ()))
        result = split(
            lines, claims, rules, usage, entity, lines[-1].at_ms,
            contract=contract, sellers=sellers, adopted=adopted,
        )  # fmt: skip
        assert sum(part.micros for part in result.parts) == result.price_micros
        hand = {payer: micros(amount) for payer, amount in step["by_hand"].items()}
        assert by_payer(result.parts, entity.name) == hand
        assert by_payer(result.rewards, "") == {
            payer: micros(amount) for payer, amount in step.get("rewards_by_hand", {}).items()
        }
        text.append(render_split(lines, result, currency).rstrip("\n"))
        if before is not None:
            posted = ", ".join(f"{p.payer} {money(p.micros)}" for p in increments(before, result))
            text.append(f"  posted by this reading: {posted}")
        before = result
    return "\n".join(text) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_golden_bill(name: str) -> None:
    page = play(yaml.safe_load((HERE / f"{name}.yaml").read_text()))
    expected = HERE / f"{name}.txt"
    if os.environ.get("WESTWARD_UPDATE_GOLDEN") == "1":
        expected.write_text(page)
    assert page == expected.read_text()


def test_every_shipped_rule_has_a_golden_bill() -> None:
    shipped = {rule.name for one in folders() for rule in one.rules}
    assert len(shipped) == 26
    assert shipped <= set(CASES)
    for name in shipped:
        assert name in yaml.safe_load((HERE / f"{name}.yaml").read_text())["rules"]
