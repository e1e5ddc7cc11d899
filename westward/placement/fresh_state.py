"""The planner's ``State`` as arrays: for an idle network, and moved to room for more jobs."""

from __future__ import annotations

import math

import numpy as np

from westward.placement.lines import lined
from westward.placement.ranked import FIELDS
from westward.placement.slots import Slots, queue_of
from westward.placement.state import (
    BLOCK,
    I64,
    PROFILE_SUMS,
    WAIT_FLOOR_MS,
    WAIT_SIZES,
    Pools,
    State,
)
from westward.placement.window import WIDEST


def new_state(
    pools: Pools,
    slots: Slots,
    depth: int,
    *,
    conservative: bool,
    extra: int = 0,
    ranked: bool = False,
    site_waits: bool = False,
) -> State:
    """An idle network for so many live jobs. ``extra`` claims per pool beyond those may be added.
    ``ranked``: queues are not in order of arrival, each gets a tree. ``site_waits``: some pools have
    a queue of their own behind ours; see ``State.site_wait_ms``.

    A pool never holds more claims than fit into it, nor more than there are jobs.
    """
    count = len(pools.site)
    room = np.minimum(pools.capacity_milli, len(slots)) + extra + 1
    dir_from = np.concatenate([[0], np.cumsum(2 * room // (BLOCK // 2) + 3)]).astype(np.int64)
    total = 2 * (len(slots) + extra * count) // (BLOCK // 2) + 3 * count
    free_blocks = np.concatenate([[total], np.arange(total - 1, -1, -1)]).astype(np.int64)
    # Reservations for so many of those who are due, and for as many of those who are put off.
    reservations = min(2 * depth, len(slots))
    profile_room = room + 2 * reservations + 4 if conservative else np.ones_like(room)
    profile_from = np.concatenate([[0], np.cumsum(profile_room)]).astype(np.int64)

    def zeros(size: int) -> I64:
        return np.zeros(size, dtype=np.int64)

    tree = len(slots) if ranked else 0
    width = 0 if conservative else min(depth + 1, WIDEST)
    return State(
        free_milli=pools.capacity_milli.copy(),
        dir_from=dir_from,
        dir_block=zeros(int(dir_from[-1])),
        dir_end_ms=zeros(int(dir_from[-1])),
        dir_need=zeros(int(dir_from[-1])),
        dir_count=zeros(count),
        block_len=zeros(total),
        free_blocks=free_blocks,
        run_end_ms=zeros(total * BLOCK),
        run_need=zeros(total * BLOCK),
        run_job=np.zeros(total * BLOCK, dtype=np.int32),
        run_count=zeros(count),
        run_work=zeros(count),
        head=np.full(count, -1, dtype=np.int64),
        tail=np.full(count, -1, dtype=np.int64),
        queued_count=zeros(count),
        queued_milli=zeros(count),
        queued_work=zeros(count),
        **queue_of(slots),
        profile_from=profile_from,
        profile_times=zeros(int(profile_from[-1])),
        profile_free=zeros(int(profile_from[-1])),
        profile_count=zeros(count),
        profile_sums=np.zeros((count, PROFILE_SUMS), dtype=np.int64),
        shadow_job=np.full(count, -1, dtype=np.int64),
        shadow_ms=zeros(count),
        shadow_extra=zeros(count),
        grade_ms=zeros(len(pools.grade_speed)),
        grade_hours=np.zeros(len(pools.grade_speed)),
        window_job=np.zeros((count, width), dtype=np.int32),
        window_need=np.zeros((count, width), dtype=np.int64),
        window_ms=np.zeros((count, width), dtype=np.int64),
        window_count=zeros(count),
        started=np.zeros(max(len(slots), 1), dtype=np.int32),
        hint=zeros(1),
        tree_root=np.full(count, -1, dtype=np.int64),
        tree=lined(tree, (("tree", np.int64, (FIELDS,)),))["tree"],
        delegated=np.zeros(count, dtype=np.uint8),
        wait_log=np.full((count, WAIT_SIZES), math.log(WAIT_FLOOR_MS)),
        ours_count=np.zeros((count, WAIT_SIZES), dtype=np.int64),
        ours_joined_ms=np.zeros((count, WAIT_SIZES), dtype=np.int64),
        ours_milli=np.zeros((count, WAIT_SIZES), dtype=np.int64),
        served_at_ms=np.full(count, -1, dtype=np.int64),
        served_gap_ms=np.zeros(count),
        served_milli=np.zeros(count),
        site_wait_ms=np.zeros((count if site_waits else 0, WAIT_SIZES), dtype=np.int64),
    )


def grow_state(old: State, pools: Pools, slots: Slots, depth: int, *, conservative: bool) -> State:
    """The same state with room for more live jobs; ``slots`` already holds the old ones."""
    ranked = len(old.tree) > 0
    new = new_state(pools, slots, depth, conservative=conservative, ranked=ranked)
    shared = queue_of(slots)
    by_directory = ("dir_block", "dir_end_ms", "dir_need")
    moved = (*by_directory, "dir_from", "free_blocks", "started")
    for name, source in old._asdict().items():
        if name not in moved and name not in shared and not name.startswith("profile_"):
            getattr(new, name)[: len(source)] = source
    for p in range(len(pools.site)):
        begin, count = int(old.dir_from[p]), int(old.dir_count[p])
        to = int(new.dir_from[p])
        for name in by_directory:
            getattr(new, name)[to : to + count] = getattr(old, name)[begin : begin + count]
    blocks = len(old.block_len)
    height = int(old.free_blocks[0])
    fresh = np.arange(len(new.block_len) - 1, blocks - 1, -1)
    free = np.concatenate([fresh, old.free_blocks[1 : height + 1]])
    new.free_blocks[0] = len(free)
    new.free_blocks[1 : len(free) + 1] = free
    return new
