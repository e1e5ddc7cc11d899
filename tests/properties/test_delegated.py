"""Delegated pools: the site's own order, a queue we do not see, waits learnt from outcomes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.twin.demands import HOUR, Ask, demand
from tests.twin.small import AT_ONCE, bound, cards, job, site, world, zone
from westward.model.plan import Discipline, Policy, PoolState, QueuedJob, Snapshot
from westward.model.scenario import Scenario
from westward.model.workload import Workload
from westward.placement import plan
from westward.simulate.engine import simulate
from westward.simulate.results import SimulationResult
from westward.simulate.waits import wait_scores

DELEGATED = Scenario(delegated_pools=True)
ONE = world(cards("own", 4, managed=False)).network


def rehearse(
    asks: list[Ask], *, policy: Policy = AT_ONCE, scenario: Scenario | None = DELEGATED
) -> SimulationResult:
    return simulate(ONE, demand(asks), policy, seed=1, zero_ms=0, scenario=scenario)


def crowd(seed: int, count: int = 150, span: float = 60.0) -> list[Ask]:
    """Local users' jobs among ours, more than the pool holds (in 60 hours), estimates half as much again."""
    dice = np.random.Generator(np.random.PCG64(seed))
    return [
        Ask(
            at=float(dice.uniform(0, span)), hours=(hours := float(dice.uniform(0.1, 4.0))),
            cards=int(dice.integers(1, 5)), told=hours * 1.5, pinned=bool(dice.random() < 0.4),
            user=int(dice.integers(0, 4)),
        )
        for _ in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("discipline", ["easy", "conservative"])
def test_the_site_keeps_first_come_first_served_easy(seed: int, discipline: Discipline) -> None:
    """Whatever our policy's discipline, shares and priorities: there it is plain EASY, which the
    managed pool of a plain policy gives as well (and the parity tests hold that one)."""
    workload = demand(crowd(seed))
    urgent = replace(
        workload, priority=np.random.default_rng(seed).integers(0, 3, len(workload)).astype(np.int8)
    )
    ours = replace(AT_ONCE, discipline=discipline, fair_share=True)
    result = simulate(ONE, urgent, ours, seed=1, zero_ms=0, scenario=DELEGATED)
    plain = simulate(ONE, workload, AT_ONCE, seed=1, zero_ms=0)
    assert (plain.start_ms > plain.submit_ms).sum() > 50
    assert np.array_equal(result.start_ms, plain.start_ms)
    elsewhere = simulate(ONE, urgent, ours, seed=1, zero_ms=0)
    assert not np.array_equal(elsewhere.start_ms, plain.start_ms)


def test_waits_are_learnt_from_our_own_jobs_alone() -> None:
    """By hand: three of ours find the pool full for two hours; what the next is told is the mean of
    logarithms, a tenth of each newest. What the site's own users wait teaches nothing."""
    asks = [Ask(cards=4, hours=2.0, pinned=True)]
    asks += [Ask(at=1.0, hours=1.0, cards=1, pinned=True)]
    result = rehearse([*asks, Ask(at=3.5)])
    assert result.predicted_start_ms[2] == 3.5 * HOUR
    asks += [Ask(at=1.0 + k / 100) for k in range(3)]
    result = rehearse([*asks, Ask(at=3.5), Ask(at=3.5, cards=2)])
    mean = math.log(60_000)
    for row in range(2, 5):
        waited = int(result.start_ms[row] - result.submit_ms[row])
        assert waited == 2 * HOUR - result.submit_ms[row]
        ages = [int(result.submit_ms[row] - result.submit_ms[k]) for k in range(2, row)]
        told = 2 * sum(ages) / max(1, len(ages))  # nobody of ours has started yet
        assert result.predicted_start_ms[row] == result.submit_ms[row] + told
        mean += 0.1 * (math.log(waited + 60_000) - mean)
    told = result.predicted_start_ms[5] - result.submit_ms[5]
    assert told == round(math.exp(mean) - 60_000) > 0
    assert result.predicted_start_ms[6] == result.submit_ms[6], "another size, nothing learnt"


def test_those_of_ours_who_wait_tell_of_it_before_they_start() -> None:
    """By hand: twice the mean age of ours that wait, of the job's size or smaller."""
    asks = [Ask(cards=4, hours=8.0, pinned=True), Ask(at=0.5, cards=1, pinned=True)]
    asks += [Ask(at=1.0), Ask(at=2.0), Ask(at=3.0, cards=2), Ask(at=4.0), Ask(at=5.0, cards=2)]
    result = rehearse(asks)
    told = (result.predicted_start_ms - result.submit_ms)[2:] / HOUR
    assert told.tolist() == [0.0, 2.0, 3.0, 5.0, 2 * (5.0 - 7 / 3)]


@pytest.mark.parametrize("seed", range(8))
def test_every_wait_told_is_what_a_plain_look_says(seed: int) -> None:
    """From the table of the rehearsal alone: who of ours had started, who still waited."""
    asks = sorted(crowd(seed), key=lambda ask: ask.at)
    result = rehearse(asks)
    ours = [row for row, ask in enumerate(asks) if not ask.pinned]
    sizes = {row: math.ceil(math.log2(asks[row].cards)) for row in ours}
    submit, start = result.submit_ms.tolist(), result.start_ms.tolist()
    longer, slower = 0, 0
    for row in ours:
        now = submit[row]
        mean, gap, served, last = math.log(60_000), 0.0, 0.0, -1
        begun = [k for k in ours if submit[k] < now and start[k] <= now]
        for k in sorted(begun, key=lambda k: (start[k], submit[k])):
            if sizes[k] == sizes[row]:
                mean += 0.1 * (math.log(start[k] - submit[k] + 60_000) - mean)
            if last >= 0:
                gap += 0.1 * (start[k] - last - gap)
                served += 0.1 * (asks[k].cards - served)
            waits_on = any(submit[other] < start[k] < start[other] for other in ours)
            last = start[k] if waits_on else -1
        told = learnt = math.exp(mean) - 60_000
        ahead = [k for k in ours if submit[k] < now < start[k] and sizes[k] <= sizes[row]]
        for size in range(sizes[row] + 1):
            ages = [now - submit[k] for k in ahead if sizes[k] == size]
            if ages:
                told = max(told, 2.0 * sum(ages) / len(ages))
        longer += told > learnt
        if served > 0:
            to_serve = sum(asks[k].cards for k in ahead) * gap / served
            slower += to_serve > told
            told = max(told, to_serve)
        assert abs(result.predicted_start_ms[row] - now - told) <= 1
    assert longer > 10
    assert slower > 5


def test_nothing_is_known_of_a_long_queue_and_nothing_is_hidden() -> None:
    """Two sites alike, one with 40 hours of local work ahead: seen where it is managed, not where
    it is delegated, until those of ours who wait there tell; and the pool is found again when it is
    free."""
    network = world(
        cards("a", 4, at="s", managed=False), cards("b", 4, at="t", price_micros_per_device_hour=1_100_000),
        zones=(zone("z"),), sites=(site("s", "z"), site("t", "z")),
    ).network  # fmt: skip

    def pools(scenario: Scenario | None) -> list[int]:
        workload = homed(network, [
            *(Ask(cards=4, hours=4.0, pinned=True, user=0) for _ in range(10)),
            *(Ask(at=0.1 + k / 4, hours=0.5, user=0) for k in range(300)),
        ])  # fmt: skip
        result = simulate(network, workload, AT_ONCE, seed=SEED, zero_ms=0, scenario=scenario)
        return result.pool[10:].tolist()

    assert pools(None)[0] == 1
    blind = pools(DELEGATED)
    assert blind[0] == 0
    assert blind[1:150].count(0) < 3, "who waits there has told the others"
    assert set(blind[-60:]) == {0}, "it is cheaper, and free again"


SEED = 1


def homed(network: object, asks: list[Ask]) -> Workload:
    """With this seed user 0 sits at site 0."""
    from westward.simulate.rows import Homes

    workload = demand(asks)
    global SEED
    SEED = next(seed for seed in range(50) if Homes(2, seed).of(workload)[0] == 0)
    return workload


def test_predictions_are_scored() -> None:
    result = rehearse(crowd(5, 400, 600.0))
    (score,) = wait_scores(result, delegated=True)
    assert result.workload.pinned is not None
    assert score.delegated
    assert score.jobs == (~result.workload.pinned).sum()
    ours = ~result.workload.pinned
    waits = result.start_ms[ours] - result.submit_ms[ours]
    assert score.mean_wait_ms == pytest.approx(waits.mean())
    assert 0.1 < score.within_factor_2 < 1.0
    (seen,) = wait_scores(rehearse(crowd(5, 400, 600.0), scenario=None), delegated=False)
    assert not seen.delegated


def test_plan_is_told_what_to_expect() -> None:
    """The same job, a full pool: seen, it waits for the claim to end; told, for what was told, or
    twice as long as one of ours waits there already."""

    def start(told: int | None, *ours: QueuedJob) -> int:
        snapshot = world(cards("own", 4), running={"own": [(4, 5.0)]}, queued={"own": list(ours)})
        state = replace(snapshot.pools[0], expected_wait_ms=told)
        answer = plan(asked(snapshot, state), [job("j")], AT_ONCE, 0)
        return {one.job_id: one.estimate.start_ms for one in answer.placements}["j"]

    assert start(None) == 5 * HOUR
    assert start(20 * 60_000) == 20 * 60_000
    assert start(9 * HOUR) == 9 * HOUR
    since_an_hour = bound("a")
    assert since_an_hour.not_before_ms == -HOUR
    assert start(20 * 60_000, since_an_hour) == 2 * HOUR
    assert start(9 * HOUR, since_an_hour) == 9 * HOUR
    snapshot = world(cards("own", 4), running={"own": [(4, 5.0)]}, queued={"own": [since_an_hour]})
    for told, expected in ((20 * 60_000, HOUR), (3 * HOUR, 2 * HOUR)):
        state = replace(snapshot.pools[0], expected_wait_ms=told)
        (waiting,) = plan(asked(snapshot, state), [], AT_ONCE, 0).placements
        assert waiting.estimate.start_ms == expected


def asked(snapshot: Snapshot, state: PoolState) -> Snapshot:
    return replace(snapshot, pools=(state,))
