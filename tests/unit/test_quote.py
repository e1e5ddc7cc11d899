"""Quotes and covers: parts sum to the price, limits are told, nothing is changed by asking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.people_world import TASK, World, peopled
from westward.cli.render_quote import render_quote
from westward.ledger.accounts import Account, AccountKind
from westward.ledger.price import DataRead, PriceList, Transfer
from westward.ledger.quote import Candidate, Payer, quote
from westward.ledger.road import beside, bill_lines
from westward.ledger.vouchers import NO_USAGE, Usage
from westward.ledger.vouchers.calendar import year_of
from westward.model.network import Series
from westward.model.plan import CostTerms, Estimate
from westward.model.units import BYTES_PER_GB, MS_PER_HOUR
from westward.model.voucher import Clauses, Condition, Entity, Figure, NamedFact, Rule, VoucherClaim
from westward.server.covers import AGAIN_MS, USAGE_MS, CoverCache, covers_of
from westward.server.programmes import bring_in
from westward.server.purse import pot_account, project_id
from westward.store.money import Budget, count_usage, save_claim, set_budget

HOUR_RATE = 2_000_000
"""Millionths per device-hour."""


def estimate(pool: str, **changed: Any) -> Estimate:
    made = Estimate(
        pool=pool, site="harbor", option=0, need_milli=4_000, earliest_ms=0, start_ms=0,
        duration_ms=3 * MS_PER_HOUR, energy_kwh=0.0, carbon_g=0.0,
        terms=CostTerms(device=0.0, power=0.0, carbon=0.0, transfer=0.0, wait=0.0),
    )  # fmt: skip
    return replace(made, **changed)


def prices(pool: str, rate: int, tariffs: tuple[float, ...]) -> PriceList:
    tariff = Series(values=tariffs, step_ms=MS_PER_HOUR)
    return PriceList(
        pool=pool, site="harbor", price_micros_per_device_hour=rate, power_w_per_device=700.0,
        pue=1.3, tariff_per_kwh=tariff, carbon_location_g_per_kwh=None,
        carbon_contract_g_per_kwh=None, carbon_price_micros_per_tonne=0,
        carbon_price_by_contract=False, series_origin_ms=0,
    )  # fmt: skip


def rule(name: str, share_ppm: int, **changed: Any) -> Rule:
    made = Rule(
        name=name, label="", place="", level="city", instrument="", funder=f"{name}-purse",
        currency="CNY", source="S", grade="A", spend=("compute", "electricity", "network", "data"),
        share_ppm=Figure(value=share_ppm), utc_offset_minutes=480,
    )  # fmt: skip
    return replace(made, **changed)


def payer(*rules: Rule, **changed: Any) -> Payer:
    claims = tuple(VoucherClaim(id=one.name, rule=one.name, entity="acme") for one in rules)
    made = Payer(entity=Entity(name="acme"), rules=rules, claims=claims, usage=NO_USAGE)
    return replace(made, **changed)


@settings(max_examples=150, deadline=None)
@given(
    rate=st.integers(0, 50_000_000),
    need=st.integers(1, 64_000),
    duration=st.integers(1, 400 * MS_PER_HOUR),
    start=st.integers(0, 10**12),
    tariffs=st.lists(st.floats(-2, 5, allow_nan=False), min_size=1, max_size=5),
    moved=st.integers(0, 10**9),
    read=st.integers(0, 10**12),
    shares=st.lists(st.integers(0, 1_000_000), max_size=4),
    pot=st.none() | st.integers(0, 10**9),
    budget=st.none() | st.integers(0, 10**12),
)
def test_what_is_paid_is_the_price(
    rate: int, need: int, duration: int, start: int, tariffs: list[float], moved: int, read: int,
    shares: list[int], pot: int | None, budget: int | None,
) -> None:  # fmt: skip
    """To the last millionth: as the sum of the parts of the bill, and as that of who pays."""
    asked = Candidate(
        estimate=estimate("p", need_milli=need, duration_ms=duration, start_ms=start),
        prices=prices("p", rate, tuple(tariffs)),
        transfers=(Transfer(size_bytes=BYTES_PER_GB, micros_per_gb=moved),),
        reads=(DataRead(size_bytes=read, micros_per_gb=123_457),),
    )
    rules = [
        rule(f"r{at}", share, pot_year_micros=Figure(value=pot)) for at, share in enumerate(shares)
    ]
    (found,) = quote((asked,), payer(*rules, budget_micros=budget), 0)
    bill = found.bill
    named = (bill.device_micros, bill.power_micros, bill.transfer_micros, bill.data_micros)
    assert sum(named) + bill.rounding_micros == bill.total_micros
    assert found.funded_micros + found.own_micros == bill.total_micros
    assert found.split.price_micros == sum(line.micros for line in found.lines)
    # What the road charges the project besides its part of the split is in its own part.
    own = found.split.own_micros + sum(beside(bill, "harbor", "CNY").values())
    years = {line.at_ms for line in found.lines}
    if len(years) == 1:
        assert found.own_micros == own
    if budget is not None:
        assert found.budget_after_micros == budget - found.own_micros
    for verdict in found.split.verdicts:
        for left in verdict.left:
            assert left.pot_after_micros is None or left.pot_after_micros >= 0


def test_the_cheapest_for_the_payer_comes_first() -> None:
    """Listed prices would say otherwise: only one of the two pools counts for the rule."""
    dear = Candidate(estimate=estimate("dear"), prices=prices("dear", 3_000_000, (0.0,)))
    cheap = Candidate(
        estimate=estimate("cheap", site="basin"),
        prices=replace(prices("cheap", 2_000_000, (0.0,)), site="basin"),
    )
    alone = quote((dear, cheap), payer(), 0)
    assert [one.estimate.pool for one in alone] == ["cheap", "dear"]
    assert [one.own_micros for one in alone] == [24_000_000, 36_000_000]
    domestic = rule("home", 500_000, counts=_domestic())
    shown = replace(dear, facts=_shown())
    funded = quote((shown, cheap), payer(domestic), 0)
    assert [(one.estimate.pool, one.own_micros) for one in funded] == [
        ("dear", 18_000_000), ("cheap", 24_000_000),
    ]  # fmt: skip
    (refused,) = funded[1].split.verdicts[0].refused
    assert refused.code == "fact-not-shown"


def _domestic() -> Clauses:
    return ((Condition(subject="line", fact="domestic", test="is", value=True),),)


def _shown() -> tuple[NamedFact, ...]:
    return (NamedFact(name="domestic", value=True, evidence="label"),)


def test_a_job_over_new_year_is_of_both_years() -> None:
    """Cut where the rule's year ends: each year's pot pays its own part."""
    new_year = 1_767_196_800_000  # 2026-01-01T00:00+08:00
    asked = Candidate(
        estimate=estimate("p", start_ms=new_year - MS_PER_HOUR, duration_ms=3 * MS_PER_HOUR),
        prices=prices("p", 1_000_000, (0.0,)),
    )
    (found,) = quote((asked,), payer(rule("r", 500_000)), 0)
    parts = [(one.year, one.micros) for one in found.split.parts]
    assert parts == [(2025, 2_000_000), (2026, 4_000_000), (None, 6_000_000)]


def test_a_quote_is_as_the_bill_would_be() -> None:
    """Its lines are the bill's own lines where it lies in one year."""
    asked = Candidate(estimate=estimate("p"), prices=prices("p", HOUR_RATE, (0.5, 0.7)))
    (found,) = quote((asked,), payer(), 0)
    assert found.lines == bill_lines(found.bill, "harbor", 0)


