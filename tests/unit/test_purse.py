"""Runs' money on the live road: held at the grant, held further, settled, given back; with budgets
and vouchers, in a real database, with the auditor at the end of every test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import update
from test_server_parts import NOW, POLICY, TTL, greet, job, look, network, state, submit

from tests.databases import DATABASES, new_database
from westward.control.events import PauseRequested, RunEnded, RunStarted
from westward.control.records import Binding, JobState
from westward.ledger.accounts import Account, AccountKind, standard_id
from westward.ledger.road import UNFUNDED, clearing_id, pot_id
from westward.ledger.transfers import Accepted, Transfer, TransferKind
from westward.ledger.vouchers import NO_USAGE
from westward.model.job import Checkpoint
from westward.model.network import Network
from westward.model.people import Organisation, Project
from westward.model.voucher import Contract, Figure, NamedFact, Rule, VoucherClaim
from westward.model.wire import Reading
from westward.placement import plan
from westward.server.applier import apply_changes, apply_plan, run_charge
from westward.server.billing import Owed, settle_runs
from westward.server.budgets import end_of_money, funded, outlasting, return_strays
from westward.server.purse import LedgerBroken, Purse, Start, pot_account, project_id
from westward.server.writer import Bulk, Writer
from westward.store import ledger, money
from westward.store.database import Store, open_store
from westward.store.jobs import load_job
from westward.store.ledger_audit import audit_ledger
from westward.store.ledger_reading import balances_of, list_accounts, transfers_about
from westward.store.lifecycle import report_run
from westward.store.metering import load_bills, unsettled_runs
from westward.store.money import Budget
from westward.store.people import create_organisation, create_project
from westward.store.schema import JOBS
from westward.store.sets import load_held
from westward.store.sites import poll_site

__all__ = ["network"]
UNIT = "CNY"
HOUR = 3_600_000
OUTSIDE = standard_id(AccountKind.EXTERNAL, "", UNIT)
HALF = Rule(
    name="half", label="", place="here", level="city", instrument="compute voucher", funder="city",
    currency=UNIT, source="made up for this test", grade="-", spend=("compute",),
    share_ppm=Figure(value=500_000), pot_year_micros=Figure(value=10**12),
)  # fmt: skip
AT_EAST = Binding(
    pool="harbor-east", site="harbor", option=0, need_milli=4000, duration_ms=HOUR,
    not_before_ms=NOW, planned_start_ms=NOW,
)  # fmt: skip


@pytest.fixture(params=DATABASES)
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    opened = open_store(new_database(request.param, tmp_path))
    yield opened
    report = audit_ledger(opened)
    assert not report.faults, [str(one) for one in report.faults]
    for name, one in balances_of(opened, [clearing_id("harbor", UNIT)]).items():
        assert one.balances.posted == 0, name
    opened.close()


def purse(*rules: Rule) -> Purse:
    return Purse(policy=POLICY, series_origin_ms=NOW, unit=UNIT, rules=rules)


def go(store: Store, network: Network, own: Purse, now_ms: int = NOW) -> None:
    """One planning pass, applied as the server's writer does."""
    before = look(store, network, now_ms)
    decided = plan(before.snapshot, before.to_place, POLICY, now_ms)
    with store.together():
        apply_plan(store, decided, before, TTL, now_ms, own)


def available(store: Store, account: str) -> int:
    found = balances_of(store, [account]).get(account)
    return 0 if found is None else found.balances.available


def posted(store: Store, account: str) -> int:
    found = balances_of(store, [account]).get(account)
    return 0 if found is None else found.balances.posted


def give(store: Store, account: Account, micros: int, name: str = "gift") -> None:
    outside = Account(account_id=OUTSIDE, kind=AccountKind.EXTERNAL, unit=UNIT, overdraft=True)
    ledger.open_accounts(store, (outside, account), NOW)
    (answer,) = ledger.post(
        store,
        (Transfer(transfer_id=f"{name}:{account.account_id}", kind=TransferKind.POSTED,
                  debit=OUTSIDE, credit=account.account_id, amount=micros),),
        NOW,
    )  # fmt: skip
    assert isinstance(answer, Accepted)


