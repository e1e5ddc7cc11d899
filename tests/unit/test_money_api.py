"""Budgets, programmes, claims and facts over HTTP, with the roles that may; the ledger agrees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.people_world import World, peopled
from westward.ledger.road import pot_id
from westward.ledger.transfers import Transfer, TransferKind
from westward.ledger.vouchers.calendar import day_of, day_start_ms, year_of
from westward.model.units import MS_PER_DAY
from westward.server.programmes import forecast_view
from westward.server.purse import pot_account
from westward.store.ledger import open_accounts, post
from westward.store.ledger_audit import audit_ledger

S1 = {"kind": "statement", "reference": "S-1"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        made = peopled(tmp_path, patch)
        yield made
        assert audit_ledger(made.core.store).faults == ()
        made.core.close()


def good(world: World, caller: str, method: str, path: str, body: object = None) -> Any:
    answer = world.as_(caller, method, path, body)
    assert answer.status < 300, answer.body
    return answer.json()


def bad(world: World, caller: str, path: str, body: object) -> tuple[int, str]:
    before = world.tables()
    answer = world.as_(caller, "POST", path, body)
    assert world.tables() == before
    return answer.status, answer.json()["code"]


def money(transfer_id: str, micros: int) -> dict[str, object]:
    return {"transfer_id": transfer_id, "amount_micros": micros}


# -- budgets


def test_a_budget_is_set_by_the_lead_and_filled_by_the_operator(world: World) -> None:
    path = "/v1/budgets/vision"
    assert good(world, "owner", "GET", path)["on_empty"] is None
    assert bad(world, "network-operator", f"{path}/add", money("t", 1)) == (409, "no-budget")
    made = good(world, "lead", "POST", path, {"on_empty": "cancel"})
    assert (made["on_empty"], made["set_by"]) == ("cancel", "lead")
    assert made["budget"]["available_micros"] == 0
    added = good(world, "network-operator", "POST", f"{path}/add", money("t", 1_500_001))
    assert added["budget"]["available_micros"] == 1_500_001
    again = good(world, "network-operator", "POST", f"{path}/add", money("t", 1_500_001))
    assert again == added
    other = bad(world, "network-operator", f"{path}/add", money("t", 1_500_002))
    assert other == (409, "id-with-other-content")
    gone = good(world, "network-operator", "POST", f"{path}/remove")
    assert (gone["on_empty"], gone["budget"]["available_micros"]) == (None, 1_500_001)
    assert bad(world, "network-operator", f"{path}/remove", {}) == (409, "no-budget")


def test_only_the_operator_lets_the_network_bear_what_is_beyond(world: World) -> None:
    asked = {"on_empty": "run-on"}
    assert bad(world, "lead", "/v1/budgets/vision", asked) == (403, "role-missing")
    made = good(world, "network-operator", "POST", "/v1/budgets/vision", asked)
    assert made["on_empty"] == "run-on"


@pytest.mark.parametrize(
    "amount", [0, -1, 1.5, "1", True, 10**18 + 1, None], ids=lambda one: repr(one)
)
def test_what_is_no_amount_is_refused(world: World, amount: object) -> None:
    body = {"transfer_id": "t", "amount_micros": amount}
    for path in ("/v1/budgets/vision/add", "/v1/programmes/city/fund"):
        assert bad(world, "network-operator", path, body) == (422, "malformed-request")


# -- programmes


def test_a_pot_is_filled_once_by_one_id(world: World) -> None:
    path = "/v1/programmes/city/fund"
    first = good(world, "funder", "POST", path, {**money("t", 7), "year": 2030})
    assert first == good(world, "funder", "POST", path, {**money("t", 7), "year": 2030})
    assert (first["year"], first["paid_in_micros"]) == (2030, 7)
    assert bad(world, "funder", path, {**money("t", 7), "year": 2031}) == (
        409, "id-with-other-content",
    )  # fmt: skip
    this_year = good(world, "funder", "POST", path, money("u", 9))
    assert this_year["year"] == year_of(world.core.clock.now_ms(), 480)


def test_what_is_in_a_pot_is_for_who_funds_it(world: World) -> None:
    good(world, "funder", "POST", "/v1/programmes/city/fund", money("t", 7))
    for caller in ("funder", "auditor", "network-operator"):
        (seen,) = good(world, caller, "GET", "/v1/programmes")["programmes"]
        assert (seen["pot"]["available_micros"], seen["admitted"]) == (7, [])
    for caller in ("owner", "lead", "no-role"):
        (seen,) = good(world, caller, "GET", "/v1/programmes")["programmes"]
        assert (seen["pot"], seen["admitted"]) == (None, None)
        assert (seen["rule"], seen["share_ppm"], seen["pot_stated_micros"]) == (
            "city", 400_000, 5_000_000_000,
        )  # fmt: skip


def test_a_claim_goes_its_steps(world: World) -> None:
    path = "/v1/programmes/city/claims/acme"
    asked = world.as_("lead", "GET", path)
    assert (asked.status, asked.json()["code"]) == (404, "not-found")
    made = world.as_("funder", "POST", path)
    assert (made.status, made.json()["next_step"], made.json()["next_evidence"]) == (
        201, "claim", ["statement"],
    )  # fmt: skip
    assert world.as_("funder", "POST", path).status == 200
    step = f"{path}/steps"
    assert bad(world, "lead", step, {"step": "claim"}) == (409, "claim-evidence")
    assert bad(world, "lead", step, {"step": "use"}) == (409, "claim-out-of-order")
    assert bad(world, "lead", step, {"step": "approve"}) == (403, "role-missing")
    done = good(world, "lead", "POST", step, {"step": "claim", "evidence": [S1]})
    assert (done["done"], done["next_step"]) == (["claim"], "approve")
    assert [one["reference"] for one in done["evidence"]] == ["S-1"]
    body = {"step": "approve", "approved_micros": 3, "expires_ms": 2**52}
    done = good(world, "funder", "POST", step, body)
    assert (done["approved_micros"], done["expires_ms"]) == (3, 2**52)
    good(world, "lead", "POST", step, {"step": "use"})
    assert bad(world, "lead", step, {"step": "settle"}) == (409, "claim-complete")
    listed = good(world, "funder", "GET", "/v1/programmes/city/claims")["claims"]
    assert [one["entity"] for one in listed] == ["acme"]
    ended = good(world, "funder", "POST", f"{path}/revoke")
    assert (ended["revoked"], ended["next_step"]) == (True, None)
    assert good(world, "funder", "POST", f"{path}/revoke") == ended
    (seen,) = good(world, "funder", "GET", "/v1/programmes")["programmes"]
    assert seen["admitted"] == []
    anew = world.as_("funder", "POST", path)
    assert (anew.status, anew.json()["done"]) == (201, [])


def test_what_there_is_none_of_is_told(world: World) -> None:
    for path in (
        "/v1/programmes/town/fund",
        "/v1/programmes/town/claims/acme",
        "/v1/programmes/city/claims/nobody",
        "/v1/programmes/city/claims/rival/revoke",
    ):
        answer = world.as_("network-operator", "POST", path, money("t", 1))
        assert (answer.status, answer.json()["code"]) == (404, "not-found"), path


def test_what_is_hidden_reads_as_what_is_not_there(world: World) -> None:
    """Another project's lead cannot tell an organisation with a claim from none at all."""
    good(world, "funder", "POST", "/v1/programmes/city/claims/acme")
    for there, not_there in (
        ("/v1/programmes/city/claims/acme", "/v1/programmes/city/claims/nobody"),
        ("/v1/organisations/acme/money", "/v1/organisations/nobody/money"),
        ("/v1/budgets/vision", "/v1/budgets/nothing"),
    ):
        one = world.as_("other-lead", "GET", there)
        two = world.as_("other-lead", "GET", not_there)
        assert one.status == two.status == 404
        last, none = there.rpartition("/"), not_there.rpartition("/")
        same = two.body.replace(none[2].encode(), last[2].encode()).replace(b"nobody", b"acme")
        assert one.body == same


