"""What a refusal says would help really helps: the change in words, applied by hand, places it."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from tests.twin.cases import Case, case
from tests.twin.planner_twin import rank, twin_plan
from tests.twin.played import COUNT, FIRST, decide
from tests.twin.small import HOUR, cards, job, world
from westward.model.job import JobSpec, ResourceOption
from westward.model.plan import Policy, Refusal, Relaxation
from westward.model.units import parse_duration_ms
from westward.placement import plan

CASES = [*range(FIRST, FIRST + min(COUNT, 500)), 301_077]
"""The last: a job backfilled at once, at another hour than it was chosen for."""


def apply_words(job: JobSpec, change: str) -> JobSpec:
    """The job as an owner would rewrite it after reading ``change``."""
    if late := re.fullmatch(r"a deadline (\S+) later", change):
        assert job.deadline_ms is not None
        return replace(job, deadline_ms=job.deadline_ms + parse_duration_ms(late[1]))
    if cost := re.fullmatch(r"max_hourly_cost of at least (\S+) \S+", change):
        cap = round(float(cost[1]) * 1e6)
        return replace(
            job,
            options=tuple(
                o
                if o.max_hourly_cost_micros is None
                else replace(o, max_hourly_cost_micros=max(cap, o.max_hourly_cost_micros))
                for o in job.options
            ),
        )
    if nodes := re.fullmatch(r"num_nodes: (\d+)", change):
        return replace(job, nodes=int(nodes[1]))
    if cpus := re.fullmatch(r"cpus: (\d+)", change):
        return _each(job, cpus_milli=int(cpus[1]) * 1000)
    if memory := re.fullmatch(r"memory: (\d+) MiB", change):
        return _each(job, memory_mib=int(memory[1]))
    if devices := re.fullmatch(r"(\S+) devices per node", change):
        milli = round(float(devices[1]) * 1000)
        asking = (replace(o, devices_milli=milli) if o.devices_milli else o for o in job.options)
        return replace(job, options=tuple(asking))
    if place := re.fullmatch(r"no \S+ latency limit to (\S+)", change):
        return replace(job, latency=tuple(r for r in job.latency if r.place != place[1]))
    if change.startswith("no residency rule"):
        return replace(job, residency=())
    if change == "no fixed site":
        return _each(job, site=None)
    if change == "no fixed engine":
        return _each(job, engine=None)
    if kind := re.fullmatch(r"accelerator (\S+) too", change):
        extra = replace(job.options[0], accelerator=kind[1], any_accelerator=False)
        return replace(job, options=(*job.options, extra))
    if change == "inputs that lie at the site":
        return replace(job, inputs=())
    raise AssertionError(f"words that this test cannot read: {change!r}")


def _each(job: JobSpec, **changes: object) -> JobSpec:
    return replace(job, options=tuple(replace(o, **changes) for o in job.options))


def refusals(one: Case) -> list[tuple[JobSpec, Refusal]]:
    jobs = {job.job_id: job for job in one.jobs}
    return [(jobs[refused.job_id], refused) for refused in decide(one).refusals]


def test_the_relaxation_told_really_places_the_job_at_the_sum_told() -> None:
    """The sum is the one the owner would then get, term by term, and as the twin adds it up."""
    kinds = set()
    for seed in CASES:
        one = case(seed)
        for spec, refused in refusals(one):
            if refused.relaxation is None:
                continue
            told = refused.relaxation
            kinds.add(told.change.split()[0])
            changed = apply_words(spec, told.change)
            first = [other for other in one.jobs if rank(other) < rank(spec)]
            again = plan(one.snapshot, [*first, changed], one.policy, one.now, explain=False)
            placed = [p.estimate for p in again.placements if p.job_id == spec.job_id]
            assert placed == [told.estimate], (seed, told.change)
            everyone = [changed if other is spec else other for other in one.jobs]
            at_last = plan(one.snapshot, everyone, one.policy, one.now, explain=False)
            assert spec.job_id in {p.job_id for p in at_last.placements}, (seed, told.change)
            theirs = twin_plan(one.snapshot, [*first, changed], one.policy, one.now).answers()
            mine = told.estimate.terms
            terms = (
                    mine.device, mine.power, mine.carbon, mine.transfer, mine.wait, mine.shadow,
                    mine.vouchers,
                )  # fmt: skip
            for a, b in zip(theirs[spec.job_id].terms, terms, strict=True):
                assert math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6), (seed, told.change)
    assert {"a", "max_hourly_cost", "num_nodes:", "cpus:", "memory:", "no", "accelerator"} <= kinds


def test_a_deadline_moved_is_the_least_that_helps() -> None:
    """One unit as it is told (second, minute, hour) less, and the job is refused still."""
    tried = 0
    for seed in CASES:
        one = case(seed)
        for spec, refused in refusals(one):
            told = refused.relaxation
            if told is None or not told.change.startswith("a deadline"):
                continue
            capped = any(option.max_hourly_cost_micros for option in spec.options)
            if capped and one.policy.rule == "lowest-carbon":
                continue
            tried += 1
            late = parse_duration_ms(told.change.split()[2])
            unit = 1000 if late < HOUR else 60_000 if late < 24 * HOUR else HOUR
            assert spec.deadline_ms is not None
            less = replace(spec, deadline_ms=spec.deadline_ms + late - unit)
            first = [other for other in one.jobs if rank(other) < rank(spec)]
            again = plan(one.snapshot, [*first, less], one.policy, one.now, explain=False)
            assert spec.job_id in [r.job_id for r in again.refusals], (seed, told.change)
    assert tried >= 20


def relaxation_of(spec: JobSpec, hours_busy: float, policy: Policy | None = None) -> Relaxation:
    snapshot = world(cards("p", 1), running={"p": [(1, hours_busy)]})
    refused = plan(snapshot, [spec], policy or Policy(), 0).refusals[0]
    assert refused.relaxation is not None
    return refused.relaxation


@pytest.mark.parametrize(("value", "wait"), [(None, 0.0), (0, 0.0), (300_000, 900_000.0)])
def test_a_deadline_moved_is_told_with_the_jobs_own_value_of_waiting(
    value: int | None, wait: float
) -> None:
    """The card is free in 3 h; 1 h of work was to end in 2 h. It waits 3 h: for nothing before a
    deadline, unless its owner stated what an hour is worth. 1 + 1 kWh x 1 + 500 g x 80/t."""
    told = relaxation_of(job("j", deadline_ms=2 * HOUR, wait_value_micros_per_hour=value), 3)
    assert told.change == "a deadline 2h00m later"
    assert told.estimate.start_ms == 3 * HOUR
    terms = told.estimate.terms
    assert (terms.device, terms.transfer, terms.wait) == (1e6, 0.0, wait)
    assert terms.total == pytest.approx(1e6 + 1e6 + 40_000 + wait)


def test_fewer_devices_are_not_forced_on_an_option_that_asks_for_none() -> None:
    """It once made the planner stop: 8 cards for a job of cpus only fit nowhere, for no reason."""
    snapshot = world(cards("p", 1), cards("q", 4, nodes=4, devices_per_node=8))
    options = (
        ResourceOption(any_accelerator=True, devices_milli=9000),
        ResourceOption(cpus_milli=2500),
    )
    spec = replace(job("j", 6), options=options)
    refused = plan(snapshot, [spec], Policy(), 0).refusals[0]
    assert refused.relaxation is not None
    assert refused.relaxation.change == "4 devices per node"
