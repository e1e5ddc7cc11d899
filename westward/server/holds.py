"""What held jobs wait for, and whether it has come. Pure: the loop loads, applies and announces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from westward.control.dependencies import Met, Never, judge
from westward.control.events import AfterFailed, HoldEnded
from westward.control.records import JobRecord, JobState
from westward.store.results import Change


def awaited(held: Sequence[JobRecord]) -> set[str]:
    """Ids of the jobs and arrays whose states ``due`` needs."""
    return {
        one.job_id
        for record in held
        if record.hold("after") is not None
        for one in record.job.after
    }


def due(
    held: Sequence[JobRecord], states: Mapping[str, Sequence[JobState]], now_ms: int
) -> tuple[list[Change], int | None]:
    """Events for the jobs whose wait is over, and when the next pause after a failure ends."""
    changes: list[Change] = []
    next_ms: int | None = None
    for record in held:
        change: HoldEnded | AfterFailed | None = None
        if record.hold("after") is not None:
            change = _judged(record, states)
        pause = record.hold("retry")
        if change is None and pause is not None and pause.until_ms is not None:
            if pause.until_ms <= now_ms:
                change = HoldEnded(code="retry", reason="The pause after its failure is over")
            else:
                next_ms = min(next_ms or pause.until_ms, pause.until_ms)
        if change is not None:
            changes.append(
                Change(job_id=record.job_id, event=change, expected_version=record.version)
            )
    return changes, next_ms


def _judged(
    record: JobRecord, states: Mapping[str, Sequence[JobState]]
) -> HoldEnded | AfterFailed | None:
    answer = judge(record.job.after, states)
    if isinstance(answer, Met):
        names = ", ".join(one.name or one.job_id for one in record.job.after)
        return HoldEnded(code="after", reason=f"What it was to follow is over: {names}")
    if isinstance(answer, Never):
        cause = answer.cause
        name = cause.name or cause.job_id
        shown = name if name == cause.job_id else f"{name} ({cause.job_id})"
        reason = f"{shown} is {answer.state.value}, and this job was to follow its success"
        return AfterFailed(job_id=cause.job_id, reason=reason)
    return None
