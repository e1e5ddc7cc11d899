"""The fast loop and ``plan()`` give the same rehearsal: one decision, two drivers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter
from shared_data import shared_trace

from westward.formats.generate import GeneratorOptions, generate
from westward.formats.traces import read_workload
from westward.model.job import JobSpec
from westward.model.network import Network
from westward.model.plan import RULES, Discipline, Plan, Policy, Rule, Snapshot
from westward.model.workload import Workload
from westward.network.loader import load_network
from westward.placement import plan
from westward.simulate.engine import simulate
from westward.simulate.reference import job_id, simulate_with_plan
from westward.simulate.scale import scale_network as scaled

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def network() -> Network:
    return scaled(load_network(ROOT / "networks" / "east-west"), 400)


def crowded(jobs: int, seed: int) -> Workload:
    """More work than the network holds, so that queues, backfill and put-off jobs all occur."""
    options = GeneratorOptions(homes=10, max_gang_devices=64)
    return generate(jobs, seed, capacity_devices=400, load=1.2, options=options)


def head(workload: Workload, rows: int) -> Workload:
    arrays = {
        name: getattr(workload, name)[:rows]
        for name in workload.__slots__
        if isinstance(getattr(workload, name), np.ndarray)
    }
    rest = {name: getattr(workload, name) for name in workload.__slots__ if name not in arrays}
    return Workload(**rest, **arrays)


def assert_same(network: Network, workload: Workload, policy: Policy) -> None:
    fast = simulate(network, workload, policy, seed=7)
    slow = simulate_with_plan(network, workload, policy, seed=7)
    assert (fast.pool >= 0).sum() > 0.5 * len(workload), "hardly anything was placed"
    for row in range(len(workload)):
        name = job_id(row)
        got = (
            int(fast.pool[row]),
            int(fast.start_ms[row]),
            int(fast.end_ms[row]),
            int(fast.predicted_start_ms[row]),
        )
        if name in slow.refused:
            assert got == (-1, -1, -1, -1), name
            continue
        pool = [one.name for one in network.pools].index(slow.pool[name])
        wanted = (pool, slow.start_ms[name], slow.end_ms[name], slow.predicted_ms[name])
        assert got == wanted, name


@pytest.mark.parametrize("discipline", ["easy", "conservative"])
def test_waiting_jobs_that_look_again(network: Network, discipline: Discipline) -> None:
    policy = Policy(discipline=discipline, review_ms=60_000, review_depth=5)
    still = Policy(discipline=discipline)
    jobs = crowded(120, 5)
    assert_same(network, jobs, policy)
    moved = (
        simulate(network, jobs, policy, seed=7).pool != simulate(network, jobs, still, seed=7).pool
    )
    assert moved.sum() >= 2, "nobody found a better pool: nothing was tried"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("discipline", ["easy", "conservative"])
def test_every_rule_and_discipline(network: Network, rule: Rule, discipline: Discipline) -> None:
    policy = Policy(rule=rule, discipline=discipline)
    assert_same(network, crowded(120, 3), policy)


@pytest.mark.parametrize("seed", range(4))
def test_more_seeds(network: Network, seed: int) -> None:
    assert_same(network, crowded(250, 100 + seed), Policy(backfill_depth=5))


@pytest.mark.parametrize(
    ("path", "format_name"),
    [("openb/openb_pod_list_default.csv", "openb"), ("swf/KTH-SP2.easy.swf.gz", "swf")],
)
def test_recorded_workloads(network: Network, path: str, format_name: str) -> None:
    workload = head(read_workload(shared_trace(path), format_name), 250)
    assert_same(scaled(network, 144), workload, Policy())


def test_a_saved_snapshot_gives_the_same_plan(network: Network, tmp_path: Path) -> None:
    """What the planner saw, written to disk and read back by the live side's codec."""
    saved: list[tuple[Path, Plan]] = []
    snapshots = TypeAdapter(Snapshot)
    specs = TypeAdapter(tuple[JobSpec, ...])

    def witness(snapshot: Snapshot, jobs: tuple[JobSpec, ...], answer: Plan) -> None:
        if snapshot.version % 40 == 0:
            path = tmp_path / f"{snapshot.version}.json"
            path.write_bytes(snapshots.dump_json(snapshot))
            path.with_suffix(".jobs").write_bytes(specs.dump_json(jobs))
            saved.append((path, answer))

    policy = Policy()
    simulate_with_plan(network, crowded(200, 9), policy, seed=7, witness=witness)
    assert len(saved) >= 5
    queued = 0
    for path, answer in saved:
        snapshot = snapshots.validate_json(path.read_bytes())
        queued += sum(len(one.queue) for one in snapshot.pools)
        jobs = specs.validate_json(path.with_suffix(".jobs").read_bytes())
        assert plan(snapshot, jobs, policy, answer.now_ms, explain=False) == answer
    assert queued > 0
