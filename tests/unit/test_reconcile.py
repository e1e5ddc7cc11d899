"""Reconciliation: each difference between meter, engine, bill and ledger has its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from westward.model.faults import InputFaults
from westward.settlement.engine_rows import EngineRow, read_sacct
from westward.settlement.periods import parse_period
from westward.settlement.reconcile import CODES, Finding, RunFacts, reconcile

MAY = parse_period("2026-05", "+08:00")
HOUR_MS = 3_600_000


def facts(**more: object) -> RunFacts:
    given: dict[str, object] = {
        "job_id": "job_1",
        "job_name": "train",
        "run_id": "run_1",
        "attempt": 1,
        "pool": "west",
        "need_milli": 1_000,
        "started_ms": 10_000,
        "ended_ms": 70_000,
        "outcome": "succeeded",
        "in_period": True,
        "readings": 6,
        "wall_ms": 60_000,
        "device_milli_ms": 60_000_000,
        "billed": True,
        "bill_device_milli_ms": 60_000_000,
        "bill_device_micros": 600,
        "bill_micros": 700,
        "price_micros": 700,
        **more,
    }
    return RunFacts(**given)  # type: ignore[arg-type]


def row(elapsed_s: int, **more: object) -> EngineRow:
    return EngineRow(engine_id="7", name="run_1", state="COMPLETED", elapsed_ms=elapsed_s * 1000, **more)  # type: ignore[arg-type] # fmt: skip


def only(runs: RunFacts, rows: list[EngineRow] | None = None, **more: object) -> list[Finding]:
    return list(reconcile([runs], rows, **more).findings)  # type: ignore[arg-type]


def codes(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.code, one.verdict) for one in found]


CASES: dict[str, tuple[RunFacts, list[EngineRow] | None, str, str, int | None]] = {
    "counting": (facts(wall_ms=60_400, device_milli_ms=60_400_000, bill_device_milli_ms=60_400_000), [row(60)], "counting", "tolerated", 400),
    "start-up": (facts(), [row(62)], "start-up", "tolerated", -2_000),
    "queue": (facts(), [row(100, submit_ms=-30_000, start_ms=10_000, end_ms=70_000)], "engine-counts-queue", "explained", -40_000),
    "missing": (facts(readings=5, missing_readings=1), [row(70)], "missing-reading", "open", -10_000),
    "missing, no engine": (facts(missing_readings=2, ended_ms=90_000), None, "missing-reading", "open", -20_000),
    "tail": (facts(outcome="lost", ended_ms=100_000), None, "unheard-tail", "explained", -30_000),
    "late": (facts(ended_ms=100_000), None, "late-report", "explained", -30_000),
    "doubled": (facts(repeated_ms=10_000), [row(50)], "doubled-reading", "open", 10_000),
    "doubled, no engine": (facts(repeated_ms=10_000, ended_ms=60_000), None, "doubled-reading", "open", 10_000),
    "more": (facts(), [row(50)], "unexplained", "open", 10_000),
    "less": (facts(), [row(80)], "unexplained", "open", -20_000),
    "clock": (facts(), [row(60, start_ms=3_610_000, end_ms=3_670_000)], "clock", "explained", -3_600_000),
    "whole": (facts(need_milli=500, device_milli_ms=30_000_000, bill_device_milli_ms=30_000_000), [row(60, gpus=1)], "whole-cards", "explained", None),
    "cards": (facts(), [row(60, gpus=2)], "devices", "open", None),
    "two": (facts(), [row(60), row(60)], "engine-row-twice", "open", None),
    "none": (facts(), [], "engine-row-missing", "open", 60_000),
    "no bill": (facts(billed=False, bill_micros=0, bill_device_milli_ms=0), None, "run-without-bill", "open", -60_000),
    "late reading": (facts(bill_device_milli_ms=50_000_000), None, "bill-differs-from-meter", "open", -10_000),
    "price": (facts(price_micros=690), None, "bill-differs-from-price", "open", None),
    "no price": (facts(price_micros=None), None, "bill-not-checked", "explained", None),
    "bytes": (facts(unpriced_bytes=5), None, "move-unpriced", "explained", None),
    "milli": (facts(device_milli_ms=30_000_000, bill_device_milli_ms=30_000_000), None, "devices", "open", -30_000),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_difference_has_its_name_and_size(case: str) -> None:
    run, rows, code, verdict, size_ms = CASES[case]
    found = only(run, rows)
    assert codes(found) == [(code, verdict)]
    assert found[0].size_ms == size_ms
    assert found[0].text.startswith(CODES[code])
    assert bool(reconcile([run], rows).open) == (verdict == "open")


def test_what_agrees_has_no_finding_and_money_is_at_the_bills_rate() -> None:
    assert only(facts()) == only(facts(), [row(60)]) == []
    (found,) = only(facts(), [row(80)])
    assert found.size_micros == -200
    (price,) = only(facts(price_micros=690))
    assert price.size_micros == 10


def test_a_dispute_that_was_closed_explains_what_it_corrected() -> None:
    (found,) = only(facts(repeated_ms=10_000, disputes_closed=("dsp_1",)), [row(50)])
    assert (found.code, found.verdict) == ("corrected", "explained")
    assert "dsp_1" in found.text


def test_the_ledger_is_compared_where_it_is_given() -> None:
    assert codes(only(facts(), None, postings={})) == [("bill-without-transfer", "open")]
    assert only(facts(corrected_micros=-50), None, postings={"run_1": 650}) == []
    (differs,) = only(facts(), None, postings={"run_1": 690})
    assert (differs.code, differs.size_micros) == ("transfer-differs", 10)
    unbilled = facts(billed=False, bill_micros=0, bill_device_milli_ms=0)
    found = only(unbilled, None, postings={"run_1": 5})
    assert codes(found) == [("run-without-bill", "open"), ("transfer-without-bill", "open")]
    assert reconcile([facts()]).ledger_compared is False


def test_jobs_of_others_are_left_out_and_strange_runs_are_not() -> None:
    rows = [row(60), replace(row(5), name="their-own"), replace(row(9), name="run_99")]
    found = reconcile([facts(), facts(run_id="run_2", in_period=False)], rows)
    assert codes(list(found.findings)) == [("engine-row-unknown", "open")]
    assert (found.runs, found.engine_compared, found.engine_others) == (1, 1, 1)


SACCT = """JobID|JobName|State|Submit|Start|End|ElapsedRaw|AllocTRES
7|run_1|COMPLETED|100|140|200|60|billing=1,cpu=1,gres/gpu=2,node=1
7.batch|batch|COMPLETED|140|140|200|60|cpu=1
8|other|CANCELLED by 0|2026-05-01T00:00:00|Unknown|Unknown|0|
"""


def test_sacct_is_read() -> None:
    first, second = read_sacct(SACCT, "f", 480)
    assert (first.name, first.elapsed_ms, first.gpus) == ("run_1", 60_000, 2)
    assert (first.submit_ms, first.start_ms, first.end_ms) == (100_000, 140_000, 200_000)
    assert (second.state, second.start_ms, second.gpus) == ("CANCELLED", None, None)
    assert second.submit_ms == MAY.start_ms
    commas = SACCT.replace("billing=1,cpu=1,gres/gpu=2,node=1", "").replace(",", "")
    assert read_sacct(commas.replace("|", ","), "f")[0].name == "run_1"


def test_every_fault_of_an_account_is_told_at_once() -> None:
    wrong = SACCT + "9|run_9|X|yesterday|1|2|sixty|\n10|run_10\n"
    with pytest.raises(InputFaults) as caught:
        read_sacct(wrong, "f.csv")
    assert [(one.row, one.field) for one in caught.value.faults] == [
        (5, "ElapsedRaw"),
        (5, "Submit"),
        (6, ""),
    ]
    with pytest.raises(InputFaults, match="names no column JobName"):
        read_sacct("JobID|State|ElapsedRaw\n", "f")
    with pytest.raises(InputFaults, match="names no column"):
        read_sacct("", "f")


def recorded() -> list[tuple[RunFacts, EngineRow]]:
    """The 43 runs of Slurm in benchmarks/WIDE.md: meter and sacct as they were."""
    found = []
    page = Path(__file__).resolve().parents[2] / "benchmarks" / "WIDE.md"
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 8 or not cells[5].isdecimal() or cells[0].startswith("all"):
            continue
        wall_ms = round(float(cells[6]) * 1000)
        run_id = f"run_{cells[0]}_{cells[1]}"
        run = facts(
            run_id=run_id, wall_ms=wall_ms, device_milli_ms=wall_ms * 1_000, outcome=cells[3],
            bill_device_milli_ms=wall_ms * 1_000,
        )  # fmt: skip
        found.append((run, replace(row(int(cells[5])), name=run_id, state=cells[4])))
    return found


def test_the_recorded_runs_of_two_slurm_clusters_reconcile() -> None:
    pairs = recorded()
    assert len(pairs) == 43
    runs, rows = [run for run, _ in pairs], [each for _, each in pairs]
    found = reconcile(runs, rows)
    assert found.open == ()
    assert {one.code for one in found.findings} == {"counting", "start-up"}
    assert (found.engine_ms, found.metered_ms) == (114_000, 97_244)
    strict = reconcile(runs, rows, tolerance_ms=0)
    assert [one.run_id for one in strict.open] == ["run_gang-alpha-2_1"]
