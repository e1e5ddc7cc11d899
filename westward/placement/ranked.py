"""Waiting jobs by rank: a balanced tree beside each pool's queue.

Where ranks follow arrival the queue's own list will do: nearly everyone joins at its end. Under fair
share a newcomer's place may be anywhere in a queue of thousands, and so many would be walked for each
pool that is looked at. A treap (Seidel & Aragon 1996; its random priorities are a hash of the slot)
finds the place, and the sums of need and work ahead of it, in O(log n).

Kept only where ``State.tree_up`` has entries; -1 stands for none.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.state import Jobs, State

HASH = 2_654_435_761
"""Knuth's multiplier: neighbouring slots get scattered priorities."""
HASH_MASK = (1 << 32) - 1
NEAR = 8
"""So many jobs from the head on are looked at one by one before the tree is."""


@jit
def _weight(j: int) -> int:
    return (int(j) + 1) * HASH & HASH_MASK


@jit
def _rotate_up(j: int, p: int, state: State) -> None:
    """Job j takes its parent's place, the parent becomes its child."""
    parent = state.tree_up[j]
    above = state.tree_up[parent]
    if state.tree_left[parent] == j:
        between = state.tree_right[j]
        state.tree_left[parent] = between
        state.tree_right[j] = parent
    else:
        between = state.tree_left[j]
        state.tree_right[parent] = between
        state.tree_left[j] = parent
    if between >= 0:
        state.tree_up[between] = parent
    state.tree_up[parent] = j
    state.tree_up[j] = above
    if above < 0:
        state.tree_root[p] = j
    elif state.tree_left[above] == parent:
        state.tree_left[above] = j
    else:
        state.tree_right[above] = j
    need = state.tree_need[parent]
    work = state.tree_work[parent]
    state.tree_need[parent] = need - state.tree_need[j]
    state.tree_work[parent] = work - state.tree_work[j]
    if between >= 0:
        state.tree_need[parent] += state.tree_need[between]
        state.tree_work[parent] += state.tree_work[between]
    state.tree_need[j] = need
    state.tree_work[j] = work


@jit
def insert(j: int, p: int, jobs: Jobs, state: State) -> int:
    """Add job j to pool p's tree; returns the job right before it in rank, -1 for none.

    Behind those of equal rank.
    """
    rank = jobs.order[j]
    need = state.job_need[j]
    work = need * state.job_duration_ms[j]
    state.tree_left[j] = -1
    state.tree_right[j] = -1
    state.tree_need[j] = need
    state.tree_work[j] = work
    before = -1
    parent = -1
    at = state.tree_root[p]
    later = False
    while at >= 0:
        parent = at
        state.tree_need[at] += need
        state.tree_work[at] += work
        later = jobs.order[at] <= rank
        if later:
            before = at
            at = state.tree_right[at]
        else:
            at = state.tree_left[at]
    state.tree_up[j] = parent
    if parent < 0:
        state.tree_root[p] = j
    elif later:
        state.tree_right[parent] = j
    else:
        state.tree_left[parent] = j
    mine = _weight(j)
    while state.tree_up[j] >= 0 and _weight(state.tree_up[j]) < mine:
        _rotate_up(j, p, state)
    return before


@jit
def remove(j: int, p: int, state: State) -> None:
    """Take job j out of pool p's tree: it sinks to a leaf, which is cut off."""
    while state.tree_left[j] >= 0 or state.tree_right[j] >= 0:
        left = state.tree_left[j]
        child = state.tree_right[j]
        if child < 0 or (left >= 0 and _weight(left) > _weight(child)):
            child = left
        _rotate_up(child, p, state)
    need = state.tree_need[j]
    work = state.tree_work[j]
    at = state.tree_up[j]
    if at < 0:
        state.tree_root[p] = -1
    elif state.tree_left[at] == j:
        state.tree_left[at] = -1
    else:
        state.tree_right[at] = -1
    while at >= 0:
        state.tree_need[at] -= need
        state.tree_work[at] -= work
        at = state.tree_up[at]


@jit
def sums_ahead(p: int, rank: int, jobs: Jobs, state: State) -> tuple[int, int]:
    """Summed need, and need × duration, of the jobs of pool p's queue ranked up to ``rank``.

    Newcomers rank behind all (their tenant waits already) or near the head, whose jobs each pass
    looks at anyway: both are settled without the tree, whose nodes lie all over memory."""
    last = state.tail[p]
    if last < 0 or jobs.order[last] <= rank:
        return state.queued_milli[p] + 0, state.queued_work[p] + 0
    need = 0
    work = 0
    at = state.head[p]
    for _ in range(NEAR):
        if jobs.order[at] > rank:
            return need, work
        need += state.job_need[at]
        work += state.job_need[at] * state.job_duration_ms[at]
        at = state.next[at]
    need = 0
    work = 0
    at = state.tree_root[p]
    while at >= 0:
        if jobs.order[at] <= rank:
            need += state.tree_need[at]
            work += state.tree_work[at]
            at = state.tree_right[at]
            if at >= 0:
                need -= state.tree_need[at]
                work -= state.tree_work[at]
        else:
            at = state.tree_left[at]
    return need, work
