"""Runs that are stopped: no work is made or lost unaccounted, nobody runs where nothing can."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.twin.small import HOUR, cards, site, zone
from tests.twin.stopped import ZERO_MS, Drawn, draw, in_plain, network, play, workload
from westward.jit import compiled
from westward.model.network import Link, Series
from westward.model.plan import Policy
from westward.model.scenario import Outage, Scenario
from westward.simulate.engine import simulate
from westward.simulate.metrics import device_hours, run_ms, wait_ms
from westward.simulate.results import SEGMENT_ENDS, SimulationResult
from westward.simulate.tables import hours_table

ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(250)
Piece = tuple[int, int, int, int, str]


def pieces_of(result: SimulationResult) -> list[Piece]:
    """(row, pool, start, end, why) of every run, by row and time."""
    runs = result.segments
    several = set() if runs is None else set(runs.row.tolist())
    pieces: list[Piece] = [
        (row, int(result.pool[row]), int(result.start_ms[row]), int(result.end_ms[row]), "finished")
        for row in range(len(result))
        if result.pool[row] >= 0 and row not in several
    ]
    if runs is not None:
        pieces += [
            (row, pool, start, end, SEGMENT_ENDS[why])
            for row, pool, start, end, why in zip(
                runs.row.tolist(), runs.pool.tolist(), runs.start_ms.tolist(),
                runs.end_ms.tolist(), runs.why.tolist(), strict=True,
            )
        ]  # fmt: skip
    return sorted(pieces, key=lambda piece: (piece[0], piece[2]))


def speed_of(drawn: Drawn, pool: int) -> float:
    kind = drawn.network.pools[pool].accelerator
    return next(k.relative_speed for k in drawn.network.accelerators if k.name == kind)


def check_work(drawn: Drawn, pieces: list[Piece]) -> None:
    """What runs keep, by their checkpoints, is the job's true duration: no more and no less."""
    for row, mine in itertools.groupby(pieces, key=lambda piece: piece[0]):
        runs = list(mine)
        left = int(drawn.workload.duration_ms[row])
        assert drawn.workload.checkpoint_ms is not None
        every = int(drawn.workload.checkpoint_ms[row])
        assert [why == "finished" for *_, why in runs] == [False] * (len(runs) - 1) + [True]
        for (_, pool, start, end, why), after in itertools.zip_longest(runs, runs[1:]):
            whole = max(1, int(left / speed_of(drawn, pool)))
            if why == "finished":
                assert end - start == whole, row
                continue
            assert 0 < end - start < whole, row
            assert after[2] >= end, "two runs at once"
            kept = (end - start) // every * every if every else 0
            left -= int(kept * speed_of(drawn, pool))


def check_places(drawn: Drawn, pieces: list[Piece], result: SimulationResult) -> None:
    """Capacity holds; nobody starts at a closed site; what was lost, was lost to an outage."""
    pools = drawn.network.pools
    for at, pool in enumerate(pools):
        steps: Counter[int] = Counter()
        for row, where, start, end, _ in pieces:
            if where == at:
                need = 1000 * int(drawn.workload.nodes[row])
                steps[start] += need
                steps[end] -= need
        held = 0
        for time in sorted(steps):
            held += steps[time]
            assert held <= pool.capacity_milli
    for row, where, start, end, why in pieces:
        if drawn.workload.pinned is not None and drawn.workload.pinned[row]:
            assert pools[where].site == drawn.network.sites[int(result.home_site[row])].name
        mine = [one for one in drawn.scenario.outages if one.site == pools[where].site]
        for one in mine:
            begin, until = ZERO_MS + one.from_ms, ZERO_MS + one.until_ms
            assert not begin <= start < until, "started at a closed site"
            if one.kind == "outage":
                assert not start < begin < end, "ran on at a lost site"
        if why == "site-lost":
            assert end in {ZERO_MS + one.from_ms for one in mine if one.kind == "outage"}


def check_preempted(drawn: Drawn, pieces: list[Piece]) -> None:
    """Whoever was put out made way for a job of higher priority, that starts there and then."""
    priority = drawn.workload.priority
    assert priority is not None
    for row, pool, _, end, why in pieces:
        if why == "preempted":
            assert drawn.policy.preemption
            heirs = [p[0] for p in pieces if p[1] == pool and p[2] == end]
            assert any(priority[heir] > priority[row] for heir in heirs)


