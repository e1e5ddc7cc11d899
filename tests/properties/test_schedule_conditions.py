"""The checker on rehearsals of lost and drained sites, shared links, fair shares and preemption.

Each rule is shown to hold on real rehearsals where it had something to judge, and to bite: a fault
is planted into the rehearsal's rows and runs, and must be told by the right rule.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from test_schedules import EAST_WEST, TRACES, rehearse, workload_table

from tests.checker.case import Case
from tests.checker.check import Checked, check_folder
from tests.checker.classes import check_classes
from tests.checker.links import check_links
from tests.checker.outages import LOST, check_outages, windows
from tests.checker.rehearsal import Row, Segment

Runs = list[Segment]


def told(checked: Checked) -> list[str]:
    return [f"{v.rule}: {v.text}" for v in checked.violations[:5]]


def spoilt(
    case: Case, rules: Callable[[Case], None], change: Callable[[list[Row], Runs], int | None]
) -> tuple[int | None, dict[str, list[int | None]]]:
    """What ``rules`` find once ``change`` has spoilt rows or runs in place; the row it names."""
    rows, runs = copy.deepcopy(case.rehearsal.rows), list(case.rehearsal.segments)
    at = change(rows, runs)
    bad = Case(replace(case.rehearsal, rows=rows, segments=runs), case.network, case.source)
    bad.jobs = list(case.jobs)
    rules(bad)
    found: dict[str, list[int | None]] = {}
    for violation in bad.violations:
        found.setdefault(violation.rule, []).append(violation.row)
    return at, found


def only(runs: Sequence[Segment], wanted: Callable[[Segment], bool]) -> int:
    return next(k for k, run in enumerate(runs) if wanted(run))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workload_table(600, 300, 1.1, tmp_path_factory.mktemp("jobs"))


def generated(folder: Path, table: Path, *arguments: object) -> Checked:
    rehearse(folder, "--generate", 600, "--load", 1.1, "--devices", 300, *arguments)
    return check_folder(folder, EAST_WEST, table)[0]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Checked:
    """One site lost, one drained, one lost twice at a time."""
    return generated(
        tmp_path_factory.mktemp("closed") / "out", table, "--outage", "zhangjiakou:6h:9h",
        "--outage", "horinger:1h:4h:drain", "--outage", "zhongwei:12h:20h",
        "--outage", "zhongwei:15h:21h",
    )  # fmt: skip


def test_closed_sites(closed: Checked) -> None:
    assert not closed.violations, told(closed)
    assert closed.case.reach["closed-site"] > 100
    assert closed.case.reach["lost-site"] > 5


def test_a_start_at_a_closed_site_is_caught(closed: Checked) -> None:
    case = closed.case
    drained = next(one for one in windows(case) if not one.loses)
    pools = {pool.name for pool in case.network.pools.values() if pool.site == drained.site}

    def start_at(time_ms: int) -> Callable[[list[Row], Runs], int]:
        def change(rows: list[Row], runs: Runs) -> int:
            k = only(runs, lambda run: run.pool in pools and run.start_ms > drained.until_ms)
            runs[k] = replace(runs[k], start_ms=time_ms)
            return runs[k].row

        return change

    for time_ms in (drained.from_ms, drained.until_ms - 1):
        at, found = spoilt(case, check_outages, start_at(time_ms))
        assert found == {"closed-site": [at]}
    for time_ms in (drained.from_ms - 1, drained.until_ms):
        assert spoilt(case, check_outages, start_at(time_ms))[1] == {}  # what runs there runs on


def test_a_run_through_an_outage_is_caught(closed: Checked) -> None:
    case = closed.case

    def went_on(rows: list[Row], runs: Runs) -> int:
        k = only(runs, lambda run: run.why == LOST)
        runs[k] = replace(runs[k], end_ms=runs[k].end_ms + 1, why="finished")
        return runs[k].row

    def lost_early(rows: list[Row], runs: Runs) -> int:
        k = only(runs, lambda run: run.why == LOST)
        runs[k] = replace(runs[k], end_ms=runs[k].end_ms - 1)
        return runs[k].row

    def moved_at_its_beginning(rows: list[Row], runs: Runs) -> int:
        k = only(runs, lambda run: run.why == LOST)
        runs[k] = replace(runs[k], why="moved")
        return runs[k].row

    at, found = spoilt(case, check_outages, went_on)
    assert found == {"lost-site": [at]}
    at, found = spoilt(case, check_outages, lost_early)
    assert found == {"lost-for-nothing": [at]}
    at, found = spoilt(case, check_outages, moved_at_its_beginning)
    assert found == {"lost-site": [at]}


@pytest.mark.parametrize("rule", ["westward", "earliest-start"])
def test_shared_links(tmp_path: Path, table: Path, rule: str) -> None:
    found = generated(tmp_path / "out", table, "--shared-links", "--policy", rule)
    assert not found.violations, told(found)
    assert found.case.reach["link"] > 50


@pytest.fixture(scope="module")
def sharing(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Case:
    out = tmp_path_factory.mktemp("sharing") / "out"
    return generated(out, table, "--shared-links", "--policy", "earliest-start").case


@pytest.mark.parametrize(
    ("moves", "broken"),
    [
        ([(0, 1_000), (0, 2_000)], False),
        ([(0, 1_000), (0, 1_900)], True),
        ([(0, 1_000), (900, 2_000)], False),
        ([(0, 1_000), (1_100, 2_000)], True),  # the second alone: 1,000 ms do not fit in 900
        ([(0, 3_000), (1_000, 2_000), (0, 3_000)], False),
        ([(0, 2_900), (1_000, 2_000), (0, 2_900)], True),
        ([(0, 9_000), (5_000, 6_500), (5_000, 6_500)], True),  # the link stood idle before
    ],
)
def test_more_bytes_than_a_link_carries_are_caught(
    sharing: Case, moves: list[tuple[int, int]], broken: bool
) -> None:
    """``moves``: (submitted, may start) of jobs whose input takes a second over one link."""
    home, pool = next(
        (row["home"], sharing.network.pools[row["pool"]])
        for _, row in sharing.rehearsal.placed()
        if row["moved_bytes"] > 0 and row["site"] != row["home"]
    )
    link = sharing.network.link(home, pool.site)
    assert link is not None
    size = int(1_000 / link.ms_per_byte)
    blank = next(job for job in sharing.jobs if job is not None and job.dataset < 0)
    rows: list[Row] = [
        {
            "home": home, "pool": pool.name, "site": pool.site, "submit_ms": submit,
            "put_off_ms": start - submit, "start_ms": start, "transfer_micros": 1.0,
        }
        for submit, start in moves
    ]  # fmt: skip
    case = Case(replace(sharing.rehearsal, rows=rows, segments=[]), sharing.network, sharing.source)
    case.jobs = [replace(blank, input_bytes=size) for _ in moves]
    check_links(case)
    assert {violation.rule for violation in case.violations} == ({"link"} if broken else set())


@pytest.mark.parametrize("discipline", ["easy", "conservative"])
def test_fair_shares(tmp_path: Path, table: Path, discipline: str) -> None:
    found = generated(tmp_path / "out", table, "--fair-share", "--discipline", discipline)
    assert not found.violations, told(found)
    assert found.case.reach["class-idle"] > 30

    def kept_waiting(rows: list[Row], runs: Runs) -> int:
        """One that started when it came is said to have started when its pool's last run is over."""
        free = Counter(run.pool for run in runs)
        pool = free.most_common(1)[0][0]
        last = max(run.end_ms for run in runs if run.pool == pool)
        k = only(
            runs,
            lambda run: (
                run.pool == pool
                and rows[run.row]["wait_ms"] == 0
                and run.end_ms - run.start_ms > 600_000
            ),
        )
        length = runs[k].end_ms - runs[k].start_ms
        runs[k] = replace(runs[k], start_ms=last, end_ms=last + length)
        return runs[k].row

    at, broken = spoilt(found.case, check_classes, kept_waiting)
    assert set(broken) == {"class-idle"}
    assert at in broken["class-idle"]


