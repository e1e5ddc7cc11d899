"""Waiting jobs by rank: a balanced tree beside each pool's queue.

Where ranks follow arrival the queue's own list will do: nearly everyone joins at its end. Under fair
share a newcomer's place may be anywhere in a queue of thousands, and so many would be walked for each
pool that is looked at. A treap (Seidel & Aragon 1996; its random priorities are a hash of the slot)
finds the place, and the sums of need and work ahead of it, in O(log n).

Kept only where ``State.tree`` has entries; -1 stands for none. All that a step down needs lies side by
side, the job's rank too: in a day's peak the nodes are scattered over hundreds of thousands of jobs,
and each step then costs one line of the processor's cache.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.state import Jobs, State

RANK = 0
LEFT = 1
RIGHT = 2
UP = 3
NEED = 4
"""Σ need of the job and of those below it."""
WORK = 5
"""Σ need × expected duration of those."""
FIELDS = 8
"""A line of the processor's cache."""

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
    parent = state.tree[j, UP]
    above = state.tree[parent, UP]
    if state.tree[parent, LEFT] == j:
        between = state.tree[j, RIGHT]
        state.tree[parent, LEFT] = between
        state.tree[j, RIGHT] = parent
    else:
        between = state.tree[j, LEFT]
        state.tree[parent, RIGHT] = between
        state.tree[j, LEFT] = parent
    if between >= 0:
        state.tree[between, UP] = parent
    state.tree[parent, UP] = j
    state.tree[j, UP] = above
    if above < 0:
        state.tree_root[p] = j
    elif state.tree[above, LEFT] == parent:
        state.tree[above, LEFT] = j
    else:
        state.tree[above, RIGHT] = j
    need = state.tree[parent, NEED]
    work = state.tree[parent, WORK]
    state.tree[parent, NEED] = need - state.tree[j, NEED]
    state.tree[parent, WORK] = work - state.tree[j, WORK]
    if between >= 0:
        state.tree[parent, NEED] += state.tree[between, NEED]
        state.tree[parent, WORK] += state.tree[between, WORK]
    state.tree[j, NEED] = need
    state.tree[j, WORK] = work


@jit
def insert(j: int, p: int, jobs: Jobs, state: State) -> int:
    """Add job j to pool p's tree; returns the job right before it in rank, -1 for none.

    Behind those of equal rank.
    """
    rank = jobs.order[j]
    need = state.job_need[j]
    work = need * state.job_duration_ms[j]
    state.tree[j, RANK] = rank
    state.tree[j, LEFT] = -1
    state.tree[j, RIGHT] = -1
    state.tree[j, NEED] = need
    state.tree[j, WORK] = work
    before = -1
    parent = -1
    at = state.tree_root[p]
    later = False
    while at >= 0:
        parent = at
        state.tree[at, NEED] += need
        state.tree[at, WORK] += work
        later = state.tree[at, RANK] <= rank
        if later:
            before = at
            at = state.tree[at, RIGHT]
        else:
            at = state.tree[at, LEFT]
    state.tree[j, UP] = parent
    if parent < 0:
        state.tree_root[p] = j
    elif later:
        state.tree[parent, RIGHT] = j
    else:
        state.tree[parent, LEFT] = j
    mine = _weight(j)
    while state.tree[j, UP] >= 0 and _weight(state.tree[j, UP]) < mine:
        _rotate_up(j, p, state)
    return before


@jit
def remove(j: int, p: int, state: State) -> None:
    """Take job j out of pool p's tree: it sinks to a leaf, which is cut off."""
    while state.tree[j, LEFT] >= 0 or state.tree[j, RIGHT] >= 0:
        left = state.tree[j, LEFT]
        child = state.tree[j, RIGHT]
        if child < 0 or (left >= 0 and _weight(left) > _weight(child)):
            child = left
        _rotate_up(child, p, state)
    need = state.tree[j, NEED]
    work = state.tree[j, WORK]
    at = state.tree[j, UP]
    if at < 0:
        state.tree_root[p] = -1
    elif state.tree[at, LEFT] == j:
        state.tree[at, LEFT] = -1
    else:
        state.tree[at, RIGHT] = -1
    while at >= 0:
        state.tree[at, NEED] -= need
        state.tree[at, WORK] -= work
        at = state.tree[at, UP]


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
        if state.tree[at, RANK] <= rank:
            need += state.tree[at, NEED]
            work += state.tree[at, WORK]
            at = state.tree[at, RIGHT]
            if at >= 0:
                need -= state.tree[at, NEED]
                work -= state.tree[at, WORK]
        else:
            at = state.tree[at, LEFT]
    return need, work
