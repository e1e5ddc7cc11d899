"""Holding a job back, stopping its run so that it can go on later, and letting it go on."""

from __future__ import annotations

from dataclasses import replace

from westward.control.endings import SUSPENDED, UNFUNDED, after_stop, close
from westward.control.events import AfterFailed, HoldEnded, PauseRequested, ResumeRequested
from westward.control.instructions import PlanAgain, StopRun
from westward.control.records import Aim, Hold, HoldCode, JobRecord, JobState, Pause, RunState
from westward.control.steps import Step, changed, ignore, over
from westward.control.story import StoryLine, tell
from westward.control.transitions import move_job, move_run, refuse

NO_CHECKPOINT = (
    "it states no westward.checkpoint, so all that its run has done would be lost; let it end, or "
    "cancel it"
)


def pause_requested(record: JobRecord, event: PauseRequested, now_ms: int) -> Step:
    if (event.kind == "move") != (event.aim is not None):
        refuse(record, event, "an aim goes with a move, and a move with an aim")
    if record.terminal:
        return over(record)
    if record.state is JobState.CANCELLING:
        return ignore(record, "being-cancelled", "the job is being cancelled")
    if record.live_run is None:
        return _pause_waiting(record, event, now_ms)
    if record.job.checkpoint is None:
        return ignore(record, "no-checkpoint", NO_CHECKPOINT)
    if record.state is JobState.SUSPENDING:
        return _pause_again(record, event, now_ms)
    return _pause_running(record, event, now_ms)


def _pause_waiting(record: JobRecord, event: PauseRequested, now_ms: int) -> Step:
    """Nothing runs, nothing can be lost: no checkpoint is needed."""
    if event.kind == "preempt":
        return ignore(record, "not-running", f"the job is {record.state.value}, nothing of it runs")
    if event.kind == "suspend":
        if record.hold("suspended") is not None:
            return ignore(record, "repeat", "the job is suspended")
        to = move_job(record, event, JobState.HELD)
        after = changed(record, now_ms, state=to, bound=None, holds=(*record.holds, SUSPENDED))
    elif event.kind == "money":
        if record.hold("money") is not None:
            return ignore(record, "repeat", "the job waits for money")
        to = move_job(record, event, JobState.HELD)
        hold = replace(
            UNFUNDED, text=f"waits for money: {event.reason}" if event.reason else UNFUNDED.text
        )
        after = changed(record, now_ms, state=to, bound=None, holds=(*record.holds, hold))
    else:
        place = record.bound
        if record.aim == event.aim:
            return ignore(record, "repeat", "it is to go there already")
        if (
            place is not None
            and event.aim is not None
            and _is_at(event.aim, place.site, place.pool)
        ):
            return ignore(record, "there-already", f"it waits at {place.pool} already")
        stays = JobState.HELD if record.state is JobState.HELD else JobState.PENDING
        to = move_job(record, event, stays)
        after = changed(record, now_ms, state=to, bound=None, aim=event.aim)
    again = (PlanAgain(job_id=record.job_id),)
    return Step(record=after, instructions=again, story=(_asked(event, now_ms),))


def _pause_running(record: JobRecord, event: PauseRequested, now_ms: int) -> Step:
    run = record.live_run
    assert run is not None
    if event.aim is not None and _is_at(event.aim, run.site, run.pool):
        return ignore(record, "there-already", f"it runs at {run.pool} already")
    pause = Pause(kind=event.kind, by=event.by)
    asked = replace(record, aim=event.aim or record.aim, pause=pause)
    if run.state is RunState.LEASED and run.offered_session is None:
        to, holds = after_stop(pause)
        step = close(asked, run, event, now_ms, RunState.PREEMPTED, to, holds)
        return replace(step, story=(_asked(event, now_ms), *step.story))
    to = move_job(record, event, JobState.SUSPENDING)
    move_run(record, run, event, run.state)
    stop = StopRun(site=run.site, job_id=record.job_id, run_id=run.run_id, token=run.token)
    return Step(
        record=changed(asked, now_ms, state=to),
        instructions=(stop,),
        story=(_asked(event, now_ms),),
    )


