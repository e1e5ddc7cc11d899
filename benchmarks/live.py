"""Rows 9 and 10 of the scale table: one job placed live, and a pass over 10,000 waiting jobs.

    python benchmarks/live.py                 # both, about three minutes
    python benchmarks/live.py one --calls 2000
    python benchmarks/live.py many --calls 100

Row 9: 40 pools with 2,000 running claims, prices of capacity posted for the next 192 hours, a job
with a deadline that may start in any of 168 hours. One zone's tariff is below zero for an hour, which
bars every short cut of the search: all 40 × 169 starts are priced in every call (``--prunes`` leaves
the tariffs positive, as they mostly are). Row 10: 10,000 jobs that wait, of some 300 shapes, over
40 pools that are full but for a few devices: bound before (``plan()`` keeps their pools and says who
starts), or all to be placed anew.

Each figure is printed as p50 / p99 of the wall clock and of the thread's own processor time, which
does not count what other work on the machine takes. Garbage collection is left on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from national import HOUR_MS, national

from westward.model.job import JobSpec, ResourceOption
from westward.model.network import Network, Series
from westward.model.plan import (
    Claim,
    Discipline,
    Placement,
    Plan,
    Policy,
    PoolState,
    QueuedJob,
    ShadowPrices,
    Snapshot,
)
from westward.placement import plan
from westward.placement.resident import Resident

NOW_MS = 1_768_000_000_000
"""Not on an hour, as hours seldom are."""
DEFER_H = 168
POSTED_H = 192
CLAIMS = 50
"""Running, each pool."""


def drawn_jobs(count: int, rng: np.random.Generator, name: str, deadlines: float) -> list[JobSpec]:
    """Gangs of 1 to 1,024 devices; a part of them with a deadline that leaves 400 hours."""
    jobs = []
    for number in range(count):
        devices = int(2 ** rng.integers(0, 11))
        runs_ms = int(60_000 + 60_000 * np.exp(rng.normal(4.0, 1.2)))
        due = rng.random() < deadlines
        jobs.append(
            JobSpec(
                job_id=f"{name}-{number:05d}", name=f"{name}-{number}",
                submit_ms=NOW_MS - int(rng.integers(0, 6 * HOUR_MS)),
                nodes=max(1, devices // 8),
                options=(
                    ResourceOption(
                        accelerator="kind-a", devices_milli=min(devices, 8) * 1000,
                        cpus_milli=int(rng.integers(1, 31)) * 1000,
                    ),
                ),
                duration_ms=runs_ms,
                deadline_ms=NOW_MS + 400 * HOUR_MS + runs_ms if due else None,
            )
        )  # fmt: skip
    return jobs


def busy(network: Network, rng: np.random.Generator, waiting: int) -> Snapshot:
    """Every pool held by 50 claims but for a few devices; ``waiting`` jobs bound in turn."""
    queues: list[list[QueuedJob]] = [[] for _ in network.pools]
    for number, job in enumerate(drawn_jobs(waiting, rng, "old", 0.5)):
        option = job.options[0]
        need = max(option.devices_milli, -(-option.cpus_milli * 8 // 96)) * job.nodes
        assert job.duration_ms is not None
        queues[number % len(queues)].append(
            QueuedJob(
                job=job, option=0, need_milli=need, duration_ms=job.duration_ms,
                not_before_ms=NOW_MS - HOUR_MS,
            )
        )  # fmt: skip
    pools = []
    for row, pool in enumerate(network.pools):
        shares = (rng.dirichlet(np.ones(CLAIMS)) * pool.capacity_milli).astype(int) // 1000 * 1000
        pools.append(
            PoolState(
                pool=pool.name, status="open", queue=tuple(queues[row]),
                running=tuple(
                    Claim(
                        job_id=f"run-{row}-{number}", need_milli=int(need),
                        started_ms=NOW_MS - int(rng.integers(1, 24 * HOUR_MS)),
                        expected_end_ms=NOW_MS + int(rng.integers(1, 24 * HOUR_MS)),
                    )
                    for number, need in enumerate(shares)
                    if need > 0
                ),
            )
        )  # fmt: skip
    return Snapshot(
        version=1, network=network, series_origin_ms=network.origin_ms(NOW_MS), pools=tuple(pools)
    )


def below_zero(network: Network) -> Network:
    """The first zone's tariff is negative for one hour of the day."""
    first = network.zones[0]
    assert first.tariff_per_kwh is not None
    values = (-0.01, *first.tariff_per_kwh.values[1:])
    zone = replace(first, tariff_per_kwh=Series(step_ms=HOUR_MS, values=values))
    return replace(network, zones=(zone, *network.zones[1:]))


