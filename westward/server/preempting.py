"""Which runs are stopped for a waiting job of higher priority. Pure; the applier asks for it.

Only the first job of a pool's queue may, only for capacity that is missing now, and only runs of
strictly lower priority that save checkpoints (ADR 0016 and 0023). ``control.preempt`` chooses.
"""

from __future__ import annotations

from collections.abc import Iterator

from westward.control.events import PauseRequested
from westward.control.preempt import Runner, choose_victims
from westward.control.records import JobRecord, JobState
from westward.model.job import JobSpec
from westward.model.plan import Placement, Plan, Why
from westward.server.snapshot import Situation
from westward.store.results import Change


def preemptions(before: Situation, plan: Plan) -> list[Change]:
    """Events for the victims, pool by pool."""
    heads: dict[str, Placement] = {}
    for placement in plan.placements:
        if placement.starts_now or placement.why is not Why.WAITS_FOR_CAPACITY:
            continue
        pool = placement.estimate.pool
        if pool not in heads or _order(before, placement) < _order(before, heads[pool]):
            heads[pool] = placement
    starting: dict[str, int] = {}
    for placement in plan.placements:
        if placement.starts_now:
            pool = placement.estimate.pool
            starting[pool] = starting.get(pool, 0) + placement.estimate.need_milli
    return [
        change
        for pool, head in sorted(heads.items())
        for change in _for_head(before, pool, head, starting.get(pool, 0))
    ]


def _order(before: Situation, placement: Placement) -> tuple[int, int, str]:
    job = before.records[placement.job_id].job
    return (-job.priority, job.submit_ms, job.job_id)


def _for_head(
    before: Situation, pool: str, head: Placement, starting_milli: int
) -> Iterator[Change]:
    job = before.records[head.job_id].job
    here = [record for record in before.records.values() if _at(record, pool)]
    held = sum(record.live_run.need_milli for record in here if record.live_run is not None)
    leaving = sum(
        record.live_run.need_milli
        for record in here
        if record.live_run is not None
        and record.state in (JobState.SUSPENDING, JobState.CANCELLING)
    )
    free = before.snapshot.network.pool(pool).capacity_milli - held - starting_milli + leaving
    runners = [
        Runner(
            job_id=record.job_id,
            need_milli=run.need_milli,
            priority=record.job.priority,
            started_ms=run.started_ms,
            checkpoint_ms=record.job.checkpoint.every_ms,
            order=run.token,
        )
        for record in here
        if record.state is JobState.RUNNING
        and (run := record.live_run) is not None
        and run.started_ms is not None
        and record.job.checkpoint is not None
    ]
    missing = head.estimate.need_milli - free
    for victim in choose_victims(runners, missing, job.priority, before.now_ms):
        reason = put_out_for(job, before.records[victim].job)
        yield Change(
            job_id=victim,
            event=PauseRequested(kind="preempt", by="the planner", reason=reason),
            expected_version=before.records[victim].version,
        )


def put_out_for(job: JobSpec, victim: JobSpec) -> str:
    """For the victim's story, which its own project reads: that need not know of another's jobs."""
    same = victim.account == job.account
    who = f"{job.name} ({job.job_id})" if same else "a job of another project,"
    return f"{who} of priority {job.priority} waits for its place"


def _at(record: JobRecord, pool: str) -> bool:
    run = record.live_run
    return run is not None and run.pool == pool