def test_a_short_job_is_held_for_longer_than_it_runs() -> None:
    asked = Candidate(
        estimate=estimate("p", duration_ms=60_000), prices=prices("p", 3_600_000, (0.0,))
    )
    half = payer(rule("r", 500_000), budget_micros=0)
    (found,) = quote((asked,), half, 0, 300_000)
    assert (found.own_micros, found.hold_micros) == (120_000, 600_000)
    (longer,) = quote((replace(asked, estimate=estimate("p")),), half, 0, 300_000)
    assert longer.hold_micros == longer.own_micros


# -- on a server ------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        made = peopled(tmp_path, patch)
        made.core.pool_statuses = lambda *_: {  # type: ignore[method-assign]
            pool.name: "open" for pool in made.core.network.pools
        }
        yield made
        made.core.close()


def admitted(world: World, *, fund: int = 0) -> Rule:
    core = world.core
    (city,) = core.purse.rules
    claim = VoucherClaim(id="acme:city", rule="city", entity="acme", done=("claim", "approve"))
    save_claim(core.store, claim, 0, "test")
    if fund:
        put_in(world, city, fund)
    return city


def put_in(world: World, city: Rule, micros: int) -> None:
    now_ms = world.core.clock.now_ms()
    account = pot_account(city, year_of(now_ms, 480), "CNY")
    bring_in(world.core.store, account, world.fresh("fund"), micros, now_ms, "")


