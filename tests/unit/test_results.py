"""Tables and figures of a rehearsal against plain arithmetic, and their bytes against a rerun."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_rehearsal import ORIGIN_MS, ZERO_MS, rehearse, small_network, small_workload

from westward.model.network import Series
from westward.model.plan import Policy, Rule
from westward.model.units import MS_PER_HOUR
from westward.model.workload import Workload
from westward.simulate import tables
from westward.simulate.compare import comparison
from westward.simulate.metrics import policy_summary
from westward.simulate.results import SimulationResult


@pytest.fixture(scope="module")
def result() -> SimulationResult:
    return rehearse(small_network(), small_workload())


def test_a_column_of_another_length_is_refused(result: SimulationResult) -> None:
    with pytest.raises(ValueError, match="end_ms has shape"):
        replace(result, end_ms=result.end_ms[:-1])


def test_jobs_table_says_null_where_nothing_was_placed(result: SimulationResult) -> None:
    table = tables.jobs_table(result)
    out = table.filter(pl.col("refusal").is_not_null())
    assert len(out) == len(result) // 41
    for column in ("start_ms", "end_ms", "pool", "site", "total_micros", "energy_kwh", "wait_ms"):
        assert out[column].null_count() == len(out), column
    # A deadline that could not be met because the job never ran is a missed one.
    assert not out.filter(pl.col("deadline_ms").is_not_null())["met_deadline"].any()


def test_jobs_table_adds_up_row_by_row(result: SimulationResult) -> None:
    network, work = result.network, result.workload
    for at, row in enumerate(tables.jobs_table(result).iter_rows(named=True)):
        assert row["job"] == work.source_row[at]
        assert row["home"] == (network.sites[work.home[at]].name if work.home[at] >= 0 else None)
        if row["pool"] is None:
            continue
        assert row["site"] == network.pool(row["pool"]).site
        assert row["wait_ms"] + row["run_ms"] == row["end_ms"] - row["submit_ms"]
        terms = [row[f"{t}_micros"] for t in ("device", "power", "carbon", "transfer", "wait")]
        assert row["total_micros"] == pytest.approx(sum(terms), rel=1e-12)
        away = row["home"] is not None and row["home"] != row["site"]
        assert row["moved_bytes"] == (work.input_bytes[at] if away else 0)
        assert (row["carbon_contract_g"] is None) == (row["site"] == "river")
        if row["deadline_ms"] is not None:
            assert row["deadline_ms"] == ZERO_MS + work.deadline_ms[at]
            assert row["met_deadline"] == (row["end_ms"] <= row["deadline_ms"])


def test_hours_hold_what_the_jobs_were_charged(result: SimulationResult) -> None:
    """The fixture integrates tariff and carbon hour by hour; here difference arrays do it."""
    sums = pl.selectors.numeric().sum()
    hours = tables.hours_table(result).group_by("pool", maintain_order=True).agg(sums)
    placed = tables.jobs_table(result).filter(pl.col("pool").is_not_null())
    jobs = placed.group_by("pool").agg(sums)
    both = hours.join(jobs, on="pool", suffix="_jobs")
    assert len(both) >= 4
    for row in both.iter_rows(named=True):
        assert row["power_kwh"] == pytest.approx(row["energy_kwh"], rel=1e-9)
        assert row["device_micros"] == pytest.approx(row["device_micros_jobs"], rel=1e-9)
        assert row["power_micros"] == pytest.approx(row["power_micros_jobs"], rel=1e-9)
        for method in ("location", "contract"):
            name = f"carbon_{method}_g"
            assert row[name] == pytest.approx(row[f"{name}_jobs"], rel=1e-9)


def test_an_unknown_factor_stays_unknown_in_the_hours(result: SimulationResult) -> None:
    hours = tables.hours_table(result)
    river = hours.filter(pl.col("site") == "river")
    assert river["carbon_contract_g"].null_count() == len(river) > 0
    assert hours.filter(pl.col("site") != "river")["carbon_contract_g"].null_count() == 0


@st.composite
def intervals(draw: st.DrawFn) -> list[tuple[int, int, int, int, int]]:
    """Jobs as (pool, submit, wait, run, need); times cluster at the edges of hours."""
    offset = st.one_of(
        st.integers(0, 5 * MS_PER_HOUR),
        st.integers(0, 5).map(lambda hour: hour * MS_PER_HOUR),
        st.integers(1, 5).map(lambda hour: hour * MS_PER_HOUR - 1),
    )
    job = st.tuples(st.integers(0, 7), offset, offset, offset, st.integers(1, 10**9))
    return draw(st.lists(job, min_size=1, max_size=25))


@given(intervals())
@settings(max_examples=150, deadline=None)
def test_hours_hold_exactly_the_device_time_of_the_jobs(
    jobs: list[tuple[int, int, int, int, int]],
) -> None:
    made = _from_intervals(sorted(jobs, key=lambda job: job[1]))
    hours = tables.hours_table(made)
    expected: dict[tuple[str, int], int] = {}
    waiting: dict[tuple[str, int], int] = {}
    for pool, submit, wait, run, need in jobs:
        name = made.network.pools[pool].name
        begin = ZERO_MS + submit + wait
        for hour, span in _slices(begin, begin + run):
            expected[name, hour] = expected.get((name, hour), 0) + need * span
        for hour, span in _slices(begin - wait, begin):
            waiting[name, hour] = waiting.get((name, hour), 0) + span
    for row in hours.iter_rows(named=True):
        key = (row["pool"], row["hour_ms"])
        assert row["device_milli_ms"] == expected.pop(key, 0)
        assert row["waiting_jobs_mean"] == pytest.approx(
            float(Fraction(waiting.pop(key, 0), MS_PER_HOUR)), abs=1e-9
        )
    assert not any(expected.values())
    assert not any(waiting.values())
    for count in ("starts", "ends", "arrivals"):
        assert hours[count].sum() == len(jobs)


def _slices(begin: int, end: int) -> list[tuple[int, int]]:
    """(hour's start, ms within it) of an interval, by plain stepping."""
    parts = []
    while begin < end:
        hour = begin // MS_PER_HOUR * MS_PER_HOUR
        edge = min(end, hour + MS_PER_HOUR)
        parts.append((hour, edge - begin))
        begin = edge
    return parts


def _from_intervals(jobs: list[tuple[int, int, int, int, int]]) -> SimulationResult:
    """A result with these very intervals; charges are left at nothing."""
    pool, submit, wait, run, need = (
        np.array(column, dtype=np.int64) for column in zip(*jobs, strict=True)
    )
    base = small_workload(len(jobs))
    work: Workload = replace(base, submit_ms=submit, duration_ms=run)
    none = np.zeros(len(jobs))
    start = ZERO_MS + submit + wait
    return SimulationResult(
        policy=Policy(),
        network=small_network(),
        workload=work,
        seed=0,
        series_origin_ms=ORIGIN_MS,
        workload_zero_ms=ZERO_MS,
        pool=pool.astype(np.int32),
        home_site=np.full(len(jobs), -1, dtype=np.int32),
        submit_ms=ZERO_MS + submit,
        start_ms=start,
        end_ms=start + run,
        need_milli=need,
        not_before_ms=ZERO_MS + submit,
        predicted_start_ms=start,
        start_low_ms=np.full(len(jobs), -1, dtype=np.int64),
        start_high_ms=np.full(len(jobs), -1, dtype=np.int64),
        refusal=np.zeros(len(jobs), dtype=np.int16),
        device_micros=none,
        power_micros=none,
        carbon_micros=none,
        transfer_micros=none,
        wait_micros=none,
        energy_kwh=none,
        carbon_location_g=none,
        carbon_contract_g=none,
        wall_s=0.0,
        cpu_s=0.0,
        events=0,
    )


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=6),
    st.integers(1, 9),
    st.integers(-100, 100),
    st.integers(0, 100),
)
def test_the_running_integral_matches_stepping(
    values: list[int], step: int, begin: int, span: int
) -> None:
    series = Series(step_ms=step, values=tuple(float(value) for value in values))
    ends = tables.integral(series, np.array([begin, begin + span]))
    assert ends[1] - ends[0] == sum(series.at(at) for at in range(begin, begin + span))


