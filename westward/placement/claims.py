"""Kernels over each pool's running claims, sorted by (expected end, row).

A plain sorted array costs one shift per claim and event, which at ten thousand claims a pool was
most of a simulation. Here each pool holds a directory of blocks of at most ``BLOCK`` claims with
their summed need, so inserting, removing and "when will so much be free" touch a directory and one
block. Neighbouring blocks are merged when both fit into half a block, so there are never more than
``2 × claims / (BLOCK / 2) + 1`` of them (a property test holds that).
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.profile import NEVER_MS
from westward.placement.state import BLOCK, State

HALF = BLOCK // 2
LEAP = 4
"""Entries summed together when a search steps over them."""
MS_PER_S = 1_000
PAST_LIMIT = -1


@jit
def _find_slot(p: int, end_ms: int, job: int, state: State) -> int:
    """Directory index of the block that holds, or would hold, the claim (end, job)."""
    base = state.dir_from[p]
    low = 0
    high = state.dir_count[p]
    while high - low > 1:
        middle = (low + high) >> 1
        first = state.dir_end_ms[base + middle]
        goes_on = first < end_ms
        if first == end_ms:
            goes_on = state.run_job[state.dir_block[base + middle] * BLOCK] <= job
        # Two moves in place of a branch that nothing foretells.
        low = middle if goes_on else low
        high = high if goes_on else middle
    return low


@jit
def _insert_in_directory(p: int, slot: int, state: State) -> int:
    """A fresh block at ``slot``; returns it."""
    base = state.dir_from[p]
    for i in range(base + state.dir_count[p], base + slot, -1):
        state.dir_block[i] = state.dir_block[i - 1]
        state.dir_end_ms[i] = state.dir_end_ms[i - 1]
        state.dir_need[i] = state.dir_need[i - 1]
    top = state.free_blocks[0]
    block = state.free_blocks[top]
    state.free_blocks[0] = top - 1
    state.dir_block[base + slot] = block
    state.dir_need[base + slot] = 0
    state.dir_count[p] += 1
    state.block_len[block] = 0
    return block


@jit
def _remove_from_directory(p: int, slot: int, state: State) -> None:
    base = state.dir_from[p]
    top = state.free_blocks[0] + 1
    state.free_blocks[top] = state.dir_block[base + slot]
    state.free_blocks[0] = top
    for i in range(base + slot, base + state.dir_count[p] - 1):
        state.dir_block[i] = state.dir_block[i + 1]
        state.dir_end_ms[i] = state.dir_end_ms[i + 1]
        state.dir_need[i] = state.dir_need[i + 1]
    state.dir_count[p] -= 1


@jit
def _move_tail(p: int, source_slot: int, target_slot: int, keep: int, state: State) -> None:
    """Append the entries of the block at ``source_slot`` from index ``keep`` on to the other."""
    base = state.dir_from[p]
    source = state.dir_block[base + source_slot]
    target = state.dir_block[base + target_slot]
    to = target * BLOCK + state.block_len[target]
    moved = 0
    for i in range(source * BLOCK + keep, source * BLOCK + state.block_len[source]):
        state.run_end_ms[to] = state.run_end_ms[i]
        state.run_need[to] = state.run_need[i]
        state.run_job[to] = state.run_job[i]
        moved += state.run_need[i]
        to += 1
    state.block_len[target] += state.block_len[source] - keep
    state.block_len[source] = keep
    state.dir_need[base + target_slot] += moved
    state.dir_need[base + source_slot] -= moved
    state.dir_end_ms[base + target_slot] = state.run_end_ms[target * BLOCK]


@jit
def _merge_with_next(p: int, slot: int, state: State) -> None:
    """Join two neighbours when both fit into half a block, so that any two hold more than that."""
    if slot + 1 >= state.dir_count[p]:
        return
    base = state.dir_from[p]
    block = state.dir_block[base + slot]
    following = state.dir_block[base + slot + 1]
    if state.block_len[block] + state.block_len[following] <= HALF:
        _move_tail(p, slot + 1, slot, 0, state)
        _remove_from_directory(p, slot + 1, state)


@jit
def add_claim(j: int, p: int, need: int, end_ms: int, state: State) -> None:
    """A job holds ``need`` of pool p until ``end_ms`` (expected)."""
    base = state.dir_from[p]
    if state.dir_count[p] == 0:
        _insert_in_directory(p, 0, state)
    slot = _find_slot(p, end_ms, j, state)
    block = state.dir_block[base + slot]
    if state.block_len[block] == BLOCK:
        fresh = _insert_in_directory(p, slot + 1, state)
        _move_tail(p, slot, slot + 1, HALF, state)
        first = fresh * BLOCK
        if state.run_end_ms[first] < end_ms or (
            state.run_end_ms[first] == end_ms and state.run_job[first] <= j
        ):
            block = fresh
            slot += 1
    first = block * BLOCK
    at = first + state.block_len[block]
    while at > first and (
        state.run_end_ms[at - 1] > end_ms
        or (state.run_end_ms[at - 1] == end_ms and state.run_job[at - 1] > j)
    ):
        state.run_end_ms[at] = state.run_end_ms[at - 1]
        state.run_need[at] = state.run_need[at - 1]
        state.run_job[at] = state.run_job[at - 1]
        at -= 1
    state.run_end_ms[at] = end_ms
    state.run_need[at] = need
    state.run_job[at] = j
    state.block_len[block] += 1
    state.dir_need[base + slot] += need
    state.dir_end_ms[base + slot] = state.run_end_ms[first]
    state.run_count[p] += 1
    state.run_work[p] += need * (end_ms // MS_PER_S)
    state.free_milli[p] -= need
    state.profile_count[p] = 0


@jit
def drop_claim(j: int, p: int, expected_end_ms: int, state: State) -> None:
    """The job ended: its claim goes, whenever it was expected to."""
    base = state.dir_from[p]
    slot = _find_slot(p, expected_end_ms, j, state)
    block = state.dir_block[base + slot]
    first = block * BLOCK
    last = first + state.block_len[block] - 1
    at = first
    while state.run_job[at] != j or state.run_end_ms[at] != expected_end_ms:
        at += 1
        if at > last:
            raise ValueError("a claim to drop is not there")
    need = state.run_need[at]
    for i in range(at, last):
        state.run_end_ms[i] = state.run_end_ms[i + 1]
        state.run_need[i] = state.run_need[i + 1]
        state.run_job[i] = state.run_job[i + 1]
    state.block_len[block] -= 1
    state.dir_need[base + slot] -= need
    state.dir_end_ms[base + slot] = state.run_end_ms[first]
    if state.block_len[block] == 0:
        _remove_from_directory(p, slot, state)
    else:
        _merge_with_next(p, slot, state)
        if slot > 0:
            _merge_with_next(p, slot - 1, state)
    state.run_count[p] -= 1
    state.run_work[p] -= need * (expected_end_ms // MS_PER_S)
    state.free_milli[p] += need
    state.profile_count[p] = 0
    state.shadow_job[p] = -1


@jit
def first_end_ms(p: int, state: State) -> int:
    """The earliest expected end; NEVER_MS for an idle pool."""
    if state.dir_count[p] == 0:
        return NEVER_MS
    return state.dir_end_ms[state.dir_from[p]]


@jit
def release_ms(p: int, missing: int, limit_ms: int, state: State) -> tuple[int, int]:
    """When claims of at least ``missing`` will have ended, and how much will be released then
    (everything that ends at that same time included). (NEVER_MS, 0) if there is not so much;
    (PAST_LIMIT, 0), perhaps, if that is after ``limit_ms``."""
    base = state.dir_from[p]
    last_slot = base + state.dir_count[p]
    released = 0
    slot = base
    while slot + LEAP < last_slot:
        # Several blocks at a time, their sums side by side, while neither end can be among them.
        first = state.dir_need[slot] + state.dir_need[slot + 1]
        second = state.dir_need[slot + 2] + state.dir_need[slot + 3]
        more = released + (first + second)
        if more >= missing or state.dir_end_ms[slot + LEAP - 1] > limit_ms:
            break
        released = more
        slot += LEAP
    while slot < last_slot:
        more = released + state.dir_need[slot]
        if more >= missing:
            break
        if state.dir_end_ms[slot] > limit_ms:
            return PAST_LIMIT, 0
        released = more
        slot += 1
    if slot == last_slot:
        return NEVER_MS, 0
    at = state.dir_block[slot] * BLOCK
    last = at + state.block_len[state.dir_block[slot]]
    while at + LEAP < last:
        first = state.run_need[at] + state.run_need[at + 1]
        second = state.run_need[at + 2] + state.run_need[at + 3]
        if released + (first + second) >= missing:
            break
        released += first + second
        at += LEAP
    while released + state.run_need[at] < missing:
        released += state.run_need[at]
        at += 1
    end = state.run_end_ms[at]
    while slot < last_slot:
        block = state.dir_block[slot]
        last = block * BLOCK + state.block_len[block]
        while at < last and state.run_end_ms[at] == end:
            released += state.run_need[at]
            at += 1
        if at < last:
            break
        slot += 1
        if slot < last_slot:
            at = state.dir_block[slot] * BLOCK
    return end, released
