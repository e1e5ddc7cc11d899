"""Every paper is the same money: charges, statements and invoices of any months add up to the bills
to the last millionth, whatever the splits, disputes, payouts and UTC offsets."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from westward.ledger.price import Bill
from westward.model.units import MS_PER_DAY
from westward.settlement.charges import (
    BilledRun,
    Charge,
    OwnedRead,
    Share,
    allocate,
    apportion,
    charges_of,
)
from westward.settlement.disputes import Dispute, with_corrections
from westward.settlement.invoices import invoice
from westward.settlement.money import exact_text, micros_of, rounded_micros
from westward.settlement.periods import OFFSET_MOST_MINUTES, Period, local_text, period_of
from westward.settlement.statements import Payout, may_pay, statement

NEW_YEAR_MS = 1_798_761_600_000
"""2027-01-01T00:00:00Z."""
SPAN_MS = 70 * MS_PER_DAY
amounts = st.one_of(st.integers(0, 3), st.integers(0, 10**9))
offsets = st.integers(-OFFSET_MOST_MINUTES, OFFSET_MOST_MINUTES)
PAYERS = ("city-pot", "district-pot", "lab")


@st.composite
def billed_runs(draw: st.DrawFn) -> BilledRun:
    number = draw(st.integers(0, 10**9))
    device, power, moved, data = (draw(amounts) for _ in range(4))
    rounding = draw(st.integers(-2, 2))
    total = device + power + moved + data + rounding
    if total < 0:
        rounding, total = 0, device + power + moved + data
    bill = Bill(
        device_milli_ms=draw(amounts),
        energy_j=draw(amounts),
        carbon_location_ug=None,
        carbon_contract_ug=None,
        device_micros=device,
        power_micros=power,
        transfer_micros=moved,
        rounding_micros=rounding,
        total_micros=total,
        carbon_shown_micros=None,
        data_micros=data,
    )
    cuts = sorted(draw(st.lists(st.integers(0, total), min_size=2, max_size=2)))
    parts = (cuts[0], cuts[1] - cuts[0], total - cuts[1])
    split = draw(st.booleans())
    reads = draw(
        st.lists(
            st.builds(
                OwnedRead,
                owner=st.sampled_from(["", "archive", "museum"]),
                size_bytes=st.integers(0, 10**12),
                micros_per_gb=st.integers(0, 10**6),
            ),
            max_size=3,
        )
    )
    billed_ms = NEW_YEAR_MS + draw(st.integers(-SPAN_MS, SPAN_MS))
    return BilledRun(
        job_id=f"job_{number % 7}",
        job_name="job",
        run_id=f"run_{number}",
        attempt=1,
        site=draw(st.sampled_from(["basin", "harbor"])),
        pool="pool",
        project=draw(st.sampled_from(["lab", "local"])),
        began_ms=billed_ms - 1_000,
        ended_ms=billed_ms,
        billed_ms=billed_ms,
        bill=bill,
        reads=tuple(reads),
        moved_bytes=draw(amounts),
        shares=tuple(
            Share(payer=payer, micros=micros, reason="rule")
            for payer, micros in zip(PAYERS, parts, strict=True)
        )
        if split
        else (),
    )


run_lists = st.lists(billed_runs(), max_size=8, unique_by=lambda run: run.run_id)


def months(runs: list[BilledRun], offset: int) -> list[Period]:
    first = period_of(NEW_YEAR_MS - SPAN_MS - MS_PER_DAY, offset)
    found = [first]
    while found[-1].end_ms <= NEW_YEAR_MS + SPAN_MS + MS_PER_DAY:
        found.append(found[-1].next())
    assert all(sum(month.holds(run.billed_ms) for month in found) == 1 for run in runs)
    return found


@st.composite
def closed_disputes(draw: st.DrawFn, runs: list[BilledRun]) -> list[Dispute]:
    found = []
    for run in runs:
        if not draw(st.booleans()):
            continue
        opened_ms = run.billed_ms + draw(st.integers(0, SPAN_MS))
        due = run.bill.total_micros
        found.append(
            Dispute(
                dispute_id=f"dsp_{run.run_id}",
                run_id=run.run_id,
                job_id=run.job_id,
                site=run.site,
                part=None,
                reason="doubt",
                opened_by="lab",
                opened_ms=opened_ms,
                outcome="upheld",
                correction_micros=draw(st.integers(-due, 1_000)),
                closed_by="operator",
                closed_ms=draw(
                    st.one_of(st.none(), st.integers(opened_ms, NEW_YEAR_MS + 2 * SPAN_MS))
                ),
            )
        )
    return found


@settings(max_examples=150, deadline=None)
@given(data=st.data(), runs=run_lists, offset=offsets)
def test_statements_invoices_and_bills_are_the_same_money(
    data: st.DataObject, runs: list[BilledRun], offset: int
) -> None:
    disputes = data.draw(closed_disputes(runs))
    charges = [
        charge
        for run in runs
        for charge in with_corrections(
            charges_of(run), [one for one in disputes if one.run_id == run.run_id]
        )
    ]
    now_ms = NEW_YEAR_MS + 3 * SPAN_MS
    periods = months(runs, offset)
    while periods[-1].end_ms <= now_ms:
        periods.append(periods[-1].next())
    corrected = sum(one.correction_micros for one in disputes if one.closed_ms is not None)
    billed = sum(run.bill.total_micros for run in runs)
    earners = {one.earner for one in charges}
    projects = {one.project for one in charges}
    papers = [
        invoice(project, period, charges, now_ms) for project in projects for period in periods
    ]
    stated = 0
    for earner in earners:
        closing = 0
        for period in periods:
            found = statement(earner, period, charges, (), disputes, now_ms)
            assert found.balances.opening_micros == closing
            closing = found.balances.closing_micros
            assert found.balances.payable_micros >= 0
            stated += found.balances.earned_micros + found.balances.corrected_micros
        assert closing == sum(one.micros for one in charges if one.earner == earner)
    assert stated == billed + corrected
    assert sum(paper.micros for paper in papers) == billed + corrected
    for paper in papers:
        assert sum(line.micros for line in paper.lines) == paper.micros
        assert sum(paper.by_payer.values()) == sum(paper.by_site.values()) == paper.micros
        assert sum(page.micros for page in paper.pages) == paper.micros
        last = paper.pages[-1]
        assert last.carried_micros + last.micros == paper.micros


@settings(max_examples=200, deadline=None)
@given(run=billed_runs())
def test_the_charges_of_a_run_keep_every_margin(run: BilledRun) -> None:
    charges = charges_of(run)
    by_part: dict[str, int] = defaultdict(int)
    by_payer: dict[str, int] = defaultdict(int)
    for one in charges:
        by_part[one.part] += one.micros
        by_payer[one.payer] += one.micros
    bill = run.bill
    assert by_part["device"] == bill.device_micros
    assert by_part["power"] == bill.power_micros
    assert by_part["transfer"] == bill.transfer_micros
    assert by_part["data"] == bill.data_micros
    assert by_part["rounding"] == bill.rounding_micros
    shares = run.shares or (Share(payer=run.project, micros=bill.total_micros),)
    for share in shares:
        assert by_payer[share.payer] == share.micros
    device = [one for one in charges if one.part == "device"]
    assert sum((one.own_quantity for one in device), Fraction(0)) == bill.device_milli_ms
    assert len({one.charge_id for one in charges}) == len(charges)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.integers(-5, 1_000), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 5_000), max_size=4),
)
def test_a_table_has_the_sums_it_was_asked_for(rows: list[int], cuts: list[int]) -> None:
    total = sum(rows)
    if total < 0:
        with pytest.raises(ValueError, match="do not agree"):
            allocate(rows, [0])
        return
    edges = [0, *sorted(min(cut, total) for cut in cuts), total]
    columns = [b - a for a, b in pairwise(edges)]
    table = allocate(rows, columns)
    assert [sum(row) for row in table] == rows
    assert [sum(row[at] for row in table) for at in range(len(columns))] == columns
    assert all(cell >= 0 for row, of in zip(table, rows, strict=True) if of >= 0 for cell in row)


@settings(max_examples=200, deadline=None)
@given(
    total=st.integers(-(10**12), 10**12),
    weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=9),
)
def test_proportions_lose_nothing(total: int, weights: list[int]) -> None:
    parts = apportion(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    if whole:
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - Fraction(total * weight, whole)) <= 1


@settings(max_examples=100, deadline=None)
@given(runs=run_lists, offset=offsets, paid=st.lists(st.integers(1, 10**9), max_size=5))
def test_nobody_is_paid_more_than_owed(runs: list[BilledRun], offset: int, paid: list[int]) -> None:
    charges: list[Charge] = [one for run in runs for one in charges_of(run)]
    earner = "site:basin"
    owed = sum(one.micros for one in charges if one.earner == earner)
    payouts: list[Payout] = []
    now_ms = NEW_YEAR_MS + 2 * SPAN_MS
    for number, micros in enumerate(paid):
        found = statement(earner, period_of(now_ms, offset), charges, payouts, (), now_ms)
        payout = Payout(
            payout_id=str(number), earner=earner, micros=micros, paid_ms=now_ms - 1, reference=""
        )
        if may_pay(payout, found.balances) is None:
            payouts.append(payout)
        else:
            assert micros > owed - sum(one.micros for one in payouts)
    assert sum(one.micros for one in payouts) <= owed
    frozen = [
        Dispute(
            dispute_id=run.run_id, run_id=run.run_id, job_id="", site=run.site, part=None,
            reason="", opened_by="", opened_ms=run.billed_ms,
        )
        for run in runs
    ]  # fmt: skip
    found = statement(earner, period_of(now_ms, offset), charges, (), frozen, now_ms)
    assert found.balances.disputed_micros == owed
    assert found.balances.payable_micros == 0


@settings(max_examples=200, deadline=None)
@given(micros=st.integers(-(10**17), 10**17))
def test_text_and_back_is_the_same_amount(micros: int) -> None:
    assert micros_of(exact_text(micros)) == micros
    assert rounded_micros(micros, "CNY") % 10_000 == 0
    assert abs(rounded_micros(micros, "JPY") - micros) <= 500_000


@settings(max_examples=200, deadline=None)
@given(at_ms=st.integers(0, 4 * 10**12), offset=offsets)
def test_every_instant_is_of_one_month(at_ms: int, offset: int) -> None:
    period = period_of(at_ms, offset)
    assert period.holds(at_ms)
    assert not period.next().holds(at_ms)
    assert local_text(period.start_ms, offset) == f"{period.name}-01 00:00"
    assert 28 * MS_PER_DAY <= period.end_ms - period.start_ms <= 31 * MS_PER_DAY
