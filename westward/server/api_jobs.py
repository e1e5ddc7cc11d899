"""For users: submit, look, ask why, read logs, cancel."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from westward.control.events import CancelRequested, Event
from westward.control.machine import Ignored
from westward.control.records import JobRecord, JobState
from westward.formats.skypilot import read_task
from westward.formats.task_set import NamedJob, read_tasks
from westward.model.access import readable
from westward.model.faults import InputFaults
from westward.model.job import JobSpec
from westward.model.people import LOCAL_PROJECT
from westward.model.plan import Refusal, Snapshot
from westward.placement import plan
from westward.server.applier import Outcome
from westward.server.core import Core
from westward.server.covers import covers_of
from westward.server.data_names import pin_all, pin_data, references, with_data
from westward.server.data_views import data_view
from westward.server.errors import ApiError, not_found
from westward.server.job_limits import check_job
from westward.server.limits import INTEGER_MOST, TEXT_MOST_CHARS
from westward.server.naming import look_up
from westward.server.possible import alike, judge
from westward.server.quoting import Asked
from westward.server.rights import (
    Judged,
    JudgedDep,
    PrincipalDep,
    account_for,
    permit_project,
    shows_job,
)
from westward.server.sharing import live_standings
from westward.server.snapshot import idle
from westward.server.sound import plan_sound
from westward.server.views import (
    array_view,
    aside_view,
    decision_view,
    job_detail,
    job_view,
    plan_view,
    story_view,
)
from westward.store.catalogue import copies_of
from westward.store.checkpoints import load_checkpoints, load_moves
from westward.store.decisions import last_decision
from westward.store.jobs import list_jobs, load_job, load_story, submitted_before
from westward.store.lifecycle import apply_events
from westward.store.logs import log_ranks, read_log
from westward.store.metering import load_bills
from westward.store.results import Change, Conflict, Submission
from westward.store.sets import count_arrays, load_array

LOG_WAIT_MOST_MS = 20_000
LOG_READ_BYTES = 256 * 1024
PAGE_MOST = 1_000
TASK_TEXT_MOST = 2**20
TASK_SHORT_CHARS = 2**14
"""Longer texts are read by themselves: nobody waits for them."""

router = APIRouter(prefix="/v1", tags=["jobs"])
Json = dict[str, Any]


async def core_of(request: Request) -> Core:
    # ``async``: FastAPI sends any other dependency through its thread pool, at every request.
    core: Core = request.app.state.core
    return core


CoreDep = Annotated[Core, Depends(core_of)]


class JobRequest(BaseModel, extra="forbid"):
    """A SkyPilot task YAML. ``base_dir``: what its relative paths count from (at the site)."""

    task: Annotated[str, Field(max_length=TASK_TEXT_MOST)]
    job_id: Annotated[str | None, Field(pattern=r"^job_[A-Za-z0-9_-]{1,60}$")] = None
    """Chosen by the caller, so that the request can be repeated safely."""
    file: Annotated[str, Field(max_length=TEXT_MOST_CHARS)] = "task.yaml"
    """The name that faults show."""
    base_dir: Annotated[str | None, Field(max_length=TEXT_MOST_CHARS)] = None
    home_site: Annotated[str | None, Field(max_length=200)] = None
    account: Annotated[str | None, Field(max_length=200)] = None

    def of(self, judged: Judged) -> JobRequest:
        """With the asker's only project, where the request names none. Its digest may differ."""
        return self.model_copy(update={"account": account_for(judged, self.account)})

    def read(self, job_id: str, now_ms: int) -> JobSpec:
        job = read_task(
            self.task,
            file=self.file,
            job_id=job_id,
            now_ms=now_ms,
            base_dir=Path(self.base_dir) if self.base_dir else None,
            home_site=self.home_site,
            account=self.account,
        )
        return check_job(job, self.file)

    def read_all(self, job_id: str, now_ms: int) -> tuple[NamedJob, ...]:
        """Every job of the text, arrays not yet counted out."""
        named = read_tasks(
            self.task,
            file=self.file,
            job_id=job_id,
            now_ms=now_ms,
            base_dir=Path(self.base_dir) if self.base_dir else None,
            home_site=self.home_site,
            account=self.account,
        )
        for one in named:
            check_job(one.job, self.file)
        return named

    def digest(self) -> str:
        parts = (self.task, self.base_dir, self.home_site, self.account)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


