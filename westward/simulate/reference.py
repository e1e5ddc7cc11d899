"""The slow driver: ``plan()`` itself at every instant, on snapshots of objects.

It exists to hold the fast loop to the live decision: both must give the same table. It is also
the way to look at one decision of a rehearsal: ``snapshot_at`` saves what the planner saw.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from westward.model.job import JobSpec
from westward.model.network import Network
from westward.model.plan import Claim, Plan, Policy, PoolState, QueuedJob, Snapshot
from westward.model.workload import Workload
from westward.placement import plan
from westward.placement.columns import network_columns
from westward.simulate.engine import DEFAULT_ORIGIN_MS
from westward.simulate.loop import run_ms
from westward.simulate.rows import home_sites, job_id, job_spec

Witness = Callable[[Snapshot, tuple[JobSpec, ...], Plan], None]
"""Called at every instant with what the planner was given and what it answered."""


@dataclass(slots=True)
class Track:
    """What happened to each job, by id."""

    pool: dict[str, str] = field(default_factory=dict)
    start_ms: dict[str, int] = field(default_factory=dict)
    end_ms: dict[str, int] = field(default_factory=dict)
    predicted_ms: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Bound:
    spec: JobSpec
    pool: str
    option: int
    need_milli: int
    duration_ms: int
    not_before_ms: int


def simulate_with_plan(
    network: Network,
    workload: Workload,
    policy: Policy,
    *,
    seed: int,
    zero_ms: int | None = None,
    witness: Witness | None = None,
) -> Track:
    """Rehearse by calling ``plan()`` at every arrival, end and not-before. Small workloads only."""
    origin = network.origin_ms(DEFAULT_ORIGIN_MS)
    zero = origin if zero_ms is None else zero_ms
    columns = network_columns(network, policy.carbon_method)
    home = home_sites(workload, network, seed)
    specs = [job_spec(row, workload, home, network, zero) for row in range(len(workload))]
    speed = {
        name: float(s) for name, s in zip(columns.pool_names, columns.pools.speed, strict=True)
    }
    track = Track()
    running: dict[str, tuple[str, Claim]] = {}
    bound: dict[str, _Bound] = {}
    ends: dict[str, int] = {}
    events: list[tuple[int, int, str]] = []
    row = 0
    version = 0
    next_review = 0
    while row < len(specs) or events:
        times = [events[0][0]] if events else []
        if row < len(specs):
            times.append(specs[row].submit_ms)
        now = min(times)
        ended = False
        while events and events[0][0] == now:
            _, kind, name = heapq.heappop(events)
            if kind == 0:
                del running[name]
                ended = True
            elif kind == 2:
                # Past its expected end: from now on it is thought to run as long again.
                again = running[name][1].end_ms(now)
                if again < ends[name]:
                    heapq.heappush(events, (again, 2, name))
        arrivals: list[JobSpec] = []
        while row < len(specs) and specs[row].submit_ms == now:
            arrivals.append(specs[row])
            row += 1
        version += 1
        snapshot = _snapshot(network, origin, version, running, bound)
        review = policy.reviews and ended and now >= next_review
        if review:
            next_review = now + policy.review_ms
        answer = plan(snapshot, arrivals, policy, now, explain=False, review=review)
        if witness is not None:
            witness(snapshot, tuple(arrivals), answer)
        track.refused.update(refusal.job_id for refusal in answer.refusals)
        by_id = {spec.job_id: spec for spec in arrivals}
        for placed in answer.placements:
            estimate = placed.estimate
            if placed.job_id in by_id:
                spec = by_id[placed.job_id]
                bound[placed.job_id] = _Bound(
                    spec=spec,
                    pool=estimate.pool,
                    option=estimate.option,
                    need_milli=estimate.need_milli,
                    duration_ms=estimate.duration_ms,
                    not_before_ms=placed.not_before_ms,
                )
                track.predicted_ms[placed.job_id] = estimate.start_ms
            moved = placed.job_id in bound and bound[placed.job_id].pool != estimate.pool
            if moved:
                bound[placed.job_id] = _Bound(
                    spec=bound[placed.job_id].spec,
                    pool=estimate.pool,
                    option=estimate.option,
                    need_milli=estimate.need_milli,
                    duration_ms=estimate.duration_ms,
                    not_before_ms=placed.not_before_ms,
                )
            if placed.job_id in by_id or moved:
                track.pool[placed.job_id] = estimate.pool
                if placed.not_before_ms > now:
                    heapq.heappush(events, (placed.not_before_ms, 1, placed.job_id))
            if placed.starts_now:
                job = bound.pop(placed.job_id)
                true_ms = int(workload.duration_ms[int(placed.job_id.removeprefix("job_"))])
                end = now + run_ms(true_ms, speed[job.pool])
                claim = Claim(
                    job_id=placed.job_id,
                    need_milli=job.need_milli,
                    expected_end_ms=now + job.duration_ms,
                    started_ms=now,
                )
                ends[placed.job_id] = end
                if claim.expected_end_ms < end:
                    heapq.heappush(events, (claim.expected_end_ms, 2, placed.job_id))
                running[placed.job_id] = (job.pool, claim)
                track.start_ms[placed.job_id] = now
                track.end_ms[placed.job_id] = end
                heapq.heappush(events, (end, 0, placed.job_id))
    return track


def _snapshot(
    network: Network,
    origin: int,
    version: int,
    running: dict[str, tuple[str, Claim]],
    bound: dict[str, _Bound],
) -> Snapshot:
    claims: dict[str, list[Claim]] = {pool.name: [] for pool in network.pools}
    queues: dict[str, list[QueuedJob]] = {pool.name: [] for pool in network.pools}
    for _, (pool, claim) in sorted(running.items()):
        claims[pool].append(claim)
    for _, job in sorted(bound.items()):
        queues[job.pool].append(
            QueuedJob(
                job=job.spec,
                option=job.option,
                need_milli=job.need_milli,
                duration_ms=job.duration_ms,
                not_before_ms=job.not_before_ms,
            )
        )
    return Snapshot(
        version=version,
        network=network,
        series_origin_ms=origin,
        pools=tuple(
            PoolState(
                pool=pool.name,
                status=pool.status,
                running=tuple(claims[pool.name]),
                queue=tuple(queues[pool.name]),
            )
            for pool in network.pools
        ),
    )


__all__ = ["Track", "job_id", "simulate_with_plan"]