def test_summary_against_sorting_by_hand(result: SimulationResult) -> None:
    until = int(result.end_ms.max())
    summary = policy_summary(result, until_ms=until)
    waits, slowdowns = [], []
    for at in range(len(result)):
        if result.pool[at] >= 0:
            wait = int(result.start_ms[at] - result.submit_ms[at])
            run = int(result.end_ms[at] - result.start_ms[at])
            waits.append(wait)
            slowdowns.append(max(1.0, (wait + run) / max(run, 10_000)))
    for name, values in (("wait_ms", waits), ("bounded_slowdown", slowdowns)):
        values.sort()
        assert summary[name]["mean"] == pytest.approx(sum(values) / len(values))
        for key, rank in (("p50", 50), ("p95", 95), ("p99", 99)):
            at, rest = divmod((len(values) - 1) * rank, 100)
            above = values[min(at + 1, len(values) - 1)]
            by_hand = values[at] + (above - values[at]) * rest / 100
            assert summary[name][key] == pytest.approx(by_hand), (name, key)
    flows, use = summary["flows"], summary["utilisation"]
    assert sum(flow["jobs"] for flow in flows) == summary["jobs"]["placed"]
    held = sum(site["device_hours"] for site in use)
    assert sum(flow["device_hours"] for flow in flows) == pytest.approx(held)
    assert held == pytest.approx(tables.hours_table(result)["device_hours"].sum())
    assert summary["jobs"]["unplaced_by_reason"][0]["code"] == "no-site-fits"
    assert summary["cost_micros"]["total"] == pytest.approx(
        sum(summary["cost_micros"][t] for t in ("device", "power", "carbon", "transfer", "wait")),
        abs=5,
    )


