"""Kernels that start jobs: who of those bound to a pool starts now."""

from __future__ import annotations

from westward.jit import jit
from westward.placement.claims import add_claim, release_ms
from westward.placement.state import Pools, Rules, State
from westward.placement.waiting import ensure_profile, unlink


@jit
def _start(j: int, p: int, now: int, started: int, state: State) -> int:
    unlink(j, p, state)
    add_claim(j, p, state.job_need[j], now + state.job_duration_ms[j], state)
    state.started[started] = j
    return started + 1


@jit
def dispatch_easy(p: int, now: int, started: int, rules: Rules, state: State) -> int:
    """EASY backfilling (Lifka 1995): the blocked head holds a reservation, others may pass it.

    Others pass when they are expected to end by the head's start, or fit beside it then.
    """
    j = state.head[p]
    while j >= 0 and state.job_need[j] <= state.free_milli[p]:
        after = state.next[j]
        started = _start(j, p, now, started, state)
        j = after
    if j < 0 or state.next[j] < 0 or state.free_milli[p] <= 0:
        return started
    head_need = state.job_need[j]
    shadow, released = release_ms(p, head_need - state.free_milli[p], state)
    extra = state.free_milli[p] + released - head_need
    looked = 0
    j = state.next[j]
    while j >= 0 and looked < rules.depth and state.free_milli[p] > 0:
        after = state.next[j]
        need = state.job_need[j]
        starts = False
        if need <= state.free_milli[p]:
            if now + state.job_duration_ms[j] <= shadow:
                starts = True
            elif need <= extra:
                extra -= need
                starts = True
        if starts:
            started = _start(j, p, now, started, state)
        else:
            # Only those left behind count: a second pass then finds nothing more to start.
            looked += 1
        j = after
    return started


@jit
def dispatch_conservative(p: int, now: int, started: int, rules: Rules, state: State) -> int:
    """Start every waiting job whose reservation is now; reservations are remade on each change."""
    ensure_profile(p, now, rules, state)
    j = state.head[p]
    looked = 0
    while j >= 0 and looked < rules.depth:
        after = state.next[j]
        if state.job_reserved_ms[j] <= now and state.job_need[j] <= state.free_milli[p]:
            started = _start(j, p, now, started, state)
        looked += 1
        j = after
    return started


@jit
def dispatch(p: int, now: int, started: int, pools: Pools, rules: Rules, state: State) -> int:
    """Start what may start at pool p now. Appends rows to ``state.started``; returns its length."""
    if pools.open[p] == 0 or state.head[p] < 0:
        return started
    if rules.conservative == 1:
        return dispatch_conservative(p, now, started, rules, state)
    return dispatch_easy(p, now, started, rules, state)