@router.post("/jobs", status_code=201, response_model=Json)
async def submit_job(body: JobRequest, core: CoreDep, judged: JudgedDep) -> Response:
    """201 with the new job; 200 with the job as it stands when it was submitted before."""
    answer = await core.intake.take(
        partial(_admit_or_before, core, body, judged), alone=len(body.task) > TASK_SHORT_CHARS
    )
    if isinstance(answer, JobRecord):
        check_own(judged, answer)
        return written({**job_view(answer), "created": False}, 200)
    if isinstance(answer, Conflict):
        raise ApiError(409, "job-id-taken", answer.reason)
    check_own(judged, answer.record)
    core.submitted("v1", answer.record, answer.created)
    if answer.created:
        core.queue_changed()
    told = {**job_view(answer.record), "created": answer.created}
    return written(told, 201 if answer.created else 200)


def written(told: Json, status: int) -> Response:
    """Written here: FastAPI would copy and check what is ours already, value by value."""
    return JSONResponse(told, status)


def _admit_or_before(
    core: Core, body: JobRequest, judged: Judged, now_ms: int
) -> JobRecord | Submission:
    """What to submit. Of a request that was made before and is no good any more (its deadline has
    passed meanwhile): the job it brought. Other repeats are found where they are written. Reads
    the store; raises InputFaults, ApiError."""
    try:
        found = admit(core, body, body.job_id or new_job_id(), now_ms, judged)
        if len(found) != 1 or found[0].job.array is not None:
            text = f"this text holds {len(found)} jobs: hand it to POST /v1/batches"
            raise ApiError(400, "several-jobs", text)
        return found[0]
    except InputFaults:
        if body.job_id is not None:
            before = submitted_before(core.store, body.job_id, body.digest())
            if before is not None:
                return before
        raise


def new_job_id() -> str:
    return f"job_{uuid4().hex[:12]}"


def check_own(judged: Judged, record: JobRecord) -> None:
    """Raises ApiError where the very same request was made before, for another project: what is
    known of its job is not the asker's to know."""
    if not shows_job(judged.principal, record.job.account):
        text = "another request was submitted under this id"
        raise ApiError(409, "job-id-taken", text)


def admit(
    core: Core, body: JobRequest, job_id: str, now_ms: int, judged: Judged
) -> tuple[Submission, ...]:
    """Every job of the request, read, its project permitted, its names looked up, and judged: one
    that no site could ever take is submitted as refused. Alike jobs are judged once."""
    digest = body.digest()
    submissions: list[Submission] = []
    read = body.of(judged).read_all(job_id, now_ms)
    for account in dict.fromkeys(one.job.account for one in read):
        permit_project(judged, account)
    named = pin_all(core.store, read, body.file)
    seen: dict[JobSpec, str | None] = {}
    for one in look_up(core.store, named, body.file, readable(judged.principal)):
        asked = alike(one.job)
        if asked not in seen:
            seen[asked] = impossible(core, asked, now_ms)
        refused = seen[asked]
        submissions += [
            Submission(job=job, body_digest=digest, refused=refused) for job in one.jobs()
        ]
    return tuple(submissions)


def impossible(core: Core, job: JobSpec, now_ms: int) -> str | None:
    """Why no site could take the job even if all were idle; None if one could, now or later. Reads
    the store."""
    network = core.network
    if core.possible.known(network, job, now_ms):
        return None
    asked = _with_copies(core, job)
    refused = judge(network, core.series_origin_ms, core.settings.policy, asked, now_ms)
    if refused is None:
        core.possible.keep(network, job, now_ms)
    return refused


def _with_copies(core: Core, job: JobSpec) -> JobSpec:
    """As the planner is to see it. Reads the store."""
    sites = {site.name for site in core.network.sites}
    return with_data(job, copies_of(core.store, references([job])), sites)


@router.post("/plan")
async def dry_run(body: JobRequest, core: CoreDep, judged: JudgedDep) -> Json:
    """What would be decided for this job now, on the live network. Changes nothing."""
    asked = await dry_plan(core, body, judged)
    return plan_view(asked.plan, asked.job.job_id, core.network.currency)