def check_money(drawn: Drawn, pieces: list[Piece], result: SimulationResult) -> None:
    """Device money and energy of every run by hand, added up, are the job's and the hours'."""
    device: defaultdict[int, float] = defaultdict(float)
    energy: defaultdict[int, float] = defaultdict(float)
    for row, where, start, end, _ in pieces:
        pool = drawn.network.pools[where]
        hours = int(drawn.workload.nodes[row]) * (end - start) / HOUR
        assert pool.price_micros_per_device_hour is not None
        device[row] += pool.price_micros_per_device_hour * hours
        energy[row] += hours
    for row in device:
        assert math.isclose(result.device_micros[row], device[row], rel_tol=1e-9)
        assert math.isclose(result.energy_kwh[row], energy[row], rel_tol=1e-9)
    runs = result.segments
    if runs is not None:
        for name in ("device_micros", "power_micros", "energy_kwh"):
            sums = np.bincount(runs.row, getattr(runs, name), minlength=len(result))
            rows = np.unique(runs.row)
            assert np.allclose(sums[rows], getattr(result, name)[rows], rtol=1e-12)
    hours_of = hours_table(result)
    whole = sum(1000 * int(drawn.workload.nodes[r]) * (e - s) for r, _, s, e, _ in pieces)
    assert int(hours_of["device_milli_ms"].sum()) == whole
    assert math.isclose(float(device_hours(result).sum()) * 1000 * HOUR, whole, rel_tol=1e-9)
    assert math.isclose(hours_of["power_micros"].sum(), result.power_micros.sum(), rel_tol=1e-6)


def check_waits(result: SimulationResult) -> None:
    """From submission to end: useful run time, and the rest is waiting, priced as such."""
    rows = np.flatnonzero(result.placed)
    assert (wait_ms(result)[rows] >= 0).all()
    spent = (result.end_ms - result.submit_ms)[rows]
    assert (wait_ms(result)[rows] + run_ms(result)[rows] == spent).all()
    value = result.policy.wait_value_micros_per_device_hour * (result.need_milli / 1000.0)
    priced = np.where(result.workload.deadline_ms < 0, value * wait_ms(result) / HOUR, 0.0)
    assert np.allclose(result.wait_micros[rows], priced[rows], rtol=1e-9)


def test_whatever_happens_the_books_balance() -> None:
    met: Counter[str] = Counter()
    for seed in SEEDS:
        drawn = draw(seed)
        result = play(drawn)
        pieces = pieces_of(result)
        check_work(drawn, pieces)
        check_places(drawn, pieces, result)
        check_preempted(drawn, pieces)
        check_money(drawn, pieces, result)
        check_waits(result)
        met.update(why for *_, why in pieces)
    assert all(met[why] >= 20 for why in SEGMENT_ENDS), met


OTHER_PROCESS = """
import sys
from westward.jit import compiled, interpret
interpret()
from tests.twin.stopped import draw, in_plain, play
assert not compiled()
for seed in range(int(sys.argv[1])):
    print(in_plain(play(draw(seed))))
"""


def test_compiled_equals_interpreted() -> None:
    assert compiled()
    count = 60
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, str(count)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [in_plain(play(draw(seed))) for seed in range(count)]


@pytest.mark.parametrize("seed", range(30))
def test_what_cannot_bite_changes_nothing(seed: int) -> None:
    """All priorities alike, no checkpoints, an outage after the end: the rehearsal without."""
    drawn = draw(seed)
    count = len(drawn.workload)
    tame = replace(
        drawn,
        workload=replace(drawn.workload, priority=np.zeros(count, dtype=np.int8),
                         checkpoint_ms=np.zeros(count, dtype=np.int64)),
        scenario=Scenario(),
        policy=replace(drawn.policy, preemption=False, reconsider_ms=0),
    )  # fmt: skip
    plain = in_plain(play(tame))
    late = Outage(site=drawn.network.sites[0].name, from_ms=10_000 * HOUR, until_ms=10_001 * HOUR)
    armed = replace(
        tame,
        policy=replace(tame.policy, preemption=True, reconsider_ms=HOUR),
        scenario=Scenario(outages=(late,)),
    )
    assert in_plain(play(armed)) == plain


# By hand


