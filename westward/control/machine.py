"""``handle(record, event, now_ms)``: the whole life of a job as one pure function.

A report that comes late, twice or from a run that lost its right is an expected refusal: it is
answered with ``Ignored`` and changes nothing. An event that cannot happen at all (a lease for a
job that is not bound, a token that did not rise) raises ``InvalidTransition``.
"""

from __future__ import annotations

from dataclasses import replace

from westward.control.endings import close, lease_expired, run_ended
from westward.control.events import (
    AfterFailed,
    CancelRequested,
    Event,
    HoldEnded,
    JobBound,
    JobRefused,
    JobSubmitted,
    JobUnbound,
    LeaseExpired,
    LeaseGranted,
    LeaseRenewed,
    PauseRequested,
    ResumeRequested,
    RunEnded,
    RunOffered,
    RunStarted,
)
from westward.control.instructions import PlanAgain, StartRun, StopRun
from westward.control.pauses import after_failed, hold_ended, pause_requested, resume_requested
from westward.control.records import Hold, JobRecord, JobState, RunRecord, RunState
from westward.control.steps import Ignored, IgnoredCode, Step, changed, ignore, over, with_run
from westward.control.story import tell
from westward.control.transitions import InvalidTransition, move_job, move_run, refuse

__all__ = ["Ignored", "IgnoredCode", "InvalidTransition", "Step", "handle", "submit"]


def submit(event: JobSubmitted, now_ms: int) -> Step:
    """A new job: pending, or held until the jobs it follows are over."""
    holds = (_after_hold(event),) if event.job.after else ()
    record = JobRecord(
        job=event.job,
        state=JobState.HELD if holds else JobState.PENDING,
        holds=holds,
        attempts_max=event.attempts_max,
        changed_ms=now_ms,
    )
    line = tell(now_ms, "submitted", f"{event.job.name or record.job_id} was submitted")
    return Step(record=record, instructions=(PlanAgain(job_id=record.job_id),), story=(line,))


def _after_hold(event: JobSubmitted) -> Hold:
    names = ", ".join(
        f"{one.name or one.job_id}{'' if one.mode == 'ok' else ' (however it ends)'}"
        for one in event.job.after
    )
    return Hold(code="after", text=f"waits for {names}")


def handle(record: JobRecord, event: Event, now_ms: int) -> Step:
    """The record after ``event``, what is to be done, and what to tell the owner.

    Raises ``InvalidTransition`` for an event that cannot happen in this state.
    """
    if isinstance(event, CancelRequested):
        return _cancel_requested(record, event, now_ms)
    if isinstance(event, JobRefused | JobBound | JobUnbound):
        return _planned(record, event, now_ms)
    if isinstance(event, LeaseGranted):
        return _lease_granted(record, event, now_ms)
    if isinstance(event, PauseRequested):
        return pause_requested(record, event, now_ms)
    if isinstance(event, ResumeRequested):
        return resume_requested(record, event, now_ms)
    if isinstance(event, HoldEnded):
        return hold_ended(record, event, now_ms)
    if isinstance(event, AfterFailed):
        return after_failed(record, event, now_ms)
    run = record.run(event.run_id)
    ignored = _stale(record, run, event)
    if ignored is not None:
        return Step(record=record, ignored=ignored)
    assert run is not None
    if isinstance(event, RunOffered):
        return _run_offered(record, run, event, now_ms)
    if isinstance(event, LeaseRenewed):
        return _lease_renewed(record, run, event)
    if isinstance(event, RunStarted):
        return _run_started(record, run, event, now_ms)
    if isinstance(event, RunEnded):
        return run_ended(record, run, event, now_ms)
    return lease_expired(record, run, event, now_ms)


