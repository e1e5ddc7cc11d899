"""Settlement: months, amounts, cells, papers with hostile names, disputes and
statements out of a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import insert

from tests.databases import DATABASES, new_database
from westward.ledger.price import BILL_FIELDS, Bill
from westward.model.job import DataInput, JobSpec, ResourceOption
from westward.settlement.cells import csv_text, safe_text
from westward.settlement.charges import (
    NETWORK_POWER,
    BilledRun,
    Charge,
    OwnedRead,
    Share,
    allocate,
    charges_of,
    owner_account,
    site_account,
)
from westward.settlement.disputes import Dispute, Refused
from westward.settlement.focus import COLUMNS, SiteFacts, focus_row
from westward.settlement.invoices import LINES_A_PAGE, invoice
from westward.settlement.money import decimals_of, exact_shown, micros_of, rounded_shown
from westward.settlement.page import Details, render_invoice
from westward.settlement.periods import Period, parse_offset, parse_period, period_of
from westward.settlement.statements import Payout
from westward.store.database import Store, open_store
from westward.store.jobs import submit_jobs
from westward.store.reconcile import load_run_facts
from westward.store.results import Submission
from westward.store.schema import BILLS, DATA_USES, DATASETS, READINGS, RUNS
from westward.store.settlement import (
    Kept,
    Paid,
    answer_dispute,
    billed_runs,
    close_dispute,
    correction_charges,
    every_billed_run,
    load_disputes,
    load_statement,
    open_dispute,
    pay,
    run_charges,
)

MAY = parse_period("2026-05", "+08:00")
HOUR_MS = 3_600_000


def bill(device: int, power: int = 0, moved: int = 0, data: int = 0, rounding: int = 0) -> Bill:
    return Bill(
        device_milli_ms=device * 1_000,
        energy_j=power * 10,
        carbon_location_ug=None,
        carbon_contract_ug=None,
        device_micros=device,
        power_micros=power,
        transfer_micros=moved,
        rounding_micros=rounding,
        total_micros=device + power + moved + data + rounding,
        carbon_shown_micros=None,
        data_micros=data,
    )


def billed(number: int = 1, **more: object) -> BilledRun:
    given: dict[str, object] = {
        "job_id": f"job_{number}",
        "job_name": "train",
        "run_id": f"run_{number}",
        "attempt": 1,
        "site": "basin",
        "pool": "west",
        "project": "lab",
        "began_ms": MAY.start_ms,
        "ended_ms": MAY.start_ms + HOUR_MS,
        "billed_ms": MAY.start_ms + HOUR_MS,
        "bill": bill(1_000_000, 500_000),
        **more,
    }
    return BilledRun(**given)  # type: ignore[arg-type]


# -- months, amounts, cells


def test_a_month_begins_at_local_midnight() -> None:
    assert MAY.start_ms == parse_period("2026-05").start_ms - 8 * HOUR_MS
    assert MAY.next().name == "2026-06"
    ends = [MAY.holds(at) for at in (MAY.start_ms - 1, MAY.start_ms, MAY.end_ms - 1, MAY.end_ms)]
    assert ends == [False, True, True, False]
    assert parse_period("2026-12").next() == Period(year=2027, month=1)
    assert period_of(MAY.start_ms, 0).name == "2026-04"
    assert [parse_offset(text) for text in ("Z", "-03:30", "+14:00")] == [0, -210, 840]


@pytest.mark.parametrize(
    ("rows", "columns"),
    [([5, -1], [5, -1]), ([-5], [-5]), ([10, 3, -2], [12, -1]), ([2, 8, 1], [-3, 7, 7])],
)
def test_what_a_payer_got_back_keeps_every_margin(rows: list[int], columns: list[int]) -> None:
    table = allocate(rows, columns)
    assert [sum(row) for row in table] == rows
    assert [sum(column) for column in zip(*table, strict=True)] == columns


@pytest.mark.parametrize("month", ["2026-13", "2026", "26-01", "2026-1", "٢٠٢٦-01"])
def test_what_is_no_month_is_said_so(month: str) -> None:
    with pytest.raises(ValueError, match="is not a month"):
        parse_period(month)


@pytest.mark.parametrize("offset", ["8", "+8:00", "+15:00", "+08:60", "CET"])
def test_what_is_no_offset_is_said_so(offset: str) -> None:
    with pytest.raises(ValueError, match="is not a UTC offset"):
        parse_offset(offset)


def test_amounts() -> None:
    assert exact_shown(-1_234_567_890) == "-1,234.567890"
    assert exact_shown(-5) == "-0.000005"
    assert [decimals_of(code) for code in ("CNY", "JPY", "KWD", "CLF")] == [2, 0, 3, 4]
    assert rounded_shown(1_005_000, "CNY") == "1.00 CNY"  # half to even
    assert rounded_shown(-1_500_000, "JPY") == "-2 JPY"
    assert rounded_shown(-4_999, "CNY") == "0.00 CNY"
    assert micros_of("-0.5") == -500_000
    for text in ("", ".", "1,5", "1e3", "0.0000001", "--1", "1."):
        with pytest.raises(ValueError, match="is not an amount"):
            micros_of(text)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert safe_text(text) == f"'{text}"
    table = csv_text(("a", "b"), [{"a": text, "b": Decimal("-1.500000")}])
    assert "'" + text[0] in table
    assert table.rstrip().endswith("-1.500000")  # a number stays one


# -- charges, papers


def test_what_owners_ask_for_is_theirs_and_the_rest_is_known() -> None:
    run = billed(
        bill=bill(10, data=101, rounding=-1),
        reads=(
            OwnedRead(owner="museum", size_bytes=10**9, micros_per_gb=50),
            OwnedRead(owner="", size_bytes=2 * 10**9, micros_per_gb=25),
        ),
        shares=(Share(payer="pot", micros=60, reason="rule"), Share(payer="lab", micros=50)),
    )
    earned: dict[str, int] = {}
    for one in charges_of(run):
        earned[one.earner] = earned.get(one.earner, 0) + one.micros
    assert earned == {
        site_account("basin"): 10,
        owner_account("museum"): 50,
        owner_account(""): 51,
        "rounding": -1,
    }
    with pytest.raises(ValueError, match="shares"):
        charges_of(replace(run, shares=(Share(payer="pot", micros=1),)))


HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}"


def test_a_paper_with_hostile_names_holds_them_as_text() -> None:
    runs = [billed(n, job_name=HOSTILE, project=HOSTILE, site=HOSTILE) for n in range(3)]
    charges = [one for run in runs for one in charges_of(run)]
    paper = invoice(HOSTILE, MAY, charges, MAY.end_ms)
    lines = (HOSTILE,)
    details = Details(issuer=lines, recipient=lines, payment=lines, notes=lines, number=HOSTILE)
    html = render_invoice(paper, details, network=HOSTILE, currency="CNY")
    assert "<script" not in html
    assert "49" not in html.replace("249", "")
    assert "&lt;script&gt;alert(1)" in html
    assert "http" not in html.replace("http-equiv", "")  # nothing from anywhere
    assert "4.50 CNY" in html


def test_pages_carry_their_sums() -> None:
    runs = [billed(n, bill=bill(1_000_000 + n)) for n in range(2 * LINES_A_PAGE + 1)]
    charges = [one for run in runs for one in charges_of(run)]
    paper = invoice("lab", MAY, charges, MAY.end_ms)
    assert [len(page.lines) for page in paper.pages] == [LINES_A_PAGE, LINES_A_PAGE, 1]
    html = render_invoice(paper, Details(), network="Net", currency="CNY")
    assert html.count('<section class="sheet') == 4
    assert html.count("Carried over from the pages before") == 2
    assert html.count(exact_shown(paper.micros)) >= 2
    assert not paper.preliminary
    early = invoice("lab", MAY, charges, MAY.end_ms - 1)
    assert "not for payment" in render_invoice(early, Details(), network="N", currency="CNY")


def test_focus_rows_price_what_was_used() -> None:
    run = billed(
        bill=bill(2_000_000, 300),
        device_price_micros=3_600_000,
        shares=(Share(payer="pot", micros=1_000_000), Share(payer="lab", micros=1_000_300)),
    )
    facts = {"basin": SiteFacts(label="B", operator="op", region="z", region_label="Zone")}
    rows = [focus_row(one, MAY, "CNY", "Net", facts) for one in charges_of(run)]
    assert all(tuple(row) == COLUMNS for row in rows)
    for row in rows:
        product = row["ListUnitPrice"] * row["PricingQuantity"]  # type: ignore[operator]
        assert round(product, 6) == row["BilledCost"] == row["ListCost"]
        if row["x_Part"] == "device":
            assert row["ListUnitPrice"] == Decimal("3.6")
            assert row["SkuPriceId"] == "basin/west/device@3.600000"
    assert sum(row["BilledCost"] for row in rows) == Decimal("2.0003")  # type: ignore[misc]
    assert {row["BillingAccountId"] for row in rows} == {"pot", "lab"}


# -- out of a store


@pytest.fixture(params=DATABASES)
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    opened = open_store(new_database(request.param, tmp_path))
    yield opened
    opened.close()


def put(
    store: Store,
    number: int,
    billed_ms: int | None,
    *,
    of: Bill | None = None,
    site: str = "basin",
    account: str | None = "lab",
    datasets: tuple[DataInput, ...] = (),
    walls_ms: tuple[tuple[int, int], ...] = ((0, HOUR_MS),),
) -> str:
    """A run that is over, with readings (number, wall ms) and, if ``billed_ms``, its bill."""
    job = JobSpec(
        job_id=f"job_{number}",
        name="train",
        submit_ms=1,
        options=(ResourceOption(),),
        account=account,
        datasets=datasets,
    )
    submit_jobs(store, [Submission(job=job, body_digest="d")], 1)
    run_id = f"run_{number}"
    ended_ms = billed_ms if billed_ms is not None else MAY.start_ms + HOUR_MS
    with store.write() as connection:
        connection.execute(
            insert(RUNS),
            {
                "run_id": run_id, "job_id": job.job_id, "attempt": 1, "pool": "west",
                "site": site, "token": number + 1, "need_milli": 1_000, "state": "succeeded",
                "live": 0, "lease_expires_ms": 0, "granted_ms": ended_ms - HOUR_MS - 1,
                "started_ms": ended_ms - HOUR_MS, "ended_ms": ended_ms, "outcome": "succeeded",
                "exit_code": 0, "detail": "", "settled_ms": billed_ms,
            },
        )  # fmt: skip
        for sequence, wall_ms in walls_ms:
            connection.execute(
                insert(READINGS),
                {
                    "run_id": run_id, "sequence": sequence, "wall_ms": wall_ms,
                    "device_milli_ms": wall_ms * 1_000, "cpu_ms": 5, "max_rss_kib": 7,
                    "received_ms": ended_ms,
                },
            )  # fmt: skip
        if billed_ms is not None:
            made = of or bill(1_000_000, 500_000, 7, 0, 1)
            values = {name: getattr(made, name) for name in BILL_FIELDS}
            connection.execute(
                insert(BILLS),
                {
                    "run_id": run_id, "job_id": job.job_id, "site": site,
                    "billed_ms": billed_ms, **values,
                },
            )  # fmt: skip
    return run_id


def dispute(run_id: str, at_ms: int, dispute_id: str = "dsp_1", **more: object) -> Dispute:
    given: dict[str, object] = {
        "dispute_id": dispute_id, "run_id": run_id, "job_id": "", "site": "", "part": "device",
        "reason": "too much", "opened_by": "lab", "opened_ms": at_ms, **more,
    }  # fmt: skip
    return Dispute(**given)  # type: ignore[arg-type]


def test_openings_summed_by_the_database_are_the_sums_of_charges(store: Store) -> None:
    read = DataInput(dataset="d", version=1, target="/d", size_bytes=10**9, price_micros_per_gb=90)
    with store.write() as connection:
        connection.execute(
            insert(DATASETS),
            {
                "name": "d", "version": 1, "owner": "museum", "digest": "x", "size_bytes": 10**9,
                "files": "[]", "licence": "", "residency": "[]", "created_ms": 1,
            },
        )  # fmt: skip
    for number in range(9):
        at_ms = MAY.start_ms + (number - 4) * 10 * 24 * HOUR_MS
        site = "basin" if number % 3 else "harbor"
        reads = (read,) if number % 2 else ()
        made = bill(1_000 + number, 500, 7 * number, 90 if reads else 0, number % 3 - 1)
        run_id = put(store, number, at_ms, of=made, site=site, datasets=reads)
        if reads:
            with store.write() as connection:
                connection.execute(
                    insert(DATA_USES),
                    {
                        "run_id": run_id, "name": "d", "version": 1, "job_id": f"job_{number}",
                        "digest": "x", "from_site": "a", "url": "u", "to_site": site,
                        "terms": "[]", "tags": "[]", "checked_ms": 1, "staged_ms": 2, "cached": 0,
                    },
                )  # fmt: skip
    old = MAY.start_ms - 40 * 24 * HOUR_MS
    assert isinstance(open_dispute(store, dispute("run_1", old + 1_000_000)), Kept)
    close_dispute(store, "dsp_1", "upheld", -100, "", "op", MAY.start_ms + 5)
    now_ms = MAY.end_ms + 90 * 24 * HOUR_MS
    every: list[Charge] = []
    for run in every_billed_run(store, 0, now_ms):
        every += run_charges(store, run.run_id)
    earners = {one.earner for one in every}
    assert owner_account("museum") in earners
    assert owner_account("") not in earners
    for earner in earners:
        for period in (MAY, MAY.next(), period_of(old, 0), period_of(now_ms, -300)):
            found = load_statement(store, earner, period, now_ms).balances
            own = [one for one in every if one.earner == earner]
            before = sum(one.micros for one in own if one.posted_ms < period.start_ms)
            within = sum(one.micros for one in own if period.holds(one.posted_ms))
            assert found.opening_micros == before
            assert found.earned_micros + found.corrected_micros == within
    assert sum(one.micros for one in every) == sum(
        run.bill.total_micros for run in every_billed_run(store, 0, now_ms)
    ) + sum(one.micros for one in correction_charges(store, 0, now_ms))


def test_pages_of_bills_leave_nothing_out(store: Store) -> None:
    for number in range(7):
        put(store, number, MAY.start_ms + number // 3)
    seen: list[str] = []
    after: tuple[int, str] | None = None
    while some := billed_runs(store, MAY.start_ms, MAY.end_ms, after=after, limit=2):
        seen += [run.run_id for run in some]
        after = (some[-1].billed_ms, some[-1].run_id)
    assert seen == [f"run_{number}" for number in range(7)]


def test_a_dispute_freezes_and_its_end_corrects(store: Store) -> None:
    run_id = put(store, 1, MAY.start_ms + HOUR_MS)
    at_ms = MAY.start_ms + 2 * HOUR_MS
    site, now_ms = site_account("basin"), MAY.start_ms + 3 * HOUR_MS
    made = open_dispute(store, dispute(run_id, at_ms))
    assert isinstance(made, Kept)
    assert (made.dispute.site, made.dispute.job_id) == ("basin", "job_1")
    again = open_dispute(store, dispute(run_id, at_ms + 1))
    assert isinstance(again, Kept)
    assert (again.created, again.dispute.opened_ms) == (False, at_ms)
    refused = [
        open_dispute(store, dispute(run_id, at_ms, reason="other")),
        open_dispute(store, dispute(run_id, at_ms, "dsp_2", part=None)),
        open_dispute(store, dispute(run_id, at_ms, "dsp_2", part="data")),
        open_dispute(store, dispute("run_9", at_ms, "dsp_2")),
        open_dispute(store, dispute(put(store, 2, None), at_ms, "dsp_2")),
    ]
    assert [one.code for one in refused if isinstance(one, Refused)] == [
        "dispute-id-taken", "disputed-already", "no-such-charge", "not-found", "not-billed",
    ]  # fmt: skip
    balances = load_statement(store, site, MAY, now_ms).balances
    assert (balances.closing_micros, balances.disputed_micros) == (1_000_000, 1_000_000)
    assert load_statement(store, NETWORK_POWER, MAY, now_ms).balances.disputed_micros == 0
    payout = Payout(payout_id="p", earner=site, micros=1, paid_ms=now_ms, reference="")
    stopped = pay(store, payout)
    assert isinstance(stopped, Refused)
    assert stopped.code == "not-payable"
    answer = answer_dispute(store, "dsp_1", "we looked", "basin", now_ms)
    assert isinstance(answer, Dispute)
    assert answer.state == "answered"
    wrong = [
        close_dispute(store, "dsp_1", "upheld", 0, "", "op", now_ms),
        close_dispute(store, "dsp_1", "upheld", -1_000_001, "", "op", now_ms),
        close_dispute(store, "dsp_1", "rejected", -1, "", "op", now_ms),
        close_dispute(store, "dsp_9", "rejected", 0, "", "op", now_ms),
    ]
    assert [one.code for one in wrong if isinstance(one, Refused)] == [
        "no-correction", "correction-too-large", "correction-not-upheld", "not-found",
    ]  # fmt: skip
    for at in (now_ms, now_ms + 9):  # a repeat changes nothing
        closed = close_dispute(store, "dsp_1", "upheld", -400_000, "half", "op", at)
        assert isinstance(closed, Dispute)
        assert closed.closed_ms == now_ms
    late = close_dispute(store, "dsp_1", "rejected", 0, "", "op", now_ms)
    assert isinstance(late, Refused)
    assert late.code == "dispute-closed"
    balances = load_statement(store, site, MAY, now_ms + 1).balances
    assert (balances.corrected_micros, balances.payable_micros) == (-400_000, 600_000)
    assert load_disputes(store)[0].outcome == "upheld"


def test_payouts_are_made_once_and_never_too_much(store: Store) -> None:
    put(store, 1, MAY.start_ms)
    site, now_ms = site_account("basin"), MAY.start_ms + HOUR_MS
    first = Payout(payout_id="p1", earner=site, micros=600_000, paid_ms=now_ms, reference="b")
    assert isinstance(pay(store, first), Paid)
    repeat = pay(store, replace(first, paid_ms=now_ms + 5))
    assert isinstance(repeat, Paid)
    assert (repeat.created, repeat.payout.paid_ms) == (False, now_ms)
    other = pay(store, replace(first, micros=1))
    assert isinstance(other, Refused)
    assert other.code == "payout-id-taken"
    more = pay(store, replace(first, payout_id="p2"))  # in the same millisecond
    assert isinstance(more, Refused)
    assert isinstance(pay(store, replace(first, payout_id="p3", micros=400_000)), Paid)
    may = load_statement(store, site, MAY, MAY.end_ms).balances
    assert (may.paid_micros, may.closing_micros) == (1_000_000, 0)
    june = load_statement(store, site, MAY.next(), MAY.next().end_ms).balances
    assert june.opening_micros == 0


def test_facts_of_runs_come_with_gaps_and_repeats(store: Store) -> None:
    put(store, 1, MAY.start_ms + 1, walls_ms=((0, 10), (1, 10), (4, 30)))
    put(store, 2, None)
    put(store, 3, MAY.start_ms - 1)
    put(store, 4, MAY.start_ms, site="harbor")
    found = {one.run_id: one for _, one in load_run_facts(store, "basin", MAY)}
    assert set(found) == {"run_1", "run_2", "run_3"}
    first = found["run_1"]
    assert (first.readings, first.missing_readings, first.wall_ms, first.repeated_ms) == (
        3, 2, 50, 10,
    )  # fmt: skip
    assert [found[name].in_period for name in ("run_1", "run_2", "run_3")] == [True, True, False]
    assert (found["run_2"].billed, found["run_1"].bill_micros) == (False, 1_500_008)
