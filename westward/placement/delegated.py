"""Kernels for delegated pools: what a site's own queue, which we do not see, is expected to cost.

Known of it is what happened to our own jobs there: how long those waited that started, how fast one
started after the other, and since when those wait that did not. The first alone lags: while a queue
builds up nobody of ours starts, and a pool where jobs have waited for weeks goes on to look like one
where the last of them waited minutes (docs/decisions/0049).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from westward.jit import jit
from westward.placement.state import F64, I64, U8, WAIT_FLOOR_MS, WAIT_SIZES, Jobs, State

WAIT_PACE = 0.1
"""Weight of the newest start in the means: the last ten or so count."""
WAIT_OVER_AGE = 2.0
"""What those who wait will have waited in all, over what they have waited so far, on the mean: in a
queue in order of arrival that neither grows nor shrinks they are halfway."""


class Told(NamedTuple):
    """What is known of such queues without the rest of a ``State``, field by field as there."""

    wait_log: F64
    ours_count: I64
    ours_joined_ms: I64
    ours_milli: I64
    served_at_ms: I64
    served_gap_ms: F64
    served_milli: F64


@jit
def wait_size(need: int) -> int:
    """The class of job size, for waits at delegated pools."""
    size = 0
    while size < WAIT_SIZES - 1 and need > 1000 << size:
        size += 1
    return size


@jit
def site_wait(p: int, need: int, state: State) -> int:
    """How long a job of this need is expected to wait in the site's own queue once it was handed
    over (``State.site_wait_ms``): so long it holds a place of ours there, and has not begun."""
    if len(state.site_wait_ms) == 0:
        return 0
    wait_ms: int = state.site_wait_ms[p, wait_size(need)]
    return wait_ms


@jit
def expected_wait_ms(p: int, need: int, now: int, state: State | Told) -> int:
    """How long a job of this need is expected to wait in the queue of a delegated pool, if it joins
    now: the longest of what three tell. The last ones of its size waited so long. Those of ours that
    wait there now, of its size or smaller (a larger one may be stuck for what it needs), will. And as
    fast as ours have started there, it takes so long to serve those (Little 1961: a queue's length
    over its rate)."""
    size = wait_size(need)
    wait_ms = math.exp(state.wait_log[p, size]) - WAIT_FLOOR_MS
    ahead_milli = 0
    for other in range(size + 1):
        count = state.ours_count[p, other]
        if count > 0:
            age_ms = now - state.ours_joined_ms[p, other] / count
            wait_ms = max(wait_ms, WAIT_OVER_AGE * age_ms)
            ahead_milli += state.ours_milli[p, other]
    if ahead_milli > 0 and state.served_milli[p] > 0.0:
        wait_ms = max(wait_ms, ahead_milli * state.served_gap_ms[p] / state.served_milli[p])
    return max(0, int(wait_ms + 0.5))


@jit
def learn_wait(p: int, need: int, wait_ms: int, now: int, state: State | Told) -> None:
    """A job of this need has waited so long at delegated pool p, and starts now (it has left the
    queue). Gaps count only while others of ours waited on: else nobody was there to be served."""
    size = wait_size(need)
    state.wait_log[p, size] += WAIT_PACE * (
        math.log(wait_ms + WAIT_FLOOR_MS) - state.wait_log[p, size]
    )
    if state.served_at_ms[p] >= 0:
        gap_ms = now - state.served_at_ms[p]
        state.served_gap_ms[p] += WAIT_PACE * (gap_ms - state.served_gap_ms[p])
        state.served_milli[p] += WAIT_PACE * (need - state.served_milli[p])
    waiting = 0
    for other in range(WAIT_SIZES):
        waiting += state.ours_count[p, other]
    state.served_at_ms[p] = now if waiting > 0 else -1


@jit
def count_ours(p: int, need: int, joined_ms: int, by: int, state: State | Told) -> None:
    """One more (``by`` = 1) or one less (-1) of ours waits at delegated pool p, since then."""
    size = wait_size(need)
    state.ours_count[p, size] += by
    state.ours_joined_ms[p, size] += by * joined_ms
    state.ours_milli[p, size] += by * need


@jit
def ours_joins(j: int, p: int, jobs: Jobs, state: State) -> None:
    """Job j has joined the queue of delegated pool p, at its not-before (``bind``). What the site's
    own users hand in, we do not see."""
    if jobs.pinned[j] == 0:
        count_ours(p, state.job_need[j], state.job_not_before_ms[j], 1, state)


@jit
def ours_leaves(j: int, p: int, jobs: Jobs, state: State) -> None:
    """Job j leaves the queue of delegated pool p."""
    if jobs.pinned[j] == 0:
        count_ours(p, state.job_need[j], state.job_not_before_ms[j], -1, state)


@jit
def hear(at_ms: I64, begins: U8, need: I64, joined_ms: I64, told: Told) -> None:
    """What happened to ours at one pool (row 0 of ``told``), in order of time. ``begins``: 1 = one
    starts that had joined then, 0 = one joins."""
    for i in range(len(at_ms)):
        if begins[i] == 1:
            count_ours(0, need[i], joined_ms[i], -1, told)
            learn_wait(0, need[i], at_ms[i] - joined_ms[i], at_ms[i], told)
        else:
            count_ours(0, need[i], joined_ms[i], 1, told)


@jit
def tell(now: int, told: Told, wait_ms: I64) -> None:
    """``expected_wait_ms`` at that pool now, of each size of job."""
    for size in range(WAIT_SIZES):
        wait_ms[size] = expected_wait_ms(0, 1000 << size, now, told)
