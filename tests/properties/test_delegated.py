"""Delegated pools: the site's own order, a queue we do not see, waits learnt from outcomes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.twin.demands import HOUR, Ask, demand
from tests.twin.small import AT_ONCE, bound, cards, job, site, world, zone
from westward.model.network import Series
from westward.model.plan import Discipline, Placement, Policy, Snapshot, Why
from westward.model.reasons import Code
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


def told(snapshot: Snapshot, *waits_ms: int) -> Snapshot:
    """The same, the one pool's site with a queue of its own."""
    return replace(snapshot, pools=(replace(snapshot.pools[0], site_wait_ms=waits_ms),))


@pytest.mark.parametrize("discipline", ["easy", "conservative"])
def test_a_job_is_handed_over_when_there_is_room_and_waits_there(discipline: Discipline) -> None:
    """Room as we see it after five hours; then, by size, what the site's own users let it wait."""
    policy = replace(AT_ONCE, discipline=discipline)
    full = world(cards("own", 8), running={"own": [(8, 5.0)]})
    free = world(cards("own", 8))

    def seen(snapshot: Snapshot, cards: int = 1) -> Placement:
        (placement,) = plan(snapshot, [job("j", cards)], policy, 0).placements
        return placement

    assert seen(full).estimate.start_ms == 5 * HOUR
    assert seen(told(full, HOUR)).estimate.start_ms == 6 * HOUR
    by_size = (HOUR, 2 * HOUR, 3 * HOUR)
    starts = [seen(told(full, *by_size), size).estimate.start_ms for size in (1, 2, 3, 4, 5, 8)]
    assert starts == [hours * HOUR for hours in (6, 7, 8, 8, 8, 8)]
    handed = seen(told(free, HOUR))
    assert (handed.starts_now, handed.why) == (True, Why.WAITS_IN_SITE_QUEUE)
    assert (handed.not_before_ms, handed.estimate.start_ms) == (0, HOUR)
    assert handed.estimate.duration_ms == HOUR
    at_once = seen(told(free, 0))
    assert (at_once.why, at_once) == (Why.STARTS_NOW, seen(free))


def test_a_place_of_ours_is_held_from_the_hand_over_on() -> None:
    """Whoever is handed over now waits an hour there and runs for one: the next has room then."""
    snapshot = told(world(cards("own", 4)), HOUR)
    answer = plan(snapshot, [job("a", 4), job("b", 4, submit_ms=1)], AT_ONCE, 0)
    a, b = answer.placements
    assert (a.estimate.start_ms, b.estimate.start_ms) == (HOUR, 3 * HOUR)
    assert (b.why, b.starts_now) == (Why.WAITS_FOR_CAPACITY, False)
    waits = told(world(cards("own", 4), queued={"own": [bound("x", 4)]}), HOUR)
    answer = plan(waits, [job("y", 4)], AT_ONCE, 0)
    x, y = answer.placements
    assert (x.starts_now, x.estimate.start_ms, y.estimate.start_ms) == (True, HOUR, 3 * HOUR)
    full = world(cards("own", 4), running={"own": [(4, 5.0)]}, queued={"own": [bound("x", 4)]})
    (x,) = plan(told(full, HOUR), [], AT_ONCE, 0).placements
    assert x.estimate.start_ms == 6 * HOUR


def test_another_site_is_taken_where_the_wait_costs_more_than_its_price() -> None:
    dear = replace(cards("far", 4), price_micros_per_device_hour=1_500_000)
    both = world(cards("own", 4), dear)

    def chosen(*waits_ms: int) -> str:
        own, far = both.pools
        there = replace(both, pools=(replace(own, site_wait_ms=waits_ms), far))
        (placement,) = plan(there, [job("j")], AT_ONCE, 0).placements
        return placement.estimate.pool

    # An hour of waiting is worth half a yuan, as much as the other costs more.
    assert (chosen(), chosen(HOUR - 1), chosen(HOUR + 1)) == ("own", "own", "far")


def test_a_site_with_a_queue_of_its_own_is_looked_at_as_far_as_it_may_pay() -> None:
    """The first pool looked at sets how late a start may still pay; the second has room in five
    hours, lets jobs wait ten minutes there, and is worth waiting seven for."""
    dear = replace(cards("a", 300), price_micros_per_device_hour=4_600_000)
    snapshot = world(dear, cards("own", 300), running={"own": [(1, 5.0)] * 300})
    first, own = snapshot.pools
    both = replace(snapshot, pools=(first, replace(own, site_wait_ms=(10 * 60_000,))))
    (placement,) = plan(both, [job("j", 300)], AT_ONCE, 0).placements
    assert (placement.estimate.pool, placement.estimate.start_ms) == ("own", 5 * HOUR + 600_000)


def test_who_waits_for_a_better_hour_is_handed_over_before_it() -> None:
    """The cheap hours begin at 4; there a job waits 90 minutes before it starts."""
    cheap = Series(step_ms=HOUR, values=(4.0,) * 4 + (0.0,) * 20)
    snapshot = told(
        world(cards("own", 4), zones=(replace(zone("z"), tariff_per_kwh=cheap),)), 90 * 60_000
    )
    policy = Policy(wait_value_micros_per_device_hour=1)
    (placement,) = plan(snapshot, [job("j")], policy, 0).placements
    assert placement.estimate.start_ms == 4 * HOUR
    assert placement.not_before_ms == 4 * HOUR - 90 * 60_000
    assert (placement.starts_now, placement.why) == (False, Why.WAITS_FOR_BETTER_HOUR)
    tight = job("j", deadline_ms=2 * HOUR)
    answer = plan(snapshot, [tight], policy, 0)
    assert not answer.placements
    assert answer.refusals[0].alternatives[0].reasons[0].code is Code.DEADLINE
