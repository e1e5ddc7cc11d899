"""Small networks of nodes under everything at once (packing, kinds, prices, links, preemption, fair
shares, outages), drawn; and a watch over the loop that works out in plain Python, at every step,
what the head of a queue is promised and whom it may put out.

The watch replaces functions of the loop, which only the interpreter looks up: see ``watched``.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.twin.small import HOUR, cards, site, zone
from tests.twin.stopped import ZERO_MS, Drawn, network, workload
from westward.model.network import Link, Series
from westward.model.plan import Packing, Policy
from westward.model.scenario import Outage, Scenario, Share
from westward.placement.dispatch_nodes import ask_of
from westward.placement.packing import fits
from westward.simulate.engine import simulate
from westward.simulate.results import SimulationResult

MINUTE = HOUR // 60
NEVER = 1 << 62
RULES: tuple[Packing, ...] = ("best-fit", "best-fit", "best-fit", "first-fit", "worst-fit", "fgd")


def draw(seed: int, *, everything: bool = True) -> Drawn:
    """``everything``: all features in each case; else each by chance."""
    rng = random.Random(seed)

    def on(share: float = 0.6) -> bool:
        return everything or rng.random() < share

    names = ["east", "west"]
    zones = tuple(
        zone(f"z-{name}", tariff_per_kwh=Series(
            step_ms=HOUR, values=tuple(rng.choice((0.1, 0.5, 4.0)) for _ in range(24))
        ))
        for name in names
    )  # fmt: skip
    pools = tuple(
        cards(
            f"{name}-{k}", rng.randint(3, 8), name, accelerator="card" if k == 0 else "card-1",
            devices_per_node=rng.choice((1, 2, 4, 8)), cpus_per_node=rng.choice((8, 32)),
            price_micros_per_device_hour=rng.choice((100_000, 1_000_000, 3_000_000)),
        )
        for name in names
        for k in range(rng.randint(1, 2))
    )  # fmt: skip
    link = Link(a="east", b="west", one_way_ms=1.0, bandwidth_gbps=rng.choice((1.0, 10.0)),
                price_micros_per_gb=1_000)  # fmt: skip
    count = rng.randint(40, 90)
    submit = sorted(rng.randint(0, 3 * 60) * MINUTE for _ in range(count))
    duration = [rng.choice((5, 30, 90, 300)) * MINUTE + rng.randint(0, 999) for _ in range(count)]
    work = workload(
        submit_ms=submit,
        duration_ms=duration,
        estimate_ms=[rng.choice((-1, d, d, 2 * d, 5 * d, d // 3)) for d in duration],
        nodes=[rng.choice((1, 1, 1, 2, 3)) for _ in range(count)],
        devices_milli=[rng.choice((300, 500, 1000, 1000, 2000, 4000, 8000)) for _ in range(count)],
        cpus_milli=[rng.choice((0, 0, 1_000, 4_000)) for _ in range(count)],
        priority=[rng.choice((0, 0, 0, 1, 2)) for _ in range(count)],
        checkpoint_ms=[rng.choice((0, 10, 60)) * MINUTE for _ in range(count)],
        input_bytes=[rng.choice((0, 0, 10**9, 10**11)) for _ in range(count)],
        home=[rng.randrange(2) for _ in range(count)],
        user=[rng.randrange(6) for _ in range(count)],
    )
    if on():
        work = replace(
            work, kind_names=("card", "card-1"),
            kind_mask=np.array([rng.choice((0, 0, 0, 1, 2)) for _ in range(count)]),
        )  # fmt: skip
    begin = rng.randint(1, 4) * HOUR
    lost = Outage(site=rng.choice(names), from_ms=begin, until_ms=begin + HOUR)
    policy = Policy(
        packing=rng.choice(RULES),
        preemption=on(),
        fair_share=on(),
        price_period_ms=HOUR if on(0.3) else 0,
        review_ms=rng.choice((0, 0, 1)),
        reconsider_ms=rng.choice((0, 0, HOUR)),
        defer_limit_ms=rng.choice((0, 0, 6 * HOUR)),
        backfill_depth=rng.choice((1, 3, 64)),
        checkpoint_gb_per_device=1.0,
    )
    scenario = Scenario(
        shared_links=on(),
        shares=tuple(Share(weight=1.0 + k, tenant=k) for k in range(3)) if on() else (),
        outages=(lost,) if rng.random() < 0.3 else (),
    )
    return Drawn(
        network=network(
            pools, tuple(site(n, f"z-{n}") for n in names), zones, (link,), (1.0, 1.7)
        ),
        workload=work, policy=policy, scenario=scenario,
    )  # fmt: skip


def play(drawn: Drawn) -> SimulationResult:
    return simulate(
        drawn.network, drawn.workload, drawn.policy, seed=1, zero_ms=ZERO_MS,
        scenario=drawn.scenario,
    )  # fmt: skip


def in_plain(result: SimulationResult) -> str:
    """Every run with its nodes, and who was refused."""
    runs = result.runs
    assert runs is not None
    assert runs.node is not None
    assert runs.node_from is not None
    columns = (runs.row, runs.pool, runs.start_ms, runs.end_ms, runs.why, runs.node_from, runs.node)
    return repr([result.refusal.tolist(), *(column.tolist() for column in columns)])


@dataclass
class Free:
    """What is free on one node."""

    devices: list[int]
    cpus: int
    memory: int

    def holds(self, ask: tuple[int, int, int]) -> bool:
        milli, cpus, memory = ask
        if self.cpus < cpus or self.memory < memory:
            return False
        if milli < 1000:
            return milli == 0 or any(left >= milli for left in self.devices)
        return sum(left == 1000 for left in self.devices) * 1000 >= milli


@dataclass
class Seen:
    """Pool p as it stands, read from the columns."""

    nodes: dict[int, Free]
    free: int
    claims: list[tuple[int, int, int, list[tuple[int, int, int, int, int]]]]
    """(expected end, slot, need, parts: node, mask, milli, cpus, memory), by end."""
    ask: tuple[int, int, int]
    members: int
    need: int

    def fits(self, ended: list[int]) -> bool:
        """The head, were the runs of these slots over."""
        nodes = {n: Free(list(x.devices), x.cpus, x.memory) for n, x in self.nodes.items()}
        free = self.free
        for _, slot, need, parts in self.claims:
            if slot in ended:
                free += need
                for n, mask, milli, cpus, memory in parts:
                    on = nodes[n]
                    on.cpus += cpus
                    on.memory += memory
                    for d in range(len(on.devices)):
                        on.devices[d] += milli if mask >> d & 1 else 0
        self.spare = free - self.need
        fitting = sum(on.holds(self.ask) for on in nodes.values())
        return free >= self.need and fitting >= self.members

    def promised(self) -> tuple[int, int]:
        """The first expected end, all of that time counted, at which the head fits, and what the
        pool has to spare then."""
        for end in sorted({claim[0] for claim in self.claims}):
            if self.fits([slot for other, slot, _, _ in self.claims if other <= end]):
                return end, self.spare
        return NEVER, 0


def look(p: int, classes: Any, jobs: Any, state: Any, packing: Any) -> Seen:
    nodes = packing.nodes
    rows = range(int(nodes.node_from[p]), int(nodes.node_from[p + 1]))
    claims = []
    base = int(state.dir_from[p])
    for slot in range(base, base + int(state.dir_count[p])):
        block = int(state.dir_block[slot])
        for at in range(block * 64, block * 64 + int(state.block_len[block])):
            j = int(state.run_job[at])
            parts = []
            row = int(state.job_chain[j])
            while row != -1:
                parts.append((
                    int(nodes.held_node[row]), int(nodes.held_devices[row]),
                    int(nodes.held_milli[row]), int(nodes.held_cpus_milli[row]),
                    int(nodes.held_memory_mib[row]),
                ))  # fmt: skip
                row = int(nodes.held_next[row])
            claims.append((int(state.run_end_ms[at]), j, int(state.run_need[at]), parts))
    head = int(state.head[p])
    c = int(jobs.klass[head])
    milli = int(classes.devices_milli[c, p])
    milli = -(-milli // 1000) * 1000 if milli > 1000 else milli
    return Seen(
        nodes={
            n: Free(
                nodes.milli[n, : nodes.devices[n]].tolist(),
                int(nodes.cpus_milli[n]), int(nodes.memory_mib[n]),
            )
            for n in rows
        },
        free=int(state.free_milli[p]), claims=claims,
        ask=(milli, int(classes.cpus_milli[c, p]), int(classes.memory_mib[c, p])),
        members=int(classes.nodes[c]), need=int(state.job_need[head]),
    )  # fmt: skip


def look_behind(
    p: int, now: int, classes: Any, jobs: Any, rules: Any, state: Any, packing: Any
) -> int:
    """Nobody within the depth behind the head could start: asked of every node, remembering nothing.
    Returns how many had devices enough."""
    j = int(state.next[state.head[p]])
    left = 0
    for _ in range(rules.depth):
        if j < 0:
            break
        long = now + int(state.job_duration_ms[j]) > int(state.shadow_ms[p])
        need = int(state.job_need[j])
        if need <= state.free_milli[p] and (not long or need <= state.shadow_extra[p]):
            ask = ask_of(j, p, jobs, classes, packing)
            found = fits(p, ask, ask.members, long, packing.nodes, packing.shadow)
            assert found < ask.members, "a job that could pass waits"
            left += 1
        j = int(state.next[j])
    return left


def victims(seen: Seen, below: int, now: int, live: Any, jobs: Any) -> list[int]:
    """Who falls: by priority, work lost, last in order, until the head fits; then, from the dearest
    on, whoever the others make needless stays. Empty: all together would not do."""

    def rank(slot: int, need: int) -> tuple[int, int, int]:
        ran, every = now - int(live.start_ms[slot]), int(live.checkpoint_ms[slot])
        kept = ran // every * every if every else 0
        return int(live.priority[slot]), need * (ran - kept), -int(jobs.order[slot])

    lower = sorted(
        (rank(slot, need), slot) for _, slot, need, _ in seen.claims if live.priority[slot] < below
    )
    fall: list[int] = []
    for _, slot in lower:
        if seen.fits(fall):
            break
        fall.append(slot)
    if not seen.fits(fall):
        return []
    for slot in reversed(list(fall)):
        others = [one for one in fall if one != slot]
        if seen.fits(others):
            fall = others
    return fall


def watched(seeds: range, *, everything: bool) -> Counter[str]:
    """Rehearses, interpreted, and asserts at every dispatch and preemption. Returns how often each
    thing was looked at."""
    from westward.simulate import loop

    met: Counter[str] = Counter()
    real_dispatch, real_way = loop.dispatch, loop.make_way

    def dispatch(p: int, now: int, started: int, newcomer: int, pools: Any, classes: Any,
                 jobs: Any, rules: Any, state: Any, packing: Any) -> int:  # fmt: skip
        head = int(state.head[p])
        if pools.open[p] and head >= 0 and state.shadow_job[p] == head:
            seen = look(p, classes, jobs, state, packing)
            told = (int(state.shadow_ms[p]), int(state.shadow_extra[p]))
            assert not seen.fits([]), "a head with a reservation fits"
            assert seen.promised() == told, (seen.promised(), told, now)
            met["kept"] += 1
        count = real_dispatch(
            p, now, started, newcomer, pools, classes, jobs, rules, state, packing
        )
        if pools.open[p] and state.head[p] >= 0:
            assert not look(p, classes, jobs, state, packing).fits([]), "a head that fits waits"
            met["blocked"] += 1
            if state.shadow_job[p] == state.head[p]:
                met["left behind"] += look_behind(p, now, classes, jobs, rules, state, packing)
        return count

    def make_way(p: int, now: int, pools: Any, classes: Any, jobs: Any, inputs: Any, rules: Any,
                 state: Any, live: Any, clock: Any, records: Any, packing: Any) -> bool:  # fmt: skip
        head = int(state.head[p])
        seen = below = None
        expected: list[int] = []
        if head >= 0 and pools.open[p]:
            seen = look(p, classes, jobs, state, packing)
            below = int(live.priority[head])
            expected = victims(seen, below, now, live, jobs)
        fell = real_way(
            p, now, pools, classes, jobs, inputs, rules, state, live, clock, records, packing
        )
        if seen is not None:
            gone = [slot for _, slot, _, _ in seen.claims if live.start_ms[slot] < 0]
            assert sorted(gone) == sorted(expected), (gone, expected)
            assert fell == bool(expected)
            met["preempted"] += len(expected)
            met["preempted for nodes alone"] += bool(expected) and seen.need <= seen.free
            met["nobody would do"] += not expected
        return fell

    changed: Any = loop
    changed.dispatch, changed.make_way = dispatch, make_way
    try:
        for seed in seeds:
            result = play(draw(seed, everything=everything))
            met["jobs"] += len(result)
    finally:
        changed.dispatch, changed.make_way = real_dispatch, real_way
    return met
