"""Readings post parts in mid-run: at any cuts, after crashes and repeats, a run costs what its bill
says, the same payers pay the same, and the auditor balances (the ``store`` fixture's last word)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from test_purse import (
    HALF,
    HOUR,
    NOW,
    UNIT,
    admitted,
    available,
    give,
    go,
    network,
    posted,
    purse,
    settle,
    store,
    with_budget,
)
from test_server_parts import TTL, greet, job, submit

from westward.control.events import RunEnded, RunStarted
from westward.control.records import RunRecord
from westward.ledger.accounts import Account, AccountKind, standard_id
from westward.ledger.transfers import Accepted, Transfer, TransferKind
from westward.model.network import Network
from westward.model.voucher import Rule
from westward.model.wire import Reading
from westward.server.budgets import outlasting
from westward.server.posting import Posting, post_readings, postings
from westward.server.purse import Purse, project_id
from westward.settlement.charges import Charge
from westward.settlement.periods import period_of
from westward.settlement.reconcile import reconcile
from westward.store import ledger, money
from westward.store.database import Store
from westward.store.jobs import load_job
from westward.store.ledger_reading import transfers_about
from westward.store.lifecycle import report_run
from westward.store.metering import load_bills, record_readings
from westward.store.reconcile import load_run_facts
from westward.store.settlement import run_charges
from westward.store.sites import poll_site

__all__ = ["network", "store"]
POT = 10_000_000


def began(store: Store, network: Network, own: Purse, account: str = "lab") -> RunRecord:
    greet(store, "harbor")
    submit(store, job("job_1", account=account, duration_ms=HOUR))
    go(store, network, own)
    run = load_job(store, "job_1").live_run  # type: ignore[union-attr]
    assert run is not None
    poll_site(store, "harbor", 1, (), TTL, NOW)
    report_run(store, run.run_id, RunStarted(run_id=run.run_id, token=run.token), NOW)
    return run


def reading(run: RunRecord, sequence: int, wall_ms: int) -> Reading:
    return Reading(
        sequence=sequence, wall_ms=wall_ms, device_milli_ms=run.need_milli * wall_ms, cpu_ms=1,
        max_rss_kib=1,
    )  # fmt: skip


def made(store: Store, network: Network, own: Purse) -> list[Posting]:
    return postings(store, own, money.going_on(store), lambda _at_ms: network, NOW)


def summed(charges: Sequence[Charge], by: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for one in charges:
        sums[getattr(one, by)] = sums.get(getattr(one, by), 0) + one.micros
    return sums


def post_now(store: Store, network: Network, own: Purse, now_ms: int) -> int:
    found = made(store, network, own)
    with store.together():
        return post_readings(store, own, found, now_ms)


def run_in_parts(
    store: Store, network: Network, own: Purse, run: RunRecord, cuts: Sequence[int]
) -> None:
    """Metered up to each cut, ms from the start, and posted there; the last is the run's end."""
    for sequence, (since, until) in enumerate(pairwise([0, *cuts])):
        one = reading(run, sequence, until - since)
        if until != cuts[-1]:
            assert record_readings(store, run.run_id, run.token, (one,), NOW + until) is None
            assert post_now(store, network, own, NOW + until) == 1
            assert post_now(store, network, own, NOW + until) == 0, "nothing new was metered"
        else:
            end = RunEnded(run_id=run.run_id, token=run.token, outcome="succeeded", exit_code=0)
            report_run(store, run.run_id, end, NOW + until, (one,))


