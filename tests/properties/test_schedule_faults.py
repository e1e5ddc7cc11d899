"""Faults planted into a sound rehearsal: the checker must catch each, by the right rule.

A checker that finds nothing is worth what it would have found.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
from test_schedules import EAST_WEST, rehearse, workload_table

from tests.checker.case import Case
from tests.checker.check import check_case
from tests.checker.network import Network, read_network
from tests.checker.rehearsal import Rehearsal, Row, Segment, read_rehearsals, segments_of
from tests.checker.workload import Job, Reading, read_workload

HOUR_MS = 3_600_000
Rows = list[Row]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A small crowded rehearsal with inputs, deadlines, refusals, put-off and passing jobs."""
    folder = tmp_path_factory.mktemp("sound")
    table = workload_table(400, 150, 1.2, folder)
    rehearse(folder / "out", "--generate", 400, "--load", 1.2, "--devices", 150)
    case = Case(
        read_rehearsals(folder / "out")[0],
        read_network(EAST_WEST, devices=150),
        read_workload(table, Reading(format="table")),
    )
    assert check(case) == {}
    return fresh(case)


def fresh(case: Case, rehearsal: Rehearsal | None = None) -> Case:
    return Case(rehearsal or copy.deepcopy(case.rehearsal), case.network, case.source)


def check(case: Case) -> dict[str, list[int | None]]:
    """Broken rule → the rows that break it."""
    ends = [row["end_ms"] for row in case.rehearsal.rows if row["end_ms"] is not None]
    found: dict[str, list[int | None]] = {}
    for violation in check_case(case, max(ends)).violations:
        found.setdefault(violation.rule, []).append(violation.row)
    return found


def changed(case: Case, change: Callable[[Rows], int]) -> tuple[int, dict[str, list[int | None]]]:
    """``change`` spoils rows in place and says which one; the runs follow the rows."""
    bad = fresh(case)
    rows = bad.rehearsal.rows
    at = change(rows)
    bad.rehearsal = replace(bad.rehearsal, segments=segments_of(rows, {}))
    return at, check(bad)


def first(rows: Rows, wanted: Callable[[Row], bool]) -> int:
    return next(at for at, row in enumerate(rows) if wanted(row))


def ran(row: Row) -> bool:
    return row["start_ms"] is not None


def move(row: Row, by_ms: int) -> None:
    for name in ("start_ms", "end_ms", "wait_ms"):
        row[name] += by_ms


def started_before_submission(rows: Rows) -> int:
    at = first(rows, lambda r: ran(r) and r["wait_ms"] == 0)
    move(rows[at], -1)
    return at


def started_before_its_data(rows: Rows) -> int:
    """Of those that moved much, the one that waited least for it."""
    moved = [at for at, r in enumerate(rows) if ran(r) and r["moved_bytes"] > 10**9]
    at = min(moved, key=lambda at: rows[at]["wait_ms"] / rows[at]["moved_bytes"])
    move(rows[at], -10)
    return at


def started_before_it_was_to(rows: Rows) -> int:
    at = first(rows, lambda r: ran(r) and r["put_off_ms"] > 0 and r["wait_ms"] == r["put_off_ms"])
    move(rows[at], -1)
    return at


def ran_too_long(rows: Rows) -> int:
    at = first(rows, ran)
    rows[at]["end_ms"] += 2
    rows[at]["run_ms"] += 2
    return at


def said_another_wait(rows: Rows) -> int:
    at = first(rows, ran)
    rows[at]["wait_ms"] += 1
    return at


def ran_in_another_pool(rows: Rows) -> int:
    at = first(rows, lambda r: ran(r) and r["pool"] == rows[0]["pool"])
    other = first(rows, lambda r: ran(r) and r["site"] != rows[at]["site"])
    rows[at]["pool"] = rows[other]["pool"]
    return at


def ran_at_another_site(rows: Rows) -> int:
    at = ran_in_another_pool(rows)
    other = first(rows, lambda r: r["pool"] == rows[at]["pool"] and ran(r))
    rows[at]["site"] = rows[other]["site"]
    return at


def held_less(rows: Rows) -> int:
    at = first(rows, lambda r: ran(r) and r["need_milli"] >= 2_000)
    rows[at]["need_milli"] //= 2
    return at


