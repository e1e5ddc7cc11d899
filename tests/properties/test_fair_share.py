"""Fair shares: who waits gets by weight, who is away lends, who returns is served at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.twin.demands import HOUR, Ask, demand
from tests.twin.small import AT_ONCE, cards, world
from westward.formats.generate import GeneratorOptions, generate
from westward.model.faults import InputFaults
from westward.model.scenario import Scenario, Share
from westward.simulate.engine import simulate
from westward.simulate.fair import QUANTA_PER_MS
from westward.simulate.results import SimulationResult

FAIR = replace(AT_ONCE, fair_share=True)
NETWORK = world(cards("p", 4)).network


def rehearse(
    asks: list[Ask], *shares: Share, fair: bool = True, discipline: str = "easy"
) -> SimulationResult:
    policy = replace(FAIR, fair_share=fair, discipline=discipline)
    return simulate(
        NETWORK, demand(asks), policy, seed=1, zero_ms=0, scenario=Scenario(shares=shares)
    )


def card_hours(result: SimulationResult, user: int, first: float, last: float) -> float:
    """What a user held between two times."""
    mine = result.workload.user == user
    begin = np.maximum(result.start_ms[mine], first * HOUR)
    end = np.minimum(result.end_ms[mine], last * HOUR)
    held = np.maximum(end - begin, 0) * result.need_milli[mine] / 1000.0
    return float(held.sum()) / HOUR


def backlog(user: int, count: int, at: float = 0.0) -> list[Ask]:
    """All at once, with a little order among users' arrivals."""
    return [Ask(at=at + user * 1e-6, user=user) for _ in range(count)]


@pytest.mark.parametrize("discipline", ["easy", "conservative"])
def test_equal_shares_whatever_was_handed_in_first(discipline: str) -> None:
    asks = backlog(0, 80) + backlog(1, 80)
    fair = rehearse(asks, discipline=discipline)
    assert card_hours(fair, 0, 1, 20) == pytest.approx(card_hours(fair, 1, 1, 20), abs=4)
    greedy = rehearse(asks, fair=False, discipline=discipline)
    assert card_hours(greedy, 1, 1, 19) == 0.0


def test_by_weight() -> None:
    asks = backlog(0, 90) + backlog(1, 90)
    result = rehearse(asks, Share(tenant=0, weight=1.0), Share(tenant=1, weight=3.0))
    ratio = card_hours(result, 1, 1, 21) / card_hours(result, 0, 1, 21)
    assert ratio == pytest.approx(3.0, rel=0.1)


def test_gangs_are_charged_by_what_they_hold() -> None:
    pairs = [Ask(user=0, cards=2) for _ in range(60)]
    result = rehearse(pairs + backlog(1, 120))
    assert card_hours(result, 0, 2, 25) == pytest.approx(card_hours(result, 1, 2, 25), rel=0.15)


def test_an_idle_share_is_lent_and_comes_back() -> None:
    """Tenant 1 is away until hour 10: tenant 0 has everything. Then both have half, though tenant 0
    had ten hours alone (no debt) and tenant 1 none (no credit)."""
    result = rehearse(backlog(0, 120) + backlog(1, 60, at=10.0))
    assert card_hours(result, 0, 0, 10) == 40.0
    returned = result.workload.user == 1
    assert result.start_ms[returned].min() <= 11 * HOUR
    assert card_hours(result, 1, 11, 30) == pytest.approx(card_hours(result, 0, 11, 30), abs=6)


def test_a_programme_lends_to_its_own_first() -> None:
    """A holds half in all, between tenants 0 and 1; B is tenant 2. While tenant 1 is away, tenant 0
    has all of A's half, not a third of the network."""
    shares = (
        Share(programme="A", weight=1.0),
        Share(programme="A", tenant=0, weight=1.0),
        Share(programme="A", tenant=1, weight=1.0),
        Share(tenant=2, weight=1.0),
    )
    asks = [
        Ask(at=hour / 3 + user * 1e-6, user=user)
        for user in range(3)
        for hour in range(45 if user == 1 else 0, 180)
    ]
    result = rehearse(asks, *shares)
    assert card_hours(result, 0, 2, 15) == pytest.approx(card_hours(result, 2, 2, 15), abs=4)
    # What was queued while tenant 1 was away keeps its tags: half of A's from when that is done.
    both = card_hours(result, 0, 35, 55) + card_hours(result, 1, 35, 55)
    assert both == pytest.approx(card_hours(result, 2, 35, 55), abs=6)
    assert card_hours(result, 1, 35, 55) == pytest.approx(both / 2, abs=4)


def test_priority_goes_before_share() -> None:
    asks = backlog(0, 40) + backlog(1, 40)
    workload = demand(asks)
    urgent = np.where(workload.user == 1, 3, 0).astype(np.int8)
    result = simulate(
        NETWORK, replace(workload, priority=urgent), FAIR, seed=1, zero_ms=0, scenario=Scenario()
    )
    assert card_hours(result, 1, 1, 10) == pytest.approx(36, abs=1)


def test_one_tenant_is_served_as_without_shares() -> None:
    """Shares among one are none: the schedule is that of arrival order, to the millisecond."""
    options = GeneratorOptions(users=1, max_gang_devices=4, input_share=0.0)
    workload = generate(300, 5, capacity_devices=4, load=1.2, options=options)
    workload = replace(workload, user=np.zeros(len(workload), dtype=np.int32))
    plain, fair = (
        simulate(NETWORK, workload, replace(AT_ONCE, fair_share=on), seed=2) for on in (False, True)
    )
    assert (plain.start_ms > plain.submit_ms).any()
    assert np.array_equal(plain.start_ms, fair.start_ms)
    assert np.array_equal(plain.predicted_start_ms, fair.predicted_start_ms)


def test_all_faults_of_shares_at_once() -> None:
    with pytest.raises(InputFaults) as caught:
        rehearse(
            [Ask()],
            Share(weight=0.0, tenant=1),
            Share(weight=1.0),
            Share(weight=1.0, tenant=1),
            Share(weight=float("nan"), programme="A"),
        )
    assert [fault.row for fault in caught.value.faults] == [1, 2, 3, 4]
    assert QUANTA_PER_MS > 0