def with_budget(
    store: Store, project: str, micros: int, on_empty: money.OnEmpty = "suspend"
) -> str:
    money.set_budget(store, Budget(project=project, on_empty=on_empty, set_ms=NOW, set_by="a lead"))
    name = project_id(project, UNIT, budget=True)
    account = Account(
        account_id=name, kind=AccountKind.PROJECT, unit=UNIT, overdraft=False, owner=project
    )
    give(store, account, micros)
    return name


def run_to_end(store: Store, job_id: str, hours: float, began_ms: int = NOW) -> None:
    """The run that is leased now starts at once and ends after so long, all of it metered."""
    record = load_job(store, job_id)
    assert record is not None
    run = record.live_run
    assert run is not None
    poll_site(store, run.site, 1, (), TTL, began_ms)
    wall = int(hours * HOUR)
    if run.started_ms is None:
        report_run(store, run.run_id, RunStarted(run_id=run.run_id, token=run.token), began_ms)
    reading = Reading(
        sequence=0, wall_ms=wall, device_milli_ms=run.need_milli * wall, cpu_ms=1, max_rss_kib=1
    )
    end = RunEnded(run_id=run.run_id, token=run.token, outcome="succeeded", exit_code=0)
    report_run(store, run.run_id, end, began_ms + wall, (reading,))


def settle(store: Store, network: Network, own: Purse, now_ms: int) -> int:
    """Settles what is over, all at once, and that twice; returns what the bills come to."""
    asked = [
        Owed(ended=one, charged=run_charge(store, network, own, one), now_ms=now_ms)
        for one in unsettled_runs(store)
    ]
    for first in (True, False):
        with store.together():
            assert settle_runs(store, own, asked) == [first] * len(asked)
    return sum(one.charged.bill.total_micros for one in asked)


def test_accounts_opened_in_a_transaction_that_was_lost_are_opened_again(
    store: Store, network: Network
) -> None:
    """A database that went away at the commit: what the purse remembers of it never happened."""
    greet(store, "harbor")
    submit(store, job("job_1"))
    own = purse()
    before = look(store, network, NOW)
    decided = plan(before.snapshot, before.to_place, POLICY, NOW)

    def lost() -> None:
        with store.together():
            apply_plan(store, decided, before, TTL, NOW, own)
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        lost()
    assert state(store, "job_1") is JobState.PENDING
    go(store, network, own)
    assert state(store, "job_1") is JobState.LEASED


def test_a_run_without_account_is_held_for_and_billed_to_the_built_in_project(
    store: Store, network: Network
) -> None:
    greet(store, "harbor")
    submit(store, job("job_1"))
    own = purse()
    go(store, network, own)
    assert state(store, "job_1") is JobState.LEASED
    local = project_id("local", UNIT, budget=False)
    held = [one for one in transfers_about(store, "job_1") if one.hold is not None]
    assert len(held) == 1
    assert -available(store, local) == held[0].recorded.transfer.amount > 0
    assert posted(store, local) == 0
    run_to_end(store, "job_1", hours=0.01)
    total = settle(store, network, own, NOW + HOUR)
    ((_, bill),) = load_bills(store, "job_1")
    assert total == bill.total_micros
    assert posted(store, local) == available(store, local) == -total
    assert posted(store, standard_id(AccountKind.SITE, "harbor", UNIT)) == bill.device_micros


@pytest.mark.parametrize("account", ["team a", "数据 team", "x" * 200, "a/b"])
def test_any_account_that_a_job_can_name_has_a_place_in_the_ledger(
    store: Store, network: Network, account: str
) -> None:
    greet(store, "harbor")
    submit(store, job("job_1", account=account))
    own = purse()
    go(store, network, own)
    assert state(store, "job_1") is JobState.LEASED
    run_to_end(store, "job_1", hours=0.01)
    total = settle(store, network, own, NOW + HOUR)
    assert posted(store, project_id(account, UNIT, budget=False)) == -total