def too_large_for_the_pool(rows: Rows) -> int:
    at = first(rows, lambda r: r["refusal"] == "no-site-fits")
    like = first(rows, ran)
    rows[at] = {**rows[like], **{k: rows[at][k] for k in ("job", "submit_ms", "nodes", "devices")}}
    return at


def met_deadline_misread(rows: Rows) -> int:
    at = first(rows, lambda r: ran(r) and r["deadline_ms"] is not None)
    rows[at]["met_deadline"] = not rows[at]["met_deadline"]
    return at


def refused_without_reason(rows: Rows) -> int:
    at = first(rows, lambda r: not ran(r))
    rows[at]["refusal"] = None
    return at


def refused_for_nothing(rows: Rows) -> int:
    at = first(rows, lambda r: ran(r) and r["deadline_ms"] is None)
    keep = ("job", "submit_ms", "nodes", "devices", "home", "home_partition", "user", "deadline_ms")
    gone = dict.fromkeys(rows[at])
    rows[at] = {**gone, **{k: rows[at][k] for k in keep}, "refusal": "deadline", "moved_bytes": 0}
    return at


def moved_home(rows: Rows) -> int:
    other = first(rows, lambda r: r["home"] != rows[0]["home"])
    like = first(rows, lambda r: r is not rows[0] and r["home"] == rows[0]["home"])
    rows[like]["home"] = rows[other]["home"]
    return like


def moved_more(rows: Rows) -> int:
    at = first(rows, lambda r: r["moved_bytes"] > 0)
    rows[at]["moved_bytes"] += 1
    return at


def charged(term: str, factor: float) -> Callable[[Rows], int]:
    def change(rows: Rows) -> int:
        at = first(rows, lambda r: ran(r) and r[term] > 0)
        rows[at][term] *= factor
        return at

    change.__name__ = f"{term} x {factor:g}"
    return change


SPOILT: list[tuple[Callable[[Rows], int], str]] = [
    (started_before_submission, "start"),
    (started_before_its_data, "transfer-time"),
    (started_before_it_was_to, "put-off"),
    (ran_too_long, "run-time"),
    (said_another_wait, "times"),
    (ran_in_another_pool, "place"),
    (ran_at_another_site, "power-price"),
    (held_less, "need"),
    (too_large_for_the_pool, "shape"),
    (met_deadline_misread, "deadline"),
    (refused_without_reason, "refusal"),
    (refused_for_nothing, "refusal"),
    (moved_home, "home"),
    (moved_more, "moved"),
    (charged("device_micros", 1 + 1e-8), "device-price"),
    (charged("power_micros", 1 + 1e-7), "power-price"),
    (charged("transfer_micros", 0.0), "transfer-price"),
    (charged("wait_micros", 0.5), "wait-cost"),
    (charged("carbon_micros", 1.01), "carbon-price"),
    (charged("carbon_location_g", 1 - 1e-7), "carbon"),
    (charged("carbon_contract_g", 2.0), "carbon"),
    (charged("energy_kwh", 1 + 1e-8), "energy"),
    (charged("total_micros", 1 + 1e-8), "total"),
]


@pytest.mark.parametrize(("change", "rule"), SPOILT, ids=lambda v: getattr(v, "__name__", v))
def test_a_spoilt_row_is_caught(sound: Case, change: Callable[[Rows], int], rule: str) -> None:
    at, found = changed(sound, change)
    assert at in found.get(rule, []), found


def test_lost_doubled_and_shuffled_rows_are_caught(sound: Case) -> None:
    def lost(rows: Rows) -> int:
        del rows[17]
        return 17

    def doubled(rows: Rows) -> int:
        rows.insert(17, copy.deepcopy(rows[17]))
        return 17

    def shuffled(rows: Rows) -> int:
        rows[17], rows[18] = rows[18], rows[17]
        return 17

    for change in (lost, doubled, shuffled):
        _, found = changed(sound, change)
        assert "identity" in found, change.__name__


def test_another_source_is_caught(sound: Case) -> None:
    assert sound.source is not None
    other = list(sound.source)
    other[5] = replace(other[5], submit_ms=other[5].submit_ms + 1)
    found = check(Case(copy.deepcopy(sound.rehearsal), sound.network, other))
    assert found["identity"] == [5]


