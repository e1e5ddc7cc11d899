"""Kernels that start jobs: who of those bound to a pool starts now."""

from __future__ import annotations

from westward.jit import jit
from westward.placement.claims import add_claim, release_ms
from westward.placement.dispatch_nodes import dispatch_nodes
from westward.placement.packing_state import Packing
from westward.placement.profile import NEVER_MS
from westward.placement.state import Classes, Jobs, Pools, Rules, State
from westward.placement.waiting import ensure_profile, unlink


@jit
def _start(j: int, p: int, now: int, started: int, state: State) -> int:
    unlink(j, p, state)
    add_claim(j, p, state.job_need[j], now + state.job_duration_ms[j], state)
    state.started[started] = j
    return started + 1


@jit
def dispatch_easy(p: int, now: int, started: int, newcomer: int, rules: Rules, state: State) -> int:
    """EASY backfilling (Lifka 1995): the blocked head holds a reservation, others may pass it.

    Others pass when they are expected to end by the head's start, or fit beside it then.
    ``newcomer``: the one job that joined since the last pass, when nothing else happened (-1:
    anything may have). Then only it can start: for all others time has only run on.
    """
    j = state.head[p]
    alone = newcomer >= 0 and j != newcomer and state.shadow_job[p] == j
    if alone and (state.tail[p] == newcomer or state.queued_count[p] <= rules.depth):
        need = state.job_need[newcomer]
        if need > state.free_milli[p] or state.queued_count[p] - 2 >= rules.depth:
            return started
        if now + state.job_duration_ms[newcomer] > state.shadow_ms[p]:
            if need > state.shadow_extra[p]:
                return started
            state.shadow_extra[p] -= need
        return _start(newcomer, p, now, started, state)
    while j >= 0 and state.job_need[j] <= state.free_milli[p]:
        after = state.next[j]
        started = _start(j, p, now, started, state)
        state.shadow_job[p] = -1
        j = after
    if j < 0:
        return started
    if state.shadow_job[p] != j:
        head_need = state.job_need[j]
        shadow, released = release_ms(p, head_need - state.free_milli[p], NEVER_MS, state)
        state.shadow_job[p] = j
        state.shadow_ms[p] = shadow
        state.shadow_extra[p] = state.free_milli[p] + released - head_need
    shadow = state.shadow_ms[p]
    extra = state.shadow_extra[p]
    free = state.free_milli[p]
    looked = 0
    j = state.next[j]
    while j >= 0 and looked < rules.depth and free > 0:
        after = state.next[j]
        need = state.job_need[j]
        # Only those left behind count: a second pass then finds nothing more to start.
        looked += 1
        if need <= free:
            ends_before = now + state.job_duration_ms[j] <= shadow
            if ends_before or need <= extra:
                if not ends_before:
                    extra -= need
                started = _start(j, p, now, started, state)
                free -= need
                looked -= 1
        j = after
    state.shadow_extra[p] = extra
    return started


@jit
def dispatch_conservative(
    p: int, now: int, started: int, jobs: Jobs, rules: Rules, state: State
) -> int:
    """Start every waiting job whose reservation is now; reservations are remade on each change."""
    before = -1
    while started != before:
        # Those that started made room within the depth: jobs beyond it now get reservations.
        before = started
        ensure_profile(p, now, jobs, rules, state)
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
def dispatch(
    p: int,
    now: int,
    started: int,
    newcomer: int,
    pools: Pools,
    classes: Classes,
    jobs: Jobs,
    rules: Rules,
    state: State,
    packing: Packing | None,
) -> int:
    """Start what may start at pool p now. Appends rows to ``state.started``; returns its length.

    ``newcomer``: the one job that joined since the last call for p, if that is all that happened;
    else -1. ``packing``: None where pools are counted as one number of devices.
    """
    if pools.open[p] == 0 or state.head[p] < 0:
        return started
    if rules.conservative == 1 and state.delegated[p] == 0:
        return dispatch_conservative(p, now, started, jobs, rules, state)
    if packing is not None:
        return dispatch_nodes(p, now, started, newcomer, jobs, classes, rules, state, packing)
    return dispatch_easy(p, now, started, newcomer, rules, state)