def test_a_rival_that_is_better_somewhere_is_named_there() -> None:
    network, work = small_network(), small_workload()
    ours, rival = rehearse(network, work), rehearse(network, work, "lowest-carbon")
    found = comparison([ours, rival], ["westward", "lowest-carbon"])
    everywhere = {win["metric"]: win for win in found["rival_wins"] if win["where"] == "all jobs"}
    win = everywhere["Carbon, location-based"]
    both = ours.placed & rival.placed
    assert win["our_value"] == pytest.approx(ours.carbon_location_g[both].sum())
    assert win["rival_value"] == pytest.approx(rival.carbon_location_g[both].sum())
    assert "lowest-carbon" in win["words"]
    assert "Wait, mean" not in everywhere
    for row in found["metrics"]:
        low, mine = row["values"]["lowest-carbon"], row["values"]["westward"]
        assert (row["label"] in everywhere) == (low < mine * (1 - found["win_share"])), row["key"]


def test_the_same_result_against_itself_wins_nowhere(result: SimulationResult) -> None:
    twin = replace(result, policy=replace(result.policy, rule="cheapest-static"))
    found = comparison([result, twin], ["westward", "cheapest-static"])
    assert found["rival_wins"] == []
    assert found["identical"] == [["westward", "cheapest-static"]]
    assert all(row["best"] == [] for row in found["metrics"])


def _priced(rule: Rule, cost: list[int], refused: list[int]) -> SimulationResult:
    """A result with these device costs, all other terms nothing, and these rows refused."""
    made = _from_intervals([(0, at * MS_PER_HOUR, 0, MS_PER_HOUR, 1000) for at in range(len(cost))])
    out = np.isin(np.arange(len(cost)), refused)
    return replace(
        made,
        policy=Policy(rule=rule),
        device_micros=np.where(out, 0.0, np.array(cost) * 1e6),
        pool=np.where(out, -1, made.pool).astype(np.int32),
        start_ms=np.where(out, -1, made.start_ms),
        end_ms=np.where(out, -1, made.end_ms),
    )


def _one_refuses_most() -> tuple[list[SimulationResult], list[str]]:
    """Westward is 50 % cheaper on the few jobs that home-site takes, and dearer on the others."""
    ours = [5] * 20 + [104] * 80
    rival = [10] * 20 + [100] * 80
    local = [4] * 20 + [0] * 80
    rules: list[Rule] = ["westward", "earliest-start", "home-site"]
    costs = ((ours, []), (rival, []), (local, list(range(20, 100))))
    made = [_priced(r, cost, refused) for r, (cost, refused) in zip(rules, costs, strict=True)]
    return made, [result.label for result in made]


