"""Splits, usage, claims and contracts as JSON text. What a split said of each rule is not kept: it
can be worked out again, and the job's story tells it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from westward.ledger.price import BILL_FIELDS, Bill
from westward.ledger.road import Billed
from westward.ledger.vouchers import Split, Usage
from westward.ledger.vouchers.split import Part
from westward.model.voucher import Contract, VoucherClaim

_CLAIM = TypeAdapter(VoucherClaim)
_CONTRACT = TypeAdapter(Contract)
USAGE_COUNTERS = (
    "pot", "entity", "contract", "contract_counted", "contract_claims", "spend",
    "device_milli_ms",
)  # fmt: skip
"""Fields of ``Usage`` that are sums; their keys are (rule, year), (rule, who, year) or
(rule, contract)."""
FIRST_PAID = "first_paid_ms"
PAIRS = ("contract", "contract_counted", "contract_claims", FIRST_PAID)
"""Counters without a year."""

UsageRow = tuple[str, str, str, int, int]
"""Counter, rule, who, year, value."""


def usage_rows(usage: Usage) -> list[UsageRow]:
    """As rows of ``voucher_usage``. Which rules have paid for a contract follows from
    ``contract``."""
    rows: list[UsageRow] = []
    for counter in (*USAGE_COUNTERS, FIRST_PAID):
        for key, value in getattr(usage, counter).items():
            rule, who, year = _spread(counter, key)
            rows.append((counter, rule, who, year, value))
    return rows


def usage_of(rows: list[UsageRow], supplier_rules: frozenset[str] = frozenset()) -> Usage:
    """``supplier_rules`` pay beside the price: they are no subsidy of a contract."""
    found: dict[str, dict[Any, int]] = {one: {} for one in (*USAGE_COUNTERS, FIRST_PAID)}
    funded: dict[str, frozenset[str]] = {}
    for counter, rule, who, year, value in rows:
        if value == 0:
            continue
        key: tuple[Any, ...] = (rule, who, year)
        if counter in PAIRS:
            key = (rule, who)
        elif counter == "pot":
            key = (rule, year)
        found[counter][key] = value
        if counter == "contract" and value > 0 and rule not in supplier_rules:
            funded[who] = funded.get(who, frozenset()) | {rule}
    return Usage(contract_rules=funded, **found)


def _spread(counter: str, key: tuple[Any, ...]) -> tuple[str, str, int]:
    if counter == "pot":
        return key[0], "", key[1]
    if counter in PAIRS:
        return key[0], key[1], 0
    return key[0], key[1], key[2]


def dump_split(split: Split) -> dict[str, Any]:
    return {
        "price": split.price_micros,
        "parts": [_part(one) for one in split.parts],
        "rewards": [_part(one) for one in split.rewards],
        "own_by_spend": dict(split.own_by_spend),
        "usage": usage_rows(split.usage),
        "funded": {name: sorted(rules) for name, rules in split.usage.contract_rules.items()},
    }


def read_split(values: dict[str, Any]) -> Split:
    usage = usage_of([tuple(row) for row in values["usage"]])
    funded = {name: frozenset(rules) for name, rules in values["funded"].items()}
    return Split(
        price_micros=values["price"],
        parts=tuple(Part(**one) for one in values["parts"]),
        rewards=tuple(Part(**one) for one in values["rewards"]),
        verdicts=(),
        own_by_spend=values["own_by_spend"],
        usage=Usage(
            **{one: getattr(usage, one) for one in (*USAGE_COUNTERS, FIRST_PAID)},
            contract_rules=funded,
        ),
    )


def _part(part: Part) -> dict[str, Any]:
    return {
        "payer": part.payer, "rule": part.rule, "year": part.year, "micros": part.micros,
        "payee": part.payee,
    }  # fmt: skip


def dump_billed(billed: Billed) -> str:
    bill = {name: getattr(billed.bill, name) for name in BILL_FIELDS}
    return json.dumps({"bill": bill, "split": dump_split(billed.split)})


def read_billed(text: str) -> Billed:
    values = json.loads(text)
    return Billed(bill=Bill(**values["bill"]), split=read_split(values["split"]))


def dump_claim(claim: VoucherClaim) -> str:
    return _CLAIM.dump_json(claim).decode()


def read_claim(text: str) -> VoucherClaim:
    return _CLAIM.validate_json(text)


def dump_contract(contract: Contract) -> str:
    return _CONTRACT.dump_json(contract).decode()


def read_contract(text: str) -> Contract:
    return _CONTRACT.validate_json(text)