def test_a_higher_priority_puts_the_lower_out_and_it_resumes() -> None:
    """Two cards. The low job holds both; at 2:30 the high one needs both for an hour. Kept: 2 h."""
    work = workload(
        submit_ms=[0, 150 * HOUR // 60], duration_ms=[10 * HOUR, HOUR], nodes=[2, 2],
        priority=[0, 1], checkpoint_ms=[HOUR, HOUR],
    )  # fmt: skip
    world = network((cards("p", 2),))
    result = simulate(world, work, Policy(preemption=True), seed=1, zero_ms=0)
    half = HOUR // 2
    assert pieces_of(result) == [
        (0, 0, 0, 5 * half, "preempted"),
        (0, 0, 7 * half, 7 * half + 8 * HOUR, "finished"),
        (1, 0, 5 * half, 7 * half, "finished"),
    ]
    assert wait_ms(result).tolist() == [HOUR + half, 0]
    off = simulate(world, work, Policy(), seed=1, zero_ms=0)
    assert off.segments is None
    assert off.start_ms.tolist() == [0, 10 * HOUR]


def test_the_cheapest_victims_that_are_needed() -> None:
    """Three cards run three jobs of priority 0, 1, 1; a job of priority 2 needs two. Out go the
    lowest priority and, of the others, the one that has lost least since its checkpoint."""
    minute = HOUR // 60
    work = workload(
        submit_ms=[0, 0, 0, 100 * minute], duration_ms=[9 * HOUR] * 3 + [HOUR],
        nodes=[1, 1, 1, 2], priority=[1, 1, 0, 2], checkpoint_ms=[60 * minute, 90 * minute, 0, 0],
    )  # fmt: skip
    result = simulate(network((cards("p", 3),)), work, Policy(preemption=True), seed=1, zero_ms=0)
    put_out = [(row, end) for row, _, _, end, why in pieces_of(result) if why == "preempted"]
    assert put_out == [(1, 100 * minute), (2, 100 * minute)]


def test_no_victim_falls_when_all_of_them_would_not_do() -> None:
    work = workload(
        submit_ms=[0, 0, HOUR], duration_ms=[4 * HOUR] * 3, nodes=[1, 1, 2], priority=[0, 1, 1]
    )
    result = simulate(network((cards("p", 2),)), work, Policy(preemption=True), seed=1, zero_ms=0)
    assert result.segments is None


def test_a_lost_site_s_jobs_go_elsewhere_and_come_back() -> None:
    """The cheap site is lost at 2:30 for 4 h. Its run falls back to 2:00, goes to the dear site
    with its checkpoint, and once the cheap site is back it pays to return there."""
    pools = (
        cards("a-dear", 1, "a", price_micros_per_device_hour=50_000_000),
        cards("b-cheap", 1, "b"),
    )
    link = Link(a="a", b="b", one_way_ms=1.0, bandwidth_gbps=8.0, price_micros_per_gb=10_000)
    world = network(pools, (site("a", "z"), site("b", "z")), links=(link,))
    work = workload(submit_ms=[0], duration_ms=[40 * HOUR], checkpoint_ms=[HOUR])
    lost = Scenario(outages=(Outage(site="b", from_ms=5 * HOUR // 2, until_ms=13 * HOUR // 2),))
    policy = Policy(
        reconsider_ms=HOUR, checkpoint_gb_per_device=36.0,
        wait_value_micros_per_device_hour=60_000_000,
    )  # fmt: skip
    result = simulate(world, work, policy, seed=1, zero_ms=0, scenario=lost)
    # 36 GB at 8 Gbit/s take 36 s, and cost 0.36 each time.
    there = 5 * HOUR // 2 + 36_000
    back = 7 * HOUR + 36_000
    assert pieces_of(result) == [
        (0, 1, 0, 5 * HOUR // 2, "site-lost"),
        (0, 0, there, 7 * HOUR, "moved"),
        (0, 1, back, back + 34 * HOUR, "finished"),
    ]
    assert result.transfer_micros.tolist() == [720_000.0]


def test_a_run_stands_still_through_a_dear_hour() -> None:
    """It was thought to end before the dear hours begin. It overruns: at the next tick it stops
    until they are over. A drain or a lost site has no part in it."""
    tariff = Series(step_ms=HOUR, values=(1.0,) * 3 + (500.0,) * 6 + (1.0,) * 15)
    work = workload(
        submit_ms=[0],
        duration_ms=[10 * HOUR],
        estimate_ms=[3 * HOUR - 1],
        checkpoint_ms=[HOUR // 2],
    )
    world = network((cards("p", 1),), zones=(zone("z", tariff_per_kwh=tariff),))
    result = simulate(world, work, Policy(reconsider_ms=HOUR // 4), seed=1, zero_ms=0)
    (first, second) = pieces_of(result)
    assert first == (0, 0, 0, 3 * HOUR, "suspended")
    assert second == (0, 0, 9 * HOUR, 16 * HOUR, "finished")
    off = simulate(world, work, Policy(), seed=1, zero_ms=0)
    assert result.power_micros.sum() < 0.01 * off.power_micros.sum()


def test_a_drained_site_lets_its_jobs_end_and_those_that_wait_go() -> None:
    pools = (cards("a", 1, "a"), cards("b", 1, "b", price_micros_per_device_hour=9_000_000))
    link = Link(a="a", b="b", one_way_ms=1.0, bandwidth_gbps=8.0, price_micros_per_gb=0)
    world = network(pools, (site("a", "z"), site("b", "z")), links=(link,))
    work = workload(submit_ms=[0, 0, HOUR // 2], duration_ms=[4 * HOUR, HOUR, HOUR])
    drained = Scenario(outages=(Outage(site="a", from_ms=HOUR, until_ms=9 * HOUR, kind="drain"),))
    assert simulate(world, work, Policy(), seed=1, zero_ms=0).pool.tolist() == [0, 0, 0]
    result = simulate(world, work, Policy(), seed=1, zero_ms=0, scenario=drained)
    assert result.segments is None
    assert list(zip(result.pool.tolist(), result.start_ms.tolist(), strict=True)) == [
        (0, 0), (1, HOUR), (1, 2 * HOUR),
    ]  # fmt: skip


def test_who_has_nowhere_else_waits_until_the_site_is_back() -> None:
    """Pinned: not refused, and not held until the next full hour of its asking."""
    world = network((cards("a", 1, "a"), cards("b", 1, "b")), (site("a", "z"), site("b", "z")))
    work = workload(submit_ms=[0, HOUR], duration_ms=[4 * HOUR, HOUR], pinned=[1, 1], home=[0, 0])
    back = 5 * HOUR + 1
    result = simulate(world, work, Policy(), seed=1, zero_ms=0)
    at = world.sites[int(result.home_site[0])].name
    lost = Scenario(outages=(Outage(site=at, from_ms=HOUR // 2, until_ms=back),))
    result = simulate(world, work, Policy(), seed=1, zero_ms=0, scenario=lost)
    runs = [(row, start, end) for row, _, start, end, _ in pieces_of(result)]
    assert runs == [
        (0, 0, HOUR // 2), (0, back, back + 4 * HOUR), (1, back + 4 * HOUR, back + 5 * HOUR),
    ]  # fmt: skip


def test_two_outages_of_one_site_may_overlap() -> None:
    world = network((cards("a", 1),))
    work = workload(submit_ms=[0], duration_ms=[2 * HOUR], checkpoint_ms=[HOUR // 2])
    lost = Scenario(
        outages=(
            Outage(site="s", from_ms=HOUR, until_ms=3 * HOUR),
            Outage(site="s", from_ms=2 * HOUR, until_ms=5 * HOUR),
        )
    )
    result = simulate(world, work, Policy(), seed=1, zero_ms=0, scenario=lost)
    assert pieces_of(result) == [
        (0, 0, 0, HOUR, "site-lost"),
        (0, 0, 5 * HOUR, 6 * HOUR, "finished"),
    ]


@pytest.mark.parametrize(
    "outage",
    [
        Outage(site="nowhere", from_ms=0, until_ms=HOUR),
        Outage(site="s", from_ms=HOUR, until_ms=HOUR),
    ],
)
def test_outages_that_cannot_be(outage: Outage) -> None:
    work = workload(submit_ms=[0], duration_ms=[HOUR])
    with pytest.raises(ValueError, match=r"no site nowhere|ends before it begins"):
        simulate(
            network((cards("a", 1),)), work, Policy(), seed=1, scenario=Scenario(outages=(outage,))
        )