def test_a_budget_stops_a_job_before_it_starts_until_there_is_money(
    store: Store, network: Network
) -> None:
    greet(store, "harbor")
    name = with_budget(store, "lab", 1_000_000)
    submit(store, job("job_1", account="lab", duration_ms=HOUR))  # 4 cpus at 0.55 and power
    own = purse()
    go(store, network, own)
    record = load_job(store, "job_1")
    assert record is not None
    assert record.state is JobState.HELD
    assert "1.00 CNY are left to project lab" in record.holds[0].text
    assert available(store, name) == 1_000_000
    held = load_held(store)
    assert funded(store, own, held, NOW) == []
    give(
        store,
        Account(account_id=name, kind=AccountKind.PROJECT, unit=UNIT, owner="lab"),
        4_000_000,
        "more",
    )
    (change,) = funded(store, own, held, NOW)
    with store.together():
        apply_changes(store, [change], "let it go on", NOW + 1)
    go(store, network, own, NOW + 1)
    assert state(store, "job_1") is JobState.LEASED
    assert 0 <= available(store, name) < 5_000_000
    run_to_end(store, "job_1", hours=0.5, began_ms=NOW + 1)
    total = settle(store, network, own, NOW + HOUR)
    assert available(store, name) == posted(store, name) == 5_000_000 - total


def test_two_jobs_are_not_promised_the_same_money(store: Store, network: Network) -> None:
    greet(store, "harbor", "basin")
    with_budget(store, "lab", 3_500_000)
    submit(store, job("job_1", account="lab", duration_ms=HOUR),
           job("job_2", account="lab", duration_ms=HOUR))  # fmt: skip
    go(store, network, purse())
    states = sorted(state(store, one).value for one in ("job_1", "job_2"))
    assert states == ["held", "leased"]


