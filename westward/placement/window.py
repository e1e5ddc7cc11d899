"""The first jobs of each pool's queue, copied side by side.

EASY looks at the head and up to ``depth`` jobs behind it after every end. In the linked list that is
a cache miss a job (measured: a fifth of a long rehearsal); here it is one line of memory after the
other. The list stays the truth: a window holds the first ``window_count`` jobs of its queue, in
order, and none at all is always right.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.state import Jobs, State

WIDEST = 256
"""Jobs beyond so many are read from the list, however deep the policy looks."""


@jit
def join_window(j: int, p: int, after: int, rank: int, jobs: Jobs, state: State) -> None:
    """Job j has joined pool p's queue behind ``after`` (-1: at the head)."""
    width = state.window_job.shape[1]
    count = state.window_count[p]
    at = -1
    if after < 0:
        at = 0
    elif count > 0:
        last = state.window_job[p, count - 1]
        if last == after:
            at = count
        elif state.next[j] >= 0 and jobs.order[last] > rank:
            at = count - 1
            while state.window_job[p, at - 1] != after:
                at -= 1
    if at < 0 or at >= width:
        return
    top = min(count, width - 1)
    for i in range(top, at, -1):
        state.window_job[p, i] = state.window_job[p, i - 1]
        state.window_need[p, i] = state.window_need[p, i - 1]
        state.window_ms[p, i] = state.window_ms[p, i - 1]
    state.window_job[p, at] = j
    state.window_need[p, at] = state.job_need[j]
    state.window_ms[p, at] = state.job_duration_ms[j]
    state.window_count[p] = top + 1


@jit
def keep_in_window(j: int, p: int, kept: int, need: int, duration: int, state: State) -> int:
    """Job j stays in the queue behind the first ``kept``, which the window holds; how many it holds
    then."""
    if kept >= state.window_job.shape[1]:
        return kept
    state.window_job[p, kept] = j
    state.window_need[p, kept] = need
    state.window_ms[p, kept] = duration
    return kept + 1


@jit
def close_gap(p: int, to: int, source: int, count: int, state: State) -> int:
    """Entries source..count-1 move down to ``to``; the new count."""
    if to == source:
        return count
    for i in range(source, count):
        state.window_job[p, to] = state.window_job[p, i]
        state.window_need[p, to] = state.window_need[p, i]
        state.window_ms[p, to] = state.window_ms[p, i]
        to += 1
    return to


@jit
def leave_window(j: int, p: int, count: int, state: State) -> None:
    """Job j, one of the last to come, is gone from the queue; ``count`` were in the window before."""
    at = count - 1
    while at >= 0 and state.window_job[p, at] != j:
        at -= 1
    state.window_count[p] = count if at < 0 else close_gap(p, at, at + 1, count, state)