def posted(network: Network, rng: np.random.Generator) -> ShadowPrices:
    prices = rng.integers(0, 2_000_000, (len(network.pools), POSTED_H))
    return ShadowPrices(
        from_ms=NOW_MS // HOUR_MS * HOUR_MS,
        step_ms=HOUR_MS,
        per_pool=tuple(tuple(row) for row in prices.tolist()),
    )


class Watch:
    """Wall and processor time of calls, in ms."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.own: list[float] = []

    def time(self, call: Callable[[], object]) -> None:
        wall, own = time.perf_counter_ns(), time.thread_time_ns()
        call()
        self.own.append((time.thread_time_ns() - own) / 1e6)
        self.wall.append((time.perf_counter_ns() - wall) / 1e6)

    def tell(self, what: str) -> None:
        def points(values: Sequence[float]) -> str:
            return f"{np.percentile(values, 50):8.3f} / {np.percentile(values, 99):8.3f}"

        print(
            f"  {what:58} wall {points(self.wall)}   processor {points(self.own)} ms"
            f"   ({len(self.wall)} calls)",
            flush=True,
        )


def one_job(calls: int, discipline: Discipline, *, prunes: bool) -> None:
    """Row 9, by the resident planner and by plan()."""
    rng = np.random.Generator(np.random.PCG64(9))
    network = national()
    network = network if prunes else below_zero(network)
    snapshot = replace(busy(network, rng, 0), shadow=posted(network, rng))
    policy = Policy(discipline=discipline, defer_limit_ms=DEFER_H * HOUR_MS)
    jobs = [
        replace(job, submit_ms=NOW_MS) for job in drawn_jobs(calls + 400, rng, "new", deadlines=1.0)
    ]
    resident = Resident(snapshot, policy, NOW_MS)
    place = Watch()
    for number, job in enumerate(jobs):
        watch = place if number >= 400 else Watch()  # the first meet new shapes and compile
        watch.time(partial(resident.place, job, NOW_MS))
        if resident.runs(job.job_id):
            resident.ended(job.job_id)
        else:
            resident.withdrawn(job.job_id)
    place.tell(f"Resident.place, {discipline}")
    whole = Watch()
    for job in jobs[:5]:
        plan(snapshot, [job], policy, NOW_MS, explain=False)
    for job in jobs[5 : 5 + max(50, calls // 10)]:
        whole.time(partial(plan, snapshot, [job], policy, NOW_MS, explain=False))
    whole.tell(f"plan() of the whole snapshot, {discipline}")
    told = Watch()
    plan(snapshot, jobs[:1], policy, NOW_MS)
    for job in jobs[5 : 5 + max(50, calls // 10)]:
        told.time(partial(plan, snapshot, [job], policy, NOW_MS))
    told.tell(f"plan() with every pool explained, {discipline}")


def read_whole(decide: Callable[[], Plan]) -> tuple[Placement, ...]:
    return tuple(decide().placements)


def many_jobs(calls: int, discipline: Discipline, count: int = 10_000) -> None:
    """Row 10, bound before (also when the first of each queue look at all pools again) and placed
    anew."""
    rng = np.random.Generator(np.random.PCG64(10))
    network = national()
    policy = Policy(discipline=discipline, defer_limit_ms=DEFER_H * HOUR_MS)
    full, empty = busy(network, rng, count), busy(network, rng, 0)
    jobs = drawn_jobs(count, rng, "new", 0.5)
    cases: tuple[tuple[str, Snapshot, list[JobSpec], bool], ...] = (
        ("bound before", full, [], False),
        ("bound before, looking again", full, [], True),
        ("placed anew", empty, jobs, False),
    )
    for what, snapshot, new, review in cases:
        watch, read = Watch(), Watch()
        decide = partial(plan, snapshot, new, policy, NOW_MS, explain=False, review=review)
        decide()
        for _ in range(calls):
            watch.time(decide)
        watch.tell(f"plan() of {count:,} waiting jobs, {what}, {discipline}")
        for _ in range(calls):
            read.time(partial(read_whole, decide))
        read.tell("    and every placement read")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("one", "many", "both"), default="both")
    parser.add_argument("--calls", type=int, help="2,000 of one job, 100 of many")
    parser.add_argument("--prunes", action="store_true")
    asked = parser.parse_args()
    disciplines: tuple[Discipline, ...] = ("easy", "conservative")
    if asked.what in ("one", "both"):
        print(f"row 9: one job, 40 pools, {DEFER_H + 1} starts, prices posted; p50 / p99")
        for discipline in disciplines:
            one_job(asked.calls or 2_000, discipline, prunes=asked.prunes)
    if asked.what in ("many", "both"):
        print("row 10: 10,000 waiting jobs over 40 pools; p50 / p99")
        for discipline in disciplines:
            many_jobs(asked.calls or 100, discipline)


if __name__ == "__main__":
    main()
