"""For users: several jobs at once, arrays, and stopping jobs so that they go on later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from westward.control.events import PauseRequested, ResumeRequested
from westward.control.machine import handle
from westward.control.records import Aim, JobRecord, JobState
from westward.model.job import JobSpec
from westward.model.plan import Plan
from westward.model.reasons import Code
from westward.server.api_jobs import (
    CoreDep,
    JobRequest,
    admit,
    check_own,
    new_job_id,
    to_all,
    written,
)
from westward.server.core import Core
from westward.server.data_names import with_data
from westward.server.errors import ApiError, not_found
from westward.server.resumed import bound_to, resumed_spec
from westward.server.rights import JudgedDep
from westward.server.sound import plan_sound
from westward.server.views import array_view, job_view
from westward.store.checkpoints import latest_checkpoints
from westward.store.jobs import load_job, submit_jobs, submitted_under
from westward.store.results import Conflict, Submitted
from westward.store.sets import count_arrays, load_array

router = APIRouter(prefix="/v1", tags=["jobs"])
Json = dict[str, Any]


@router.post("/batches", status_code=201, response_model=Json)
async def submit_batch(body: JobRequest, core: CoreDep, judged: JudgedDep) -> Response:
    """Every job of the text, all or none: several documents, arrays. Safe to repeat with an id:
    200 then, with the jobs as they stand."""
    now_ms = core.clock.now_ms()
    base = body.job_id or new_job_id()
    before = await core.read(submitted_under, core.store, base, body.digest())
    if before:
        for record in before:
            check_own(judged, record)
        return written(await _batch_view(core, before, created=False), 200)
    submissions = await core.read(admit, core, body, base, now_ms, judged)
    answers = await core.write(submit_jobs, core.store, submissions, now_ms, all_or_none=True)
    for answer in answers:
        if isinstance(answer, Conflict):
            raise ApiError(409, "job-id-taken", f"{answer.job_id}: {answer.reason}")
    records = tuple(one.record for one in answers if isinstance(one, Submitted))
    for record in records:
        check_own(judged, record)
    for record in records:
        core.submitted("v1", record, True)
    core.queue_changed()
    return written(await _batch_view(core, records, created=True), 201)


async def _batch_view(core: Core, records: Sequence[JobRecord], *, created: bool) -> Json:
    ids = {one.job.array.array_id for one in records if one.job.array is not None}
    counts = await core.read(count_arrays, core.store, ids)
    shown = []
    for record in records:
        array = record.job.array
        if array is None:
            shown.append(job_view(record))
        elif array.index == 0:
            shown.append(job_view(record, counts.get(array.array_id)))
    return {"created": created, "count": len(records), "jobs": shown}


@router.get("/arrays/{array_id}")
async def array(array_id: str, core: CoreDep) -> Json:
    """An array: how many of its jobs are in which state, and each of them."""
    records = await core.read(load_array, core.store, array_id)
    if not records:
        raise not_found("array", array_id)
    return array_view(records, await core.expected.starts_ms(core, records))


class PauseRequest(BaseModel, extra="forbid"):
    by: Annotated[str, Field(max_length=200)] = "the owner"


class MoveRequest(PauseRequest):
    """``to``: the name of a site or of a pool."""

    to: Annotated[str, Field(max_length=200)]


@router.post("/jobs/{job_id}/suspend")
async def suspend(job_id: str, core: CoreDep, body: PauseRequest | None = None) -> Json:
    """Stop it with time to save, until it is resumed; one that waits is held. Arrays too."""
    by = (body or PauseRequest()).by
    return await to_all(core, job_id, PauseRequested(kind="suspend", by=by))


@router.post("/jobs/{job_id}/resume")
async def resume(job_id: str, core: CoreDep, body: PauseRequest | None = None) -> Json:
    by = (body or PauseRequest()).by
    return await to_all(core, job_id, ResumeRequested(by=by))


@router.post("/jobs/{job_id}/move")
async def move(job_id: str, body: MoveRequest, core: CoreDep) -> Json:
    """Stop it with time to save, and let it go on at a site or pool. Refused where it could not."""
    record = await core.read(load_job, core.store, job_id)
    if record is None:
        raise not_found("job", job_id)
    aim = _aim(core, body.to)
    event = PauseRequested(kind="move", by=body.by, aim=aim)
    if not record.terminal and record.state is not JobState.CANCELLING:
        problem = await core.read(_cannot_go, core, record, aim)
        if problem is not None:
            ignored = handle(record, event, core.clock.now_ms()).ignored
            if ignored is not None:  # that it cannot stop says more than where it cannot go
                return {**job_view(record), "accepted": False, "reason": ignored.reason}
            raise ApiError(409, "cannot-move", problem)
    return await to_all(core, job_id, event)


def _aim(core: Core, to: str) -> Aim:
    if any(site.name == to for site in core.network.sites):
        return Aim(site=to)
    for pool in core.network.pools:
        if pool.name == to:
            return Aim(site=pool.site, pool=to)
    raise not_found("site or pool", to)


def _cannot_go(core: Core, record: JobRecord, aim: Aim) -> str | None:
    """Why no pool aimed at takes the job, by the planner's own word; None if one does, now or
    when there is room."""
    found = core.situation()
    checkpoint = latest_checkpoints(core.store, [record.job_id]).get(record.job_id)
    fixed = bound_to(record, checkpoint)
    lies_elsewhere = fixed is not None and fixed.site != aim.site
    if checkpoint is not None and not checkpoint.at_server and lies_elsewhere:
        return (
            f"its checkpoint is larger than the server takes and lies at {checkpoint.site}: "
            "it can go on there only"
        )
    sites = {site.name for site in core.network.sites}
    spec = with_data(resumed_spec(record, checkpoint, core.network), found.copies, sites)
    part = found.towards(spec, aim)
    decided, broken = plan_sound(part, core.settings.policy)
    for one in broken:
        if one.key == record.job_id:
            return f"the server could not plan it ({one.problem})"
    return _refusal(decided, spec, core, aim)


def _refusal(decided: Plan, spec: JobSpec, core: Core, aim: Aim) -> str | None:
    for refusal in decided.refusals:
        if refusal.job_id != spec.job_id:
            continue
        there = [
            f"{other.pool}: {other.reasons[0]}"
            for other in refusal.alternatives
            if other.site == aim.site and aim.pool in (None, other.pool) and other.reasons
        ]
        waits = [
            other
            for other in refusal.alternatives
            if other.site == aim.site
            and aim.pool in (None, other.pool)
            and all(reason.code is Code.OVER_HOURLY_COST for reason in other.reasons)
        ]
        return None if waits else "; ".join(there) or f"{aim.site} has no such pool"
    return None