def ask(world: World, **changed: Any) -> Any:
    body = {"task": TASK.format(project="vision"), **changed}
    answer = world.as_("owner", "POST", "/v1/quote", body)
    assert answer.status == 200, answer.body
    return answer.json()


def test_asking_changes_no_table(world: World) -> None:
    """Nothing is held: every table is as it was, to the byte."""
    admitted(world, fund=1_000_000_000)
    before = world.tables()
    first = ask(world)
    assert world.tables() == before
    again = ask(world)
    assert first["held"] is False
    assert [one["pool"] for one in again["pools"]] == [one["pool"] for one in first["pools"]]


def test_every_pool_is_told_with_who_pays(world: World) -> None:
    admitted(world, fund=1_000_000_000)
    answer = ask(world)
    assert (answer["project"], answer["organisation"]) == ("vision", "acme")
    assert (answer["budget"], answer["not_admitted"]) == (None, 0)
    names = {one["pool"] for one in (*answer["pools"], *answer["not_possible"])}
    assert names == {pool.name for pool in world.core.network.pools}
    assert answer["pools"]
    own = [one["own_micros"] for one in answer["pools"]]
    assert own == sorted(own)
    for one in answer["pools"]:
        named = ("device", "power", "transfer", "data", "rounding")
        assert sum(one[f"{name}_micros"] for name in named) == one["price_micros"]
        funded = sum(part["micros"] for part in one["parts"])
        assert funded == one["funded_micros"]
        assert funded + one["own_micros"] == one["price_micros"]
        assert one["funded_micros"] == one["device_micros"] * 2 // 5
        (verdict,) = one["rules"]
        (left,) = verdict["left"]
        assert left["pot_before_micros"] - left["pot_after_micros"] == funded
        assert left["cap_after_micros"] == 1_000_000_000 - funded


@pytest.mark.parametrize("funded", [0, 1])
def test_an_empty_pot_pays_nothing_and_says_so(world: World, funded: int) -> None:
    """What a text announced is no money: what was paid in is."""
    city = admitted(world)
    if funded:
        put_in(world, city, 1)
    one = ask(world)["pools"][0]
    assert one["funded_micros"] == funded
    (verdict,) = one["rules"]
    assert [reason["code"] for reason in verdict["limited"]] == ["pot"]


def test_without_a_claim_there_is_no_funder(world: World) -> None:
    answer = ask(world)
    assert answer["not_admitted"] == 1
    assert all(one["rules"] == [] and one["funded_micros"] == 0 for one in answer["pools"])