def _pause_again(record: JobRecord, event: PauseRequested, now_ms: int) -> Step:
    """It is being stopped: only how it goes on may change, and only by its owner."""
    known = record.pause
    same = known is not None and known.kind == event.kind and event.aim in (None, record.aim)
    if same or event.kind in ("preempt", "money"):
        return ignore(record, "repeat", "it is being stopped already")
    to = move_job(record, event, JobState.SUSPENDING)
    pause = Pause(kind=event.kind, by=event.by)
    after = changed(record, now_ms, state=to, pause=pause, aim=event.aim or record.aim)
    return Step(record=after, story=(_asked(event, now_ms),))


def resume_requested(record: JobRecord, event: ResumeRequested, now_ms: int) -> Step:
    if record.terminal:
        return over(record)
    line = tell(now_ms, "resume-requested", f"{event.by} resumed it", by=event.by)
    pause = record.pause
    if record.state is JobState.SUSPENDING and pause is not None and pause.kind == "suspend":
        to = move_job(record, event, JobState.SUSPENDING)
        after = changed(record, now_ms, state=to, pause=Pause(kind="preempt", by=event.by))
        return Step(record=after, story=(line,))
    if record.hold("suspended") is None:
        text = f"the job is {record.state.value}, not suspended"
        return ignore(record, "not-suspended", text)
    return _without(record, "suspended", event, line, now_ms)


def hold_ended(record: JobRecord, event: HoldEnded, now_ms: int) -> Step:
    if record.terminal:
        return over(record)
    if record.hold(event.code) is None:
        return ignore(record, "not-held", f"nothing holds it for {event.code!r}")
    line = tell(now_ms, "released", event.reason, code=event.code)
    return _without(record, event.code, event, line, now_ms)


def _without(
    record: JobRecord,
    code: HoldCode,
    event: HoldEnded | ResumeRequested,
    line: StoryLine,
    now_ms: int,
) -> Step:
    left: tuple[Hold, ...] = tuple(hold for hold in record.holds if hold.code != code)
    to = move_job(record, event, JobState.HELD if left else JobState.PENDING)
    again = (PlanAgain(job_id=record.job_id),)
    after = changed(record, now_ms, state=to, holds=left)
    return Step(record=after, instructions=again, story=(line,))


def after_failed(record: JobRecord, event: AfterFailed, now_ms: int) -> Step:
    """Cancelled by the job it was to follow; who asked stands in the story and in its ending."""
    if record.terminal:
        return over(record)
    if record.hold("after") is None:
        return ignore(record, "not-held", "it does not wait for other jobs any more")
    to = move_job(record, event, JobState.CANCELLED)
    ending = f"Cancelled before it started (after-failed): {event.reason}"
    after = changed(record, now_ms, state=to, cancel_requested_ms=now_ms, ending=ending)
    line = tell(now_ms, "after-failed", ending, job_id=event.job_id)
    again = (PlanAgain(job_id=record.job_id),)
    return Step(record=after, instructions=again, story=(line,))


def _is_at(aim: Aim, site: str, pool: str) -> bool:
    return aim.site == site and aim.pool in (None, pool)


def _asked(event: PauseRequested, now_ms: int) -> StoryLine:
    what = {
        "suspend": "suspend it",
        "move": "move it",
        "preempt": "stop it for a while",
        "money": "hold it until there is money for it",
    }
    text = f"{event.by} asked to {what[event.kind]}"
    if event.aim is not None:
        text += f" to {event.aim.pool or event.aim.site}"
    if event.reason:
        text += f": {event.reason}"
    return tell(
        now_ms,
        f"{event.kind}-requested",
        text,
        by=event.by,
        site=event.aim.site if event.aim else None,
        pool=event.aim.pool if event.aim else None,
    )
