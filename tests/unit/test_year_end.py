"""A year's pro-rata pot shared out once, and money taken back: real runs, a real ledger, audited."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_purse import HALF, UNIT, give, go, posted, purse, run_to_end, settle, store
from test_server_parts import NOW, greet, job, network, submit

from westward.ledger.road import pot_id
from westward.ledger.vouchers.claims import claw_back
from westward.ledger.vouchers.year_end import Entitled, PaidTo, close_year, paid_parts, spread
from westward.model.job import ResourceOption
from westward.model.network import Network
from westward.model.people import Organisation, Project
from westward.model.voucher import Figure, Rule, VoucherClaim
from westward.server.covers import Pots, drawn, filled
from westward.server.errors import ApiError
from westward.server.purse import pot_account, project_id
from westward.server.year_end import close, due_years, take_back
from westward.store import money
from westward.store.database import Store
from westward.store.people import create_organisation, create_project
from westward.store.year_end import of_group

__all__ = ["network", "store"]
HOUR = 3_600_000
SMALL = (ResourceOption(cpus_milli=1_000),)
LATER = NOW + 400 * 24 * HOUR
YEAR = 2027
YEARLY = replace(HALF, name="yearly", sharing="pro-rata")
PROJECTS = {
    name: Project(project=name, organisation=firm, label="", created_ms=0, created_by="op")
    for name, firm in (("lab", "firm"), ("shop", "firm"), ("other", "rival"))
}
EVIDENCE = [("letter", "L-7")]


def ran(store: Store, network: Network, rule: Rule, pot_micros: int) -> list[int]:
    """One settled run an hour long of each project; what each has paid itself."""
    greet(store, "harbor")
    for firm in ("firm", "rival"):
        made = Organisation(organisation=firm, label="", created_ms=0, created_by="op")
        create_organisation(store, made)
        claim = VoucherClaim(id=f"{firm}:{rule.name}", rule=rule.name, entity=firm)
        money.save_claim(store, claim, NOW, "the city")
    for one in PROJECTS.values():
        create_project(store, one)
    if pot_micros:
        give(store, pot_account(rule, YEAR, UNIT), pot_micros)
    own = purse(rule)
    for name in PROJECTS:
        submit(store, job(f"job_{name}", account=name, duration_ms=HOUR, options=SMALL))
    go(store, network, own)
    for name in PROJECTS:
        run_to_end(store, f"job_{name}", hours=1.0)
    settle(store, network, own, NOW + HOUR)
    return [-posted(store, project_id(name, UNIT, budget=False)) for name in PROJECTS]


def shared(store: Store, now_ms: int = LATER, *, dry_run: bool = False) -> dict[str, object]:
    return close(store, YEARLY, YEAR, PROJECTS, UNIT, now_ms, "ann", dry_run=dry_run)


def test_a_pot_is_shared_out_once_and_everyone_gets_the_same_part(
    store: Store, network: Network
) -> None:
    before = ran(store, network, YEARLY, 600_000)
    assert before[0] == before[1] == before[2], "three runs alike; nothing was paid yet"
    assert posted(store, pot_id("yearly", YEAR, UNIT)) == 600_000
    assert due_years(store, [YEARLY, HALF], NOW) == {}, "the year is not over"
    assert due_years(store, [YEARLY, HALF], LATER) == {"yearly": [YEAR]}
    shown = shared(store, dry_run=True)
    assert (shown["posted"], shown["not_yet"], shown["pot_micros"]) == (False, None, 600_000)
    assert posted(store, pot_id("yearly", YEAR, UNIT)) == 600_000, "only shown"
    done = shared(store)
    assert done["posted"] is True
    assert [one["micros"] for one in done["parts"]] == [one["micros"] for one in shown["parts"]]
    assert posted(store, pot_id("yearly", YEAR, UNIT)) == 0, "less than they are entitled to"
    after = [-posted(store, project_id(name, UNIT, budget=False)) for name in PROJECTS]
    got = [was - now for was, now in zip(before, after, strict=True)]
    assert sum(got) == 600_000
    assert max(got) - min(got) <= 1
    again = shared(store)
    assert (again["repeated"], again["paid_micros"]) == (True, 600_000)
    assert [-posted(store, project_id(n, UNIT, budget=False)) for n in PROJECTS] == after
    assert due_years(store, [YEARLY], LATER) == {"yearly": []}


def test_a_pot_that_suffices_pays_what_they_are_entitled_to_and_keeps_the_rest(
    store: Store, network: Network
) -> None:
    before = ran(store, network, YEARLY, 10**12)
    done = shared(store)
    assert done["paid_micros"] == done["entitled_micros"]
    after = [-posted(store, project_id(name, UNIT, budget=False)) for name in PROJECTS]
    usage = money.load_usage(store)
    for was, now, name in zip(before, after, PROJECTS, strict=True):
        own = usage.entity["yearly", PROJECTS[name].organisation, YEAR]
        assert was - now == (own // 2 if name != "other" else own)


def test_not_before_the_year_is_over_and_every_run_of_it_settled(
    store: Store, network: Network
) -> None:
    ran(store, network, YEARLY, 1_000)
    with pytest.raises(ApiError) as refused:
        shared(store, NOW)
    assert refused.value.code == "year-not-over"
    assert shared(store, NOW, dry_run=True)["not_yet"] is not None
    submit(store, job("job_open", account="lab", duration_ms=HOUR, options=SMALL))
    go(store, network, purse(YEARLY))
    with pytest.raises(ApiError) as refused:
        shared(store)
    assert refused.value.code == "runs-unsettled"
    assert of_group(store, f"share-out:yearly:{YEAR}") == ()


def test_a_rule_that_pays_at_once_has_nothing_to_share_out(store: Store) -> None:
    with pytest.raises(ApiError) as refused:
        close(store, HALF, YEAR, PROJECTS, UNIT, LATER, "ann", dry_run=False)
    assert refused.value.code == "not-pro-rata"


def test_a_revoked_claim_gets_nothing(store: Store, network: Network) -> None:
    ran(store, network, YEARLY, 1_000_000)
    claim = VoucherClaim(id="x", rule="yearly", entity="firm", revoked=True)
    money.save_claim(store, claim, NOW, "the city")
    done = shared(store)
    assert [one["account"] for one in done["parts"]] == [project_id("other", UNIT, budget=False)]


# -- taking back


def taken(
    store: Store, rule: Rule, name: str, micros: int | None, *, dry_run: bool = False
) -> dict[str, object]:
    return take_back(
        store, rule, "firm", name, micros, "untrue papers", EVIDENCE, PROJECTS, UNIT, LATER, "ann",
        dry_run=dry_run,
    )  # fmt: skip


def test_what_was_paid_is_taken_back_by_new_transfers(store: Store, network: Network) -> None:
    ran(store, network, HALF, 10**9)
    pot = pot_id("half", YEAR, UNIT)
    paid = 10**9 - posted(store, pot)
    of_firm = paid - paid // 3
    owed = {name: posted(store, project_id(name, UNIT, budget=False)) for name in PROJECTS}
    shown = taken(store, HALF, "a", None, dry_run=True)
    assert (shown["taken_micros"], shown["posted"]) == (of_firm, False)
    assert posted(store, pot) == 10**9 - paid
    first = taken(store, HALF, "a", 1_001)
    assert (first["taken_micros"], first["left_micros"]) == (1_001, of_firm - 1_001)
    assert sorted(one["micros"] for one in first["parts"]) == [500, 501]
    assert taken(store, HALF, "a", 5)["taken_micros"] == 1_001, "the same id again: as it was"
    rest = taken(store, HALF, "b", None)
    assert rest["taken_micros"] == of_firm - 1_001, "what was taken before is not taken again"
    assert posted(store, pot) == 10**9 - paid // 3, "only the rival's part stays paid"
    for name in ("lab", "shop"):
        now = posted(store, project_id(name, UNIT, budget=False))
        assert now == owed[name] - paid // 3
    assert posted(store, project_id("other", UNIT, budget=False)) == owed["other"]
    usage = money.load_usage(store)
    assert usage.pot["half", YEAR] == paid // 3, "the pot is free again"
    assert usage.entity.get(("half", "firm", YEAR), 0) == 0
    pots = Pots(store, UNIT)
    (half,) = filled(pots, [HALF], LATER)
    gone = drawn(pots, [HALF], usage, LATER).pot["half", YEAR]
    assert (half.pot_of(YEAR) or 0) - gone == posted(store, pot), (
        "no more is promised than is there"
    )
    (claim,) = money.load_claims(store, "firm")
    assert claim.revoked
    (one, _) = of_group(store, "claw-back:half:firm:a")
    assert one.category == "claw-back"
    assert "untrue papers" in one.reason
    assert "letter L-7" in one.reason
    with pytest.raises(ApiError) as refused:
        taken(store, HALF, "c", 1)
    assert refused.value.code == "claw-back-impossible"


def test_a_year_end_part_can_be_taken_back_too(store: Store, network: Network) -> None:
    ran(store, network, YEARLY, 3_000)
    shared(store)
    back = taken(store, YEARLY, "a", None)
    assert back["taken_micros"] == 2_000
    assert posted(store, pot_id("yearly", YEAR, UNIT)) == 2_000


def test_who_has_no_claim_or_was_paid_nothing(store: Store, network: Network) -> None:
    with pytest.raises(ApiError) as refused:
        taken(store, HALF, "a", None)
    assert refused.value.status == 404
    ran(store, network, HALF, 0)
    assert taken(store, HALF, "a", None)["taken_micros"] == 0
    supplier = replace(HALF, pays="supplier", cap_claim_micros=Figure())
    with pytest.raises(ApiError) as refused:
        taken(store, supplier, "b", None)
    assert refused.value.code == "paid-to-sellers"


# -- the sums


AMOUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10**12), max_size=4)


@given(st.dictionaries(st.sampled_from("xyz"), AMOUNTS, max_size=3), st.integers(0, 10**12))
def test_a_share_out_is_exact_and_within_the_pot(by: dict[str, dict[str, int]], pot: int) -> None:
    entitled = [
        Entitled(claimant=who, by_account={f"{who}-{name}": m for name, m in own.items()})
        for who, own in by.items()
    ]
    whole = sum(one.micros for one in entitled)
    paid = close_year(entitled, pot)
    assert sum(paid.values()) == min(pot, whole)
    assert paid == close_year(list(reversed(entitled)), pot), "the order does not enter"
    for one in entitled:
        for account, micros in one.by_account.items():
            assert paid.get(account, 0) <= micros
    assert close_year(entitled, None) == {
        account: micros for one in entitled for account, micros in one.by_account.items() if micros
    }


@given(
    st.lists(
        st.tuples(st.sampled_from("pq"), st.integers(2025, 2027), st.integers(1, 10**9)),
        min_size=1, max_size=8,
    ),
    st.data(),
)  # fmt: skip
def test_a_claw_back_is_exact_and_takes_from_nobody_more_than_it_had(
    rows: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    paid = [PaidTo(project=p, payer="city", year=y, micros=m) for p, y, m in rows]
    micros = data.draw(st.integers(0, sum(one.micros for one in paid)))
    claim = VoucherClaim(id="c", rule="r", entity="firm")
    back = claw_back(claim, paid_parts("r", paid), "why", micros=micros)
    taken = spread(back, paid)
    assert sum(one.micros for one in taken) == micros
    for one in taken:
        had = sum(x.micros for x in paid if (x.project, x.year) == (one.project, one.year))
        assert 0 < one.micros <= had
