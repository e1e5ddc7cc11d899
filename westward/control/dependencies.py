"""Jobs that follow others: whether they may start, must wait, or never can. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from westward.control.records import TERMINAL_JOB_STATES, JobState
from westward.model.job import After


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """Everything ended as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """``on``: those of the request that are not over, in its order."""

    on: tuple[After, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Never:
    """``cause`` ended otherwise than asked: in ``state`` (one of its jobs, if it is an array)."""

    cause: After
    state: JobState


def judge(
    after: Sequence[After], states: Mapping[str, Sequence[JobState]]
) -> Met | Waiting | Never:
    """``states``: of every job that ``after`` names; several for an array. A name without states
    is waited for: nothing is started, and nothing given up, on what is not known.

    The first that rules the job out is told as soon as it is so, though others still run.
    """
    waiting: list[After] = []
    for one in after:
        found = states.get(one.job_id, ())
        if one.mode == "ok":
            for state in found:
                if state in TERMINAL_JOB_STATES and state is not JobState.SUCCEEDED:
                    return Never(cause=one, state=state)
        if not found or any(state not in TERMINAL_JOB_STATES for state in found):
            waiting.append(one)
    return Waiting(on=tuple(waiting)) if waiting else Met()
