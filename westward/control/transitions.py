"""The one table of permitted moves. A pair that is not listed cannot happen: it raises.

``JOB_MOVES[state, event type]`` and ``RUN_MOVES[state, event type]`` hold the states that may
follow; the machine picks one of them by the facts of the event, and ``move_job`` / ``move_run``
hold it to the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from westward.control.events import (
    AfterFailed,
    CancelRequested,
    Event,
    HoldEnded,
    JobBound,
    JobRefused,
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
from westward.control.records import JobRecord, JobState, RunRecord, RunState
from westward.control.story import StoryLine
from westward.model.units import format_instant

_J = JobState
_R = RunState

JOB_MOVES: Mapping[tuple[JobState, type[Event]], tuple[JobState, ...]] = {
    (_J.HELD, JobRefused): (_J.REFUSED,),
    (_J.HELD, HoldEnded): (_J.HELD, _J.PENDING),
    (_J.HELD, ResumeRequested): (_J.HELD, _J.PENDING),
    (_J.HELD, PauseRequested): (_J.HELD,),
    (_J.HELD, AfterFailed): (_J.CANCELLED,),
    (_J.HELD, CancelRequested): (_J.CANCELLED,),
    (_J.PENDING, JobRefused): (_J.REFUSED,),
    (_J.PENDING, JobBound): (_J.BOUND,),
    (_J.PENDING, PauseRequested): (_J.HELD, _J.PENDING),
    (_J.PENDING, CancelRequested): (_J.CANCELLED,),
    (_J.BOUND, JobUnbound): (_J.PENDING,),
    # It looked at all pools again and found a better one.
    (_J.BOUND, JobBound): (_J.BOUND,),
    (_J.BOUND, LeaseGranted): (_J.LEASED,),
    (_J.BOUND, PauseRequested): (_J.HELD, _J.PENDING),
    (_J.BOUND, CancelRequested): (_J.CANCELLED,),
    (_J.LEASED, RunOffered): (_J.LEASED,),
    (_J.LEASED, LeaseRenewed): (_J.LEASED,),
    (_J.LEASED, RunStarted): (_J.RUNNING,),
    # The report that it started may have been lost: an end is believed without it.
    (_J.LEASED, RunEnded): (_J.SUCCEEDED, _J.FAILED, _J.PENDING, _J.HELD),
    (_J.LEASED, LeaseExpired): (_J.PENDING, _J.FAILED),
    # A run that no agent ever heard of needs no confirmation of its end.
    (_J.LEASED, PauseRequested): (_J.SUSPENDING, _J.HELD, _J.PENDING),
    (_J.LEASED, CancelRequested): (_J.CANCELLING, _J.CANCELLED),
    (_J.RUNNING, LeaseRenewed): (_J.RUNNING,),
    (_J.RUNNING, RunEnded): (_J.SUCCEEDED, _J.FAILED, _J.PENDING, _J.HELD),
    (_J.RUNNING, LeaseExpired): (_J.PENDING, _J.FAILED),
    (_J.RUNNING, PauseRequested): (_J.SUSPENDING,),
    (_J.RUNNING, CancelRequested): (_J.CANCELLING,),
    (_J.SUSPENDING, LeaseRenewed): (_J.SUSPENDING,),
    (_J.SUSPENDING, RunStarted): (_J.SUSPENDING,),
    # It may have come to its own end before the stop reached it: then that end counts.
    (_J.SUSPENDING, RunEnded): (_J.SUCCEEDED, _J.FAILED, _J.PENDING, _J.HELD),
    (_J.SUSPENDING, LeaseExpired): (_J.PENDING, _J.HELD, _J.FAILED),
    # The owner's wish comes before the planner's: only how it goes on changes.
    (_J.SUSPENDING, PauseRequested): (_J.SUSPENDING,),
    (_J.SUSPENDING, ResumeRequested): (_J.SUSPENDING,),
    (_J.SUSPENDING, CancelRequested): (_J.CANCELLING,),
    (_J.CANCELLING, LeaseRenewed): (_J.CANCELLING,),
    (_J.CANCELLING, RunStarted): (_J.CANCELLING,),
    # The work may have come to its own end before the stop reached it: then that end counts.
    (_J.CANCELLING, RunEnded): (_J.SUCCEEDED, _J.FAILED, _J.CANCELLED),
    (_J.CANCELLING, LeaseExpired): (_J.CANCELLED,),
}

_ENDS = (_R.SUCCEEDED, _R.FAILED, _R.CANCELLED, _R.PREEMPTED, _R.LOST)

RUN_MOVES: Mapping[tuple[RunState, type[Event]], tuple[RunState, ...]] = {
    (_R.LEASED, RunOffered): (_R.LEASED,),
    (_R.LEASED, LeaseRenewed): (_R.LEASED,),
    (_R.LEASED, RunStarted): (_R.RUNNING,),
    (_R.LEASED, RunEnded): _ENDS,
    (_R.LEASED, LeaseExpired): (_R.LOST,),
    (_R.LEASED, PauseRequested): (_R.LEASED, _R.PREEMPTED),
    (_R.LEASED, CancelRequested): (_R.LEASED, _R.CANCELLED),
    (_R.RUNNING, LeaseRenewed): (_R.RUNNING,),
    (_R.RUNNING, RunEnded): _ENDS,
    (_R.RUNNING, LeaseExpired): (_R.LOST,),
    (_R.RUNNING, PauseRequested): (_R.RUNNING,),
    (_R.RUNNING, CancelRequested): (_R.RUNNING,),
}


class InvalidTransition(Exception):
    """An event that cannot happen to this job in this state: a broken invariant, not a refusal.

    ``story`` holds the job's story where the raiser knows it (the store adds it).
    """

    def __init__(
        self, record: JobRecord, event: Event, problem: str, story: Sequence[StoryLine] = ()
    ) -> None:
        self.record = record
        self.event = event
        self.problem = problem
        self.story = tuple(story)
        super().__init__(self._text())

    def with_story(self, story: Sequence[StoryLine]) -> InvalidTransition:
        return InvalidTransition(self.record, self.event, self.problem, story)

    def _text(self) -> str:
        record = self.record
        lines = [
            f"{record.job_id} is {record.state.value} (version {record.version}): "
            f"{self.problem}; event {self.event!r}"
        ]
        for run in record.runs:
            lines.append(
                f"  run {run.run_id} attempt {run.attempt} at {run.site}/{run.pool}, token "
                f"{run.token}: {run.state.value}, lease to {format_instant(run.lease_expires_ms)}"
            )
        lines.extend(f"  {line}" for line in self.story)
        return "\n".join(lines)


def refuse(record: JobRecord, event: Event, problem: str) -> NoReturn:
    raise InvalidTransition(record, event, problem)


def move_job(record: JobRecord, event: Event, to: JobState) -> JobState:
    """``to``, if the table lists it; else raises ``InvalidTransition``."""
    if to not in JOB_MOVES.get((record.state, type(event)), ()):
        refuse(record, event, f"no move from {record.state.value} to {to.value} is listed")
    return to


def move_run(record: JobRecord, run: RunRecord, event: Event, to: RunState) -> RunState:
    """As ``move_job``, for one of the job's runs."""
    if to not in RUN_MOVES.get((run.state, type(event)), ()):
        refuse(
            record,
            event,
            f"run {run.run_id}: no move from {run.state.value} to {to.value} is listed",
        )
    return to