# -- organisations


def test_facts_and_contracts_are_shown_with_their_evidence(world: World) -> None:
    path = "/v1/organisations/acme"
    fact = {"name": "startup", "value": True, "evidence": "register 7", "until_ms": 9}
    good(world, "network-operator", "POST", f"{path}/facts", fact)
    fact = {"name": "startup", "value": False, "evidence": "register 8"}
    good(world, "network-operator", "POST", f"{path}/facts", fact)
    body = {
        "contract": "K-1", "value_micros": 5, "start_ms": 1, "end_ms": 2, "related": False,
        "facts": [{"name": "paid", "value": "in part", "evidence": "bank"}],
    }  # fmt: skip
    good(world, "network-operator", "POST", f"{path}/contracts", body)
    seen = good(world, "owner", "GET", f"{path}/money")
    assert seen["facts"] == [
        {"name": "startup", "value": False, "evidence": "register 8", "until_ms": None}
    ]
    assert (seen["contract"]["id"], seen["contract"]["facts"][0]["value"]) == ("K-1", "in part")
    wrong = {**body, "end_ms": 1}
    assert bad(world, "network-operator", f"{path}/contracts", wrong) == (400, "invalid-input")
    assert world.as_("funder", "GET", f"{path}/money").status == 404
    good(world, "funder", "POST", "/v1/programmes/city/claims/acme")
    assert world.as_("funder", "GET", f"{path}/money").status == 200


# -- forecasts


def test_a_forecast_is_the_ledgers(world: World) -> None:
    core = world.core
    (city,) = core.purse.rules
    now_ms = core.clock.now_ms()
    year = year_of(now_ms, 480)
    today_ms = day_start_ms(day_of(now_ms, 480), 480)
    early = good(world, "auditor", "GET", "/v1/programmes/city/forecast")
    assert (early["past_days"], early["simulation"]) == (0, None)
    opened_ms = today_ms - 20 * MS_PER_DAY
    account = pot_account(city, year, "CNY")
    from westward.ledger.road import network_accounts

    open_accounts(core.store, [*network_accounts("CNY"), account], opened_ms)
    fund = Transfer(
        transfer_id="f", kind=TransferKind.POSTED, debit="external:CNY", credit=account.account_id,
        amount=30_000, category="funding",
    )  # fmt: skip
    post(core.store, [fund], opened_ms)
    for day in range(20):
        spent = Transfer(
            transfer_id=f"s{day}", kind=TransferKind.POSTED, debit=account.account_id,
            credit="external:CNY", amount=1_000,
        )  # fmt: skip
        post(core.store, [spent], opened_ms + day * MS_PER_DAY + 1)
    assert account.account_id == pot_id("city", year, "CNY")
    view = forecast_view(core.store, city, "CNY", now_ms, np.random.default_rng(0))
    assert (view["past_days"], view["left_micros"]) == (20, 10_000)
    found = view["simulation"]
    assert found["mean_micros_per_day"] == 1_000
    tenth = day_of(today_ms + 9 * MS_PER_DAY, 480)
    if tenth.year == year:
        assert found["low_day"] == found["high_day"] == tenth.isoformat()
        assert found["dry_share"] == 1.0
    else:
        assert found["dry_share"] == 0.0
    told = good(world, "funder", "GET", "/v1/programmes/city/forecast")
    assert told["simulation"]["median_day"] == found["median_day"]
