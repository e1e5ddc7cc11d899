"""Who is left where it is: a victim that others make needless, and a waiting job with moved data."""

from __future__ import annotations

from dataclasses import replace

from tests.twin import stopped
from tests.twin.demands import HOUR, Ask, demand
from tests.twin.small import AT_ONCE, cards, site, world, zone
from westward.model.network import Link
from westward.model.plan import Policy
from westward.simulate.engine import simulate
from westward.simulate.results import SEGMENT_ENDS
from westward.simulate.rows import Homes


def test_a_victim_that_the_next_one_makes_needless_stays() -> None:
    """One card has lost less than three, and is first on the list; the three alone will do."""
    minute = HOUR // 60
    work = stopped.workload(
        submit_ms=[0, 0, 90 * minute], duration_ms=[9 * HOUR, 9 * HOUR, HOUR],
        nodes=[1, 3, 3], priority=[0, 0, 1], checkpoint_ms=[HOUR, HOUR, HOUR],
    )  # fmt: skip
    network = stopped.network((cards("p", 4),))
    result = simulate(network, work, Policy(preemption=True), seed=1, zero_ms=0)
    runs = result.segments
    assert runs is not None
    put_out = [
        row
        for row, why in zip(runs.row.tolist(), runs.why.tolist(), strict=True)
        if SEGMENT_ENDS[why] == "preempted"
    ]
    assert put_out == [1]
    assert result.start_ms[2] == 90 * minute


def test_a_waiting_job_whose_data_was_moved_does_not_look_elsewhere() -> None:
    """The west was to be free first, and is not; the east is, early. Who has nothing there goes
    back; whose input went west stays with it."""
    network = world(
        cards("west", 1, at="w"),
        cards("east", 1, at="e", price_micros_per_device_hour=1_100_000),
        zones=(zone("z"),), sites=(site("e", "z"), site("w", "z")),
        links=(
            Link(a="e", b="w", one_way_ms=1.0, bandwidth_gbps=8.0, price_micros_per_gb=10),
        ),
    ).network  # fmt: skip
    asks = [
        Ask(hours=5, told=1, user=0), Ask(at=0.01, hours=1.5, told=2, user=0),
        Ask(at=0.1, user=0),
    ]  # fmt: skip
    seed = next(s for s in range(99) if Homes(2, s).of(demand(asks))[0] == 0)
    policy = replace(AT_ONCE, review_ms=60_000)
    names = [pool.name for pool in network.pools]
    found = {}
    for gb in (0.0, 1.0):
        last = replace(asks[2], gb=gb)
        result = simulate(network, demand([*asks[:2], last]), policy, seed=seed, zero_ms=0)
        assert [names[p] for p in result.pool[:2]] == ["west", "east"]
        found[gb] = names[result.pool[2]], result.start_ms[2] / HOUR
    assert found == {0.0: ("east", 1.51), 1.0: ("west", 5.0)}