@pytest.mark.parametrize("on_empty", ["suspend", "cancel", "run-on"])
@pytest.mark.parametrize("saves", [True, False])
def test_money_that_runs_out_in_mid_run(
    store: Store, network: Network, on_empty: money.OnEmpty, saves: bool
) -> None:
    greet(store, "harbor")
    name = with_budget(store, "lab", 2_000_000, on_empty)
    checkpoint = Checkpoint(path="c", every_ms=1000) if saves else None
    submit(store, job("job_1", account="lab", duration_ms=HOUR // 4, checkpoint=checkpoint))
    own = purse()
    go(store, network, own)
    run = load_job(store, "job_1").live_run  # type: ignore[union-attr]
    assert run is not None
    poll_site(store, "harbor", 1, (), TTL, NOW)
    report_run(store, run.run_id, RunStarted(run_id=run.run_id, token=run.token), NOW)
    assert outlasting(store, NOW + HOUR // 5, network) == []
    late = NOW + HOUR // 4
    runs = outlasting(store, late, network)
    assert len(runs) == 1
    with store.together():
        assert own.extend(store, network, runs, late) == []
    assert outlasting(store, late, network) == [], "held further"
    later = NOW + 3 * HOUR
    runs = outlasting(store, later, network)
    with store.together():
        (short,) = own.extend(store, network, runs, later)
    change = end_of_money(short, runs)
    if on_empty == "run-on" or (on_empty == "suspend" and not saves):
        assert change is None
    else:
        assert change is not None
        with store.together():
            apply_changes(store, [change], "stop it", later)
        wanted = JobState.SUSPENDING if on_empty == "suspend" else JobState.CANCELLING
        assert state(store, "job_1") is wanted
        assert isinstance(change.event, PauseRequested) == (on_empty == "suspend")
    run_to_end(store, "job_1", hours=3.0)
    total = settle(store, network, own, later)
    assert total > 2_000_000
    assert 0 <= posted(store, name) < 1_000_000, "no budget is overspent"
    borne = -posted(store, standard_id(AccountKind.EXTERNAL, UNFUNDED, UNIT))
    assert borne + (2_000_000 - posted(store, name)) == total


def test_a_job_that_cannot_be_read_keeps_no_other_run_from_its_money(
    store: Store, network: Network
) -> None:
    """Found by fault simulation (seed 134407): one spoiled row had stopped the loop for all."""
    greet(store, "harbor", "basin")
    own = purse()
    with_budget(store, "lab", 50_000_000)
    submit(store, job("job_1", account="lab", duration_ms=HOUR),
           job("job_2", account="lab", duration_ms=HOUR))  # fmt: skip
    go(store, network, own)
    before = outlasting(store, NOW + 2 * HOUR, network)
    assert {run.job_id for run, *_ in before} == {"job_1", "job_2"}
    with store.write() as connection:
        connection.execute(update(JOBS).where(JOBS.c.job_id == "job_1").values(spec="[]"))
    store.specs.clear()  # as after a restart
    runs = outlasting(store, NOW + 2 * HOUR, network)
    assert [run.job_id for run, *_ in runs] == ["job_2"]
    assert not money.never_granted(store), "what is held for it is not given back"


def test_a_refusal_that_is_no_lack_of_money_stops_nobody(store: Store, network: Network) -> None:
    """The hold's id is taken by other content: the run goes on, and is looked at again later."""
    greet(store, "harbor")
    name = with_budget(store, "lab", 50_000_000)
    submit(store, job("job_1", account="lab", duration_ms=HOUR // 4))
    own = purse()
    go(store, network, own)
    run = load_job(store, "job_1").live_run  # type: ignore[union-attr]
    assert run is not None
    taken = Transfer(
        transfer_id=f"{run.run_id}:hold:1:0", kind=TransferKind.POSTED, debit=OUTSIDE, credit=name,
        amount=1,
    )  # fmt: skip
    (answer,) = ledger.post(store, (taken,), NOW)
    assert isinstance(answer, Accepted)
    late = NOW + HOUR // 4
    runs = outlasting(store, late, network)
    before = available(store, name)
    with store.together():
        assert own.extend(store, network, runs, late) == []
    assert available(store, name) == before
    assert outlasting(store, late, network) == []
    assert len(outlasting(store, late + HOUR, network)) == 1


def test_a_run_that_is_not_granted_after_all_gives_its_money_back(
    store: Store, network: Network
) -> None:
    greet(store, "harbor")
    name = with_budget(store, "lab", 50_000_000)
    submit(store, job("job_1", account="lab"), job("job_2", account="lab"))
    own = purse()
    before = look(store, network)
    decided = plan(before.snapshot, before.to_place, POLICY, NOW)
    with store.together():
        apply_plan(store, decided, before, TTL, NOW, own)
    first = available(store, name)
    assert first < 50_000_000
    with store.together():  # the same plan again: the jobs have changed, nothing is granted
        apply_plan(store, decided, before, TTL, NOW, own)
    assert available(store, name) == first


def test_a_run_granted_since_it_was_seen_keeps_its_money(store: Store, network: Network) -> None:
    """A look may fall between a run's money and its grant."""
    greet(store, "harbor")
    name = with_budget(store, "lab", 50_000_000)
    submit(store, job("job_1", account="lab"))
    own = purse()
    go(store, network, own)
    record = load_job(store, "job_1")
    assert record is not None
    assert record.live_run is not None
    held = available(store, name)
    with store.together():
        return_strays(store, own, {record.live_run.run_id}, NOW)
    assert available(store, name) == held < 50_000_000


def test_a_hold_whose_run_was_never_granted_is_found_and_given_back(
    store: Store, network: Network
) -> None:
    greet(store, "harbor")
    name = with_budget(store, "lab", 50_000_000)
    submit(store, job("job_1", account="lab"))
    own = purse()
    start = Start(run_id="run_lost", job=job("job_1", account="lab"), place=AT_EAST)
    with store.together():
        assert own.reserve(store, network, [start], NOW) == {}
    assert available(store, name) < 50_000_000
    assert money.never_granted(store) == {"run_lost"}
    with store.together():
        return_strays(store, own, {"run_other"}, NOW)
    assert available(store, name) < 50_000_000, "not seen by an earlier look"
    with store.together():
        return_strays(store, own, {"run_lost"}, NOW)
    assert available(store, name) == 50_000_000
    assert not money.never_granted(store)
    assert outlasting(store, NOW + 2 * HOUR, network) == []


def admitted(store: Store, pot_micros: int) -> str:
    create_organisation(
        store, Organisation(organisation="firm", label="", created_ms=NOW, created_by="op")
    )
    create_project(
        store,
        Project(project="lab", organisation="firm", label="", created_ms=NOW, created_by="op"),
    )
    money.save_claim(store, VoucherClaim(id="c1", rule="half", entity="firm"), NOW, "the city")
    money.show_fact(store, "firm", NamedFact(name="firm", value=True, evidence="papers"), NOW, "op")
    money.save_contract(store, "firm", Contract(id="k1", value_micros=10**12), NOW, "op")
    pot = pot_account(HALF, 2027, UNIT)
    give(store, pot, pot_micros)
    return pot.account_id


def test_a_voucher_pays_its_share_from_what_its_funder_has_put_in(
    store: Store, network: Network
) -> None:
    greet(store, "harbor")
    pot = admitted(store, 10_000_000)
    assert pot == pot_id("half", 2027, UNIT)
    submit(store, job("job_1", account="lab", duration_ms=HOUR))
    own = purse(HALF)
    go(store, network, own)
    assert state(store, "job_1") is JobState.LEASED
    assert available(store, pot) < 10_000_000, "held"
    run_to_end(store, "job_1", hours=1.0)
    total = settle(store, network, own, NOW + HOUR)
    ((_, bill),) = load_bills(store, "job_1")
    assert 10_000_000 - posted(store, pot) == bill.device_micros // 2
    own_part = -posted(store, project_id("lab", UNIT, budget=False))
    assert own_part + bill.device_micros // 2 == total
    usage = money.load_usage(store)
    assert usage.pot["half", 2027] == bill.device_micros // 2
    (party,) = money.load_parties(store, ["lab"]).values()
    assert party.entity.name == "firm"
    assert party.contract is not None


def test_an_announced_pot_that_nobody_filled_pays_nothing(store: Store, network: Network) -> None:
    greet(store, "harbor")
    pot = admitted(store, 100_000)
    submit(store, job("job_1", account="lab", duration_ms=HOUR))
    own = purse(HALF)
    go(store, network, own)
    run_to_end(store, "job_1", hours=1.0)
    total = settle(store, network, own, NOW + HOUR)
    assert posted(store, pot) == 0, "all that was in it"
    assert -posted(store, project_id("lab", UNIT, budget=False)) == total - 100_000


def test_a_reward_is_paid_to_the_site_beside_the_price(store: Store, network: Network) -> None:
    greet(store, "harbor")
    reward = replace(HALF, pays="supplier", share_ppm=Figure(value=100_000))
    pot = admitted(store, 10_000_000)
    submit(store, job("job_1", account="lab", duration_ms=HOUR))
    own = purse(reward)
    go(store, network, own)
    run_to_end(store, "job_1", hours=1.0)
    total = settle(store, network, own, NOW + HOUR)
    ((_, bill),) = load_bills(store, "job_1")
    assert -posted(store, project_id("lab", UNIT, budget=False)) == total
    assert 10_000_000 - posted(store, pot) == bill.device_micros // 10
    earned = posted(store, standard_id(AccountKind.SITE, "harbor", UNIT))
    assert earned == bill.device_micros + bill.device_micros // 10


def end_together(store: Store, own: Purse, network: Network, *jobs: str) -> list[Owed]:
    """Runs that ended after an hour each, as they are to be settled."""
    for one in jobs:
        run_to_end(store, one, hours=1.0)
    return [
        Owed(ended=one, charged=run_charge(store, network, own, one), now_ms=NOW + HOUR)
        for one in unsettled_runs(store)
    ]


def books(store: Store) -> dict[str, tuple[int, ...]]:
    return {one.account.account_id: tuple(one.balances) for one in list_accounts(store)}


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("pot", [100_000, 1_500_000, 10_000_000])
def test_runs_settled_together_are_paid_as_one_after_another(
    store: Store, network: Network, one_by_one: bool, pot: int
) -> None:
    """With a pot that has enough for none, for some or for all of them."""
    greet(store, "harbor", "basin")
    name = admitted(store, pot)
    own = purse(HALF)
    submit(store, *(job(f"job_{n}", account="lab", duration_ms=HOUR) for n in range(3)))
    go(store, network, own)
    asked = end_together(store, own, network, "job_0", "job_1", "job_2")
    assert len(asked) == 3
    for some in [[one] for one in asked] if one_by_one else [asked]:
        with store.together():
            assert settle_runs(store, own, some) == [True] * len(some)
    total = sum(one.charged.bill.total_micros for one in asked)
    device = sum(one.charged.bill.device_micros // 2 for one in asked)
    assert pot - posted(store, name) == money.load_usage(store).pot["half", 2027]
    assert pot - posted(store, name) == min(pot, device)
    assert -posted(store, project_id("lab", UNIT, budget=False)) == total - min(pot, device)


def test_one_of_several_that_cannot_pay_is_borne_by_the_network(
    store: Store, network: Network
) -> None:
    greet(store, "harbor", "basin")
    own = purse()
    poor = with_budget(store, "poor", 3_500_000)
    rich = with_budget(store, "rich", 50_000_000)
    submit(store, job("job_1", account="poor", duration_ms=HOUR),
           job("job_2", account="rich", duration_ms=HOUR))  # fmt: skip
    go(store, network, own)
    run_to_end(store, "job_1", hours=20.0)
    run_to_end(store, "job_2", hours=1.0)
    total = settle(store, network, own, NOW + 20 * HOUR)
    assert 0 <= posted(store, poor) < 3_500_000
    borne = -posted(store, standard_id(AccountKind.EXTERNAL, UNFUNDED, UNIT))
    assert borne > 0
    assert (3_500_000 - posted(store, poor)) + (50_000_000 - posted(store, rich)) + borne == total


def test_one_that_the_ledger_refuses_takes_nothing_of_the_others(
    store: Store, network: Network
) -> None:
    """The id of its posting is taken by other content: together all raise, alone the others go."""
    greet(store, "harbor", "basin")
    own = purse()
    name = with_budget(store, "lab", 50_000_000)
    submit(store, *(job(f"job_{n}", account="lab", duration_ms=HOUR) for n in range(3)))
    go(store, network, own)
    asked = end_together(store, own, network, "job_0", "job_1", "job_2")
    taken = Transfer(
        transfer_id=f"{asked[1].ended.run.run_id}:post:0:0", kind=TransferKind.POSTED,
        debit=OUTSIDE, credit=name, amount=1,
    )  # fmt: skip
    (answer,) = ledger.post(store, (taken,), NOW)
    assert isinstance(answer, Accepted)
    before = books(store)

    async def ask() -> list[object]:
        writer, bulk = Writer(store), Bulk(partial(settle_runs, store, own), 10)
        go_on = threading.Event()
        first = asyncio.create_task(writer.write(go_on.wait))
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(writer.write_in_bulk(bulk, one)) for one in asked]
        await asyncio.sleep(0)
        go_on.set()
        told = await asyncio.gather(*tasks, return_exceptions=True)
        await first
        writer.close()
        return list(told)

    told = asyncio.run(ask())
    assert [told[0], type(told[1]), told[2]] == [True, LedgerBroken, True]
    assert books(store) != before
    assert [one.run.run_id for one in unsettled_runs(store)] == [asked[1].ended.run.run_id]
    paid = asked[0].charged.bill.total_micros + asked[2].charged.bill.total_micros
    assert posted(store, name) == 50_000_001 - paid


def test_vouchers_are_not_counted_for_one_that_is_not_held_for(
    store: Store, network: Network
) -> None:
    """Three ask at once; the project has not the money for the first. What its funder would have
    paid for that is there for the others."""
    greet(store, "harbor", "basin")
    pot = admitted(store, 1_500_000)
    own = purse(HALF)
    with_budget(store, "lab", 4_000_000)  # enough for an hour that a pot helps to pay
    long = replace(AT_EAST, duration_ms=4 * HOUR)
    starts = [
        Start(run_id=f"run_{n}", job=job(f"job_{n}", account="lab"), place=one)
        for n, one in enumerate((long, AT_EAST, AT_EAST))
    ]
    with store.together():
        short = own.reserve(store, network, starts, NOW)
    assert set(short) == {"run_0", "run_2"}
    assert "left to project lab" in short["run_0"].text
    half = money.load_usage(store).pot["half", 2027]
    assert half == 4 * 550_000 // 2, "of the one that is held for"
    assert available(store, pot) == 1_500_000 - half
    with store.together():
        again = own.reserve(store, network, [replace(starts[2], run_id="run_3")], NOW)
    assert set(again) == {"run_3"}


def test_who_waits_for_a_pot_is_told_which_one_and_what_it_lacks(
    store: Store, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is promised more than there is; were it so all the same, the ledger refuses."""
    greet(store, "harbor")
    pot = admitted(store, 1_500_000)
    own = purse(HALF)
    first, second = (
        Start(run_id=f"run_{n}", job=job(f"job_{n}", account="lab"), place=AT_EAST) for n in (0, 1)
    )
    with store.together():
        assert own.reserve(store, network, [first], NOW) == {}
    monkeypatch.setattr(Purse, "usage_of", lambda *_: NO_USAGE)
    with store.together():
        short = own.reserve(store, network, [second], NOW)
    assert short["run_1"].text == f"1.10 CNY may be needed of {pot}, 0.4000 CNY are left there"
    assert not own.may_go_on(store, "job_1", "lab", NOW + 1)
    assert available(store, pot) == 400_000
