"""Kernels over each pool's waiting jobs: the queue, and when a job could start behind it."""

from __future__ import annotations

from westward.jit import jit
from westward.placement.claims import PAST_LIMIT, first_end_ms, release_ms
from westward.placement.delegated import expected_wait_ms, ours_joins, ours_leaves, site_wait
from westward.placement.profile import NEVER_MS, earliest_fit, fit_run, reserve
from westward.placement.ranked import insert, remove, sums_ahead
from westward.placement.state import (
    BLOCK,
    DUE,
    DUE_MILLI,
    DUE_WORK,
    FIRST_START_MS,
    NEXT_DUE_MS,
    PROFILE_SUMS,
    PUT_OFF,
    Jobs,
    Pools,
    Rules,
    State,
)
from westward.placement.window import join_window


@jit
def expected_release(
    p: int,
    ahead_milli: int,
    ahead_work: int,
    need: int,
    now: int,
    limit_ms: int,
    pools: Pools,
    state: State,
) -> int:
    """EASY: when the devices of everyone waiting ahead of a job and its own will be released.

    Beyond one pool-full of waiting jobs: remaining work over capacity, as if it were a fluid. There
    a job past its expected end counts as negative work, in whole seconds: the price of keeping one
    sum per pool instead of reading every claim. NEVER_MS, perhaps, if it is after ``limit_ms``.
    """
    missing = ahead_milli + need - state.free_milli[p]
    if missing <= 0:
        return now
    capacity = pools.capacity_milli[p]
    busy = capacity - state.free_milli[p]
    if missing <= busy:
        end, _ = release_ms(p, missing, limit_ms, state)
        if end == PAST_LIMIT:
            return NEVER_MS
        return max(end, now)
    remaining_work = max(0, (state.run_work[p] - now // 1000 * busy) * 1000)
    return now + (remaining_work + ahead_work + capacity - 1) // capacity


@jit
def release_estimate(
    j: int, p: int, need: int, now: int, limit_ms: int, pools: Pools, jobs: Jobs, state: State
) -> int:
    """``expected_release`` for job j, which is not in the queue of pool p yet."""
    ahead_milli = state.queued_milli[p]
    ahead_work = state.queued_work[p]
    rank = jobs.order[j]
    if len(state.tree) > 0:
        ahead_milli, ahead_work = sums_ahead(p, rank, jobs, state)
    elif state.tail[p] >= 0 and jobs.order[state.tail[p]] > rank:
        ahead_milli = 0
        ahead_work = 0
        other = state.head[p]
        while other >= 0 and jobs.order[other] < rank:
            ahead_milli += state.job_need[other]
            ahead_work += state.job_need[other] * state.job_duration_ms[other]
            other = state.next[other]
    return expected_release(p, ahead_milli, ahead_work, need, now, limit_ms, pools, state)


@jit
def _reserve_next(j: int, p: int, now: int, count: int, rules: Rules, state: State) -> int:
    """A reservation for job j, the next in queue order, and its part of ``profile_sums``; returns
    the profile's new length.

    Those who are put off hold reservations too, but take none of the depth from those who are due:
    there may be hundreds of them, which want nothing now. They have the same depth of their own."""
    sums = state.profile_sums
    need = state.job_need[j]
    duration = state.job_duration_ms[j]
    not_before = state.job_not_before_ms[j]
    if not_before > now:
        place = sums[p, PUT_OFF]
        sums[p, PUT_OFF] += 1
        sums[p, NEXT_DUE_MS] = min(sums[p, NEXT_DUE_MS], not_before)
    else:
        place = sums[p, DUE]
        sums[p, DUE] += 1
        sums[p, DUE_MILLI] += need
        sums[p, DUE_WORK] += need * duration
    start = NEVER_MS
    if place < rules.depth:
        base = state.profile_from[p]
        times = state.profile_times[base : state.profile_from[p + 1]]
        free = state.profile_free[base : state.profile_from[p + 1]]
        start = earliest_fit(times, free, count, need, duration, max(now, not_before))
        if start < NEVER_MS:
            count = reserve(times, free, count, start, start + duration, need)
            sums[p, FIRST_START_MS] = min(sums[p, FIRST_START_MS], start)
    state.job_reserved_ms[j] = start
    return count


@jit
def build_profile(p: int, now: int, before: int, jobs: Jobs, rules: Rules, state: State) -> None:
    """Conservative: running claims, then a reservation for each waiting job, in queue order.

    Only jobs of an order below ``before``: what a job of that order may not delay.
    """
    base = state.profile_from[p]
    times = state.profile_times[base : state.profile_from[p + 1]]
    free = state.profile_free[base : state.profile_from[p + 1]]
    times[0] = now
    free[0] = state.free_milli[p]
    count = 1
    base_slot = state.dir_from[p]
    for slot in range(base_slot, base_slot + state.dir_count[p]):
        block = state.dir_block[slot]
        for i in range(block * BLOCK, block * BLOCK + state.block_len[block]):
            # A job past its estimate may end any moment, but not before the next one.
            end = max(state.run_end_ms[i], now + 1)
            if times[count - 1] == end:
                free[count - 1] += state.run_need[i]
            else:
                times[count] = end
                free[count] = free[count - 1] + state.run_need[i]
                count += 1
    for field in range(PROFILE_SUMS):
        state.profile_sums[p, field] = 0
    state.profile_sums[p, NEXT_DUE_MS] = NEVER_MS
    state.profile_sums[p, FIRST_START_MS] = NEVER_MS
    j = state.head[p]
    while j >= 0 and jobs.order[j] < before:
        count = _reserve_next(j, p, now, count, rules, state)
        j = state.next[j]
    state.profile_count[p] = count


@jit
def ensure_profile(p: int, now: int, jobs: Jobs, rules: Rules, state: State) -> None:
    """Rebuild when something changed, or when since then a running job has passed its expected end
    or a waiting one's not-before has come."""
    if (
        state.profile_count[p] == 0
        or state.profile_sums[p, NEXT_DUE_MS] <= now
        or (first_end_ms(p, state) <= now and state.profile_times[state.profile_from[p]] != now)
    ):
        build_profile(p, now, NEVER_MS, jobs, rules, state)


@jit
def reserve_last(j: int, p: int, now: int, count: int, rules: Rules, state: State) -> None:
    """Job j was just put at the end of the queue, the profile (of ``count`` entries) is right for
    all before it: its reservation is all that a rebuild would add."""
    state.profile_count[p] = _reserve_next(j, p, now, count, rules, state)


@jit
def capacity_start(
    j: int,
    p: int,
    need: int,
    duration: int,
    ready: int,
    now: int,
    limit_ms: int,
    pools: Pools,
    jobs: Jobs,
    rules: Rules,
    state: State,
) -> int:
    """The earliest start of job j from ``ready`` on that capacity and those ahead of it allow.

    NEVER_MS or later: not at all, or perhaps after ``limit_ms``. Where the site has a queue of its
    own, the job is handed over that much before it starts.
    """
    if state.delegated[p] == 1:
        return ready + expected_wait_ms(p, need, now, state)
    wait_ms = site_wait(p, need, state)
    ready -= wait_ms
    limit_ms -= wait_ms
    if rules.conservative == 0:
        expected = release_estimate(j, p, need, now, limit_ms, pools, jobs, state)
        return max(ready, expected) + wait_ms
    rank = jobs.order[j]
    jumps = state.tail[p] >= 0 and jobs.order[state.tail[p]] > rank
    if jumps:
        build_profile(p, now, rank, jobs, rules, state)
    else:
        ensure_profile(p, now, jobs, rules, state)
    held = 0
    sums = state.profile_sums
    if sums[p, DUE] >= rules.depth:
        held = expected_release(
            p, sums[p, DUE_MILLI], sums[p, DUE_WORK], need, now, limit_ms, pools, state
        )
    start = NEVER_MS
    if held <= limit_ms:
        base = state.profile_from[p]
        top = state.profile_from[p + 1]
        start = earliest_fit(
            state.profile_times[base:top],
            state.profile_free[base:top],
            state.profile_count[p],
            need,
            duration + wait_ms,
            ready,
        )
    if jumps:
        state.profile_count[p] = 0
    return max(start, held) + wait_ms


@jit
def next_run(p: int, need: int, duration: int, ready: int, state: State) -> tuple[int, int]:
    """Conservative, with a profile at hand: the first start from ``ready`` on, and until when all
    later ones fit."""
    wait_ms = site_wait(p, need, state)
    base = state.profile_from[p]
    top = state.profile_from[p + 1]
    start, until = fit_run(
        state.profile_times[base:top],
        state.profile_free[base:top],
        state.profile_count[p],
        need,
        duration + wait_ms,
        ready - wait_ms,
    )
    return start + wait_ms, until + wait_ms


@jit
def enqueue(j: int, p: int, jobs: Jobs, state: State) -> None:
    """Put job j into pool p's queue at its place in order (usually the end)."""
    rank = jobs.order[j]
    after = state.tail[p]
    own = state.delegated[p] == 1
    if own:
        rank = NEVER_MS  # a site of its own mind: first come, first served
    elif len(state.tree) > 0:
        after = insert(j, p, jobs, state)
    if (
        after >= 0
        and jobs.order[after] > rank
        and rank - jobs.order[state.head[p]] < jobs.order[after] - rank
    ):
        # Jobs that were put off are old: their place is near the head.
        following = state.head[p]
        while jobs.order[following] < rank:
            following = state.next[following]
        after = state.prev[following]
    while after >= 0 and jobs.order[after] > rank:
        after = state.prev[after]
    if after < 0:
        following = state.head[p]
        state.head[p] = j
    else:
        following = state.next[after]
        state.next[after] = j
    state.prev[j] = after
    state.next[j] = following
    if following < 0:
        state.tail[p] = j
    else:
        state.prev[following] = j
    join_window(j, p, after, rank, jobs, state)
    state.queued_count[p] += 1
    state.queued_milli[p] += state.job_need[j]
    state.queued_work[p] += state.job_need[j] * state.job_duration_ms[j]
    state.profile_count[p] = 0
    if own:
        ours_joins(j, p, jobs, state)


@jit
def unlink(j: int, p: int, jobs: Jobs, state: State) -> None:
    """Job j leaves pool p's queue; so does the window's knowledge of it (``dispatch`` keeps it)."""
    if state.delegated[p] == 1:
        ours_leaves(j, p, jobs, state)
    elif len(state.tree) > 0:
        remove(j, p, state)
    state.window_count[p] = 0
    before = state.prev[j]
    after = state.next[j]
    if before < 0:
        state.head[p] = after
    else:
        state.next[before] = after
    if after < 0:
        state.tail[p] = before
    else:
        state.prev[after] = before
    state.queued_count[p] -= 1
    state.queued_milli[p] -= state.job_need[j]
    state.queued_work[p] -= state.job_need[j] * state.job_duration_ms[j]