def _stale(
    record: JobRecord,
    run: RunRecord | None,
    event: RunOffered | LeaseRenewed | RunStarted | RunEnded | LeaseExpired,
) -> Ignored | None:
    """Why a report about a run counts for nothing; None if the run holds a lease under its token."""
    if run is None:
        return Ignored(code="unknown-run", reason=f"{record.job_id} has no run {event.run_id}")
    if event.token != run.token:
        return Ignored(
            code="stale-token",
            reason=f"run {run.run_id} holds token {run.token}, the report carries {event.token}",
        )
    if run.live:
        return None
    told_before = (isinstance(event, RunEnded) and event.outcome == run.outcome) or (
        isinstance(event, RunStarted) and run.state is not RunState.LOST
    )
    return Ignored(
        code="repeat" if told_before else "run-over",
        reason=f"run {run.run_id} is over: {run.state.value}",
    )


def _planned(record: JobRecord, event: JobRefused | JobBound | JobUnbound, now_ms: int) -> Step:
    if isinstance(event, JobRefused):
        to = move_job(record, event, JobState.REFUSED)
        after = changed(record, now_ms, state=to, ending=event.reason)
        return Step(record=after, story=(tell(now_ms, "refused", f"Refused: {event.reason}"),))
    if isinstance(event, JobBound):
        to = move_job(record, event, JobState.BOUND)
        place = event.binding
        waited_at = record.bound.pool if record.state is JobState.BOUND and record.bound else ""
        if event.leaves != waited_at:
            refuse(record, event, f"it is bound to {waited_at or 'no pool'}")
        text = f"Placed in pool {place.pool} at {place.site}"
        if waited_at:
            text += f" in place of {waited_at}, where it waited"
        if event.reason:
            text += f": {event.reason}"
        line = tell(
            now_ms,
            "bound",
            text,
            pool=place.pool,
            site=place.site,
            not_before_ms=place.not_before_ms,
            planned_start_ms=place.planned_start_ms,
        )
        return Step(record=changed(record, now_ms, state=to, bound=place), story=(line,))
    to = move_job(record, event, JobState.PENDING)
    line = tell(now_ms, "unbound", f"Lost its place: {event.reason}. It will be placed again")
    return Step(
        record=changed(record, now_ms, state=to, bound=None),
        instructions=(PlanAgain(job_id=record.job_id),),
        story=(line,),
    )


def _lease_granted(record: JobRecord, event: LeaseGranted, now_ms: int) -> Step:
    to = move_job(record, event, JobState.LEASED)
    place = record.bound
    if place is None:
        refuse(record, event, "a bound job has no binding")
    if record.lost_runs >= record.attempts_max:
        refuse(record, event, f"all {record.attempts_max} attempts are used up")
    if record.runs and event.token <= record.runs[-1].token:
        refuse(record, event, "the fencing token did not rise")
    if record.run(event.run_id) is not None:
        refuse(record, event, "the run id was used before")
    run = RunRecord(
        run_id=event.run_id,
        attempt=len(record.runs) + 1,
        pool=place.pool,
        site=place.site,
        token=event.token,
        need_milli=place.need_milli,
        state=RunState.LEASED,
        lease_expires_ms=event.lease_expires_ms,
        granted_ms=now_ms,
    )
    text = f"{place.site} was given leave to start it"
    if record.lost_runs:
        text += f" (attempt {record.lost_runs + 1} of {record.attempts_max})"
    if len(record.runs) > record.lost_runs:
        text += f"; it is run {run.attempt}"
    line = tell(
        now_ms,
        "leased",
        text,
        run_id=run.run_id,
        attempt=run.attempt,
        token=run.token,
        site=run.site,
    )
    return Step(
        record=changed(record, now_ms, state=to, runs=(*record.runs, run)),
        instructions=(
            StartRun(site=run.site, job_id=record.job_id, run_id=run.run_id, token=run.token),
        ),
        story=(line,),
    )


