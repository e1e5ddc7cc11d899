"""The text of a plan: a reader can add the sum up again, and finds every reason."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from westward.cli.plain_table import enough_digits, fixed, plain_table
from westward.cli.render_plan import render_brief, render_plan
from westward.model.job import (
    After,
    ArrayPlace,
    InputData,
    JobSpec,
    LatencyRule,
    ResourceOption,
    TagRule,
)
from westward.model.network import Network
from westward.model.plan import Claim, Plan, Policy, PoolState, QueuedJob, Rule, Snapshot
from westward.network.loader import load_network
from westward.placement import plan

NOW_MS = 1_795_330_943_000
LAPTOP = Path(__file__).resolve().parents[2] / "networks" / "laptop"
CARD = ResourceOption(accelerator="west-card", devices_milli=1000)


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(LAPTOP)


def job(name: str, **changes: object) -> JobSpec:
    base = JobSpec(
        job_id=f"job_{name}", name=name, submit_ms=NOW_MS, options=(CARD,), duration_ms=30_000
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def decide(
    network: Network,
    *jobs: JobSpec,
    rule: Rule = "westward",
    running: dict[str, tuple[Claim, ...]] | None = None,
    queued: dict[str, tuple[QueuedJob, ...]] | None = None,
    **policy: object,
) -> Plan:
    pools = tuple(
        PoolState(
            pool=pool.name,
            status="open",
            running=(running or {}).get(pool.name, ()),
            queue=(queued or {}).get(pool.name, ()),
        )
        for pool in network.pools
    )
    snapshot = Snapshot(version=7, network=network, series_origin_ms=NOW_MS, pools=pools)
    return plan(snapshot, jobs, Policy(rule=rule, **policy), NOW_MS)  # type: ignore[arg-type]


def test_a_job_that_waits_says_what_it_saves(network: Network) -> None:
    flexible = job("flex", deadline_ms=NOW_MS + 100_000)
    decided = decide(network, flexible, discipline="conservative")
    text = render_plan(decided, network, [flexible])
    saved = decided.placements[0].saved_by_waiting / 1e6
    assert saved > 0
    assert (
        f"why then  waits 50s for cheaper hours at plateau: saves {saved:.6f} CNY "
        "against starting there at once" in text
    )
    assert "starts 2026-11-22T07:03:13Z (in 50s), runs 30s" in text
    assert "assumed   waiting costs nothing until the deadline" in text


def test_the_terms_shown_add_up_to_the_sum_shown(network: Network) -> None:
    moved = job("moved", inputs=(InputData(site="harbor", size_bytes=10**10),), duration_ms=None)
    text = render_plan(decide(network, moved), network, [moved])
    rows = re.findall(r"^    [> ]  (\S+-\S+) .*$", text, flags=re.MULTILINE)
    assert rows, text
    for line in text.splitlines():
        if re.match(r"    [> ]  \S+-(west|east)", line):
            cells = line.replace(">", " ").split()
            terms = [float(cell) for cell in cells[4:9]]
            assert sum(terms) == pytest.approx(float(cells[9]), abs=3e-4)
            assert terms[3] == pytest.approx(0.2)  # 10 GB over links at 0.02 a GB


def test_the_runner_up_and_by_how_much_it_is_dearer(network: Network) -> None:
    one = job("one")
    decided = decide(network, one)
    text = render_plan(decided, network, [one])
    accepted = [a.estimate for a in decided.placements[0].alternatives if a.estimate]
    dearer = accepted[1].terms.total - accepted[0].terms.total
    assert f"runner-up {accepted[1].pool} is dearer by {dearer / 1e6:.6f} CNY" in text
    assert text.index(f">  {accepted[0].pool}") < text.index(f"   {accepted[1].pool} ")


def test_a_refused_job_gets_every_pools_reason_and_what_would_help(network: Network) -> None:
    late = job("late", deadline_ms=NOW_MS + 10_000)
    text = render_plan(decide(network, late), network, [late])
    assert "NOT PLACED  3 pools, none can take it" in text
    assert "refused  basin-west, plateau-west\n" in text  # the same reason is told once
    assert "deadline: it would end after the deadline" in text
    assert "20s late" in text
    assert "asked west-card, there is east-card" in text
    assert "would help  a deadline 20s later: then at basin" in text
    assert "0 placed (0 of them start now), 1 refused" in text


def test_no_single_change_would_help(network: Network) -> None:
    never = job(
        "never",
        residency=(TagRule(key="province", values=("Harbor",)),),
        latency=(LatencyRule(place="city", limit_ms=0.1, mode="round-trip"),),
    )
    text = render_plan(decide(network, never), network, [never])
    assert "would help  no single change to the request would place it" in text
    assert "round-trip latency to city: asked 0.1 ms, there is 24.6 ms" in text


def test_waiting_for_capacity_names_the_devices(network: Network) -> None:
    busy = {
        pool.name: (Claim(job_id="job_x", need_milli=4000, expected_end_ms=NOW_MS + 20_000),)
        for pool in network.pools
    }
    one = job("one", wait_value_micros_per_hour=10**9)
    text = render_plan(decide(network, one, running=busy), network, [one])
    assert "why then  waits 20s for capacity: 1 device at" in text


def test_waiting_for_data_and_for_start_after(network: Network) -> None:
    data = job("data", inputs=(InputData(site="harbor", size_bytes=10**10),), duration_ms=3_600_000)
    later = job("later", start_after_ms=NOW_MS + 5_000, wait_value_micros_per_hour=10**9)
    text = render_plan(decide(network, data, later), network, [data, later])
    assert "waits 8s for its data: 10 GB must first be moved to" in text
    assert "waits 5s: the job asks to start no earlier than 2026-11-22T07:02:28Z" in text


def test_a_job_bound_earlier_keeps_its_pool_and_says_so(network: Network) -> None:
    bound = QueuedJob(
        job=job("bound"),
        option=0,
        need_milli=1000,
        duration_ms=30_000,
        not_before_ms=NOW_MS + 40_000,
    )
    decided = decide(network, queued={"plateau-west": (bound,)})
    text = render_plan(decided, network, [])
    assert "JOB job_bound\n" in text
    assert "bound by an earlier plan; it keeps its pool" in text
    assert "an earlier plan put it off to 2026-11-22T07:03:03Z" in text


def test_other_rules_say_their_ground_and_a_cheaper_runner_up(network: Network) -> None:
    moved = job("moved", inputs=(InputData(site="harbor", size_bytes=10**10),), duration_ms=None)
    text = render_plan(decide(network, moved, rule="first-to-admit"), network, [moved])
    assert (
        "why there first pool by name that admits it (rule first-to-admit), 1.12 CNY in all" in text
    )
    assert "runner-up plateau-west is cheaper by 0.0235 CNY" in text
    assert "no later hour" not in text  # this rule does not look for one
    carbon = render_plan(decide(network, job("c"), rule="lowest-carbon"), network, [])
    assert "least CO2 (rule lowest-carbon)" in carbon
    assert "-0.00" not in carbon


def test_assumed_duration_is_said(network: Network) -> None:
    unknown = job("unknown", duration_ms=None)
    text = render_plan(decide(network, unknown), network, [unknown])
    assert "assumed   a run time of 1h00m (the job states no westward.duration)" in text
    assert "runs 1h00m" in text


def test_order_of_the_jobs_given_does_not_matter(network: Network) -> None:
    jobs = [job(name) for name in ("b", "a", "d", "c")]
    decided = decide(network, *jobs)
    for render in (render_plan, render_brief):
        text = render(decided, network, jobs)
        assert text == render(decided, network, jobs[::-1])
        assert text.endswith("\n")
        assert not re.search(r"[ \t]+$", text, flags=re.MULTILINE)


def test_brief_has_a_line_a_job(network: Network) -> None:
    jobs = [job("placed"), job("refused", deadline_ms=NOW_MS + 1_000)]
    lines = render_brief(decide(network, *jobs), network, jobs).splitlines()
    head = next(at for at, line in enumerate(lines) if line.startswith("JOB"))
    assert lines[head + 1].startswith("placed")
    assert "3 pools refused; it would fit with: a deadline" in lines[head + 2]
    assert len(lines) == head + 3


def test_plain_tables_align_numbers_and_refuse_ragged_rows() -> None:
    assert plain_table(("a", "n"), [("x", "1"), ("yy", "100")], right=(1,)) == [
        "a     n",
        "x     1",
        "yy  100",
    ]
    with pytest.raises(ValueError, match="a row of 1 cells under 2 headings"):
        plain_table(("a", "b"), [("x",)])


@pytest.mark.parametrize(
    ("values", "digits"),
    [([], 2), ([0.0], 2), ([5.0, 100.0], 2), ([5.0, 0.0123], 3), ([0.000004], 6), ([1e-12, 3], 2)],
)
def test_small_sums_keep_two_digits(values: list[float], digits: int) -> None:
    assert enough_digits(values) == digits


def test_negative_zero_is_zero() -> None:
    assert fixed(-0.0001, 2) == "0.00"
    assert fixed(-0.5, 2) == "-0.50"


def test_a_kind_the_network_does_not_have_is_told_with_the_nearest_name(network: Network) -> None:
    misspelt = job("typo", options=(ResourceOption(accelerator="West-Card", devices_milli=1000),))
    text = render_plan(decide(network, misspelt), network, [misspelt])
    assert "no accelerator of this network is called West-Card; is west-card or" in text
    assert "no accelerator of this network" not in render_plan(
        decide(network, job("right")), network, [job("right")]
    )


def test_under_easy_a_job_that_is_put_off_keeps_half_of_its_slack(network: Network) -> None:
    """The valley begins in 50 s; of 70 s of slack only 35 may be spent without a reservation."""
    flexible = job("flex", deadline_ms=NOW_MS + 100_000)
    easy = decide(network, flexible).placements[0].estimate
    spendthrift = decide(network, flexible, deadline_reserve_percent=0).placements[0].estimate
    assert easy.start_ms - NOW_MS <= 35_000
    assert spendthrift.start_ms - NOW_MS == 50_000


def test_terms_that_nothing_acts_on_yet_are_said(network: Network) -> None:
    kept = job(
        "kept",
        account="lab",
        after=(After(job_id="job_7", name="prepare"),),
        array=ArrayPlace(array_id="job_8", name="kept", index=0, count=20),
    )
    text = render_plan(decide(network, kept), network, [kept])
    assert "planned as if what it follows were over now: prepare" in text
    assert "one of 20 alike jobs" in text
    assert "westward.account lab is kept; nobody is charged yet" in text


def test_a_network_without_pools_says_so(network: Network) -> None:
    empty = replace(network, pools=())
    text = render_plan(decide(empty, job("early")), empty, [job("early")])
    assert "NOT PLACED  the network has no pools: none of its sites has joined yet" in text
