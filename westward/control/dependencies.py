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


def find_cycle(follows: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Names in a circle, each following the next and the last the first; empty if there is none.

    ``follows[a]`` lists what a waits for; names that are no key are outside and wait for nothing.
    """
    done: set[str] = set()
    for root in follows:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, int]] = [(root, 0)]
        while stack:
            name, turn = stack.pop()
            if turn == 0:
                if name in on_path:
                    return tuple(path[path.index(name) :])
                if name in done:
                    continue
                path.append(name)
                on_path.add(name)
            following = follows.get(name, ())
            if turn < len(following):
                stack.append((name, turn + 1))
                stack.append((following[turn], 0))
            else:
                done.add(name)
                on_path.discard(name)
                path.pop()
    return ()