def test_more_than_there_is_is_caught(sound: Case) -> None:
    """Every job of one pool at the instant at which it is fullest: 1 milli-device too much."""

    def crowd(rows: Rows) -> int:
        pool = max(
            {r["pool"] for r in rows if ran(r)}, key=lambda p: sum(r["pool"] == p for r in rows)
        )
        mine = [r for r in rows if r["pool"] == pool]
        start = min(r["start_ms"] for r in mine)
        for row in mine:
            move(row, start - row["start_ms"])
        return rows.index(mine[0])

    _, found = changed(sound, crowd)
    assert "capacity" in found


def test_an_idle_head_is_caught(sound: Case) -> None:
    def kept_waiting(rows: Rows) -> int:
        at = first(rows, lambda r: ran(r) and r["wait_ms"] == 0)
        move(rows[at], HOUR_MS)
        return at

    at, found = changed(sound, kept_waiting)
    assert at in found["head-idle"]


def test_a_job_away_from_home_is_caught(sound: Case) -> None:
    bad = fresh(sound)
    bad.rehearsal.policy["rule"] = "home-site"
    away = {
        at for at, row in enumerate(bad.rehearsal.rows) if ran(row) and row["site"] != row["home"]
    }
    assert away
    assert set(check(bad)["residency"]) == away


@pytest.mark.parametrize(
    "path",
    [
        ("cost_micros", "total"), ("cost_micros", "paid"), ("wait_ms", "p95"), ("wait_ms", "mean"),
        ("deadlines", "missed"), ("carbon_location_g", "grams"), ("jobs", "placed"),
        ("bounded_slowdown", "p99"), ("put_off", "jobs"), ("moved_bytes",), ("energy_kwh",),
        ("utilisation", 0, "device_hours"), ("flows", 0, "jobs"), ("last_end_ms",),
    ],
)  # fmt: skip
def test_a_wrong_total_is_caught(sound: Case, path: tuple[str | int, ...]) -> None:
    bad = fresh(sound)
    part = bad.rehearsal.summary
    for step in path[:-1]:
        part = part[step]  # type: ignore[index]
    part[path[-1]] = part[path[-1]] * 1.001 + 2  # type: ignore[index]
    assert set(check(bad)) == {"summary"}


def test_wrong_hours_and_inputs_are_caught(sound: Case) -> None:
    bad = fresh(sound)
    assert bad.rehearsal.hours is not None
    busy = next(hour for hour in bad.rehearsal.hours if hour["device_milli_ms"] > 0)
    busy["device_milli_ms"] -= 1
    assert set(check(bad)) == {"hours"}
    bad = fresh(sound)
    bad.rehearsal.inputs["network"]["digest_sha256"] = "0" * 64
    assert set(check(bad)) == {"inputs"}


# Queues made by hand: one pool of the example, jobs of one device kind, no input.


def one_pool(
    sound: Case,
    jobs: list[tuple[int, int, int, int]],
    starts: list[int],
    discipline: str,
    **more: object,
) -> dict[str, list[int | None]]:
    """``jobs``: (submit, run, estimate, nodes) in ms at speed 1. Only order rules are of interest."""
    network: Network = sound.network
    pool = next(p for p in network.pools.values() if p.speed == 1)
    pools = {pool.name: replace(pool, nodes=4, devices_per_node=1)}
    source = [
        Job(
            at, submit, run, said, size, 1000, 0, 0, priority=int(str(more.get(f"priority{at}", 0)))
        )
        for at, (submit, run, said, size) in enumerate(jobs)
    ]
    rows: Rows = []
    for job, start in zip(source, starts, strict=True):
        row = dict.fromkeys(sound.rehearsal.rows[0])
        told = more.get(f"predicted{job.row}", start - job.submit_ms)
        rows.append(
            row
            | {"job": job.row, "submit_ms": job.submit_ms, "start_ms": start, "nodes": job.nodes}
            | {"end_ms": start + job.duration_ms, "pool": pool.name, "site": pool.site}
            | {"need_milli": job.nodes * 1000, "put_off_ms": 0, "predicted_wait_ms": told}
        )
    rehearsal = replace(
        sound.rehearsal,
        rows=rows,
        segments=segments_of(rows, {}),
        policy={**sound.rehearsal.policy, "discipline": discipline},
    )
    case = Case(rehearsal, replace(network, pools=pools), source)
    from tests.checker.capacity import check_capacity
    from tests.checker.order import check_order

    case.jobs = list(source)
    check_capacity(case)
    check_order(case)
    found: dict[str, list[int | None]] = {}
    for violation in case.violations:
        found.setdefault(violation.rule, []).append(violation.row)
    return found