async def dry_plan(core: Core, body: JobRequest, judged: Judged) -> Asked:
    """The job as it would be handed in, and the plan with it among all that waits and runs."""
    now_ms = core.clock.now_ms()
    job = await core.read(body.of(judged).read, body.job_id or "job_dry-run", now_ms)
    permit_project(judged, job.account)
    found = await core.read(core.situation)
    if job.job_id in found.records:
        raise ApiError(409, "job-id-taken", f"{job.job_id} is a job already")
    job = await core.read(pin_data, core.store, job, body.file)
    job = await core.read(_with_copies, core, job)
    jobs = (*found.to_place, job)
    snapshot = await core.read(_with_covers, core, found.snapshot, job.account, found.now_ms)
    fair = await core.read(
        live_standings, core.store, core.uses, core.people.projects, found.records.values(),
        found.now_ms, job.account or LOCAL_PROJECT,
    )  # fmt: skip
    snapshot = replace(snapshot, fair=fair)
    among = replace(found, snapshot=snapshot, to_place=jobs)
    decided, broken = await core.read(plan_sound, among, core.settings.policy, None)
    for one in broken:  # others that cannot be planned are the plan loop's business
        if one.key == job.job_id:
            raise RuntimeError(one.problem)
    return Asked(
        job=job,
        plan=decided,
        network=snapshot.network,
        series_origin_ms=core.series_origin_ms,
        now_ms=found.now_ms,
    )


def _with_covers(core: Core, snapshot: Snapshot, account: str | None, now_ms: int) -> Snapshot:
    """Also with what funders pay for ``account``, which may have no job that waits."""
    if any(one.account == account for one in snapshot.covers):
        return snapshot
    purse = core.purse
    own = covers_of(
        core.store, purse.rules, snapshot.network, (account,), now_ms,
        facts=purse.pool_facts, adopted=purse.adopted,
    )  # fmt: skip
    return replace(snapshot, covers=(*snapshot.covers, *own))


@router.get("/jobs")
async def jobs(
    core: CoreDep,
    principal: PrincipalDep,
    state: JobState | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = 100,
    after: str | None = None,
    newest_first: bool = False,
    arrays_once: bool = False,
) -> Json:
    """A page, in order of submission, of the jobs that the asker may see; ``next`` goes into
    ``after`` for the next page. With
    ``arrays_once`` (and no ``state``) an array's first job stands for all of them."""
    once = arrays_once and state is None
    found = await core.read(
        list_jobs,
        core.store,
        state=state,
        limit=limit,
        after=after,
        newest_first=newest_first,
        arrays_once=once,
        accounts=readable(principal),
    )
    ids = {one.job.array.array_id for one in found if once and one.job.array is not None}
    counts = await core.read(count_arrays, core.store, ids)
    following = found[-1].job_id if len(found) == limit else None
    starts_ms = await core.expected.starts_ms(core, found)
    shown = [
        job_view(one, counts.get(one.job.array.array_id) if one.job.array else None, starts_ms)
        for one in found
    ]
    return {"jobs": shown, "next": following}


@router.get("/jobs/{job_id}")
async def job(
    job_id: str,
    core: CoreDep,
    wait_ms: Annotated[int, Query(ge=0, le=LOG_WAIT_MOST_MS)] = 0,
    unless_state: JobState | None = None,
) -> Json:
    """The job. With ``unless_state`` and ``wait_ms`` the answer waits while that is its state."""
    end_ms = core.clock.now_ms() + wait_ms
    with core.jobs.listen(job_id) as bell:
        while True:
            seen = bell.rings
            record = await _load(core, job_id)
            left_s = (end_ms - core.clock.now_ms()) / 1000
            if record.state != unless_state or left_s <= 0 or core.closing:
                break
            await bell.wait(seen, left_s)
    detail = job_detail(
        record,
        await core.read(load_bills, core.store, job_id),
        await core.read(load_checkpoints, core.store, job_id),
        await core.read(load_moves, core.store, job_id),
        await core.expected.starts_ms(core, [record]),
    )
    return {**detail, "data": await core.read(data_view, core.store, record)}


@router.get("/jobs/{job_id}/why")
async def why(job_id: str, core: CoreDep) -> Json:
    """The newest decision with every alternative, and the job's story."""
    record = await _load(core, job_id)
    decision = await core.read(last_decision, core.store, job_id)
    story = await core.read(load_story, core.store, job_id)
    if decision is None and record.state is JobState.REFUSED:
        decided = await core.read(_explain_refusal, core, record)
    else:
        decided = decision_view(decision, core.network.currency) if decision else None
    return {
        "job": job_view(record, starts_ms=await core.expected.starts_ms(core, [record])),
        "currency": core.network.currency,
        "decision": decided,
        "set_aside": [aside_view(aside) for aside in core.jobs_aside.of(job_id)],
        "story": [story_view(line) for line in story],
    }


