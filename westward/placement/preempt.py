"""Whom a blocked job of higher priority puts out: a choice over one pool's running claims."""

from __future__ import annotations

from westward.jit import jit
from westward.placement.state import BLOCK, I32, I64, State

PRIORITY_BITS = 8
PRIORITY_MASK = (1 << PRIORITY_BITS) - 1
LOST_BITS = 55
"""Of work lost (milli-device-ms) in a key; the priority stands above it and fits into the rest."""
LOST_MOST = (1 << LOST_BITS) - 1


@jit
def kept_ms(elapsed_ms: int, checkpoint_ms: int) -> int:
    """What a run stopped after ``elapsed_ms`` keeps: up to its last checkpoint (0: writes none)."""
    if checkpoint_ms <= 0:
        return 0
    return elapsed_ms // checkpoint_ms * checkpoint_ms


@jit
def note_run(j: int, start_ms: int, checkpoint_ms: int, priority: int, brief: I64) -> None:
    """Job j starts. ``brief`` (M, 2) holds what is asked of every run of a pool when somebody is to
    be put out, apart from all else that is known of it: thousands are read at a time."""
    brief[j, 0] = start_ms
    brief[j, 1] = (max(0, checkpoint_ms) << PRIORITY_BITS) | (priority + 128)


@jit
def lost_work(j: int, need: int, now: int, brief: I64) -> int:
    """Milli-device-ms that stopping job j now throws away."""
    elapsed = now - brief[j, 0]
    lost: int = need * (elapsed - kept_ms(elapsed, brief[j, 1] >> PRIORITY_BITS))
    return lost


@jit
def falls_before(a: int, b: int, now: int, brief: I64, order: I64, state: State) -> bool:
    """Lowest priority first, then least device-time lost, then the last in order."""
    mine = brief[a, 1] & PRIORITY_MASK
    theirs = brief[b, 1] & PRIORITY_MASK
    if mine != theirs:
        return bool(mine < theirs)
    lost_a = lost_work(a, state.job_need[a], now, brief)
    lost_b = lost_work(b, state.job_need[b], now, brief)
    if lost_a != lost_b:
        return bool(lost_a < lost_b)
    return bool(order[a] > order[b])


@jit
def _goes_first(
    a: int, b: int, now: int, brief: I64, order: I64,
    state: State, victims: I32, worth: I64,
) -> bool:  # fmt: skip
    """``falls_before`` of two places of the heap, by their keys where those differ."""
    if worth[a] != worth[b]:
        return bool(worth[a] < worth[b])
    return falls_before(victims[a], victims[b], now, brief, order, state)


@jit
def _sift_down(
    at: int, count: int, now: int, brief: I64, order: I64,
    state: State, victims: I32, worth: I64,
) -> None:  # fmt: skip
    while True:
        down = 2 * at + 1
        if down >= count:
            break
        if down + 1 < count and _goes_first(
            down + 1, down, now, brief, order, state, victims, worth
        ):
            down += 1
        if not _goes_first(down, at, now, brief, order, state, victims, worth):
            break
        _swap(at, down, victims, worth)
        at = down


@jit
def _swap(a: int, b: int, victims: I32, worth: I64) -> None:
    j = victims[a]
    key = worth[a]
    victims[a] = victims[b]
    worth[a] = worth[b]
    victims[b] = j
    worth[b] = key


@jit
def list_victims(
    p: int, below: int, now: int, brief: I64, order: I64,
    state: State, victims: I32, worth: I64,
) -> int:  # fmt: skip
    """Every job running at pool p of a priority below ``below``, as a heap; returns how many.

    ``worth``: a key for each, priority and work lost in one integer. What is lost is worked out once
    a job: the columns of thousands of live jobs do not stay in the processor's cache."""
    base = state.dir_from[p]
    count = 0
    for slot in range(base, base + state.dir_count[p]):
        block = state.dir_block[slot]
        for i in range(block * BLOCK, block * BLOCK + state.block_len[block]):
            j = state.run_job[i]
            mine = brief[j, 1] & PRIORITY_MASK
            if mine < below + 128:
                lost = lost_work(j, state.run_need[i], now, brief)
                victims[count] = j
                worth[count] = (mine << LOST_BITS) | min(lost, LOST_MOST)
                count += 1
    for at in range(count // 2 - 1, -1, -1):
        _sift_down(at, count, now, brief, order, state, victims, worth)
    return count


@jit
def next_victim(
    count: int, now: int, brief: I64, order: I64,
    state: State, victims: I32, worth: I64,
) -> int:  # fmt: skip
    """The first of a heap of ``count``, which moves to its end: ``count`` - 1 are left before it."""
    _swap(0, count - 1, victims, worth)
    _sift_down(0, count - 1, now, brief, order, state, victims, worth)
    victim: int = 0 + victims[count - 1]
    return victim


@jit
def close_ranks(first: int, last: int, victims: I32) -> int:
    """``victims[first:last]``, the one chosen first last and -1 for whom stays, goes to the front in
    the order chosen. Returns how many fall."""
    low = first
    high = last - 1
    while low < high:
        j = victims[low]
        victims[low] = victims[high]
        victims[high] = j
        low += 1
        high -= 1
    kept = 0
    for k in range(first, last):
        if victims[k] >= 0:
            victims[kept] = victims[k]
            kept += 1
    return kept


@jit
def choose_victims(
    p: int,
    missing: int,
    below: int,
    now: int,
    brief: I64,
    order: I64,
    state: State,
    victims: I32,
    worth: I64,
) -> int:
    """Jobs running at pool p whose end frees at least ``missing`` milli-devices, into ``victims``;
    returns how many, 0 if all of them together would not do.

    Only those of a priority below ``below``, in the order of ``falls_before``. Whom the others make
    needless stays. ``worth``: scratch, as long as ``victims``.
    """
    count = list_victims(p, below, now, brief, order, state, victims, worth)
    left = count
    released = 0
    while released < missing:
        if left == 0:
            return 0
        best = next_victim(left, now, brief, order, state, victims, worth)
        left -= 1
        released += state.job_need[best]
    # From the dearest on: who is not needed stays.
    for k in range(left, count):
        need = state.job_need[victims[k]]
        if released - need >= missing:
            released -= need
            victims[k] = -1
    return close_ranks(left, count, victims)