LONG = (0, 100, 100, 3)
"""Holds three of four devices until 100."""
HEAD = (1, 50, 50, 4)
"""Needs all four: waits for LONG."""


def test_easy_lets_pass_who_delays_nobody(sound: Case) -> None:
    short = (2, 98, 98, 1)
    assert one_pool(sound, [LONG, HEAD, short], [0, 100, 2], "easy") == {}


def test_easy_catches_who_delays_the_head(sound: Case) -> None:
    late = (2, 98, 99, 1)  # said to end 1 ms after the head could start, whatever it did then
    assert one_pool(sound, [LONG, HEAD, late], [0, 100, 2], "easy") == {"easy-order": [2]}


def test_easy_expects_who_is_overdue_to_run_as_long_again(sound: Case) -> None:
    overdue = (0, 200, 40, 3)  # expected to end at 40, from then on at 80, then at 160
    head = (1, 50, 50, 4)
    for at, said, broken in ((50, 30, []), (50, 31, [2]), (80, 80, []), (80, 81, [2])):
        found = one_pool(sound, [overdue, head, (at, 10, said, 1)], [0, 200, at], "easy")
        assert found.get("easy-order", []) == broken, (at, said)


def test_conservative_expects_the_same(sound: Case) -> None:
    overdue, head = (0, 200, 40, 3), (1, 50, 50, 4)
    for said, broken in ((30, []), (31, [2])):
        jobs = [overdue, head, (50, 10, said, 1)]
        found = one_pool(sound, jobs, [0, 200, 50], "conservative", predicted1=39)
        assert found.get("conservative-order", []) == broken, said


def test_easy_lets_pass_who_fits_beside_the_head(sound: Case) -> None:
    small_head = (1, 50, 50, 2)
    wide = (0, 100, 100, 3)
    beside, second = (2, 500, 500, 1), (3, 500, 500, 1)
    assert one_pool(sound, [wide, small_head, beside], [0, 100, 2], "easy") == {}
    found = one_pool(
        sound, [(0, 100, 100, 2), (1, 50, 50, 3), beside, second], [0, 502, 2, 3], "easy"
    )
    assert found["easy-order"] == [3]


def test_easy_catches_a_start_over_a_full_pool(sound: Case) -> None:
    found = one_pool(sound, [LONG, (1, 50, 50, 2)], [0, 50], "easy")
    assert found == {"capacity": [1]}


def test_priority_goes_first(sound: Case) -> None:
    jobs = [(0, 100, 100, 4), (1, 50, 50, 4), (2, 50, 50, 4)]
    assert one_pool(sound, jobs, [0, 150, 100], "easy", priority2=1) == {}
    found = one_pool(sound, jobs, [0, 100, 150], "easy", priority2=1)
    assert 1 in found["easy-order"]
    assert 2 in one_pool(sound, jobs, [0, 150, 100], "easy")["easy-order"]


def test_conservative_protects_every_reservation(sound: Case) -> None:
    """EASY would let the last pass: it delays only the second in the queue."""
    queue = [LONG, HEAD, (2, 10, 10, 1), (3, 200, 200, 3)]
    kept = one_pool(sound, queue, [0, 100, 2, 150], "conservative")
    assert kept == {}
    jobs = [(0, 100, 100, 2), (1, 50, 50, 3), (2, 60, 60, 3), (3, 170, 170, 1)]
    assert one_pool(sound, jobs, [0, 100, 150, 3], "conservative") == {}
    jobs[2] = (2, 60, 60, 4)
    assert one_pool(sound, jobs, [0, 100, 173, 3], "easy") == {}
    found = one_pool(sound, jobs, [0, 100, 173, 3], "conservative")
    assert found["conservative-order"] == [3]


def test_a_broken_first_reservation_is_caught(sound: Case) -> None:
    jobs = [(0, 100, 100, 4), (1, 50, 50, 4)]
    kept = one_pool(sound, jobs, [0, 100], "conservative")
    assert kept == {}
    found = one_pool(sound, jobs, [0, 100], "conservative", predicted1=98)
    assert found == {"first-reservation": [1]}
    late = [(0, 100, 50, 4), (1, 50, 50, 4)]  # the first ran longer than it said
    assert one_pool(sound, late, [0, 100], "conservative", predicted1=49) == {}