@pytest.fixture(scope="module", params=[(), ("--fair-share",)], ids=["by-arrival", "by-share"])
def preempted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """Recorded tasks of two classes, the higher of which puts out the lower."""
    folder = tmp_path_factory.mktemp("preempted")
    pods = folder / "openb.csv"
    with (TRACES / "openb" / "openb_pod_list_default.csv").open() as file:
        pods.write_text("".join(line for line, _ in zip(file, range(1_501), strict=False)))
    rehearse(
        folder / "out", "--workload", pods, "--format", "openb", "--devices", 150, "--preempt",
        *request.param,
    )  # fmt: skip
    return check_folder(folder / "out", EAST_WEST, pods)[0]


def test_preemption(preempted: Checked) -> None:
    assert not preempted.violations, told(preempted)
    assert preempted.case.reach["preempted-by"] > 5
    assert preempted.case.reach["class-idle"] > 30


def test_who_is_put_out_for_an_equal_is_caught(preempted: Checked) -> None:
    case = preempted.case
    victim = next(run for run in case.rehearsal.segments if run.why == "preempted")
    case = Case(case.rehearsal, case.network, case.source)
    case.jobs = list(preempted.case.jobs)
    highest = max(job.priority for job in case.jobs if job is not None)
    job = case.jobs[victim.row]
    assert job is not None
    case.jobs[victim.row] = replace(job, priority=highest)
    check_classes(case)
    assert victim.row in {v.row for v in case.violations if v.rule == "preempted-by"}


def test_a_lower_class_that_goes_first_is_caught(preempted: Checked) -> None:
    """One of the highest class that started at once is said to have stood by for another hour."""
    case = preempted.case
    highest = max(job.priority for job in case.jobs if job is not None)

    def stood_by(rows: list[Row], runs: Runs) -> int:
        def plain(run: Segment) -> bool:
            job = case.jobs[run.row]
            return (
                job is not None
                and job.priority == highest
                and rows[run.row]["wait_ms"] == 0
                and run.end_ms - run.start_ms > 7_200_000
                and run.index == 0
                and run.why == "finished"
            )

        k = only(runs, plain)
        runs[k] = replace(runs[k], start_ms=runs[k].start_ms + 3_600_000)
        return runs[k].row

    at, found = spoilt(case, check_classes, stood_by)
    assert at in found["class-idle"]
