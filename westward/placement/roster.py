"""Who runs at each pool, by priority, so that whoever is to be put out is found without reading all.

The runs of one pool and priority (a level) stand in blocks of ``ROWS`` rows, in no order; all blocks
of a level but its first are full. What stopping a run throws away grows with time, by its need, until
it saves again. So of each block it is known, without a look at its rows, what any of them would lose
at least: the least at some moment, and since then the smallest need of the block for each millisecond
that has passed, until the first run of it saves. ``next_victim`` reads the rows of a block only when
that bound says that the next victim may stand there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from westward.jit import jit
from westward.placement.state import I32, I64, U8

ROWS = 64
"""Rows of a block."""
LEVELS = 256
"""Priorities, from -128 on."""
NEVER_SAVED = 1 << 62
"""As an interval of checkpoints, or as lost work: more than there is."""
NONE = -1

AT_LEVEL = 0
"""Next entry of ``Roster.known`` to choose from."""
AT_COUNT = 1
"""Blocks listed of the level before it."""
FREE_BLOCK = 0
USED_BLOCKS = 1


class Roster(NamedTuple):
    """P pools, B blocks of ``ROWS`` rows, M slots of jobs. Milli-devices and ms throughout."""

    held: I64
    """(P, LEVELS) what the runs of a level hold."""
    known: I64
    """(LEVELS + 1,) levels that ever had a run, ascending; entry 0 counts them."""
    seen: U8
    """(LEVELS,) 1 = in ``known``."""
    first: I32
    """(P, LEVELS) first block of the level, the one with room; -1 = none."""
    place: I32
    """(M,) row of each running job."""

    job: I32
    """(B × ROWS,) slot of the job."""
    need: I64
    chain: I32
    """What it took of the nodes (``packing_state``); -1 = nothing."""
    every_ms: I64
    """It saves so often; ``NEVER_SAVED`` = never."""
    saved_ms: I64
    """Its last checkpoint (its start, before the first), as of when the block was last brought up to
    date."""

    after: I32
    """(B,) the level's next block; of unused blocks the next one of those; -1 = none."""
    length: I32
    soonest_ms: I64
    """No run of the block saves again before."""
    least: I64
    """No run of the block would have lost less (milli-device-ms) at ``least_ms``."""
    least_ms: I64
    least_need: I64
    """No run of the block holds less."""
    blocks: I64
    """(2,) first of the blocks given back (-1 = none), and how many were ever used."""

    # Scratch of the choice in progress.
    at: I64
    """(2,) see ``AT_LEVEL``."""
    listed: I32
    """(B,) blocks of the level that is chosen from."""
    floor: I64
    """(B,) beside them: what the next of the block loses at least; ``NEVER_SAVED`` = none is left."""
    row: I32
    """(B,) beside them: the row of exactly that; -1 = not looked for."""
    left: I32
    """(B,) beside them: the first so many rows of the block are not chosen yet."""


def make_roster(pools: int, slots: int) -> Roster:
    """Nobody runs. ``slots``: of live jobs; 0 where nobody is ever put out."""
    levels = LEVELS if slots else 1
    blocks = slots // ROWS + min(slots, pools * LEVELS) + 1
    rows = blocks * ROWS if slots else 1
    return Roster(
        held=np.zeros((pools, levels), np.int64),
        known=np.zeros(levels + 1, np.int64),
        seen=np.zeros(levels, np.uint8),
        first=np.full((pools, levels), NONE, np.int32),
        place=np.zeros(max(1, slots), np.int32),
        job=np.zeros(rows, np.int32),
        need=np.zeros(rows, np.int64),
        chain=np.zeros(rows, np.int32),
        every_ms=np.zeros(rows, np.int64),
        saved_ms=np.zeros(rows, np.int64),
        after=np.zeros(blocks, np.int32),
        length=np.zeros(blocks, np.int32),
        soonest_ms=np.zeros(blocks, np.int64),
        least=np.zeros(blocks, np.int64),
        least_ms=np.zeros(blocks, np.int64),
        least_need=np.zeros(blocks, np.int64),
        blocks=np.array([NONE, 0], np.int64),
        at=np.zeros(2, np.int64),
        listed=np.zeros(blocks, np.int32),
        floor=np.zeros(blocks, np.int64),
        row=np.zeros(blocks, np.int32),
        left=np.zeros(blocks, np.int32),
    )