# Several runs of one job, as preemption, outages and suspension will tell them.


def split(
    case: Case, *pieces: tuple[int, int, str], checkpoint_ms: int = 0
) -> dict[str, list[int | None]]:
    """The longest lone run cut into pieces (offsets from its start, in ms)."""
    rows = copy.deepcopy(case.rehearsal.rows)
    assert case.source is not None
    at = max((i for i, r in enumerate(rows) if ran(r)), key=lambda i: rows[i]["start_ms"])
    row, source = rows[at], list(case.source)
    source[at] = replace(source[at], checkpoint_ms=checkpoint_ms)
    base = row["start_ms"]
    runs = [
        Segment(at, row["pool"], base + a, base + b, why, None, index)
        for index, (a, b, why) in enumerate(pieces)
    ]
    row["end_ms"] = runs[-1].end_ms
    row["run_ms"] = sum(segment.end_ms - segment.start_ms for segment in runs)
    others = [segment for segment in segments_of(rows, {}) if segment.row != at]
    rehearsal = replace(case.rehearsal, rows=rows, segments=[*others, *runs])
    found = check(Case(rehearsal, case.network, source))
    money = {"summary", "hours", "deadline", "wait-cost"} | {
        rule for rule in found if "price" in rule
    }
    return {
        rule: places
        for rule, places in found.items()
        if at in places and rule not in money | {"energy", "carbon"}
    }


def longest(case: Case) -> int:
    rows = case.rehearsal.rows
    at = max((i for i, r in enumerate(rows) if ran(r)), key=lambda i: rows[i]["start_ms"])
    run: int = rows[at]["run_ms"]
    return run


def test_runs_that_do_the_work_are_sound(sound: Case) -> None:
    run = longest(sound)
    assert split(sound, (0, 1_000, "suspended"), (5_000, 4_000 + run, "finished")) == {}
    # A second of work is lost with the outage, at most the time since the last checkpoint.
    lost = (0, 1_000, "outage"), (5_000, 5_000 + run, "finished")
    assert split(sound, *lost) == {}
    assert split(sound, *lost, checkpoint_ms=60_000) == {}


def test_runs_that_do_not_are_caught(sound: Case) -> None:
    run = longest(sound)
    early = (0, 1_000, "suspended"), (5_000, 3_990 + run, "finished")
    assert "run-time" in split(sound, *early)
    lost = (0, 5_000, "outage"), (5_000, 5_000 + run, "finished")
    assert "run-time" in split(sound, *lost, checkpoint_ms=1_000)
    overlapping = (0, 1_000, "moved"), (900, run, "finished")
    assert "segments" in split(sound, *overlapping)
    unfinished = (0, 1_000, "moved"), (1_000, run, "preempted")
    assert "segments" in split(sound, *unfinished)


def on_nodes(sound: Case, *nodes: tuple[int, ...]) -> dict[str, list[int | None]]:
    """Two-node jobs of 600 of 1,000 milli-devices a node, all at once on one pool."""
    from tests.checker.capacity import check_capacity

    pool = next(iter(sound.network.pools.values()))
    small = replace(pool, nodes=4, devices_per_node=1)
    source = [Job(at, 0, 10, -1, 2, 600, 0, 0) for at in range(len(nodes))]
    runs = [Segment(at, pool.name, 0, 10, "finished", on) for at, on in enumerate(nodes)]
    rehearsal = replace(sound.rehearsal, rows=[{} for _ in nodes], segments=runs)
    case = Case(rehearsal, replace(sound.network, pools={pool.name: small}), source)
    case.jobs = list(source)
    check_capacity(case)
    found: dict[str, list[int | None]] = {}
    for violation in case.violations:
        found.setdefault(violation.rule, []).append(violation.row)
    return found


def test_overfull_nodes_are_caught(sound: Case) -> None:
    assert on_nodes(sound, (0, 1), (2, 3)) == {}
    assert on_nodes(sound, (0, 1), (1, 2)) == {"node-capacity": [1]}
    assert on_nodes(sound, (0, 0)) == {"node-capacity": [0]}
    assert on_nodes(sound, (0, 4)) == {"node-capacity": [0]}
    assert on_nodes(sound, (0, 1, 2)) == {"node-capacity": [0]}
