"""Streams of what cannot be resumed: the runs of ``simulate`` all the same, and no checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from westward.formats.generate import GeneratorOptions, generate
from westward.model.network import Network
from westward.model.plan import Policy
from westward.model.scenario import ForecastError, Outage, Scenario, Share
from westward.model.workload import Workload
from westward.network.loader import load_network
from westward.simulate.checkpoint import can_save, freeze, outside_arrays, thaw
from westward.simulate.engine import DEFAULT_ORIGIN_MS, simulate, stretch
from westward.simulate.happenings import Happenings
from westward.simulate.machine import Machine
from westward.simulate.parts import Parts
from westward.simulate.stream import Both, rehearse_stream, totals_for

ROOT = Path(__file__).resolve().parents[2]
HOUR = 3_600_000
JOBS = 400
DEVICES = 160


@pytest.fixture(scope="module")
def network() -> Network:
    from westward.simulate.scale import scale_network

    return scale_network(load_network(ROOT / "networks" / "east-west"), DEVICES)


@pytest.fixture(scope="module")
def jobs(network: Network) -> Workload:
    options = GeneratorOptions(homes=len(network.sites), max_gang_devices=4, deadline_share=0.2)
    work = generate(JOBS, 5, capacity_devices=DEVICES, load=1.6, options=options)
    rng = np.random.default_rng(7)
    return replace(
        work,
        user=rng.integers(0, 5, JOBS).astype(np.int32),
        priority=rng.integers(0, 3, JOBS).astype(np.int8),
        checkpoint_ms=np.full(JOBS, 600_000, dtype=np.int64),
        dataset=rng.integers(-1, 40, JOBS).astype(np.int32),
        input_bytes=np.full(JOBS, 2_000_000_000, dtype=np.int64),
    )


def down(network: Network) -> Scenario:
    return Scenario(
        outages=(Outage(site=network.sites[0].name, from_ms=2 * HOUR, until_ms=5 * HOUR),)
    )


CUTTING = ("preempt", "reconsider", "outage")
"""Cases with runs cut short."""
USUAL = Policy(review_ms=60_000)
CASES: dict[str, tuple[Policy, Scenario | None, bool]] = {
    "usual": (USUAL, None, True),
    "preempt": (replace(USUAL, preemption=True), None, True),
    "links and delegated pools": (
        USUAL, Scenario(shared_links=True, delegated_pools=True, strict_kinds=True), True,
    ),
    "prices": (replace(USUAL, price_period_ms=6 * HOUR), None, False),
    "a rival's prices": (Policy(rule="cheapest-static", price_period_ms=6 * HOUR), None, True),
    "packing": (replace(USUAL, packing="best-fit"), None, False),
    "fair share": (
        replace(USUAL, fair_share=True), Scenario(shares=(Share(weight=3.0, tenant=1),)), False,
    ),
    "reconsider": (replace(USUAL, reconsider_ms=HOUR), None, False),
    "forecast": (
        USUAL, Scenario(forecast=ForecastError(tariff_sigma=0.2, carbon_sigma=0.2)), False,
    ),
    "outage": (USUAL, Scenario(), False),
}  # fmt: skip


def case(name: str, network: Network) -> tuple[Policy, Scenario | None, bool]:
    policy, scenario, saves = CASES[name]
    return policy, down(network) if name == "outage" else scenario, saves


def machine_of(network: Network, policy: Policy, scenario: Scenario | None) -> Machine:
    origin = network.origin_ms(DEFAULT_ORIGIN_MS)
    machine = Machine(
        network, policy, totals_for(network, policy), seed=3, origin_ms=origin, zero_ms=origin,
        scenario=scenario,
    )  # fmt: skip
    Happenings(machine, () if scenario is None else scenario.outages)
    return machine


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_saved_is_named(network: Network, tmp_path: Path, name: str) -> None:
    policy, scenario, saves = case(name, network)
    machine = machine_of(network, policy, scenario)
    assert can_save(machine) is saves
    assert (outside_arrays(policy, scenario) == []) is saves
    if not saves:
        with pytest.raises(ValueError, match="outside the arrays"):
            freeze(machine)
        with pytest.raises(ValueError, match="cannot be resumed"):
            rehearse_stream(
                network, [], policy, seed=3, sink=machine_sink(network, policy, tmp_path),
                scenario=scenario, checkpoint=tmp_path / "checkpoint.npz",
            )  # fmt: skip


def machine_sink(network: Network, policy: Policy, folder: Path) -> Both:
    return Both(totals_for(network, policy), Parts(folder, rows=100))


@pytest.mark.timeout(900)  # the kernels with packing compile at their first use
@pytest.mark.parametrize("name", CASES)
def test_the_runs_are_those_of_simulate(
    network: Network, jobs: Workload, tmp_path: Path, name: str
) -> None:
    policy, scenario, saves = case(name, network)
    whole = simulate(network, jobs, policy, seed=3, scenario=scenario)
    checkpoint = tmp_path / "checkpoint.npz" if saves else None
    rounds = 0
    (tmp_path / "runs").mkdir()
    while True:
        rounds += 1
        done = rehearse_stream(
            network, blocks(jobs, 97), policy, seed=3, sink=machine_sink(network, policy, tmp_path / "runs"),
            scenario=scenario, checkpoint=checkpoint, feed_jobs=61, stop=(lambda: True) if saves else None,
        )  # fmt: skip
        if done.done:
            break
    assert (rounds > 5) is saves
    table = pl.read_parquet(tmp_path / "runs" / "part-*.parquet")
    last = table.filter(pl.col("why") == 0).sort("row")
    rows = last["row"].to_numpy()
    assert np.array_equal(np.flatnonzero(whole.placed), rows)
    for column, ours in (
        ("pool", whole.pool), ("first_ms", whole.start_ms), ("end_ms", whole.end_ms),
        ("transfer", whole.transfer_micros), ("predicted_ms", whole.predicted_start_ms),
    ):  # fmt: skip
        name_there = "transfer_micros" if column == "transfer" else column
        assert np.array_equal(last[name_there].to_numpy(), ours[rows]), column
    assert (whole.start_ms > whole.submit_ms)[whole.placed].sum() > 20  # there are queues
    cut = table.filter((pl.col("why") > 0) & (pl.col("why") < 32))
    assert (len(cut) > 0) == (whole.segments is not None) == (name in CUTTING)


def blocks(jobs: Workload, size: int) -> list[Workload]:
    return [stretch(jobs, k, min(k + size, len(jobs))) for k in range(0, len(jobs), size)]


def test_a_machine_brought_back_has_room_for_the_data_sets_met(
    network: Network, jobs: Workload
) -> None:
    one = machine_of(network, USUAL, None)
    one.feed(stretch(jobs, 0, 200), more=True)
    other = machine_of(network, USUAL, None)
    assert len(other.traffic.replica_ms) < len(one.traffic.replica_ms)
    thaw(other, {name: array.copy() for name, array in freeze(one).items()})
    assert np.array_equal(other.traffic.replica_ms, one.traffic.replica_ms)
    for machine in (one, other):
        machine.feed(stretch(jobs, 200, JOBS), more=False)
    assert one.sink.summary()["runs"] > 0  # type: ignore[attr-defined]
    assert np.array_equal(other.live.free, one.live.free)
    assert np.array_equal(other.clock.learnt, one.clock.learnt)
    assert np.array_equal(other.traffic.replica_ms, one.traffic.replica_ms)