@pytest.mark.parametrize("rules", [(), (HALF,)], ids=["alone", "with a voucher"])
@pytest.mark.parametrize(
    "cuts",
    [(HOUR,), (1, HOUR), (HOUR // 3, HOUR // 2, HOUR), tuple(range(7_777, HOUR, 400_000))],
    ids=["at the end", "a moment", "two", "many"],
)
def test_however_it_is_cut_the_same_payers_pay_the_same(
    store: Store, network: Network, rules: tuple[Rule, ...], cuts: tuple[int, ...]
) -> None:
    pot = admitted(store, POT)
    own = purse(*rules)
    run = began(store, network, own)
    run_in_parts(store, network, own, run, cuts)
    total = settle(store, network, own, NOW + HOUR)
    ((_, bill),) = load_bills(store, "job_1")
    half = bill.device_micros // 2 if rules else 0
    lab = project_id("lab", UNIT, budget=False)
    assert POT - posted(store, pot) == half
    assert -posted(store, lab) == -available(store, lab) == total - half
    assert posted(store, standard_id(AccountKind.SITE, "harbor", UNIT)) == bill.device_micros
    assert posted(store, standard_id(AccountKind.NETWORK_POWER, "", UNIT)) == bill.power_micros
    charges = run_charges(store, run.run_id)
    paid = {"lab": total - half} | ({"pot:half-2027": half} if rules else {})
    assert summed(charges, "payer") == paid, "statements say what the ledger's rows say"
    earned = {
        "site:harbor": bill.device_micros,
        "network-power": bill.power_micros,
        "rounding": bill.rounding_micros,
    }
    assert summed(charges, "earner") == {name: one for name, one in earned.items() if one}
    groups = {one.recorded.transfer.group_id for one in transfers_about(store, "job_1")}
    assert {one for one in groups if ":post:" in one} == {
        f"{run.run_id}:post:{number}" for number in range(len(cuts))
    }


def test_a_part_is_in_the_ledger_before_the_run_ends(store: Store, network: Network) -> None:
    own = purse()
    name = with_budget(store, "lab", 50_000_000)
    run = began(store, network, own)
    free = available(store, name)
    record_readings(store, run.run_id, run.token, (reading(run, 0, HOUR // 2),), NOW)
    assert post_now(store, network, own, NOW + HOUR // 2) == 1
    assert posted(store, name) < 50_000_000, "what was used is paid"
    assert available(store, name) == free, "out of what was held"
    for sequence, wall_ms, parts in ((1, HOUR // 100, 0), (2, HOUR // 20, 1)):
        one = reading(run, sequence, wall_ms)
        record_readings(store, run.run_id, run.token, (one,), NOW)
        assert post_now(store, network, own, NOW + HOUR // 2) == parts, "a tenth is worth its rows"


def test_a_write_that_breaks_off_posts_nothing_and_comes_again(
    store: Store, network: Network
) -> None:
    own = purse()
    run = began(store, network, own)
    record_readings(store, run.run_id, run.token, (reading(run, 0, HOUR // 2),), NOW)
    found = made(store, network, own)

    def breaks_off() -> None:
        with store.together():
            assert post_readings(store, own, found, NOW) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaks_off()
    assert all(one.hold is not None for one in transfers_about(store, "job_1"))
    fresh = purse()  # as after a restart: nothing of it is remembered
    with store.together():
        assert post_readings(store, fresh, found, NOW) == 1
    with store.together():
        assert post_readings(store, fresh, found, NOW) == 0, "posted for since"
    again = ledger.post(store, found[0].transfers, NOW)
    assert all(isinstance(one, Accepted) and one.repeated for one in again)


def test_what_the_holds_do_not_have_waits_for_the_end(store: Store, network: Network) -> None:
    """A run far beyond its hold: nothing is taken from anybody's other money before its end."""
    own = purse()
    name = with_budget(store, "lab", 5_000_000)
    run = began(store, network, own)
    record_readings(store, run.run_id, run.token, (reading(run, 0, 3 * HOUR),), NOW)
    account = Account(account_id=name, kind=AccountKind.PROJECT, unit=UNIT, owner="lab")
    give(store, account, 10_000_000, "more")
    assert post_now(store, network, own, NOW + 3 * HOUR) == 0
    assert posted(store, name) == 15_000_000
    end = RunEnded(run_id=run.run_id, token=run.token, outcome="succeeded", exit_code=0)
    report_run(store, run.run_id, end, NOW + 3 * HOUR, ())
    total = settle(store, network, own, NOW + 3 * HOUR)
    assert posted(store, name) == available(store, name) == 15_000_000 - total


def test_a_run_that_was_settled_meanwhile_is_left_alone(store: Store, network: Network) -> None:
    own = purse()
    run = began(store, network, own)
    record_readings(store, run.run_id, run.token, (reading(run, 0, HOUR // 2),), NOW)
    found = made(store, network, own)
    assert len(found) == 1
    end = RunEnded(run_id=run.run_id, token=run.token, outcome="succeeded", exit_code=0)
    report_run(store, run.run_id, end, NOW + HOUR // 2, ())
    total = settle(store, network, own, NOW + HOUR)
    with store.together():
        assert post_readings(store, own, found, NOW + HOUR) == 0
    assert -posted(store, project_id("lab", UNIT, budget=False)) == total


def test_holding_further_keeps_what_was_posted_or_settled_since_the_look(
    store: Store, network: Network
) -> None:
    """The loop that holds further reads a run's money some time before it writes: what was posted
    in between was lost, and the run could never be settled (found by the fault simulation)."""
    own = purse()
    run = began(store, network, own)
    seen = outlasting(store, NOW + 10 * HOUR, network)
    assert len(seen) == 1
    record_readings(store, run.run_id, run.token, (reading(run, 0, HOUR // 2),), NOW)
    assert post_now(store, network, own, NOW + HOUR // 2) == 1
    with store.together():
        assert own.extend(store, network, seen, NOW + HOUR // 2) == []
    known = money.load_runs(store, [run.run_id])[run.run_id]
    assert (known.postings, known.holds) == (1, 2)
    assert known.posted is not None
    end = RunEnded(run_id=run.run_id, token=run.token, outcome="succeeded", exit_code=0)
    report_run(store, run.run_id, end, NOW + HOUR, (reading(run, 1, HOUR // 2),))
    total = settle(store, network, own, NOW + HOUR)
    assert -posted(store, project_id("lab", UNIT, budget=False)) == total
    with store.together():
        assert own.extend(store, network, seen, NOW + HOUR) == []
    assert money.load_runs(store, [run.run_id])[run.run_id].settled, "and stays so"


def test_the_ledgers_side_of_the_reconciliation_is_its_own_rows(
    store: Store, network: Network
) -> None:
    own = purse()
    run = began(store, network, own)
    run_in_parts(store, network, own, run, (HOUR // 2, HOUR))
    total = settle(store, network, own, NOW + HOUR)
    month = period_of(NOW + HOUR, 0)

    def differences() -> list[tuple[str, int | None]]:
        facts = [one for _, one in load_run_facts(store, "harbor", month)]
        posted_by = {one.run_id: one.posted_micros for one in facts if one.posted_micros}
        assert posted_by, "there are rows"
        found = reconcile(facts, None, posted_by).findings
        return [(one.code, one.size_micros) for one in found if one.between == "bill/ledger"]

    assert differences() == []
    lab = project_id("lab", UNIT, budget=False)
    wrong = Transfer(
        transfer_id="wrong", kind=TransferKind.POSTED, debit=lab, amount=7, job_id="job_1",
        credit=standard_id(AccountKind.EXTERNAL, "", UNIT), run_id=run.run_id,
    )  # fmt: skip
    assert isinstance(ledger.post(store, [wrong], NOW + HOUR)[0], Accepted)
    assert differences() == [("transfer-differs", -7)]
    assert summed(run_charges(store, run.run_id), "payer") == {"lab": total}, "the bill stands"