def grow_roster(roster: Roster, slots: int) -> Roster:
    """The same runs, with room for so many slots."""
    grown = make_roster(len(roster.held), slots)
    for old, new in zip(roster._asdict().values(), grown._asdict().values(), strict=True):
        new[: len(old)] = old
    return grown


@jit
def _bring_up_to_date(b: int, now: int, roster: Roster) -> None:
    """Every row's last checkpoint as of now, and the block's bounds exactly."""
    soonest = NEVER_SAVED
    least = NEVER_SAVED
    least_need = NEVER_SAVED
    for r in range(b * ROWS, b * ROWS + roster.length[b]):
        every = roster.every_ms[r]
        elapsed = now - roster.saved_ms[r]
        if elapsed >= every:
            roster.saved_ms[r] += elapsed // every * every
        soonest = min(soonest, roster.saved_ms[r] + every)
        least = min(least, roster.need[r] * (now - roster.saved_ms[r]))
        least_need = min(least_need, roster.need[r])
    roster.soonest_ms[b] = soonest
    roster.least[b] = least
    roster.least_ms[b] = now
    roster.least_need[b] = least_need


@jit
def _least_at(b: int, now: int, roster: Roster) -> int:
    """No run of block b, of which nobody has saved since, would lose less now."""
    least: int = roster.least[b] + roster.least_need[b] * (now - roster.least_ms[b])
    return least


@jit
def _bound(b: int, r: int, now: int, roster: Roster) -> None:
    """Row r has come to block b, whose bounds take note of it."""
    roster.soonest_ms[b] = min(roster.soonest_ms[b], roster.saved_ms[r] + roster.every_ms[r])
    if now < roster.soonest_ms[b]:
        lost = roster.need[r] * (now - roster.saved_ms[r])
        roster.least[b] = min(_least_at(b, now, roster), lost)
        roster.least_ms[b] = now
        roster.least_need[b] = min(roster.least_need[b], roster.need[r])


@jit
def _fresh_block(p: int, level: int, now: int, roster: Roster) -> int:
    b: int = roster.blocks[FREE_BLOCK]
    if b == NONE:
        b = roster.blocks[USED_BLOCKS]
        roster.blocks[USED_BLOCKS] += 1
    else:
        roster.blocks[FREE_BLOCK] = roster.after[b]
    roster.after[b] = roster.first[p, level]
    roster.first[p, level] = b
    roster.length[b] = 0
    roster.soonest_ms[b] = NEVER_SAVED
    roster.least[b] = NEVER_SAVED
    roster.least_ms[b] = now
    roster.least_need[b] = NEVER_SAVED
    return b


@jit
def join_roster(
    j: int, p: int, priority: int, need: int, chain: int, checkpoint_ms: int, now: int,
    roster: Roster,
) -> None:  # fmt: skip
    """Job j starts now. ``checkpoint_ms``: 0 or less = it saves nothing."""
    level = priority + LEVELS // 2
    if roster.seen[level] == 0:
        roster.seen[level] = 1
        at = roster.known[0] + 1
        while at > 1 and roster.known[at - 1] > level:
            roster.known[at] = roster.known[at - 1]
            at -= 1
        roster.known[at] = level
        roster.known[0] += 1
    roster.held[p, level] += need
    b = 0 + roster.first[p, level]
    if b == NONE or roster.length[b] == ROWS:
        b = _fresh_block(p, level, now, roster)
    r = b * ROWS + roster.length[b]
    roster.length[b] += 1
    roster.job[r] = j
    roster.need[r] = need
    roster.chain[r] = chain
    roster.every_ms[r] = checkpoint_ms if checkpoint_ms > 0 else NEVER_SAVED
    roster.saved_ms[r] = now
    roster.place[j] = r
    _bound(b, r, now, roster)


@jit
def _copy_row(source: int, target: int, roster: Roster) -> None:
    roster.job[target] = roster.job[source]
    roster.need[target] = roster.need[source]
    roster.chain[target] = roster.chain[source]
    roster.every_ms[target] = roster.every_ms[source]
    roster.saved_ms[target] = roster.saved_ms[source]


