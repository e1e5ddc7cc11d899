"""Vouchers one by one: refusals with their codes, a claim's steps, claw-back, the planner's price."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from westward.ledger.vouchers import (
    NO_USAGE,
    PriceLine,
    Usage,
    advance,
    claw_back,
    pending_step,
    price_after_vouchers,
    share_out,
    split,
)
from westward.ledger.vouchers.calendar import add_months, day_start_ms, year_of
from westward.ledger.vouchers.claims import ClaimRefusal
from westward.ledger.vouchers.reasons import money, percent
from westward.model.units import MS_PER_DAY, MS_PER_HOUR, parse_instant_ms
from westward.model.voucher import (
    BillLine,
    Condition,
    Contract,
    ContractTerms,
    Entity,
    Evidence,
    Figure,
    NamedFact,
    Rule,
    Step,
    VoucherClaim,
)


def at(text: str) -> int:
    return parse_instant_ms(text, 0)


NOW = at("2025-10-01T00:00:00+08:00")
HOUR = 1_000 * MS_PER_HOUR


def rule(**changed: Any) -> Rule:
    base = Rule(
        name="city", label="", place="", level="city", instrument="", funder="pot", currency="CNY",
        source="S", grade="A", utc_offset_minutes=480, spend=("compute",),
        share_ppm=Figure(value=300_000),
    )  # fmt: skip
    return replace(base, **changed)


def line(**changed: Any) -> BillLine:
    base = BillLine(spend="compute", micros=1_000, at_ms=NOW, seller="site", device_milli_ms=HOUR)
    return replace(base, **changed)


def entity(**facts: Any) -> Entity:
    named = tuple(NamedFact(name=k.replace("_", "-"), value=v) for k, v in facts.items())
    return Entity(name="lab", facts=named)


def asks(fact: str, test: Any, value: Any) -> dict[str, Any]:
    return {"eligible": ((Condition(subject="entity", fact=fact, test=test, value=value),),)}


CONTRACT = Contract(
    id="C", value_micros=10_000, signed_ms=NOW, start_ms=NOW, end_ms=NOW + 30 * MS_PER_DAY,
    related=False,
)  # fmt: skip
CLAIM = VoucherClaim(id="K", rule="city", entity="lab")
STEPS = (
    Step(name="claim", evidence=("contract",)),
    Step(name="approve"),
    Step(name="hold"),
    Step(name="use"),
    Step(name="settle", evidence=("invoice",)),
    Step(name="redeem", evidence=("invoice", "proof-of-delivery")),
)
HELD = replace(CLAIM, done=("claim", "approve", "hold"))


@pytest.mark.parametrize(
    ("changed", "asked", "code"),
    [
        ({"share_ppm": Figure()}, {}, "share-not-published"),
        ({"standing": "press"}, {}, "press-only"),
        ({"spend": ()}, {}, "spend-not-published"),
        ({"spend": ("data",)}, {}, "spend-does-not-count"),
        ({"valid_from_ms": Figure(value=NOW + 1)}, {}, "not-in-force"),
        ({"valid_until_ms": Figure(value=NOW)}, {}, "not-in-force"),
        ({"via_platform": True}, {}, "not-via-platform"),
        (asks("registered-in", "is", "Beijing"), {}, "fact-not-shown"),
        (asks("start-up", "is", True), {"entity": entity(start_up=False)}, "not-eligible"),
        (asks("start-up", "is", True), {"entity": entity(start_up=1)}, "not-eligible"),
        (asks("h-index", "at_least", 5), {"entity": entity(h_index=4)}, "not-eligible"),
        (asks("h-index", "at_least", 5), {"entity": entity(h_index=True)}, "fact-not-shown"),
        (asks("bad", "none_within_years", 3), {"entity": entity(bad="2022-10-02")}, "not-eligible"),
        (asks("bad", "none_within_years", 3), {"entity": entity(bad="soon")}, "fact-not-shown"),
        ({"unrelated_party": True}, {}, "fact-not-shown"),
        ({"unrelated_party": True}, {"contract": replace(CONTRACT, related=True)}, "related-party"),
        ({"base": "contract-value"}, {}, "contract-missing"),
        ({"contract": ContractTerms(required=True)}, {}, "contract-missing"),
        ({"contract": ContractTerms(paid_first=True)}, {"contract": CONTRACT}, "contract-not-paid"),
        (
            {"contract": ContractTerms(max_months=Figure(value=12))},
            {"contract": replace(CONTRACT, end_ms=at("2026-10-01T00:00:00.001+08:00"))},
            "contract-too-long",
        ),
        (
            {"contract": ContractTerms(signed_from_ms=Figure(value=NOW + 1))},
            {"contract": CONTRACT},
            "contract-date",
        ),
        (
            {"contract": ContractTerms(signed_until_ms=Figure(value=NOW))},
            {"contract": CONTRACT},
            "contract-date",
        ),
        (
            {"contract": ContractTerms(claims_max=Figure(value=1))},
            {"contract": CONTRACT, "usage": Usage(contract_claims={("city", "C"): 1})},
            "contract-claims",
        ),
        (
            {"excludes": "any"},
            {"contract": CONTRACT, "usage": Usage(contract_rules={"C": frozenset({"gone"})})},
            "double-subsidy",
        ),
        ({"min_spend_year_micros": Figure(value=1_001)}, {}, "minimum-spend"),
        ({"procedure": STEPS}, {}, "claim-missing"),
        ({"procedure": STEPS}, {"claims": [replace(CLAIM, done=("claim",))]}, "claim-not-approved"),
        ({}, {"claims": [replace(CLAIM, expires_ms=NOW)]}, "claim-expired"),
        ({}, {"claims": [replace(CLAIM, revoked=True)]}, "claim-revoked"),
        (
            {"entity_months": Figure(value=12)},
            {"usage": Usage(first_paid_ms={("city", "lab"): at("2024-10-01T00:00:00+08:00")})},
            "entity-period-over",
        ),
        ({"sharing": "pro-rata"}, {}, "at-period-end"),
        (
            {"pot_year_micros": Figure(value=50)},
            {"usage": Usage(pot={("city", 2025): 50})},
            "pot",
        ),
        (
            {"cap_entity_year_micros": Figure(value=50)},
            {"usage": Usage(entity={("city", "lab", 2025): 50})},
            "entity-cap",
        ),
        ({}, {"claims": [replace(CLAIM, approved_micros=0)]}, "approved-amount"),
        (
            {"auto_device_milli_ms": Figure(value=HOUR)},
            {"usage": Usage(device_milli_ms={("city", "lab", 2025): HOUR})},
            "device-hours",
        ),
    ],
)
def test_each_refusal_has_its_code(changed: Any, asked: Any, code: str) -> None:
    result = split(
        [line()], asked.get("claims", ()), [rule(**changed)], asked.get("usage", NO_USAGE),
        asked.get("entity", entity()), NOW, contract=asked.get("contract"),
    )  # fmt: skip
    assert [(name, reason.code) for name, reason in result.refused] == [("city", code)]
    assert result.own_micros == 1_000
    assert result.refused[0][1].text


def test_the_same_rules_pay_where_nothing_stands_against_them() -> None:
    """The other side of each boundary above."""
    for changed, asked in (
        ({"valid_from_ms": Figure(value=NOW), "valid_until_ms": Figure(value=NOW + 1)}, {}),
        (asks("bad", "none_within_years", 3), {"entity": entity(bad="2022-10-01")}),
        (asks("bad", "none_within_years", 3), {"entity": entity(bad="none")}),
        (asks("h-index", "at_least", 5), {"entity": entity(h_index=5)}),
        ({"min_spend_year_micros": Figure(value=1_000)}, {}),
        ({"procedure": STEPS}, {"claims": [HELD]}),
        ({}, {"claims": [replace(CLAIM, expires_ms=NOW + 1)]}),
        (
            {"contract": ContractTerms(max_months=Figure(value=12))},
            {"contract": replace(CONTRACT, end_ms=at("2026-10-01T00:00:00+08:00"))},
        ),
    ):
        result = split(
            [line()], asked.get("claims", ()), [rule(**changed)], NO_USAGE,
            asked.get("entity", entity()), NOW, contract=asked.get("contract"),
        )  # fmt: skip
        assert result.own_micros == 700, changed
    assert split([line()], [], [rule(standing="press")], NO_USAGE, entity(), NOW,
                 adopted=frozenset({"city"})).own_micros == 700  # fmt: skip


def test_approved_hours_open_more_than_the_automatic_ones() -> None:
    lines = [line(micros=10_000, device_milli_ms=10 * HOUR)]
    limited = rule(auto_device_milli_ms=Figure(value=4 * HOUR))
    assert split(lines, [], [limited], NO_USAGE, entity(), NOW).own_micros == 8_800
    claim = replace(CLAIM, approved_device_milli_ms=8 * HOUR)
    assert split(lines, [claim], [limited], NO_USAGE, entity(), NOW).own_micros == 7_600


def test_evidence_that_ran_out_or_disagrees_is_not_known() -> None:
    asked = rule(**asks("start-up", "is", True))
    fact = NamedFact(name="start-up", value=True, evidence="register", until_ms=NOW + 1)
    inside, outside = line(), line(at_ms=NOW + 1)
    result = split([inside, outside], [], [asked], NO_USAGE, Entity(name="lab", facts=(fact,)), NOW)
    assert result.parts[0].micros == 300
    both = Entity(name="lab", facts=(fact, replace(fact, value=False)))
    assert split([inside], [], [asked], NO_USAGE, both, NOW).refused[0][1].code == "fact-not-shown"


def test_what_cannot_be_a_bill_raises() -> None:
    with pytest.raises(ValueError, match="negative"):
        split([line(micros=-1)], [], [rule()], NO_USAGE, entity(), NOW)
    with pytest.raises(ValueError, match="'city' stands twice"):
        split([line()], [], [rule(), rule(order=1)], NO_USAGE, entity(), NOW)
    with pytest.raises(ValueError, match="stands twice"):
        split([line()], [CLAIM, replace(CLAIM, id="L")], [rule()], NO_USAGE, entity(), NOW)


def shown(step: Any, *kinds: str) -> list[Evidence]:
    return [Evidence(step=step, kind=kind, reference=f"file-{kind}", at_ms=NOW) for kind in kinds]


def test_a_claim_walks_its_procedure_with_evidence() -> None:
    asked = rule(procedure=STEPS)
    claim: VoucherClaim | ClaimRefusal = CLAIM
    for step, evidence in (
        ("claim", shown("claim", "contract")), ("approve", []), ("hold", []), ("use", []),
        ("settle", shown("settle", "invoice")),
        ("redeem", shown("redeem", "invoice", "proof-of-delivery")),
    ):  # fmt: skip
        assert isinstance(claim, VoucherClaim)
        claim = advance(
            claim, asked, step, evidence, NOW, approved_micros=500, expires_ms=NOW + MS_PER_DAY
        )
    assert isinstance(claim, VoucherClaim)
    assert claim.done == ("claim", "approve", "hold", "use", "settle", "redeem")
    assert (claim.approved_micros, claim.expires_ms) == (500, NOW + MS_PER_DAY)
    assert len(claim.evidence) == 4
    assert pending_step(claim, asked) is None


@pytest.mark.parametrize(
    ("claim", "step", "evidence", "code"),
    [
        (CLAIM, "approve", (), "claim-out-of-order"),
        (CLAIM, "claim", (), "claim-evidence"),
        (replace(CLAIM, rule="other"), "claim", (), "claim-of-another-rule"),
        (replace(CLAIM, revoked=True), "claim", (), "claim-revoked"),
        (replace(CLAIM, expires_ms=NOW), "claim", ("contract",), "claim-expired"),
        (
            replace(CLAIM, done=("claim", "approve", "hold", "use", "settle", "redeem")),
            "redeem", (), "claim-complete",
        ),
    ],
)  # fmt: skip
def test_steps_that_cannot_be_taken(claim: Any, step: Any, evidence: Any, code: str) -> None:
    refusal = advance(claim, rule(procedure=STEPS), step, shown(step, *evidence), NOW)
    assert isinstance(refusal, ClaimRefusal)
    assert refusal.code == code


def test_claw_back_takes_the_newest_year_first_and_asks_for_a_reason() -> None:
    lines = [line(at_ms=at("2025-12-31T15:59:59.999Z")), line(at_ms=at("2025-12-31T16:00:00Z"))]
    paid = split(lines, [], [rule()], NO_USAGE, entity(), NOW).parts
    back = claw_back(HELD, paid, "no delivery", micros=400)
    assert [(p.year, p.micros) for p in back.parts] == [(2026, -300), (2025, -100), (None, 400)]
    with pytest.raises(ValueError, match="reason"):
        claw_back(HELD, paid, " ")
    with pytest.raises(ValueError, match="cannot be taken back"):
        claw_back(HELD, paid, "no delivery", micros=601)


def test_the_planners_price_counts_what_is_left_of_the_pot() -> None:
    prices = [
        PriceLine(spend="compute", micros_per_device_hour=10_000_000, seller="site"),
        PriceLine(spend="electricity", micros_per_device_hour=500_000, seller="site"),
    ]
    asked = rule(pot_year_micros=Figure(value=15_000_000))
    short = price_after_vouchers([asked], entity(), NO_USAGE, prices, 5 * HOUR, NOW)
    assert short.full_micros_per_device_hour == 10_500_000
    assert short.payer_micros_per_device_hour == 7_500_000
    assert short.by_spend == {"compute": 7_000_000, "electricity": 500_000}
    long = price_after_vouchers([asked], entity(), NO_USAGE, prices, 7 * HOUR, NOW)
    assert long.split.parts[0].micros == 15_000_000
    assert long.payer_micros_per_device_hour == -(-(73_500_000 - 15_000_000) // 7)
    with pytest.raises(ValueError, match="device time"):
        price_after_vouchers([asked], entity(), NO_USAGE, prices, 0, NOW)


def test_share_out_by_hand() -> None:
    assert share_out({"a": 100, "b": 100, "c": 100}, 100) == {"a": 34, "b": 33, "c": 33}
    assert share_out({"a": 60, "b": 40}, 200) == {"a": 60, "b": 40}
    assert share_out({"a": 60}, None) == {"a": 60}
    with pytest.raises(ValueError, match="negative"):
        share_out({"a": -1}, 5)


def test_calendar_by_hand() -> None:
    assert year_of(at("2025-12-31T15:59:59.999Z"), 480) == 2025
    assert year_of(at("2025-12-31T16:00:00Z"), 480) == 2026
    assert year_of(-1, 0) == 1969
    assert add_months(at("2024-01-31T08:00:00Z"), 1, 0) == at("2024-02-29T08:00:00Z")
    assert add_months(at("2024-02-29T00:00:00Z"), 12, 0) == at("2025-02-28T00:00:00Z")
    assert add_months(at("2025-07-31T16:30:00Z"), 6, 480) == at("2026-01-31T16:30:00Z")
    assert day_start_ms(date(2026, 1, 1), 480) == at("2025-12-31T16:00:00Z")


def test_numbers_for_people_are_exact() -> None:
    assert [money(n) for n in (0, 3, 1_250_000, -1_234_567_890_123)] == [
        "0.00", "0.000003", "1.25", "-1,234,567.890123",
    ]  # fmt: skip
    assert [percent(n) for n in (300_000, 333_333, 1_000_000)] == ["30 %", "33.3333 %", "100 %"]
