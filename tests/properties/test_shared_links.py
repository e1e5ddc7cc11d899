"""Moves over shared links queue behind each other, and copies serve those who come later."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tests.twin.demands import Ask, demand
from tests.twin.small import AT_ONCE, cards, site, world, zone
from westward.formats.generate import GeneratorOptions, generate
from westward.model.network import Link, Network
from westward.model.scenario import Scenario
from westward.simulate.engine import simulate
from westward.simulate.results import SimulationResult
from westward.simulate.rows import Homes

SHARED = Scenario(shared_links=True)


def link(a: str, b: str, gbps: float = 8.0) -> Link:
    """At 8 Gbit/s a GB takes a second."""
    return Link(a=a, b=b, one_way_ms=1.0, bandwidth_gbps=gbps, price_micros_per_gb=10)


def two_sites(at_home: int = 0) -> Network:
    """Cheap cards in the west, homes in the east (site 0), one link."""
    pools = [cards("west", 50, at="w")]
    if at_home:
        pools.append(cards("east", at_home, at="e", price_micros_per_device_hour=90_000_000))
    return world(
        *pools, zones=(zone("z"),), sites=(site("e", "z"), site("w", "z")), links=(link("e", "w"),)
    ).network


def homed_at(user: int, network: Network) -> int:
    """A seed with which that user's home is site 0."""
    workload = demand([Ask(user=user)])
    return next(seed for seed in range(100) if Homes(len(network.sites), seed).of(workload)[0] == 0)


def rehearse(asks: list[Ask], scenario: Scenario | None, network: Network) -> SimulationResult:
    return simulate(
        network, demand([replace(ask, user=0) for ask in asks]), AT_ONCE,
        seed=homed_at(0, network), zero_ms=0, scenario=scenario,
    )  # fmt: skip


def starts_s(result: SimulationResult) -> list[float]:
    return [float(ms) / 1000.0 for ms in result.start_ms]


def test_three_moves_over_one_link() -> None:
    asks = [Ask(gb=100), Ask(gb=50), Ask(at=1.0, gb=10)]
    assert starts_s(rehearse(asks, SHARED, two_sites())) == [100, 150, 3610]
    assert starts_s(rehearse(asks, None, two_sites())) == [100, 50, 3610]


def test_a_data_set_is_moved_and_paid_once() -> None:
    asks = [
        Ask(gb=100, dataset=3),
        Ask(at=0.01, gb=100, dataset=3),
        Ask(at=0.5, gb=100, dataset=3),
        Ask(at=0.5, gb=100, dataset=4),
    ]
    result = rehearse(asks, SHARED, two_sites())
    assert starts_s(result) == [100, 100, 1800, 1900]
    assert result.transfer_micros.tolist() == [1000.0, 0.0, 0.0, 1000.0]


def test_a_reader_at_the_home_site_waits_for_nothing() -> None:
    asks = [Ask(gb=100, dataset=0), Ask(at=0.001, gb=100, dataset=0, pinned=True)]
    result = rehearse(asks, SHARED, two_sites(at_home=1))
    names = [pool.name for pool in result.network.pools]
    assert [names[p] for p in result.pool] == ["west", "east"]
    assert starts_s(result) == [100, 3.6]


def test_both_directions_of_a_link_are_free_of_each_other() -> None:
    """One too large for its home site, one for which the other is cheaper: they cross."""
    network = two_sites(at_home=60)
    homes = Homes(2, 5).of(demand([Ask(user=user) for user in range(30)])).tolist()
    asks = [
        Ask(user=homes.index(0), cards=50, gb=100),
        Ask(at=0.01, user=homes.index(1), cards=60, gb=100),
    ]
    result = simulate(network, demand(asks), AT_ONCE, seed=5, zero_ms=0, scenario=SHARED)
    names = [network.pools[p].name for p in result.pool]
    assert names == ["west", "east"]
    assert starts_s(result) == [100, 136]


