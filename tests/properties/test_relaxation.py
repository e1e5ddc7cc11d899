"""What a refusal says would help really helps: the change in words, applied by hand, places it."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given, settings

from tests.twin.settings import EXACT
from tests.twin.cases import Case, cases
from westward.model.job import JobSpec
from westward.model.units import parse_duration_ms
from westward.placement import plan


def apply_words(job: JobSpec, change: str) -> JobSpec | None:
    """The job as an owner would rewrite it after reading ``change``; None: words not numbers."""
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
        return _each(job, devices_milli=round(float(devices[1]) * 1000))
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


@settings(EXACT)
@given(cases())
def test_the_relaxation_told_really_places_the_job(case: Case) -> None:
    jobs = {job.job_id: job for job in case.jobs}
    answer = plan(case.snapshot, list(case.jobs), case.policy, case.now)
    for refusal in answer.refusals:
        if refusal.relaxation is None:
            continue
        told = refusal.relaxation
        changed = apply_words(jobs[refusal.job_id], told.change)
        again = plan(case.snapshot, [changed], case.policy, case.now, explain=False)
        placed = [one.estimate for one in again.placements if one.job_id == refusal.job_id]
        assert placed, told.change
        if not told.change.startswith("max_hourly"):
            assert placed == [told.estimate], told.change
