"""``handle(record, event, now_ms)``: the whole life of a job as one pure function.

A report that comes late, twice or from a run that lost its right is an expected refusal: it is
answered with ``Ignored`` and changes nothing. An event that cannot happen at all (a lease for a
job that is not bound, a token that did not rise) raises ``InvalidTransition``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from westward.control.events import (
    CancelRequested,
    Event,
    JobBound,
    JobRefused,
    JobSubmitted,
    JobUnbound,
    LeaseExpired,
    LeaseGranted,
    LeaseRenewed,
    RunEnded,
    RunOffered,
    RunStarted,
)
from westward.control.instructions import (
    ForgetRun,
    Instruction,
    PlanAgain,
    SettleRun,
    StartRun,
    StopRun,
)
from westward.control.records import JobRecord, JobState, RunRecord, RunState
from westward.control.story import StoryLine, tell
from westward.control.transitions import InvalidTransition, move_job, move_run, refuse
from westward.model.units import format_duration

__all__ = ["Ignored", "IgnoredCode", "InvalidTransition", "Step", "handle", "submit"]

IgnoredCode = Literal[
    "repeat", "stale-token", "unknown-run", "run-over", "job-over", "lease-renewed"
]
"""repeat: known already, nothing is lost by ignoring it (the sender may treat it as accepted)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Why an event changed nothing. An expected refusal, with a stable code."""

    code: IgnoredCode
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one event led to. ``ignored`` is set exactly when nothing changed."""

    record: JobRecord
    instructions: tuple[Instruction, ...] = ()
    story: tuple[StoryLine, ...] = ()
    ignored: Ignored | None = None


def submit(event: JobSubmitted, now_ms: int) -> Step:
    """A new job, pending."""
    record = JobRecord(
        job=event.job,
        state=JobState.PENDING,
        attempts_max=event.attempts_max,
        changed_ms=now_ms,
    )
    line = tell(now_ms, "submitted", f"{event.job.name or record.job_id} was submitted")
    return Step(record=record, instructions=(PlanAgain(job_id=record.job_id),), story=(line,))


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
        return _run_ended(record, run, event, now_ms)
    return _lease_expired(record, run, event, now_ms)


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
        after = _changed(record, now_ms, state=to, ending=event.reason)
        return Step(record=after, story=(tell(now_ms, "refused", f"Refused: {event.reason}"),))
    if isinstance(event, JobBound):
        to = move_job(record, event, JobState.BOUND)
        place = event.binding
        text = f"Placed in pool {place.pool} at {place.site}"
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
        return Step(record=_changed(record, now_ms, state=to, bound=place), story=(line,))
    to = move_job(record, event, JobState.PENDING)
    line = tell(now_ms, "unbound", f"Lost its place: {event.reason}. It will be placed again")
    return Step(
        record=_changed(record, now_ms, state=to, bound=None),
        instructions=(PlanAgain(job_id=record.job_id),),
        story=(line,),
    )


def _lease_granted(record: JobRecord, event: LeaseGranted, now_ms: int) -> Step:
    to = move_job(record, event, JobState.LEASED)
    place = record.bound
    if place is None:
        refuse(record, event, "a bound job has no binding")
    if len(record.runs) >= record.attempts_max:
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
    if run.attempt > 1:
        text += f" (attempt {run.attempt} of {record.attempts_max})"
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
        record=_changed(record, now_ms, state=to, runs=(*record.runs, run)),
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
        record=_changed(
            record,
            now_ms,
            state=move_job(record, event, JobState.LEASED),
            runs=_with_run(record, told),
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
            runs=_with_run(record, renewed),
        )
    )


def _run_started(record: JobRecord, run: RunRecord, event: RunStarted, now_ms: int) -> Step:
    if run.state is RunState.RUNNING:
        return Step(
            record=record,
            ignored=Ignored(code="repeat", reason=f"run {run.run_id} is known to have started"),
        )
    stays = record.state is JobState.CANCELLING
    to = move_job(record, event, JobState.CANCELLING if stays else JobState.RUNNING)
    # Metering begins here: a report that was held up must not move it to another hour's price.
    started_ms = max(run.granted_ms, now_ms - max(0, event.ago_ms))
    started = replace(
        run, state=move_run(record, run, event, RunState.RUNNING), started_ms=started_ms
    )
    line = tell(now_ms, "started", f"Started at {run.site}", run_id=run.run_id, site=run.site)
    return Step(
        record=_changed(record, now_ms, state=to, runs=_with_run(record, started)), story=(line,)
    )


def _run_ended(record: JobRecord, run: RunRecord, event: RunEnded, now_ms: int) -> Step:
    if event.outcome == "succeeded":
        return _close(record, run, event, now_ms, RunState.SUCCEEDED, JobState.SUCCEEDED)
    if event.outcome in ("failed", "time-limit"):
        return _close(record, run, event, now_ms, RunState.FAILED, JobState.FAILED)
    # Stopped by the site: because we asked, because its lease ran out there, or of its own accord.
    run_to = RunState.CANCELLED if event.outcome == "cancelled" else RunState.LOST
    return _close(record, run, event, now_ms, run_to, _after_loss(record))


def _lease_expired(record: JobRecord, run: RunRecord, event: LeaseExpired, now_ms: int) -> Step:
    if run.lease_expires_ms > event.seen_expires_ms:
        return Step(
            record=record,
            ignored=Ignored(code="lease-renewed", reason="the lease was renewed meanwhile"),
        )
    if now_ms < run.lease_expires_ms:
        refuse(record, event, "the lease has not ended yet")
    return _close(record, run, event, now_ms, RunState.LOST, _after_loss(record))


