"""How a run ends, and what becomes of its job: over, placed again, or held for a while."""

from __future__ import annotations

from dataclasses import replace

from westward.control import retry
from westward.control.events import CancelRequested, LeaseExpired, PauseRequested, RunEnded
from westward.control.instructions import ForgetRun, Instruction, PlanAgain, SettleRun
from westward.control.records import Hold, JobRecord, JobState, Pause, RunRecord, RunState
from westward.control.steps import Step, changed, ignore, with_run
from westward.control.story import tell
from westward.control.transitions import move_job, move_run, refuse
from westward.model.units import format_duration

Ending = RunEnded | LeaseExpired | CancelRequested | PauseRequested
SUSPENDED = Hold(code="suspended", text="suspended until its owner resumes it")
UNFUNDED = Hold(code="money", text="waits for money: its budget has run out")


def run_ended(record: JobRecord, run: RunRecord, event: RunEnded, now_ms: int) -> Step:
    match event.outcome:
        case "succeeded":
            return close(record, run, event, now_ms, RunState.SUCCEEDED, JobState.SUCCEEDED)
        case "failed":
            return _failed(record, run, event, now_ms)
        case "time-limit":
            return close(record, run, event, now_ms, RunState.FAILED, JobState.FAILED)
        case "preempted" if record.state is JobState.CANCELLING:
            return close(record, run, event, now_ms, RunState.CANCELLED, JobState.CANCELLED)
        case "preempted":
            to, holds = after_stop(record.pause)
            return close(record, run, event, now_ms, RunState.PREEMPTED, to, holds)
    # Stopped by the site: because its owner asked, because its lease ran out there, or unasked.
    asked = event.outcome == "cancelled" and record.state is JobState.CANCELLING
    return _lost(record, run, event, now_ms, RunState.CANCELLED if asked else RunState.LOST)


def lease_expired(record: JobRecord, run: RunRecord, event: LeaseExpired, now_ms: int) -> Step:
    if run.lease_expires_ms > event.seen_expires_ms:
        return ignore(record, "lease-renewed", "the lease was renewed meanwhile")
    if now_ms < run.lease_expires_ms:
        refuse(record, event, "the lease has not ended yet")
    return _lost(record, run, event, now_ms, RunState.LOST)


def after_stop(pause: Pause | None) -> tuple[JobState, tuple[Hold, ...]]:
    """Where a job goes whose run was stopped to go on later. None: the site's own scheduler did."""
    if pause is not None and pause.kind == "suspend":
        return JobState.HELD, (SUSPENDED,)
    if pause is not None and pause.kind == "money":
        return JobState.HELD, (UNFUNDED,)
    return JobState.PENDING, ()


def _failed(record: JobRecord, run: RunRecord, event: RunEnded, now_ms: int) -> Step:
    if record.state is JobState.CANCELLING:
        return close(record, run, event, now_ms, RunState.FAILED, JobState.FAILED)
    expected_ms = record.bound.duration_ms if record.bound is not None else None
    verdict = retry.judge(record.job, record.failed_runs + 1, event.exit_code, expected_ms, now_ms)
    if verdict.until_ms is None:
        return close(
            record, run, event, now_ms, RunState.FAILED, JobState.FAILED, what_next=verdict.reason
        )
    _, holds = after_stop(record.pause)
    wait = Hold(code="retry", text="waits after a failure", until_ms=verdict.until_ms)
    return close(
        record,
        run,
        event,
        now_ms,
        RunState.FAILED,
        JobState.HELD,
        (wait, *holds),
        what_next=verdict.reason,
    )


def _lost(
    record: JobRecord,
    run: RunRecord,
    event: RunEnded | LeaseExpired,
    now_ms: int,
    run_to: RunState,
) -> Step:
    if record.state is JobState.CANCELLING:
        return close(record, run, event, now_ms, run_to, JobState.CANCELLED)
    if record.lost_runs + 1 >= record.attempts_max:
        return close(record, run, event, now_ms, run_to, JobState.FAILED)
    to, holds = after_stop(record.pause)
    return close(record, run, event, now_ms, run_to, to, holds)


def close(
    record: JobRecord,
    run: RunRecord,
    event: Ending,
    now_ms: int,
    run_to: RunState,
    job_to: JobState,
    holds: tuple[Hold, ...] = (),
    *,
    what_next: str = "",
) -> Step:
    """End the live run; the job ends with it, or goes back to be placed again or held."""
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
    text = _ending_text(record, closed, to, what_next)
    runs = with_run(record, closed)
    if to in (JobState.PENDING, JobState.HELD):
        after = changed(record, now_ms, state=to, bound=None, runs=runs, holds=holds, pause=None)
        kind = _KINDS[run_to]
    else:
        after = changed(record, now_ms, state=to, runs=runs, ending=text)
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


_KINDS = {
    RunState.LOST: "lost",
    RunState.PREEMPTED: "preempted",
    RunState.FAILED: "run-failed",
}
"""Of the story's line on a run that ended without ending its job."""


def _ending_facts(event: Ending) -> tuple[str, int | None, str]:
    if isinstance(event, RunEnded):
        return event.outcome, event.exit_code, event.detail
    if isinstance(event, LeaseExpired):
        return "lost", None, "no word from the site until the lease ended"
    if isinstance(event, PauseRequested):
        return "never-offered", None, "stopped before any agent was told"
    return "never-offered", None, "cancelled before any agent was told"


def _ending_text(record: JobRecord, run: RunRecord, to: JobState, what_next: str) -> str:
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
        text = _failure_text(run)
        return f"{text}; {what_next}" if what_next else text
    if run.state is RunState.PREEMPTED:
        return f"{_stop_text(record, run)}; {_goes_on(record, to)}"
    what = _lost_text(run)
    if to in (JobState.PENDING, JobState.HELD):
        return f"{what}; {_goes_on(record, to)}"
    return f"{what}, in attempt {record.lost_runs + 1} of {record.attempts_max}"


def _lost_text(run: RunRecord) -> str:
    if run.outcome == "cancelled":
        return f"{run.site} stopped the run without being asked"
    if run.handed_back:
        why = f": {run.detail}" if run.detail else ""
        return f"{run.site} gave the run back before it began{why}"
    return f"Contact with {run.site} was lost until the lease ended"


def _failure_text(run: RunRecord) -> str:
    why = f": {run.detail}" if run.detail else ""
    if run.outcome == "time-limit":
        return f"Failed at {run.site}: it reached its time limit{why}"
    code = "without an exit code" if run.exit_code is None else f"with exit code {run.exit_code}"
    return f"Failed at {run.site} {code}{why}"


def _stop_text(record: JobRecord, run: RunRecord) -> str:
    if run.started_ms is None:
        return f"Taken back from {run.site} before it started"
    if record.pause is None:
        return f"{run.site} needed its place and stopped the run"
    worked = "" if run.ended_ms is None else format_duration(run.ended_ms - run.started_ms)
    return f"Stopped at {run.site} after {worked}, with time to save"


def _goes_on(record: JobRecord, to: JobState) -> str:
    if to is JobState.HELD:
        return "it goes on when its owner resumes it"
    if record.aim is not None:
        return f"it goes on at {record.aim.pool or record.aim.site}"
    return "it will be placed again"