def _explain_refusal(core: Core, record: JobRecord) -> Json | None:
    """A job refused at submit was never planned: the same question is asked again."""
    empty = idle(core.network, core.series_origin_ms)
    job = _with_copies(core, record.job)
    decided = plan(empty, (job,), core.settings.policy, job.submit_ms)
    if not any(isinstance(one, Refusal) for one in decided.refusals):
        return None
    return plan_view(decided, record.job_id, core.network.currency)


@router.get("/jobs/{job_id}/logs")
async def logs(
    job_id: str,
    core: CoreDep,
    offset: Annotated[int, Query(ge=0, le=INTEGER_MOST)] = 0,
    rank: Annotated[int, Query(ge=0, le=INTEGER_MOST)] = 0,
    run_id: str | None = None,
    wait_ms: Annotated[int, Query(ge=0, le=LOG_WAIT_MOST_MS)] = 0,
) -> Json:
    """Output of one rank of a run (the newest unless ``run_id``), from ``offset``.

    ``complete``: the run is over and nothing follows ``next_offset``. ``newest_run_id``
    differs from ``run_id`` when the job was tried again. Waits up to ``wait_ms`` for something.
    """
    end_ms = core.clock.now_ms() + wait_ms
    while True:
        record = await _load(core, job_id)
        newest = record.runs[-1].run_id if record.runs else None
        chosen = run_id or newest
        with core.jobs.listen(chosen or job_id) as bell:
            seen = bell.rings
            answer = await _read_log(core, job_id, chosen, rank, offset)
            left_s = (end_ms - core.clock.now_ms()) / 1000
            if answer["size"] or answer["complete"] or left_s <= 0 or core.closing:
                return answer
            await bell.wait(seen, left_s)


async def _read_log(core: Core, job_id: str, run_id: str | None, rank: int, offset: int) -> Json:
    record = await _load(core, job_id)
    run = record.run(run_id) if run_id else None
    if run_id and run is None:
        raise not_found("run", run_id)
    data = b""
    if run is not None:
        data = await core.read(read_log, core.store, run.run_id, rank, offset, LOG_READ_BYTES)
    over = record.terminal if run is None else not run.live
    ranks = await core.read(log_ranks, core.store, run.run_id) if run else ()
    return {
        "job_id": job_id,
        "state": record.state.value,
        "run_id": run_id,
        "newest_run_id": record.runs[-1].run_id if record.runs else None,
        "rank": rank,
        "ranks": [{"rank": number, "size": size} for number, size in ranks],
        "offset": offset,
        "next_offset": offset + len(data),
        "size": len(data),
        "data_b64": base64.b64encode(data).decode("ascii"),
        "complete": over and len(data) < LOG_READ_BYTES,
    }


async def to_all(core: Core, job_id: str, event: Event) -> Json:
    """The event for the job or, in one transaction, for every job of the array ``job_id``. What
    stays as it is says why: ``accepted`` is then false (of an array: if that is so of all)."""
    found = await core.read(load_job, core.store, job_id)
    records = (found,) if found is not None else await core.read(load_array, core.store, job_id)
    if not records:
        raise not_found("job", job_id)
    changes = [Change(job_id=one.job_id, event=event) for one in records]
    answers = await core.write(apply_events, core.store, changes, core.clock.now_ms())
    outcome = Outcome()
    outcome.take(answers)
    core.announce(outcome)
    refused = [one for one in answers if isinstance(one, Ignored) and one.code != "repeat"]
    accepted = len(refused) < len(answers)
    told = [one for one in answers if isinstance(one, Ignored)] if len(answers) == 1 else refused
    verdict = {"accepted": accepted, "reason": told[0].reason if told else ""}
    if found is None:
        return {**array_view(await core.read(load_array, core.store, job_id)), **verdict}
    return {**job_view(await _load(core, job_id)), **verdict}


@router.post("/jobs/{job_id}/cancel")
async def cancel(job_id: str, core: CoreDep) -> Json:
    """Asks for the end of the job, or of every job of an array. A job that is over stays as it is:
    ``accepted`` is then false."""
    return await to_all(core, job_id, CancelRequested())


async def _load(core: Core, job_id: str) -> JobRecord:
    record = await core.read(load_job, core.store, job_id)
    if record is None:
        array = await core.read(load_array, core.store, job_id)
        if array:
            text = f"{job_id} is an array: name one of its jobs, {job_id}.0 to {job_id}.{len(array) - 1}"
            raise ApiError(404, "is-array", text)
        raise not_found("job", job_id)
    return record
