"""The correction of a closed dispute is in the ledger: real runs, the auditor at the end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from test_posting import POT, began, run_in_parts, summed
from test_purse import (
    HALF,
    HOUR,
    NOW,
    UNIT,
    admitted,
    give,
    posted,
    purse,
    run_to_end,
    settle,
    store,
    with_budget,
)
from test_server_parts import network

from westward.ledger.accounts import Account, AccountKind, standard_id
from westward.ledger.road import UNFUNDED
from westward.ledger.transfers import TransferKind
from westward.model.network import Network
from westward.server.disputing import close_and_post
from westward.server.purse import project_id
from westward.settlement.charges import Part
from westward.settlement.disputes import Dispute, Refused
from westward.settlement.periods import period_of
from westward.settlement.reconcile import reconcile
from westward.store.database import Store
from westward.store.ledger_reading import transfers_about
from westward.store.metering import load_bills
from westward.store.reconcile import load_run_facts
from westward.store.settlement import Kept, close_dispute, open_dispute, run_charges

__all__ = ["network", "store"]
LAB = project_id("lab", UNIT, budget=False)
SITE = standard_id(AccountKind.SITE, "harbor", UNIT)
POWER = standard_id(AccountKind.NETWORK_POWER, "", UNIT)


def doubt(store: Store, run_id: str, part: Part | None, name: str = "dsp_1") -> None:
    made = Dispute(
        dispute_id=name, run_id=run_id, job_id="", site="", part=part,
        reason="too much", opened_by="lab", opened_ms=NOW + HOUR,
    )  # fmt: skip
    assert isinstance(open_dispute(store, made), Kept)


def close(store: Store, micros: int, name: str = "dsp_1") -> Dispute:
    made = close_and_post(store, UNIT, name, "upheld", micros, "wrong meter", "op", NOW + 2 * HOUR)
    assert isinstance(made, Dispute)
    return made


def differences(store: Store) -> list[tuple[str, int | None]]:
    facts = [one for _, one in load_run_facts(store, "harbor", period_of(NOW + HOUR, 0))]
    posted_by = {one.run_id: one.posted_micros for one in facts if one.posted_micros is not None}
    found = reconcile(facts, None, posted_by).findings
    return [(one.code, one.size_micros) for one in found if one.between == "bill/ledger"]


def by(store: Store, run_id: str, name: str) -> dict[str, int]:
    return summed(run_charges(store, run_id), name)


@pytest.mark.parametrize("part", ["device", None])
@pytest.mark.parametrize("cuts", [(HOUR,), (HOUR // 3, HOUR // 2, HOUR)])
def test_what_is_taken_back_goes_back_to_everybody_who_paid(
    store: Store, network: Network, part: str | None, cuts: Sequence[int]
) -> None:
    pot = admitted(store, POT)
    own = purse(HALF)
    run = began(store, network, own)
    run_in_parts(store, network, own, run, tuple(cuts))
    settle(store, network, own, NOW + HOUR)
    doubt(store, run.run_id, part)
    close(store, -1_000_001)
    # The ledger's balances are what the charges with their corrections say, to the millionth.
    payers, earners = by(store, run.run_id, "payer"), by(store, run.run_id, "earner")
    assert (-posted(store, LAB), POT - posted(store, pot)) == (
        payers["lab"], payers["pot:half-2027"],
    )  # fmt: skip
    assert (posted(store, SITE), posted(store, POWER)) == (
        earners["site:harbor"], earners["network-power"],
    )  # fmt: skip
    ((_, bill),) = load_bills(store, "job_1")
    if part == "device":
        assert posted(store, SITE) == bill.device_micros - 1_000_001
        assert posted(store, POWER) == bill.power_micros
    assert differences(store) == []
    rows = [one.recorded.transfer for one in transfers_about(store, "job_1")]
    made = [one for one in rows if one.category == "correction"]
    known = {one.transfer_id: one for one in rows}
    assert made
    for one in made:
        wrong = known[one.corrects]
        assert {wrong.debit, wrong.credit} == {one.debit, one.credit}
        assert wrong.kind in (TransferKind.POSTED, TransferKind.POST)
        assert one.reason == "dispute dsp_1: wrong meter"
    close(store, -1_000_001)
    assert len(transfers_about(store, "job_1")) == len(rows), "a repeat changes nothing"


def test_one_correction_after_another(store: Store, network: Network) -> None:
    admitted(store, POT)
    own = purse(HALF)
    run = began(store, network, own)
    run_in_parts(store, network, own, run, (HOUR,))
    settle(store, network, own, NOW + HOUR)
    for name, micros in (("dsp_1", -700_003), ("dsp_2", 200_001), ("dsp_3", -1)):
        doubt(store, run.run_id, "device", name)
        close(store, micros, name)
        assert posted(store, SITE) == by(store, run.run_id, "earner")["site:harbor"]
        assert -posted(store, LAB) == by(store, run.run_id, "payer")["lab"]
        assert differences(store) == []


def test_what_a_payer_has_not_for_a_higher_bill_the_network_bears(
    store: Store, network: Network
) -> None:
    own = purse()
    name = with_budget(store, "lab", 6_000_000)
    run = began(store, network, own)
    run_to_end(store, "job_1", hours=1.0)
    total = settle(store, network, own, NOW + HOUR)
    left = posted(store, name)
    assert left == 6_000_000 - total > 0
    doubt(store, run.run_id, None)
    close(store, left + 1)
    unfunded = standard_id(AccountKind.EXTERNAL, UNFUNDED, UNIT)
    assert (posted(store, name), -posted(store, unfunded)) == (left, left + 1)
    assert differences(store) == []
    give(store, Account(account_id=name, kind=AccountKind.PROJECT, unit=UNIT, owner="lab"), 9, "m")
    doubt(store, run.run_id, None, "dsp_2")
    close(store, left + 9, "dsp_2")
    assert (posted(store, name), -posted(store, unfunded)) == (0, left + 1)


def test_one_that_was_closed_before_corrections_were_posted(store: Store, network: Network) -> None:
    own = purse()
    run = began(store, network, own)
    run_to_end(store, "job_1", hours=1.0)
    settle(store, network, own, NOW + HOUR)
    doubt(store, run.run_id, "device")
    close_dispute(store, "dsp_1", "upheld", -500, "wrong meter", "op", NOW + 2 * HOUR)
    assert differences(store) == [("correction-not-posted", -500)]
    close(store, -500)
    assert differences(store) == []


def test_what_is_refused_or_rejected_posts_nothing(store: Store, network: Network) -> None:
    own = purse()
    run = began(store, network, own)
    run_to_end(store, "job_1", hours=1.0)
    total = settle(store, network, own, NOW + HOUR)
    doubt(store, run.run_id, None)
    before = len(transfers_about(store, "job_1"))
    too_large = close_and_post(store, UNIT, "dsp_1", "upheld", -total - 1, "", "op", NOW + HOUR)
    assert isinstance(too_large, Refused)
    rejected = close_and_post(store, UNIT, "dsp_1", "rejected", 0, "", "op", NOW + HOUR)
    assert isinstance(rejected, Dispute)
    assert len(transfers_about(store, "job_1")) == before
    assert differences(store) == []