def scattered() -> Network:
    """Five sites, pools of little room, so that jobs spread; not every pair is linked."""
    names = "abcde"
    rng = np.random.Generator(np.random.PCG64(4))
    return world(
        *(
            cards(
                f"p-{name}",
                2,
                at=name,
                devices_per_node=4,
                cpus_per_node=512,
                memory_mib_per_node=1 << 22,
                price_micros_per_device_hour=1_000_000 + 1_000 * at,
            )
            for at, name in enumerate(names)
        ),
        zones=(zone("z"),),
        sites=tuple(site(name, "z") for name in names),
        links=tuple(
            link(a, b, gbps=float(rng.integers(1, 20)) / 10)
            for at, a in enumerate(names)
            for b in names[at + 1 :]
            if (a, b) != ("b", "d")
        ),
    ).network


@pytest.mark.parametrize("datasets", [0, 12])
def test_every_move_recomputed(datasets: int) -> None:
    """From where each job went alone: its moves, in the order of booking, on a link each of which
    carries one at a time. No two overlap, each takes bytes / bandwidth, and what is told as the
    job's earliest start and paid for its transfer is just that."""
    network = scattered()
    options = GeneratorOptions(
        homes=5, max_gang_devices=4, input_share=0.8, input_max_bytes=10**12,
        input_median_bytes=40 * 10**9, dataset_count=datasets, deadline_share=0.0,
    )  # fmt: skip
    workload = generate(250, 11, capacity_devices=40, load=1.0, options=options)
    result = simulate(network, workload, AT_ONCE, seed=3, scenario=SHARED)
    assert (result.pool >= 0).all()
    names = [one.name for one in network.sites]
    pace = {}
    for one in network.links:
        for a, b in ((one.a, one.b), (one.b, one.a)):
            pace[names.index(a), names.index(b)] = 8000.0 / one.bandwidth_gbps
    booked: dict[tuple[int, int], list[tuple[int, int]]] = {}
    copies: dict[int, dict[int, int]] = {}
    moved = 0
    for row in range(len(workload)):
        site_row = names.index(network.pools[result.pool[row]].site)
        now = int(result.submit_ms[row])
        arrival, paid = now, 0.0
        gb = float(workload.input_bytes[row]) / 1e9
        if gb > 0:
            number = -1 if workload.dataset is None else int(workload.dataset[row])
            home = int(result.home_site[row])
            held = {home: 0} if number < 0 else copies.setdefault(number, {home: 0})
            ways = []
            for source, since in held.items():
                begin = max(now, since)
                if source == site_row:
                    ways.append((0.0, begin, source, begin))
                elif (source, site_row) in pace:
                    line = booked.setdefault((source, site_row), [])
                    begin = max([begin, *(until for _, until in line[-1:])])
                    until = begin + math.ceil(pace[source, site_row] * gb)
                    ways.append((10.0 * gb, until, source, begin))
            paid, arrival, source, begin = min(ways)
            if source != site_row:
                booked[source, site_row].append((begin, arrival))
                moved += 1
                if number >= 0:
                    held[site_row] = min(arrival, held.get(site_row, arrival))
        assert result.not_before_ms[row] == arrival, row
        assert result.start_ms[row] >= arrival
        assert result.transfer_micros[row] == pytest.approx(paid), row
    assert moved > 20
    for line in booked.values():
        assert all(a[1] <= b[0] for a, b in pairwise(line))
    assert any(b[0] == a[1] for line in booked.values() for a, b in pairwise(line)), (
        "no move ever waited for another"
    )


def test_room_for_data_sets_grows_with_the_blocks() -> None:
    """A workload in stretches, as when it is streamed, gives what it gives in one piece."""
    network = scattered()
    options = GeneratorOptions(homes=5, max_gang_devices=4, input_share=0.8, dataset_count=40)
    workload = generate(200, 2, capacity_devices=40, load=0.8, options=options)
    whole = simulate(network, workload, AT_ONCE, seed=3, scenario=SHARED)
    assert workload.dataset is not None
    assert len(np.unique(workload.dataset)) > 5
    assert whole.transfer_micros.sum() > 0
    alone = replace(workload, dataset=None)
    assert (
        simulate(network, alone, AT_ONCE, seed=3, scenario=SHARED).transfer_micros.sum()
        > whole.transfer_micros.sum()
    )
