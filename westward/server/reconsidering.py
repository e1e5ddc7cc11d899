"""Which running jobs had better go on elsewhere, by the planner's own sums. Pure.

Each run that saves checkpoints and has a while to go is put to ``plan()`` twice, as if it were
stopped and handed in now with what is left and its checkpoint to be moved: once on the network
narrowed to where it runs (going on), once on all of it. Moving must save more than the policy's
hurdle (ADR 0016 and 0023). The signal lets a job save at once, so no work counts as lost.

So is each that stands in a site's own queue (ADR 0050): what it has waited there so far says how long
it will. Only jobs that save checkpoints: one that begins as it is called back loses nothing then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from westward.control.events import PauseRequested
from westward.control.records import Aim, JobRecord, JobState, RunRecord
from westward.model.job import InputData, JobSpec
from westward.model.plan import Estimate, Plan, Policy
from westward.model.units import BYTES_PER_GB, MILLI, format_money
from westward.placement.site_waits import still_waits_ms
from westward.server.data_names import with_data
from westward.server.resumed import resumed_spec, speed_of
from westward.server.snapshot import Situation
from westward.server.sound import plan_sound
from westward.store.results import Change, Checkpoint

LOOKED_AT_MOST = 200
"""Runs put to the planner at once, those with most left first."""


def moves_that_pay(
    before: Situation, policy: Policy, checkpoints: Mapping[str, Checkpoint], least_left_ms: int
) -> list[Change]:
    """Events for runs with at least ``least_left_ms`` to go at their pool, the site's own queue
    included. One job at a time is asked for each pool aimed at: the next look sees what the first
    took."""
    network = before.snapshot.network
    candidates = [
        (left_ms, record, run)
        for record in before.records.values()
        if (run := record.live_run) is not None
        and record.job.checkpoint is not None
        and record.job.duration_ms is not None
        and any(pool.name == run.pool for pool in network.pools)
        and (left_ms := _left_ms(before, record, run)) >= least_left_ms
    ]
    candidates.sort(key=lambda one: (-one[0], one[1].job_id))
    changes: list[Change] = []
    aimed: set[str] = set()
    for left_ms, record, run in candidates[:LOOKED_AT_MOST]:
        checkpoint = checkpoints.get(record.job_id)
        part = _without(before, record.job_id)
        if run.started_ms is not None:
            spec = _handed_in_now(before, record, run, left_ms, checkpoint, policy)
            part = _waiting_there(part, run.pool, 0)  # it is past the site's queue
        elif checkpoint is None or checkpoint.at_server:
            spec = _not_begun(before, record, checkpoint)
            part = _waiting_there(part, run.pool, _still_there_ms(before, run))
        else:
            continue  # it must go where its checkpoint lies
        stays = Aim(site=run.site, pool=run.pool)
        # It has its place there: none of those that wait is before it.
        alone = part.with_only(frozenset()).towards(spec, stays)
        here = _best(plan_one(alone, spec, policy), spec.job_id)
        best = _best(plan_one(part, spec, policy), spec.job_id)
        if here is None or best is None or best.pool == run.pool or best.pool in aimed:
            continue
        saved = here.terms.total - best.terms.total
        if saved * 100 <= here.terms.total * policy.move_hurdle_percent:
            continue
        aimed.add(best.pool)
        reason = (
            f"what is left costs {format_money(best.terms.total, network.currency)} there, moving "
            f"included, {format_money(saved, network.currency)} less than here"
        )
        changes.append(
            Change(
                job_id=record.job_id,
                event=PauseRequested(
                    kind="move",
                    by="the planner",
                    aim=Aim(site=best.site, pool=best.pool),
                    reason=reason,
                ),
                expected_version=record.version,
            )
        )
    return changes


def plan_one(part: Situation, spec: JobSpec, policy: Policy) -> Plan:
    """Of this job alone, behind those that wait already; as if there were none of those that
    cannot be planned with. Where that is the job itself, nothing is said of it."""
    decided, _broken = plan_sound(replace(part, to_place=(spec,)), policy)
    return decided


def _left_ms(before: Situation, record: JobRecord, run: RunRecord) -> int:
    """At its pool. A run past its expected end has nothing that can be counted on, nor has one that
    is being stopped, or that its site is about to start."""
    if record.bound is None:
        return 0
    if record.state is JobState.RUNNING and run.started_ms is not None:
        return max(0, run.started_ms + record.bound.duration_ms - before.now_ms)
    if record.state is JobState.LEASED and run.offered_session is not None:
        still_ms = _still_there_ms(before, run)
        return still_ms + record.bound.duration_ms if still_ms > 0 else 0
    return 0


def _still_there_ms(before: Situation, run: RunRecord) -> int:
    """How much longer a run is expected to stand in its site's own queue; 0 where there is none."""
    told = next((pool.site_wait_ms for pool in before.snapshot.pools if pool.pool == run.pool), ())
    waited_ms = before.now_ms - run.granted_ms
    return still_waits_ms(told, run.need_milli, waited_ms) - waited_ms if told else 0


def _not_begun(before: Situation, record: JobRecord, checkpoint: Checkpoint | None) -> JobSpec:
    network = before.snapshot.network
    spec = resumed_spec(record, checkpoint, network)
    spec = with_data(spec, before.copies, {site.name for site in network.sites})
    return replace(spec, submit_ms=before.now_ms)


def _waiting_there(before: Situation, pool: str, still_ms: int) -> Situation:
    """As that one job may see it that has stood in the pool's own queue for a while, or is past it."""
    pools = tuple(
        replace(one, site_wait_ms=(still_ms,)) if one.pool == pool else one
        for one in before.snapshot.pools
    )
    return replace(before, snapshot=replace(before.snapshot, pools=pools))


def _handed_in_now(
    before: Situation,
    record: JobRecord,
    run: RunRecord,
    left_ms: int,
    checkpoint: Checkpoint | None,
    policy: Policy,
) -> JobSpec:
    """Its checkpoint lies where it runs, as large as the last one, else as the policy assumes."""
    network = before.snapshot.network
    size_bytes = round(policy.checkpoint_gb_per_device * BYTES_PER_GB * run.need_milli / MILLI)
    if checkpoint is not None:
        size_bytes = checkpoint.size_bytes
    here = Checkpoint(
        job_id=record.job_id,
        run_id=run.run_id,
        site=run.site,
        saved_ms=before.now_ms,
        size_bytes=size_bytes,
        sent_bytes=0,
        at_server=True,
        files=(),
    )
    sites = {site.name for site in network.sites}
    spec = with_data(resumed_spec(record, here, network), before.copies, sites)
    inputs = tuple(
        InputData(site=run.site, size_bytes=one.size_bytes) for one in spec.inputs
    )  # its inputs lie here by now
    whole = sum(one.size_bytes for one in inputs)
    return replace(
        spec,
        submit_ms=before.now_ms,
        duration_ms=max(1, round(left_ms * speed_of(network, run.pool))),
        inputs=(InputData(site=run.site, size_bytes=whole),) if whole else (),
    )


def _without(before: Situation, job_id: str) -> Situation:
    """As if the job did not run, and nobody else were to be placed."""
    pools = tuple(
        replace(pool, running=tuple(one for one in pool.running if one.job_id != job_id))
        for pool in before.snapshot.pools
    )
    return replace(before, snapshot=replace(before.snapshot, pools=pools), to_place=(), aimed=())


def _best(decided: Plan, job_id: str) -> Estimate | None:
    found = (one.estimate for one in decided.placements if one.job_id == job_id)
    return next(found, None)
