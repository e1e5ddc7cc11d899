"""Kernels that start jobs: who of those bound to a pool starts now."""

from __future__ import annotations

from westward.jit import jit
from westward.placement.claims import add_claim, release_ms
from westward.placement.dispatch_nodes import dispatch_nodes
from westward.placement.packing_state import Packing
from westward.placement.profile import NEVER_MS
from westward.placement.state import FIRST_START_MS, Classes, Jobs, Pools, Rules, State
from westward.placement.waiting import ensure_profile, unlink
from westward.placement.window import close_gap, keep_in_window, leave_window


@jit
def _start(j: int, p: int, now: int, started: int, jobs: Jobs, state: State) -> int:
    unlink(j, p, jobs, state)
    add_claim(j, p, state.job_need[j], now + state.job_duration_ms[j], state)
    state.started[started] = j
    return started + 1


@jit
def dispatch_easy(
    p: int, now: int, started: int, newcomer: int, jobs: Jobs, rules: Rules, state: State
) -> int:
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
        count = state.window_count[p]
        started = _start(newcomer, p, now, started, jobs, state)
        leave_window(newcomer, p, count, state)
        return started
    # The queue from its head: the window first, then the list, which fills the window again.
    count = state.window_count[p]
    beyond = j
    if count > 0:
        beyond = -1
        if count < state.queued_count[p]:
            beyond = state.next[state.window_job[p, count - 1]]
    i = 0
    kept = 0
    looked = -1  # of those left behind the head
    shadow = NEVER_MS
    extra = 0
    free = state.free_milli[p]
    while looked < rules.depth and (free > 0 or looked < 0):
        if kept == i and looked >= 0:
            # All so far stay where they are in the window: so do those that need too much.
            while i < count and looked < rules.depth and state.window_need[p, i] > free:
                i += 1
                looked += 1
            kept = i
            if looked >= rules.depth:
                break
        if i < count:
            j = state.window_job[p, i]
            need = state.window_need[p, i]
            duration = state.window_ms[p, i]
            i += 1
        else:
            j = beyond
            if j < 0:
                break
            beyond = state.next[j]
            need = state.job_need[j]
            duration = state.job_duration_ms[j]
        starts = need <= free
        if starts and looked >= 0 and now + duration > shadow:
            starts = need <= extra
            if starts:
                extra -= need
        if starts:
            started = _start(j, p, now, started, jobs, state)
            free -= need
            if looked < 0:
                state.shadow_job[p] = -1
            continue
        if looked < 0:
            if state.shadow_job[p] != j:
                shadow, released = release_ms(p, need - free, NEVER_MS, state)
                state.shadow_job[p] = j
                state.shadow_ms[p] = shadow
                state.shadow_extra[p] = free + released - need
            shadow = state.shadow_ms[p]
            extra = state.shadow_extra[p]
        # Only those left behind count: a second pass then finds nothing more to start.
        looked += 1
        kept = keep_in_window(j, p, kept, need, duration, state)
    if looked >= 0:
        state.shadow_extra[p] = extra
    state.window_count[p] = close_gap(p, kept, i, count, state) if i < count else kept
    return started


@jit
def keep_reservation(p: int, head: int, from_ms: int, to_ms: int, state: State) -> None:
    """A claim's expected end moved, and with it went the reservation of ``head`` (-1: none was).
    If both ends lie before the head's time, nothing has changed at it, nor just before."""
    if head >= 0 and head == state.head[p] and max(from_ms, to_ms) < state.shadow_ms[p] < NEVER_MS:
        state.shadow_job[p] = head


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
        if state.profile_sums[p, FIRST_START_MS] > now:
            break
        j = state.head[p]
        looked = 0
        while j >= 0 and looked < rules.depth:
            after = state.next[j]
            if state.job_not_before_ms[j] <= now:
                looked += 1
                if state.job_reserved_ms[j] <= now and state.job_need[j] <= state.free_milli[p]:
                    started = _start(j, p, now, started, jobs, state)
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
    return dispatch_easy(p, now, started, newcomer, jobs, rules, state)