def _after_loss(record: JobRecord) -> JobState:
    if record.state is JobState.CANCELLING:
        return JobState.CANCELLED
    return JobState.PENDING if len(record.runs) < record.attempts_max else JobState.FAILED


def _cancel_requested(record: JobRecord, event: CancelRequested, now_ms: int) -> Step:
    if record.terminal:
        return Step(
            record=record,
            ignored=Ignored(code="job-over", reason=f"the job is over: {record.state.value}"),
        )
    if record.state is JobState.CANCELLING:
        return Step(
            record=record, ignored=Ignored(code="repeat", reason="a stop was asked for before")
        )
    asked = tell(now_ms, "cancel-requested", f"{event.by} asked to cancel it", by=event.by)
    run = record.live_run
    if run is None:
        to = move_job(record, event, JobState.CANCELLED)
        ending = "Cancelled before it started"
        after = _changed(record, now_ms, state=to, cancel_requested_ms=now_ms, ending=ending)
        return Step(
            record=after,
            instructions=(PlanAgain(job_id=record.job_id),),
            story=(asked, tell(now_ms, "cancelled", ending)),
        )
    requested = replace(record, cancel_requested_ms=now_ms)
    if run.state is RunState.LEASED and run.offered_session is None:
        step = _close(requested, run, event, now_ms, RunState.CANCELLED, JobState.CANCELLED)
        return replace(step, story=(asked, *step.story))
    to = move_job(record, event, JobState.CANCELLING)
    move_run(record, run, event, run.state)
    return Step(
        record=_changed(requested, now_ms, state=to),
        instructions=(
            StopRun(site=run.site, job_id=record.job_id, run_id=run.run_id, token=run.token),
        ),
        story=(asked,),
    )


def _close(
    record: JobRecord,
    run: RunRecord,
    event: RunEnded | LeaseExpired | CancelRequested,
    now_ms: int,
    run_to: RunState,
    job_to: JobState,
) -> Step:
    """End the live run; the job ends with it or goes back to be placed again."""
    outcome, exit_code, detail = _ending_facts(event)
    closed = replace(
        run,
        state=move_run(record, run, event, run_to),
        ended_ms=now_ms,
        outcome=outcome,
        exit_code=exit_code,
        detail=detail,
    )
    to = move_job(record, event, job_to)
    text = _ending_text(record, closed, to)
    if to is JobState.PENDING:
        after = _changed(record, now_ms, state=to, bound=None, runs=_with_run(record, closed))
        kind = "lost"
    else:
        after = _changed(record, now_ms, state=to, runs=_with_run(record, closed), ending=text)
        kind = to.value
    line = tell(
        now_ms, kind, text, run_id=run.run_id, site=run.site, outcome=outcome, exit_code=exit_code
    )
    instructions: list[Instruction] = []
    if isinstance(event, LeaseExpired):
        instructions.append(
            ForgetRun(site=run.site, job_id=record.job_id, run_id=run.run_id, token=run.token)
        )
    instructions.append(SettleRun(job_id=record.job_id, run_id=run.run_id, token=run.token))
    instructions.append(PlanAgain(job_id=record.job_id))
    return Step(record=after, instructions=tuple(instructions), story=(line,))


def _ending_facts(
    event: RunEnded | LeaseExpired | CancelRequested,
) -> tuple[str, int | None, str]:
    if isinstance(event, RunEnded):
        return event.outcome, event.exit_code, event.detail
    if isinstance(event, LeaseExpired):
        return "lost", None, "no word from the site until the lease ended"
    return "never-offered", None, "cancelled before any agent was told"


def _ending_text(record: JobRecord, run: RunRecord, to: JobState) -> str:
    """One sentence for the owner on how this run ended and what becomes of the job."""
    if to is JobState.CANCELLED:
        if run.state is RunState.LOST:
            return f"Cancelled; {run.site} did not answer, its lease has ended"
        return "Cancelled before it started" if run.started_ms is None else "Cancelled"
    if run.state is RunState.SUCCEEDED:
        if run.started_ms is None or run.ended_ms is None:
            return f"Succeeded at {run.site}"
        return f"Succeeded at {run.site} after {format_duration(run.ended_ms - run.started_ms)}"
    if run.state is RunState.FAILED:
        why = f": {run.detail}" if run.detail else ""
        if run.outcome == "time-limit":
            return f"Failed at {run.site}: it reached its time limit{why}"
        code = (
            "without an exit code" if run.exit_code is None else f"with exit code {run.exit_code}"
        )
        return f"Failed at {run.site} {code}{why}"
    what = (
        f"{run.site} stopped the run without being asked"
        if run.state is RunState.CANCELLED
        else f"Contact with {run.site} was lost until the lease ended"
    )
    if to is JobState.PENDING:
        return f"{what}; it will be placed again"
    return f"{what}, in attempt {run.attempt} of {record.attempts_max}"


def _with_run(record: JobRecord, run: RunRecord) -> tuple[RunRecord, ...]:
    return tuple(run if have.run_id == run.run_id else have for have in record.runs)


def _changed(record: JobRecord, now_ms: int, *, state: JobState, **fields: object) -> JobRecord:
    """The next version of the record; a job that enters a terminal state gets its end time."""
    after = replace(
        record,
        state=state,
        version=record.version + 1,
        changed_ms=now_ms,
        **fields,  # type: ignore[arg-type]
    )
    if after.terminal and not record.terminal:
        after = replace(after, finished_ms=now_ms)
    return after
