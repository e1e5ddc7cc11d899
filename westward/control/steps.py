"""What one event leads to, and the small changes of a record that all of the machine shares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from westward.control.instructions import Instruction
from westward.control.records import JobRecord, JobState, RunRecord
from westward.control.story import StoryLine

IgnoredCode = Literal[
    "repeat",
    "stale-token",
    "unknown-run",
    "run-over",
    "job-over",
    "lease-renewed",
    "being-cancelled",
    "no-checkpoint",
    "there-already",
    "not-running",
    "not-suspended",
    "not-held",
    "not-asked",
    "other-digest",
    "not-the-owner",
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


def ignore(record: JobRecord, code: IgnoredCode, reason: str) -> Step:
    return Step(record=record, ignored=Ignored(code=code, reason=reason))


def over(record: JobRecord) -> Step:
    return ignore(record, "job-over", f"the job is over: {record.state.value}")


def with_run(record: JobRecord, run: RunRecord) -> tuple[RunRecord, ...]:
    return tuple(run if have.run_id == run.run_id else have for have in record.runs)


def changed(record: JobRecord, now_ms: int, *, state: JobState, **fields: object) -> JobRecord:
    """The next version of the record; a job that enters a terminal state gets its end time and
    waits for nothing any more."""
    after = replace(
        record,
        state=state,
        version=record.version + 1,
        changed_ms=now_ms,
        **fields,  # type: ignore[arg-type]
    )
    if after.terminal and not record.terminal:
        after = replace(after, finished_ms=now_ms, holds=(), pause=None, aim=None)
    return after
