"""The cheapest single change to a refused request that would place it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from westward.model.job import JobSpec, ResourceOption
from westward.model.network import Network
from westward.model.plan import Alternative, Estimate, Placement, Plan, Policy, Relaxation, Snapshot
from westward.model.reasons import Code
from westward.model.units import (
    MICROS,
    MS_PER_DAY,
    MS_PER_HOUR,
    MS_PER_MINUTE,
    MS_PER_S,
    format_duration,
)

Planner = Callable[..., Plan]

FAR_MS = 400 * MS_PER_DAY
"""A relaxed deadline still ends somewhere."""
HURRY = 10**12
"""Millionths per hour of waiting: more than any hour of power can save."""


def cheapest_relaxation(
    snapshot: Snapshot,
    ahead: Sequence[JobSpec],
    job: JobSpec,
    policy: Policy,
    now_ms: int,
    seen: Sequence[Alternative],
    planner: Planner,
) -> Relaxation | None:
    """Try each single change that the reasons point to; None when no single change is enough.

    ``ahead``: the new jobs already placed in this pass, which have taken their capacity.

    Of one kind of change (fewer nodes, say) the smallest that is enough counts; among kinds the
    cheapest by the policy's sum, then the order tried. ``planner`` is ``rehearse``, handed in
    so that this module does not import it.
    """
    codes = {reason.code for alternative in seen for reason in alternative.reasons}
    best: Relaxation | None = None
    enough: list[str] = []
    for kind, change, variant in _variants(snapshot, job, seen, codes, now_ms):
        if kind in enough:
            continue
        text = change
        if kind == "deadline":
            found = _least_deadline(snapshot, ahead, variant, policy, now_ms, planner)
            if found is None:
                continue
            late, variant = found
            text = f"a deadline {format_duration(late)} later"
        answer = planner(snapshot, [*ahead, variant], policy, now_ms, job.job_id)
        placed = _placement_of(job, answer)
        if placed is None:
            continue
        estimate = placed.estimate
        enough.append(kind)
        if kind == "hourly":
            # Rounded up, so that the figure told is enough; of the start it was chosen for, which
            # may be another than it gets when it is backfilled at once.
            (chosen,) = (a.estimate for a in placed.alternatives[:1] if a.estimate is not None)
            cents = math.ceil(_hourly_cost(snapshot.network, chosen, snapshot) / MICROS * 100)
            text = f"max_hourly_cost of at least {cents / 100:.2f} {snapshot.network.currency}/h"
        if best is None or estimate.terms.total < best.estimate.terms.total:
            best = Relaxation(change=text, estimate=estimate)
    return best


def _placement_of(job: JobSpec, answer: Plan) -> Placement | None:
    return next(iter(answer.placed((job.job_id,))), None)


def _least_deadline(
    snapshot: Snapshot,
    ahead: Sequence[JobSpec],
    job: JobSpec,
    policy: Policy,
    now_ms: int,
    planner: Planner,
) -> tuple[int, JobSpec] | None:
    """By how much the deadline must move for the pool that could end first, up to the next second
    or minute as it will be told, and the job with that deadline; None when no deadline is enough.
    """
    assert job.deadline_ms is not None
    # In a hurry, so that each pool's start is the soonest it can be. The sum that is told comes
    # from the job with its own value of waiting (``cheapest_relaxation``).
    free = replace(job, deadline_ms=now_ms + FAR_MS, wait_value_micros_per_hour=HURRY)
    answer = planner(snapshot, [*ahead, free], policy, now_ms, job.job_id)
    placed = _placement_of(job, answer)
    if placed is None:
        return None
    by_pool = [one.estimate for one in placed.alternatives if one.estimate is not None]
    ends = []
    for one in by_pool:
        capped = job.options[one.option].max_hourly_cost_micros is not None
        end = _deadline_for(one, capped, policy)
        if end is not None:
            ends.append(end)
    if not ends:
        return None
    late = min(ends) - job.deadline_ms
    told = MS_PER_S
    if late >= MS_PER_DAY:
        told = MS_PER_HOUR
    elif late >= MS_PER_HOUR:
        told = MS_PER_MINUTE
    late = -(-late // told) * told
    return late, replace(job, deadline_ms=job.deadline_ms + late)


def _deadline_for(estimate: Estimate, capped: bool, policy: Policy) -> int | None:
    """The soonest deadline that lets the pool start the job then; None: none does, a job that a cap
    on its cost per hour holds back may not spend any slack under EASY. (Lowest-carbon, with a cap:
    a deadline that is enough, not the soonest.)"""
    slack = estimate.start_ms - estimate.earliest_ms if capped else 0
    if slack > 0 and policy.discipline == "easy":
        spent_percent = 100 - policy.deadline_reserve_percent
        if spent_percent <= 0:
            return None
        slack = -(-slack * 100 // spent_percent)
    return estimate.earliest_ms + slack + estimate.duration_ms


def _hourly_cost(network: Network, estimate: Estimate, snapshot: Snapshot) -> float:
    """Devices and power less what vouchers pay, millionths per hour, at the tariff of the hour it
    starts."""
    pool = network.pool(estimate.pool)
    tariff = network.zone(network.site(pool.site).zone).tariff_per_kwh
    assert tariff is not None
    assert pool.price_micros_per_device_hour is not None
    hours = estimate.duration_ms / MS_PER_HOUR
    kw = estimate.energy_kwh / hours
    price = tariff.at(estimate.start_ms - snapshot.series_origin_ms) * MICROS
    listed = pool.price_micros_per_device_hour * estimate.need_milli / 1000 + kw * price
    return listed + estimate.terms.vouchers / hours


def _variants(
    snapshot: Snapshot,
    job: JobSpec,
    seen: Sequence[Alternative],
    codes: set[Code],
    now_ms: int,
) -> Iterator[tuple[str, str, JobSpec]]:
    """(kind, change in words, the changed job), smaller changes of a kind first."""
    if Code.DEADLINE in codes:
        yield "deadline", "deadline", job
    if Code.LATENCY in codes or Code.LATENCY_UNKNOWN in codes:
        for at, rule in enumerate(job.latency):
            others = (*job.latency[:at], *job.latency[at + 1 :])
            yield (
                f"latency {at}",
                f"no {rule.mode} latency limit to {rule.place}",
                replace(job, latency=others),
            )
    if Code.RESIDENCY in codes:
        for at, tag_rule in enumerate(job.residency):
            if tag_rule.because:  # the data's own terms are not the job owner's to drop
                continue
            rest = (*job.residency[:at], *job.residency[at + 1 :])
            yield (
                f"residency {at}",
                f"no residency rule on {tag_rule.key}",
                replace(job, residency=rest),
            )
    yield from _option_variants(snapshot, job, codes)
    if Code.GANG_TOO_LARGE in codes or Code.NO_GANGS in codes:
        holds = {
            int(reason.available)
            for alternative in seen
            for reason in alternative.reasons
            if reason.code in (Code.GANG_TOO_LARGE, Code.NO_GANGS)
        }
        for nodes in sorted(holds - {0}, reverse=True):
            yield "nodes", f"num_nodes: {nodes}", replace(job, nodes=nodes)
    if Code.NO_LINK in codes and job.inputs:
        yield "inputs", "inputs that lie at the site", replace(job, inputs=())


def _option_variants(
    snapshot: Snapshot, job: JobSpec, codes: set[Code]
) -> Iterator[tuple[str, str, JobSpec]]:
    def each(**changes: object) -> JobSpec:
        options = tuple(replace(o, **changes) for o in job.options)  # type: ignore[arg-type]
        return replace(job, options=options)

    def with_devices(milli: int) -> JobSpec:
        """An option that asks for no device goes on asking for none."""
        options = tuple(
            replace(o, devices_milli=milli) if o.devices_milli > 0 else o for o in job.options
        )
        return replace(job, options=options)

    if Code.OVER_HOURLY_COST in codes:
        yield "hourly", "hourly", each(max_hourly_cost_micros=None)
    if Code.WRONG_SITE in codes:
        yield "site", "no fixed site", each(site=None)
    if Code.WRONG_ENGINE in codes:
        yield "engine", "no fixed engine", each(engine=None)
    if Code.WRONG_ACCELERATOR in codes:
        first: ResourceOption = job.options[0]
        for kind in snapshot.network.accelerators:
            extra = replace(first, accelerator=kind.name, any_accelerator=False)
            yield (
                f"kind {kind.name}",
                f"accelerator {kind.name} too",
                replace(job, options=(*job.options, extra)),
            )
    if Code.DEVICES_PER_NODE in codes:
        largest = max((pool.devices_per_node for pool in snapshot.network.pools), default=0)
        wanted = max(o.devices_milli for o in job.options)
        while wanted > 1000:
            wanted = min(wanted // 2000 * 1000 or 1000, largest * 1000)
            yield "devices", f"{wanted / 1000:g} devices per node", with_devices(wanted)
    if Code.CPUS_PER_NODE in codes:
        most = max((pool.cpus_per_node for pool in snapshot.network.pools), default=0)
        yield "cpus", f"cpus: {most}", each(cpus_milli=most * 1000)
    if Code.MEMORY_PER_NODE in codes:
        most = max((pool.memory_mib_per_node for pool in snapshot.network.pools), default=0)
        yield "memory", f"memory: {most} MiB", each(memory_mib=most)
