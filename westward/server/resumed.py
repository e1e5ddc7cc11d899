"""A job that is to go on, as the planner sees it: what is left, and the checkpoint to be moved.

Pure. The planner is not told "resume": it is given the same request with the work that is left and
the checkpoint as an input that lies where it was saved.
"""

from __future__ import annotations

from dataclasses import replace

from westward.control.records import Aim, JobRecord, RunState
from westward.model.job import InputData, JobSpec
from westward.model.network import Network
from westward.store.results import Checkpoint

LEFT_LEAST_MS = 1_000
"""A job that has outlived its estimate is thought to need this much more."""


def resumed_spec(record: JobRecord, checkpoint: Checkpoint | None, network: Network) -> JobSpec:
    """The request with what is left of its duration and, where a checkpoint lies, that as input."""
    job = record.job
    if checkpoint is None:
        return job
    left_ms = job.duration_ms
    if left_ms is not None:
        left_ms = max(min(left_ms, LEFT_LEAST_MS), left_ms - done_ms(record, checkpoint, network))
    inputs = job.inputs
    if any(site.name == checkpoint.site for site in network.sites) and checkpoint.size_bytes > 0:
        own = {one.site: one.size_bytes for one in job.inputs}
        own[checkpoint.site] = own.get(checkpoint.site, 0) + checkpoint.size_bytes
        inputs = tuple(InputData(site=site, size_bytes=size) for site, size in own.items())
    return replace(job, duration_ms=left_ms, inputs=inputs)


def done_ms(record: JobRecord, checkpoint: Checkpoint, network: Network) -> int:
    """Work behind the checkpoint, on the reference device: of the runs that were stopped with time
    to save, up to the one that left it. Runs that were lost or failed count for nothing: what they
    saved meanwhile may be gone."""
    last = record.run(checkpoint.run_id)
    return sum(
        round((run.ended_ms - run.started_ms) * speed_of(network, run.pool))
        for run in record.runs
        if run.state is RunState.PREEMPTED
        and last is not None
        and run.token <= last.token
        and run.started_ms is not None
        and run.ended_ms is not None
    )


def speed_of(network: Network, pool: str) -> float:
    """Relative speed; 1 where the network no longer has the pool, or it has no accelerator."""
    kind = next((one.accelerator for one in network.pools if one.name == pool), None)
    for one in network.accelerators:
        if one.name == kind:
            return one.relative_speed
    return 1.0


def bound_to(record: JobRecord, checkpoint: Checkpoint | None) -> Aim | None:
    """Where the job must go: where its checkpoint lies, if that is too large to be moved; else
    where its owner wants it; None = anywhere."""
    if checkpoint is not None and not checkpoint.at_server:
        if record.aim is not None and record.aim.site == checkpoint.site:
            return record.aim
        return Aim(site=checkpoint.site)
    return record.aim