@jit
def leave_roster(j: int, p: int, priority: int, now: int, roster: Roster) -> None:
    """Job j runs no longer; the last row of the level's first block takes its place."""
    level = priority + LEVELS // 2
    r = 0 + roster.place[j]
    roster.held[p, level] -= roster.need[r]
    head = roster.first[p, level]
    roster.length[head] -= 1
    last = head * ROWS + roster.length[head]
    if last != r:
        _copy_row(last, r, roster)
        roster.place[roster.job[r]] = r
        if r // ROWS != head:
            _bound(r // ROWS, r, now, roster)
    if roster.length[head] == 0:
        roster.first[p, level] = roster.after[head]
        roster.after[head] = roster.blocks[FREE_BLOCK]
        roster.blocks[FREE_BLOCK] = head


@jit
def held_below(p: int, priority: int, roster: Roster) -> int:
    """Milli-devices of pool p that runs of lower priority hold."""
    held = 0
    for i in range(1, roster.known[0] + 1):
        if roster.known[i] >= priority + LEVELS // 2:
            break
        held += roster.held[p, roster.known[i]]
    return held


@jit
def begin_choice(roster: Roster) -> None:
    """The next ``next_victim`` is the first of a choice. Nobody may join or leave during one."""
    roster.at[AT_LEVEL] = 1
    roster.at[AT_COUNT] = 0


@jit
def _list_level(p: int, level: int, now: int, roster: Roster) -> int:
    """The level's blocks, with what their next loses at least; returns how many."""
    count = 0
    b = 0 + roster.first[p, level]
    while b != NONE:
        if now >= roster.soonest_ms[b]:
            _bring_up_to_date(b, now, roster)
        roster.listed[count] = b
        roster.floor[count] = _least_at(b, now, roster)
        roster.row[count] = NONE
        roster.left[count] = roster.length[b]
        count += 1
        b = 0 + roster.after[b]
    return count


@jit
def _look_into(i: int, now: int, order: I64, roster: Roster) -> None:
    """Which row of listed block i falls first: least lost, then the last in order."""
    b = roster.listed[i]
    begin = b * ROWS
    end = begin + roster.left[i]
    least = NEVER_SAVED
    least_need = NEVER_SAVED
    for r in range(begin, end):
        least = min(least, roster.need[r] * (now - roster.saved_ms[r]))
        least_need = min(least_need, roster.need[r])
    best = NONE
    for r in range(begin, end):
        if roster.need[r] * (now - roster.saved_ms[r]) == least and (
            best == NONE or order[roster.job[r]] > order[roster.job[best]]
        ):
            best = r
    roster.floor[i] = least
    roster.row[i] = best
    if roster.left[i] == roster.length[b]:
        roster.least[b] = least
        roster.least_ms[b] = now
        roster.least_need[b] = least_need


@jit
def _take_row(i: int, roster: Roster) -> int:
    """The job of the row found in listed block i, which moves behind those still to choose from."""
    r = roster.row[i]
    roster.left[i] -= 1
    last = roster.listed[i] * ROWS + roster.left[i]
    j: int = 0 + roster.job[r]
    need, chain = roster.need[r], roster.chain[r]
    every, saved = roster.every_ms[r], roster.saved_ms[r]
    _copy_row(last, r, roster)
    roster.place[roster.job[r]] = r
    roster.job[last] = j
    roster.need[last], roster.chain[last] = need, chain
    roster.every_ms[last], roster.saved_ms[last] = every, saved
    roster.place[j] = last
    roster.row[i] = NONE
    if roster.left[i] == 0:
        roster.floor[i] = NEVER_SAVED
    return j


@jit
def next_victim(p: int, priority: int, now: int, order: I64, roster: Roster) -> int:
    """Who falls next of those running at pool p below ``priority``; -1 when nobody is left.

    Lowest priority first, then least device-time lost since the last checkpoint, then the last in
    order."""
    while True:
        low = NEVER_SAVED
        for i in range(roster.at[AT_COUNT]):
            low = min(low, roster.floor[i])
        best = NONE
        for i in range(roster.at[AT_COUNT] if low < NEVER_SAVED else 0):
            if roster.floor[i] != low:
                continue
            # Of equal bounds first those that are not certain, then the last in order.
            mine = roster.row[i]
            if mine == NONE:
                best = i
                break
            if best == NONE or order[roster.job[mine]] > order[roster.job[roster.row[best]]]:
                best = i
        if best != NONE:
            if roster.row[best] != NONE:
                return _take_row(best, roster)
            _look_into(best, now, order, roster)
            continue
        at = roster.at[AT_LEVEL]
        if at > roster.known[0] or roster.known[at] >= priority + LEVELS // 2:
            return NONE
        roster.at[AT_LEVEL] += 1
        roster.at[AT_COUNT] = _list_level(p, roster.known[at], now, roster)
