"""Whom a blocked job of higher priority puts out: a choice over one pool's running claims."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from westward.jit import jit
from westward.placement.state import BLOCK, I32, I64, State

I8 = npt.NDArray[np.int8]


@jit
def kept_ms(elapsed_ms: int, checkpoint_ms: int) -> int:
    """What a run stopped after ``elapsed_ms`` keeps: up to its last checkpoint (0: writes none)."""
    if checkpoint_ms <= 0:
        return 0
    return elapsed_ms // checkpoint_ms * checkpoint_ms


@jit
def lost_work(j: int, now: int, start_ms: I64, checkpoint_ms: I64, state: State) -> int:
    """Milli-device-ms that stopping job j now throws away."""
    elapsed = now - start_ms[j]
    return state.job_need[j] * (elapsed - kept_ms(elapsed, checkpoint_ms[j]))


@jit
def falls_before(
    a: int, b: int, now: int, priority: I8, start_ms: I64, checkpoint_ms: I64, order: I64,
    state: State,
) -> bool:  # fmt: skip
    """Lowest priority first, then least device-time lost, then the last in order."""
    if priority[a] != priority[b]:
        return bool(priority[a] < priority[b])
    lost_a = lost_work(a, now, start_ms, checkpoint_ms, state)
    lost_b = lost_work(b, now, start_ms, checkpoint_ms, state)
    if lost_a != lost_b:
        return bool(lost_a < lost_b)
    return bool(order[a] > order[b])


@jit
def _sift_down(
    at: int, count: int, now: int, priority: I8, start_ms: I64, checkpoint_ms: I64, order: I64,
    state: State, heap: I32,
) -> None:  # fmt: skip
    j = heap[at]
    while True:
        down = 2 * at + 1
        if down >= count:
            break
        other = down + 1
        if other < count and falls_before(
            heap[other], heap[down], now, priority, start_ms, checkpoint_ms, order, state
        ):
            down = other
        if not falls_before(
            heap[down], j, now, priority, start_ms, checkpoint_ms, order, state
        ):  # fmt: skip
            break
        heap[at] = heap[down]
        at = down
    heap[at] = j


@jit
def list_victims(
    p: int, below: int, now: int, priority: I8, start_ms: I64, checkpoint_ms: I64, order: I64,
    state: State, victims: I32,
) -> int:  # fmt: skip
    """Every job running at pool p of a priority below ``below``, as a heap; returns how many."""
    base = state.dir_from[p]
    count = 0
    for slot in range(base, base + state.dir_count[p]):
        block = state.dir_block[slot]
        for i in range(block * BLOCK, block * BLOCK + state.block_len[block]):
            j = state.run_job[i]
            if int(priority[j]) < below:
                victims[count] = j
                count += 1
    for at in range(count // 2 - 1, -1, -1):
        _sift_down(at, count, now, priority, start_ms, checkpoint_ms, order, state, victims)
    return count


@jit
def next_victim(
    count: int, now: int, priority: I8, start_ms: I64, checkpoint_ms: I64, order: I64,
    state: State, victims: I32,
) -> int:  # fmt: skip
    """The first of a heap of ``count``, which moves to its end: ``count`` - 1 are left before it."""
    j = victims[0]
    victims[0] = victims[count - 1]
    victims[count - 1] = j
    _sift_down(0, count - 1, now, priority, start_ms, checkpoint_ms, order, state, victims)
    return j


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
    priority: I8,
    start_ms: I64,
    checkpoint_ms: I64,
    order: I64,
    state: State,
    victims: I32,
) -> int:
    """Jobs running at pool p whose end frees at least ``missing`` milli-devices, into ``victims``;
    returns how many, 0 if all of them together would not do.

    Only those of a priority below ``below``, in the order of ``falls_before``. Whom the others make
    needless stays.
    """
    count = list_victims(
        p, below, now, priority, start_ms, checkpoint_ms, order, state, victims
    )  # fmt: skip
    left = count
    released = 0
    while released < missing:
        if left == 0:
            return 0
        best = next_victim(left, now, priority, start_ms, checkpoint_ms, order, state, victims)
        left -= 1
        released += state.job_need[best]
    # From the dearest on: who is not needed stays.
    for k in range(left, count):
        need = state.job_need[victims[k]]
        if released - need >= missing:
            released -= need
            victims[k] = -1
    return close_ranks(left, count, victims)