def _run_offered(record: JobRecord, run: RunRecord, event: RunOffered, now_ms: int) -> Step:
    if run.offered_session == event.session:
        return Step(
            record=record,
            ignored=Ignored(code="repeat", reason=f"session {event.session} was told before"),
        )
    if run.offered_session is not None:
        # The earlier agent may have started it: only the end of the lease makes that safe again.
        return Step(
            record=record,
            ignored=Ignored(
                code="run-over",
                reason=f"run {run.run_id} was offered to session {run.offered_session}; "
                f"it is not offered to another",
            ),
        )
    if run.state is not RunState.LEASED or record.state is not JobState.LEASED:
        refuse(record, event, "only a leased run of a leased job is offered")
    told = replace(
        run, state=move_run(record, run, event, RunState.LEASED), offered_session=event.session
    )
    return Step(
        record=changed(
            record,
            now_ms,
            state=move_job(record, event, JobState.LEASED),
            runs=with_run(record, told),
        )
    )


def _lease_renewed(record: JobRecord, run: RunRecord, event: LeaseRenewed) -> Step:
    # A renewal that overtook a later one must not shorten the lease.
    if event.lease_expires_ms <= run.lease_expires_ms:
        return Step(
            record=record,
            ignored=Ignored(code="repeat", reason="the lease already runs at least that long"),
        )
    renewed = replace(
        run,
        state=move_run(record, run, event, run.state),
        lease_expires_ms=event.lease_expires_ms,
    )
    return Step(
        record=replace(
            record,
            state=move_job(record, event, record.state),
            runs=with_run(record, renewed),
        )
    )


def _run_started(record: JobRecord, run: RunRecord, event: RunStarted, now_ms: int) -> Step:
    if run.state is RunState.RUNNING:
        return Step(
            record=record,
            ignored=Ignored(code="repeat", reason=f"run {run.run_id} is known to have started"),
        )
    stays = record.state in (JobState.CANCELLING, JobState.SUSPENDING)
    to = move_job(record, event, record.state if stays else JobState.RUNNING)
    aim = record.aim if stays else None  # a job that is being stopped has its next aim
    # Metering begins here: a report that was held up must not move it to another hour's price.
    started_ms = max(run.granted_ms, now_ms - max(0, event.ago_ms))
    started = replace(
        run, state=move_run(record, run, event, RunState.RUNNING), started_ms=started_ms
    )
    line = tell(now_ms, "started", f"Started at {run.site}", run_id=run.run_id, site=run.site)
    return Step(
        record=changed(record, now_ms, state=to, aim=aim, runs=with_run(record, started)),
        story=(line,),
    )


def _cancel_requested(record: JobRecord, event: CancelRequested, now_ms: int) -> Step:
    if record.terminal:
        return over(record)
    if record.state is JobState.CANCELLING:
        return ignore(record, "repeat", "a stop was asked for before")
    asked = tell(now_ms, "cancel-requested", f"{event.by} asked to cancel it", by=event.by)
    run = record.live_run
    if run is None:
        to = move_job(record, event, JobState.CANCELLED)
        ending = "Cancelled before it started" if not record.runs else "Cancelled while it waited"
        after = changed(record, now_ms, state=to, cancel_requested_ms=now_ms, ending=ending)
        return Step(
            record=after,
            instructions=(PlanAgain(job_id=record.job_id),),
            story=(asked, tell(now_ms, "cancelled", ending)),
        )
    requested = replace(record, cancel_requested_ms=now_ms, pause=None, aim=None)
    if run.state is RunState.LEASED and run.offered_session is None:
        step = close(requested, run, event, now_ms, RunState.CANCELLED, JobState.CANCELLED)
        return replace(step, story=(asked, *step.story))
    to = move_job(record, event, JobState.CANCELLING)
    move_run(record, run, event, run.state)
    return Step(
        record=changed(requested, now_ms, state=to),
        instructions=(
            StopRun(site=run.site, job_id=record.job_id, run_id=run.run_id, token=run.token),
        ),
        story=(asked,),
    )
