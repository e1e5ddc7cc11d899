"""Whom a blocked job of higher priority puts out: a choice over one pool's running claims."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from westward.jit import jit
from westward.placement.state import BLOCK, I32, I64, State


@jit
def kept_ms(elapsed_ms: int, checkpoint_ms: int) -> int:
    """What a run stopped after ``elapsed_ms`` keeps: up to its last checkpoint (0: writes none)."""
    if checkpoint_ms <= 0:
        return 0
    return elapsed_ms // checkpoint_ms * checkpoint_ms


@jit
def choose_victims(
    p: int,
    missing: int,
    below: int,
    now: int,
    priority: npt.NDArray[np.int8],
    start_ms: I64,
    checkpoint_ms: I64,
    order: I64,
    state: State,
    victims: I32,
) -> int:
    """Jobs running at pool p whose end frees at least ``missing`` milli-devices, into ``victims``;
    returns how many, 0 if all of them together would not do.

    Only those of a priority below ``below``: lowest priority first, then least device-time lost
    since the last checkpoint, then the last in order. Whom the others make needless stays.
    Each victim costs a walk over the pool's claims: the caller knows beforehand that it will do.
    """
    base = state.dir_from[p]
    count = 0
    released = 0
    last_priority = -1_000
    last_lost = -1
    last_order = 0
    while released < missing:
        best = -1
        best_priority = 1_000
        best_lost = 0
        for slot in range(base, base + state.dir_count[p]):
            block = state.dir_block[slot]
            for i in range(block * BLOCK, block * BLOCK + state.block_len[block]):
                j = state.run_job[i]
                mine = int(priority[j])
                if mine >= below or mine < last_priority or mine > best_priority:
                    continue
                elapsed = now - start_ms[j]
                lost = state.run_need[i] * (elapsed - kept_ms(elapsed, checkpoint_ms[j]))
                if mine == last_priority and (
                    lost < last_lost or (lost == last_lost and order[j] >= last_order)
                ):
                    continue  # taken already
                if (
                    best < 0
                    or mine < best_priority
                    or lost < best_lost
                    or (lost == best_lost and order[j] > order[best])
                ):
                    best = j
                    best_priority = mine
                    best_lost = lost
        if best < 0:
            return 0
        victims[count] = best
        count += 1
        released += state.job_need[best]
        last_priority = best_priority
        last_lost = best_lost
        last_order = order[best]
    kept = 0
    # From the dearest on: who is not needed stays; the rest moves up.
    for k in range(count - 1, -1, -1):
        need = state.job_need[victims[k]]
        if released - need >= missing:
            released -= need
            victims[k] = -1
    for k in range(count):
        if victims[k] >= 0:
            victims[kept] = victims[k]
            kept += 1
    return kept
