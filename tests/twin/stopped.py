"""Tiny networks, workloads and happenings, drawn; and a rehearsal of them in plain values.

Used compiled by the tests and interpreted by another process: both must say the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from tests.twin.small import HOUR, cards, site, zone
from westward.model.network import Accelerator, Link, Network, Pool, Series, Site, Zone
from westward.model.plan import Policy
from westward.model.scenario import Outage, OutageKind, Scenario
from westward.model.workload import Workload
from westward.placement.state import F64
from westward.simulate.engine import simulate
from westward.simulate.results import SimulationResult


def network(
    pools: tuple[Pool, ...],
    sites: tuple[Site, ...] = (),
    zones: tuple[Zone, ...] = (),
    links: tuple[Link, ...] = (),
    speeds: tuple[float, ...] = (),
) -> Network:
    """Pools of ``small.cards``; kind k is called "card" (k = 0) or "card-k" and runs at speeds[k]."""
    kinds = tuple(
        Accelerator(
            name="card" if k == 0 else f"card-{k}", label="", vendor="", memory_gb=None,
            power_w_max=None, relative_speed=speed, fp16_dense_tflops=None,
        )
        for k, speed in enumerate(speeds or (1.0,))
    )  # fmt: skip
    return Network(
        name="n", label="", currency="CNY", series_origin="start",
        sites=sites or (site("s", "z"),), pools=pools, accelerators=kinds,
        zones=zones or (zone("z"),), places=(), links=links, facts=(), sources=(), digest="",
    )  # fmt: skip


def workload(**columns: list[int]) -> Workload:
    """Times in ms; what is not named is usual: one node, one device, nothing else asked."""
    count = len(columns["submit_ms"])

    def column(name: str, usual: int, kind: type = np.int64) -> np.ndarray:  # type: ignore[type-arg]
        return np.array(columns.get(name, [usual] * count), dtype=kind)

    return Workload(
        name="w", format="drawn", digest="", rows_read=count, dropped=(), notes=(),
        submit_ms=column("submit_ms", 0),
        duration_ms=column("duration_ms", HOUR),
        estimate_ms=np.array(columns.get("estimate_ms", columns["duration_ms"]), dtype=np.int64),
        nodes=column("nodes", 1, np.int32),
        devices_milli=column("devices_milli", 1000, np.int32),
        cpus_milli=column("cpus_milli", 0, np.int32),
        memory_mib=column("memory_mib", 0, np.int32),
        user=column("user", -1, np.int32),
        home=column("home", 0, np.int32),
        deadline_ms=column("deadline_ms", -1),
        input_bytes=column("input_bytes", 0),
        source_row=np.arange(count, dtype=np.int64),
        priority=column("priority", 0, np.int8),
        checkpoint_ms=column("checkpoint_ms", 0),
        pinned=column("pinned", 0, np.bool_),
    )  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    network: Network
    workload: Workload
    policy: Policy
    scenario: Scenario


def draw(seed: int) -> Drawn:
    """Crowded enough that everything which can stop a run does, somewhere over the seeds."""
    rng = random.Random(seed)
    names = ["east", "north", "west"][: rng.randint(2, 3)]
    speeds = (1.0, 1.7)
    zones = tuple(
        zone(
            f"z-{name}",
            tariff_per_kwh=Series(
                step_ms=HOUR, values=tuple(rng.choice((0.1, 0.5, 4.0)) for _ in range(24))
            ),
        )
        for name in names
    )
    pools = tuple(
        cards(
            f"{name}-{k}", rng.randint(1, 4), name,
            accelerator="card" if k == 0 else "card-1",
            price_micros_per_device_hour=rng.choice((100_000, 1_000_000, 3_000_000)),
        )
        for name in names
        for k in range(rng.randint(1, 2))
    )  # fmt: skip
    links = tuple(
        Link(a=a, b=b, one_way_ms=1.0, bandwidth_gbps=rng.choice((1.0, 10.0)),
             price_micros_per_gb=rng.choice((0, 1_000, 50_000)))
        for i, a in enumerate(names) for b in names[i + 1 :]
    )  # fmt: skip
    count = rng.randint(8, 30)
    minute = HOUR // 60
    submit = sorted(rng.choice((0, rng.randint(0, 20 * 60))) * minute for _ in range(count))
    duration = [rng.randint(1, 12 * 60) * minute + rng.randint(0, 999) for _ in range(count)]
    work = workload(
        submit_ms=submit,
        duration_ms=duration,
        estimate_ms=[rng.choice((-1, d, 2 * d, d // 3)) for d in duration],
        nodes=[rng.choice((1, 1, 1, 2, 3)) for _ in range(count)],
        priority=[rng.choice((-1, 0, 0, 1, 2)) for _ in range(count)],
        checkpoint_ms=[rng.choice((0, 10, 30, 60)) * minute for _ in range(count)],
        deadline_ms=[
            rng.choice((-1, -1, s + 2 * d)) for s, d in zip(submit, duration, strict=True)
        ],
        input_bytes=[rng.choice((0, 0, 10**9, 10**11)) for _ in range(count)],
        home=[rng.randrange(len(names)) for _ in range(count)],
        pinned=[int(rng.random() < 0.1) for _ in range(count)],
    )
    outages = []
    for _ in range(rng.randint(0, 3)):
        begin = rng.randint(0, 24) * HOUR
        kind: OutageKind = "drain" if rng.random() < 0.4 else "outage"
        outages.append(
            Outage(
                site=rng.choice(names), from_ms=begin, until_ms=begin + rng.randint(1, 8) * HOUR,
                kind=kind,
            )
        )  # fmt: skip
    policy = Policy(
        rule=rng.choice(("westward", "westward", "westward", "home-site", "lowest-carbon")),
        discipline=rng.choice(("easy", "easy", "conservative")),
        preemption=rng.random() < 0.6,
        reconsider_ms=rng.choice((0, HOUR // 2, HOUR)),
        checkpoint_gb_per_device=rng.choice((0.0, 5.0)),
        move_hurdle_percent=rng.choice((0, 5)),
        review_ms=rng.choice((0, 0, 1)),
        defer_limit_ms=rng.choice((0, 6, 24)) * HOUR,
        backfill_depth=rng.choice((1, 64)),
    )
    return Drawn(
        network=network(
            pools, tuple(site(name, f"z-{name}") for name in names), zones, links, speeds
        ),
        workload=work,
        policy=policy,
        scenario=Scenario(outages=tuple(outages)),
    )


def play(drawn: Drawn) -> SimulationResult:
    return simulate(
        drawn.network, drawn.workload, drawn.policy, seed=1, zero_ms=ZERO_MS,
        scenario=drawn.scenario,
    )  # fmt: skip


ZERO_MS = 1_767_225_600_000


def in_plain(result: SimulationResult) -> str:
    """Everything that must be the same, as text; floats to the last bit."""

    def bits(values: F64) -> list[str]:
        return [float(value).hex() for value in values]

    runs = result.segments
    said: list[object] = [
        result.pool.tolist(), result.start_ms.tolist(), result.end_ms.tolist(),
        result.refusal.tolist(), result.predicted_start_ms.tolist(),
        bits(result.wait_micros), bits(result.power_micros), bits(result.transfer_micros),
    ]  # fmt: skip
    if runs is not None:
        said += [runs.row.tolist(), runs.pool.tolist(), runs.start_ms.tolist(), runs.why.tolist()]
    return repr(said)
