"""Kernels for delegated pools: what a site's own queue, which we do not see, is expected to cost.

Known of it is what happened to our own jobs there: how long those waited that started, and since when
those wait that did not. The first alone lags: while a queue builds up nobody of ours starts, and a
pool where jobs have waited for weeks goes on to look like one where the last of them waited minutes
(docs/decisions/0049).
"""

from __future__ import annotations

import math

from westward.jit import jit
from westward.placement.state import WAIT_FLOOR_MS, WAIT_SIZES, Jobs, State

WAIT_PACE = 0.1
"""Weight of the newest wait in the mean of logarithms: the last ten or so count."""
WHOLE_OF_AGE = 2.0
"""What those who wait will have waited in all, over what they have waited so far, on the mean: in a
queue in order of arrival that neither grows nor shrinks they are halfway."""


@jit
def wait_size(need: int) -> int:
    """The class of job size, for waits at delegated pools."""
    size = 0
    while size < WAIT_SIZES - 1 and need > 1000 << size:
        size += 1
    return size


@jit
def expected_wait_ms(p: int, need: int, now: int, state: State) -> int:
    """How long a job of this need is expected to wait in the queue of a delegated pool, if it joins
    now: as long as the last ones of its size waited, and no less than those of ours of its size or
    smaller will that wait there now. (A larger one may be stuck for what it needs.)"""
    size = wait_size(need)
    wait_ms = math.exp(state.wait_log[p, size]) - WAIT_FLOOR_MS
    for other in range(size + 1):
        count = state.ours_count[p, other]
        if count > 0:
            age_ms = now - state.ours_joined_ms[p, other] / count
            wait_ms = max(wait_ms, WHOLE_OF_AGE * age_ms)
    return max(0, int(wait_ms + 0.5))


@jit
def learn_wait(p: int, need: int, wait_ms: int, state: State) -> None:
    """A job of this need has waited so long at delegated pool p."""
    size = wait_size(need)
    state.wait_log[p, size] += WAIT_PACE * (
        math.log(wait_ms + WAIT_FLOOR_MS) - state.wait_log[p, size]
    )


@jit
def ours_joins(j: int, p: int, jobs: Jobs, state: State) -> None:
    """Job j has joined the queue of delegated pool p, at its not-before (``bind``). What the site's
    own users hand in, we do not see."""
    if jobs.pinned[j] == 0:
        size = wait_size(state.job_need[j])
        state.ours_count[p, size] += 1
        state.ours_joined_ms[p, size] += state.job_not_before_ms[j]


@jit
def ours_leaves(j: int, p: int, jobs: Jobs, state: State) -> None:
    """Job j leaves the queue of delegated pool p."""
    if jobs.pinned[j] == 0:
        size = wait_size(state.job_need[j])
        state.ours_count[p, size] -= 1
        state.ours_joined_ms[p, size] -= state.job_not_before_ms[j]


@jit
def expected_start_there(j: int, p: int, now: int, jobs: Jobs, state: State) -> int:
    """When job j, bound to delegated pool p, is expected to start: what the others there let it
    expect, counted from when it joined, and not before it has waited twice as long as by now."""
    need = state.job_need[j]
    joined: int = state.job_not_before_ms[j]
    if joined > now:
        return joined + expected_wait_ms(p, need, now, state)
    ours_leaves(j, p, jobs, state)
    told: int = expected_wait_ms(p, need, now, state)
    ours_joins(j, p, jobs, state)
    return joined + max(told, int(WHOLE_OF_AGE * (now - joined)))