def test_a_rule_that_refuses_many_does_not_decide_which_jobs_count() -> None:
    results, labels = _one_refuses_most()
    found = comparison(results, labels)
    cost = next(row for row in found["metrics"] if row["key"] == "total_cost")
    # Over the 20 jobs all three placed westward would be 50 % cheaper; over all it is 2.7 % dearer.
    assert found["jobs_placed_by_all"] == 20
    assert cost["jobs"] == found["common"]["jobs"] == 100
    assert cost["values"] == {
        "westward": 8420e6,
        "earliest-start": 8200e6,
        "home-site": 80e6,
    }
    assert cost["best"] == ["earliest-start"]
    assert found["common"]["cost_share"] == 1.0
    assert found["set_apart"] == [
        {
            "label": "home-site",
            "placed": 20,
            "refused": 80,
            "partner": "westward",
            "jobs_both_placed": 20,
        }
    ]
    wins = {
        w["rival"]: w
        for w in found["rival_wins"]
        if w["metric"].startswith("Cost, all five") and w["where"] == "all jobs"
    }
    assert (wins["earliest-start"]["our_value"], wins["home-site"]["our_value"]) == (8420e6, 100e6)
    assert "all jobs, over the 20 jobs both placed: home-site" in wins["home-site"]["words"]
    assert "both placed" not in wins["earliest-start"]["words"]
    refusals = next(row for row in found["metrics"] if row["key"] == "unplaced")
    assert refusals["values"]["home-site"] == 80
    assert refusals["best"] == ["westward", "earliest-start"]


def test_a_rule_just_within_the_limit_stays_in_the_common_set() -> None:
    ours = _priced("westward", [1] * 100, [])
    near, far = _priced("home-site", [1] * 100, [0]), _priced("home-site", [1] * 100, [0, 1])
    assert comparison([ours, near], ["a", "b"])["set_apart"] == []
    assert comparison([ours, near], ["a", "b"])["common"]["jobs"] == 99
    assert comparison([ours, near], ["a", "b"])["common"]["cost_share"] == pytest.approx(0.99)
    assert [row["label"] for row in comparison([ours, far], ["a", "b"])["set_apart"]] == ["b"]


def test_westward_itself_is_set_apart_when_it_refuses_many() -> None:
    ours = _priced("westward", [3] * 100, list(range(40)))
    others = [_priced("home-site", [2] * 100, []), _priced("earliest-start", [9] * 100, [])]
    found = comparison([ours, *others], ["westward", "home-site", "earliest-start"])
    assert found["common"]["policies"] == ["home-site", "earliest-start"]
    assert [row["label"] for row in found["set_apart"]] == ["westward"]
    wins = [
        (w["rival"], w["rival_value"], w["our_value"], w["jobs"])
        for w in found["rival_wins"]
        if w["where"] == "all jobs" and w["metric"] == "Cost, all five terms"
    ]
    assert wins == [("home-site", 120e6, 180e6, 60)]


_WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from sample_rehearsal import rehearse, small_network, small_workload
from westward.simulate.outputs import write_outputs
from westward.simulate.results import Provenance
network, work = small_network(), small_workload()
results = [rehearse(network, work, rule) for rule in ("westward", "home-site")]
write_outputs(results, Path(sys.argv[2]), provenance=Provenance.here(commit="c0ffee"))
"""


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for number in ("1", "2"):
        out = tmp_path / number / "out"
        subprocess.run(
            [sys.executable, "-c", _WRITE, str(Path(__file__).parent), str(out)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": number, "POLARS_MAX_THREADS": number},
        )
        digests.append(
            {
                path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(out.iterdir())
                if path.name != "performance.json"
            }
        )
        assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert digests[0] == digests[1]
    assert {"jobs-westward.parquet", "hours-home-site.parquet", "report.html"} <= set(digests[0])