def test_a_budget_is_told_before_and_after(world: World) -> None:
    made = Budget(project="vision", on_empty="cancel", set_ms=0, set_by="test")
    set_budget(world.core.store, made)
    assert ask(world)["budget"] == {
        "available_micros": 0, "held_micros": 0, "on_empty": "cancel",
    }  # fmt: skip
    account = Account(
        account_id=project_id("vision", "CNY", budget=True), kind=AccountKind.PROJECT, unit="CNY",
        owner="vision",
    )  # fmt: skip
    bring_in(world.core.store, account, "budget:vision:t", 5_000_000, 1, "")
    answer = ask(world)
    assert answer["budget"]["available_micros"] == 5_000_000
    for one in answer["pools"]:
        assert one["budget_after_micros"] == 5_000_000 - one["own_micros"]
        assert one["hold_micros"] >= one["own_micros"]
    lacking = {**answer, "budget": {**answer["budget"], "available_micros": 0}}
    assert "the job would wait for money" in render_quote(lacking, everything=False)
    assert "would wait for money" not in render_quote(answer, everything=True)


def test_covers_are_what_the_quote_pays_of_devices(world: World) -> None:
    city, core = admitted(world, fund=10**9), world.core
    now_ms = core.clock.now_ms()
    found = covers_of(core.store, core.purse.rules, core.network, ["vision", None], now_ms)
    price = {one.name: one.price_micros_per_device_hour for one in core.network.pools}
    assert {one.pool: one.micros_per_device_hour for one in found} == {
        name: (rate or 0) * 2 // 5 for name, rate in price.items()
    }
    assert {one.account for one in found} == {"vision"}
    assert covers_of(core.store, core.purse.rules, core.network, ["speech"], now_ms) == ()
    assert covers_of(core.store, (), core.network, ["vision"], now_ms) == ()
    assert city.pot_year_micros.value == 5_000_000_000


def test_the_plan_is_made_with_what_funders_pay(world: World) -> None:
    """As the quote says: two fifths of the devices at the pool chosen."""
    body = {"task": TASK.format(project="vision")}
    alone = world.as_("owner", "POST", "/v1/plan", body).json()["placement"]["estimate"]["terms"]
    assert alone["vouchers"] == 0
    admitted(world, fund=10**9)
    funded = world.as_("owner", "POST", "/v1/plan", body).json()["placement"]["estimate"]["terms"]
    assert funded["vouchers"] == pytest.approx(-0.4 * funded["device"])
    quoted = ask(world)
    assert quoted["pools"][0]["funded_micros"] == pytest.approx(0.4 * funded["device"], abs=1)


def test_covers_kept_are_covers_made_anew(world: World) -> None:
    """After each kind of change, what the cache answers is what no cache would; of what is used it
    knows after at most 5 s."""
    core, kept = world.core, CoverCache()
    city = admitted(world)
    now_ms = core.clock.now_ms() // AGAIN_MS * AGAIN_MS

    def both() -> int:
        asked = (core.store, core.purse.rules, core.network, ["vision"], now_ms)
        found = covers_of(*asked, kept=kept)
        assert found == covers_of(*asked)
        assert found == covers_of(*asked, kept=kept)
        return sum(one.micros_per_device_hour for one in found)

    assert both() == 0
    put_in(world, city, 10**9)
    funded = both()
    assert funded > 0
    year = year_of(now_ms, 480)
    whole = Usage(entity={("city", "acme", year): 1_000_000_000})
    (found,) = quote(
        (Candidate(estimate=estimate("p"), prices=prices("p", HOUR_RATE, (0.0,))),), payer(), 0
    )
    count_usage(core.store, replace(found.split, usage=whole), 1)
    asked = (core.store, core.purse.rules, core.network, ["vision"])
    early = covers_of(*asked, now_ms + USAGE_MS - 1, kept=kept)
    assert sum(one.micros_per_device_hour for one in early) == funded
    now_ms += USAGE_MS
    assert both() == 0
    count_usage(core.store, replace(found.split, usage=whole), -1)
    now_ms += USAGE_MS
    assert both() == funded
    gone = VoucherClaim(id="acme:city", rule="city", entity="acme", revoked=True)
    save_claim(core.store, gone, 0, "test")
    assert both() == 0
