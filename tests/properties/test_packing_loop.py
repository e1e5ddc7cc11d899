"""Rehearsals by nodes: what stands on a node fits it, the head of a queue gets its nodes in time,
nobody waits for ever. Checked from the recorded nodes alone, by sums that share no code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.twin.small import CARD, cards, world
from westward.model.network import Network
from westward.model.plan import Packing, Policy
from westward.model.scenario import Outage, Scenario
from westward.model.workload import Workload
from westward.placement import plan
from westward.placement.columns import network_columns
from westward.placement.packing import give, take_best_fit
from westward.placement.packing_columns import FIRST_ROWS, make_packing, with_rows
from westward.placement.packing_state import RULE_NAMES, Ask
from westward.simulate.engine import simulate
from westward.simulate.results import SimulationResult

ROOT = Path(__file__).resolve().parents[2]
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
MINUTE = 60_000
RULES = [rule for rule in get_args(Packing) if rule != "pool"]


def workload(rows: list[tuple[int, ...]], *, exact: bool) -> Workload:
    """Rows: submit, duration, estimate (minutes), members, milli-devices, milli-cpus, MiB."""
    rows = sorted(rows, key=lambda row: row[0])
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 7).T

    def narrow(column: np.ndarray) -> np.ndarray:
        return column.astype(np.int32)

    none = np.full(len(rows), -1)
    return Workload(
        name="w", format="made", digest="", rows_read=len(rows), dropped=(), notes=(),
        submit_ms=table[0] * MINUTE, duration_ms=table[1] * MINUTE,
        estimate_ms=(table[1] if exact else table[2]) * MINUTE,
        nodes=narrow(table[3]), devices_milli=narrow(table[4]), cpus_milli=narrow(table[5]),
        memory_mib=narrow(table[6]), user=narrow(none), home=narrow(none), deadline_ms=none,
        input_bytes=np.zeros(len(rows), dtype=np.int64), source_row=np.arange(len(rows)),
    )  # fmt: skip


def jobs(devices: list[int], most: int = 30) -> st.SearchStrategy[list[tuple[int, ...]]]:
    return st.lists(
        st.tuples(
            st.integers(0, 60), st.integers(1, 40), st.integers(1, 60), st.sampled_from([1, 1, 2, 3]),
            st.sampled_from(devices), st.sampled_from([0, 500, 1_000, 3_000]),
            st.sampled_from([0, 0, 1_024]),
        ),
        min_size=5, max_size=most,
    )  # fmt: skip


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """One or two pools of cards, perhaps a pool of cpus beside them."""
    pools = [
        replace(
            cards(f"p{k}", draw(st.integers(1, 4))),
            devices_per_node=draw(st.sampled_from([1, 2, 4])),
            cpus_per_node=draw(st.sampled_from([4, 8])),
        )
        for k in range(draw(st.integers(1, 2)))
    ]
    if draw(st.booleans()):
        pools.append(replace(cards("q", 2), accelerator=None, devices_per_node=4, cpus_per_node=4))
    return world(*pools).network


def standing(result: SimulationResult) -> Iterator[tuple[int, int, int, int, list[int]]]:
    """(row, pool, start, end, nodes) of every run."""
    runs = result.runs
    if runs is None:
        return
    assert runs.node is not None
    assert runs.node_from is not None
    for i in range(len(runs.row)):
        nodes = runs.node[runs.node_from[i] : runs.node_from[i + 1]].tolist()
        yield int(runs.row[i]), int(runs.pool[i]), int(runs.start_ms[i]), int(runs.end_ms[i]), nodes


def asked(work: Workload, row: int, cards_there: bool) -> tuple[int, int, int]:
    """What one member takes: more than one device only whole; who states nothing takes a cpu."""
    devices = int(work.devices_milli[row]) if cards_there else 0
    if devices > 1000:
        devices = -(-devices // 1000) * 1000
    cpus, memory = int(work.cpus_milli[row]), int(work.memory_mib[row])
    if not (work.devices_milli[row] or cpus or memory):
        cpus = 1000
    return devices, cpus, memory


@QUICK
@given(networks(), jobs([0, 300, 500, 700, 1000, 1500, 2000, 4000]), st.sampled_from(RULES))
def test_no_node_ever_holds_more_than_it_has(
    network: Network, rows: list[tuple[int, ...]], rule: Packing
) -> None:
    work = workload(rows, exact=False)
    result = simulate(network, work, Policy(rule="earliest-start", packing=rule), seed=3)
    ran = set()
    changes = []
    for row, p, start, end, nodes in standing(result):
        pool = network.pools[p]
        ran.add(row)
        assert len(set(nodes)) == len(nodes) == work.nodes[row]
        assert all(0 <= node < pool.nodes for node in nodes)
        each = np.array(asked(work, row, pool.accelerator is not None))
        changes += [(end, 0, (p, node), -each) for node in nodes]
        changes += [(start, 1, (p, node), each) for node in nodes]
        assert (p, start, end) == (result.pool[row], result.start_ms[row], result.end_ms[row])
    held: dict[tuple[int, int], np.ndarray] = {}
    for _, _, (p, node), each in sorted(changes, key=lambda one: one[:2]):
        pool = network.pools[p]
        on = held.setdefault((p, node), np.zeros(3, dtype=np.int64))
        on += each
        devices = pool.devices_per_node * 1000 if pool.accelerator else 0
        assert (on <= (devices, pool.cpus_per_node * 1000, pool.memory_mib_per_node)).all()
    # Nobody waits for ever: refused is who fits no idle pool, everybody else ran.
    for row in range(len(work)):
        could = any(fits_idle(work, row, pool) for pool in network.pools)
        assert (row in ran) == could == bool(result.placed[row])


def fits_idle(work: Workload, row: int, pool: object) -> bool:
    has_cards = pool.accelerator is not None  # type: ignore[attr-defined]
    if work.devices_milli[row] and not has_cards:
        return False
    devices, cpus, memory = asked(work, row, has_cards)
    return (
        work.nodes[row] <= pool.nodes  # type: ignore[attr-defined]
        and devices <= pool.devices_per_node * 1000  # type: ignore[attr-defined]
        and cpus <= pool.cpus_per_node * 1000  # type: ignore[attr-defined]
        and memory <= pool.memory_mib_per_node  # type: ignore[attr-defined]
    )


@QUICK
@given(
    st.integers(2, 4), st.sampled_from([2, 4]), jobs([0, 1000, 2000, 3000, 4000]),
    st.sampled_from(["best-fit", "fgd", "worst-fit", "random"]),
)  # fmt: skip
def test_no_head_starts_after_the_time_its_nodes_were_promised(
    nodes: int, devices: int, rows: list[tuple[int, ...]], rule: Packing
) -> None:
    """Exact estimates, whole devices: at every instant the head's earliest time by the claims of
    that instant is worked out from the recorded nodes; it must not start later."""
    pool = replace(cards("p", nodes), devices_per_node=devices)
    network = world(pool).network
    work = workload(rows, exact=True)
    result = simulate(network, work, Policy(rule="earliest-start", packing=rule), seed=3)
    runs = {row: (start, end, on) for row, _, start, end, on in standing(result)}
    waited = 0
    for now in sorted({at for start, end, _ in runs.values() for at in (start, end)}):
        waiting = [row for row in runs if result.submit_ms[row] <= now < runs[row][0]]
        if not waiting:
            continue
        head = min(waiting)
        waited += 1
        running = sorted((end, row) for row, (start, end, _) in runs.items() if start <= now < end)
        assert runs[head][0] <= promised(now, head, running, runs, result, work)


def promised(
    now: int, head: int, running: list[tuple[int, int]], runs: dict, result: SimulationResult,
    work: Workload,
) -> int:  # fmt: skip
    """When enough nodes, and enough of the pool as one number, will be free for the head."""
    pool = result.network.pools[0]
    whole = np.array(
        [pool.devices_per_node * 1000, pool.cpus_per_node * 1000, pool.memory_mib_per_node]
    )
    for k in range(len(running) + 1):
        at = now if k == 0 else running[k - 1][0]
        free = {node: whole.copy() for node in range(pool.nodes)}
        need = int(result.need_milli[head])
        for end, row in running:
            if end <= at:
                continue
            need += int(result.need_milli[row])
            for node in runs[row][2]:
                free[node] -= asked(work, row, True)
        fitting = sum(bool((left >= asked(work, head, True)).all()) for left in free.values())
        if fitting >= work.nodes[head] and need <= pool.capacity_milli:
            return at
    raise AssertionError("it never fits")


@QUICK
@given(
    st.integers(2, 6), jobs([1000], most=40), st.booleans(), st.integers(1, 5),
    st.sampled_from(["best-fit", "first-fit", "westward"]),
)  # fmt: skip
def test_on_nodes_of_one_device_the_starts_are_those_of_the_pool(
    nodes: int, rows: list[tuple[int, ...]], exact: bool, depth: int, rule: Packing
) -> None:
    """There a free device is a free node: EASY by nodes is EASY."""
    network = world(cards("p", nodes)).network
    work = workload([(*row[:5], 0, 0) for row in rows], exact=exact)
    policy = Policy(rule="earliest-start", backfill_depth=depth)
    by_pool = simulate(network, work, policy, seed=3)
    by_node = simulate(network, work, replace(policy, packing=rule), seed=3)
    fits = work.nodes <= nodes
    assert by_node.start_ms[fits].tolist() == by_pool.start_ms[fits].tolist()
    assert by_pool.runs is None
    assert by_node.segments is None


def test_a_gang_waits_for_whole_nodes_that_the_pool_seemed_to_have() -> None:
    """Two nodes of two: two jobs of one device worst-fit onto one each, then none is whole."""
    network = world(replace(cards("p", 2), devices_per_node=2)).network
    work = workload(
        [(0, 10, 10, 1, 1000, 0, 0), (0, 20, 20, 1, 1000, 0, 0), (1, 5, 5, 1, 2000, 0, 0)],
        exact=True,
    )
    starts = {
        packing: simulate(
            network, work, Policy(rule="earliest-start", packing=packing), seed=3
        ).start_ms - work.submit_ms[0]
        for packing in ("pool", "best-fit", "worst-fit")
    }  # fmt: skip
    waits = {name: int((start - start[0])[2]) // MINUTE for name, start in starts.items()}
    assert waits == {"pool": 1, "best-fit": 1, "worst-fit": 10}


def test_room_for_held_members_grows_and_keeps_what_is_held() -> None:
    network = world(replace(cards("p", 3), devices_per_node=4)).network
    packing = make_packing(network_columns(network, "location").pools, "best-fit", ("p",))
    ask = Ask(2, 1000, 0, 0, 0, -1)
    chains = [take_best_fit(0, ask, False, packing.nodes, packing.shadow) for _ in range(2)]
    grown = with_rows(packing, 0)
    assert len(grown.nodes.held_node) == 2 * FIRST_ROWS
    assert grown.nodes.held_free[1] == 2 * FIRST_ROWS - 4
    chains.append(take_best_fit(0, ask, False, grown.nodes, grown.shadow))
    seen, row = set(), int(grown.nodes.held_free[0])
    while row != -1:
        seen.add(row)
        row = int(grown.nodes.held_next[row])
    assert len(seen) == 2 * FIRST_ROWS - 6
    for chain in chains:
        assert chain not in seen
        give(chain, grown.nodes)
    assert grown.nodes.held_free[1] == 2 * FIRST_ROWS
    assert (grown.nodes.whole == 4).all()


def test_more_members_wait_than_there_are_rows_at_first() -> None:
    rows = [(0, 1, 1, 40, 1000, 0, 0) for _ in range(500)] + [(0, 1, 1, 100_000_000, 1000, 0, 0)]
    network = world(cards("p", 40)).network
    result = simulate(
        network,
        workload(rows, exact=True),
        Policy(rule="earliest-start", packing="best-fit"),
        seed=1,
    )
    assert int(result.placed.sum()) == 500
    assert len(set(result.start_ms[:500].tolist())) == 500


def test_the_rules_of_the_policy_are_the_kernels() -> None:
    assert tuple(RULES) == RULE_NAMES


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(ValueError, match="packing goes with easy"):
        Policy(discipline="conservative", packing="best-fit")
    with pytest.raises(ValueError, match="plan\\(\\) counts pools"):
        plan(world(cards("p", 2)), [], Policy(packing="fgd"), 0)
    large = replace(cards("large", 2), devices_per_node=31)
    one = workload([(0, 1, 1, 1, 1000, 0, 0)], exact=True)
    with pytest.raises(ValueError, match="more than 30 devices cannot be packed: large"):
        simulate(world(large).network, one, Policy(packing="best-fit"), seed=1)


def test_runs_cut_short_give_their_nodes_back() -> None:
    """Two outages and the usual second thoughts: runs of one node never overlap, all end."""
    rng = np.random.Generator(np.random.PCG64(9))
    network = world(replace(cards("p", 4), devices_per_node=2)).network
    rows = [
        (int(rng.integers(0, 60)), int(rng.integers(5, 60)), 0, int(rng.choice([1, 2, 3])), 2000, 0, 0)
        for _ in range(40)
    ]  # fmt: skip
    work = replace(workload(rows, exact=True), checkpoint_ms=np.full(40, 4 * MINUTE))
    outages = tuple(
        Outage(site="s", from_ms=at * MINUTE, until_ms=(at + 7) * MINUTE) for at in (30, 95)
    )
    result = simulate(
        network, work, Policy(rule="earliest-start", packing="best-fit"), seed=1,
        scenario=Scenario(outages=outages),
    )  # fmt: skip
    fits = work.nodes <= 4
    assert result.placed.tolist() == fits.tolist()
    assert result.runs is not None
    assert (result.runs.why != 0).sum() >= 2, "nothing was cut short"
    on: dict[int, list[tuple[int, int]]] = {}
    for _, _, start, end, nodes in standing(result):
        for node in nodes:
            on.setdefault(node, []).append((start, end))
    for spans in on.values():
        spans.sort()
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


SAMPLE = """
import sys
if sys.argv[1] == "interpret":
    from westward.jit import interpret
    interpret()
from tests.properties.test_packing_loop import sampled
sampled()
"""


def sampled() -> None:
    """Prints every start and node of a few crowded rehearsals."""
    rng = np.random.Generator(np.random.PCG64(5))
    network = world(
        replace(cards("p", 5), devices_per_node=4),
        replace(cards("q", 2), accelerator=None, devices_per_node=4),
    ).network
    for rule in RULES:
        rows = [
            (
                int(rng.integers(0, 200)), int(rng.integers(1, 60)), int(rng.integers(1, 90)),
                int(rng.choice([1, 1, 2, 3, 5])), int(rng.choice([0, 200, 470, 1000, 2000, 4000])),
                int(rng.choice([0, 500, 1_000, 3_000])), 0,
            )
            for _ in range(80)
        ]  # fmt: skip
        work = workload(rows, exact=False)
        result = simulate(network, work, Policy(packing=rule), seed=3)
        print(rule, list(standing(result)))


def test_compiled_equals_interpreted() -> None:
    told = []
    for mode in ("compile", "interpret"):
        done = subprocess.run(
            [sys.executable, "-c", SAMPLE, mode],
            cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0] == told[1]
    assert told[0].count("\n") == len(RULES)
    assert CARD.name == "card"
