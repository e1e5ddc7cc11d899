"""Intervals told to waiting jobs, and what became of them, for ``placement.intervals`` to learn.

``Clockwork.told`` is a heap of the times at which they end. Of a job that started earlier the entry
stays until its time, or until the heap is full and those are swept out.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.intervals import HIGH, count_late, count_start, interval
from westward.simulate.heap import SLOT_BITS, SLOT_MASK, pop, push
from westward.simulate.live import CURSOR_TOLD, CURSOR_ZERO_MS, Clockwork, Live


@jit
def _waits(key: int, live: Live, clock: Clockwork) -> bool:
    """The job of this entry has not started yet."""
    j = key & SLOT_MASK
    end_ms = (key >> SLOT_BITS) + clock.cursor[CURSOR_ZERO_MS]
    return bool(
        live.first[j] == 1
        and live.late[j] == 0
        and live.low_ms[j] >= 0
        and live.high_ms[j] == end_ms
    )


@jit
def hear(now: int, live: Live, clock: Clockwork) -> None:
    """Count the jobs that wait although their interval ended before now."""
    mark = (now - clock.cursor[CURSOR_ZERO_MS]) << SLOT_BITS
    length = clock.cursor[CURSOR_TOLD]
    while length > 0 and clock.told[0] < mark:
        key = clock.told[0]
        length = pop(clock.told, length)
        if _waits(key, live, clock):
            live.late[key & SLOT_MASK] = 1
            count_late(live.told_high[key & SLOT_MASK], clock.learnt[live.told_as[key & SLOT_MASK]])
    clock.cursor[CURSOR_TOLD] = length


@jit
def tell(
    j: int, delegated: int, from_ms: int, told_ms: int, now: int, live: Live, clock: Clockwork
) -> None:
    """Job j must wait for capacity from ``from_ms`` until, perhaps, ``told_ms``."""
    hear(now, live, clock)
    learnt = clock.learnt[delegated]
    low, high = interval(from_ms, told_ms, learnt)
    live.low_ms[j] = low
    live.high_ms[j] = high
    live.late[j] = 0
    live.told_as[j] = delegated
    live.told_high[j] = learnt[HIGH]
    length = clock.cursor[CURSOR_TOLD]
    if length == len(clock.told):
        kept = 0
        for at in range(length):
            key = clock.told[at]
            if _waits(key, live, clock):
                kept = push(clock.told, kept, key)
        length = kept
    if length < len(clock.told):
        key = ((high - clock.cursor[CURSOR_ZERO_MS]) << SLOT_BITS) | j
        length = push(clock.told, length, key)
    clock.cursor[CURSOR_TOLD] = length


@jit
def heard(j: int, now: int, live: Live, clock: Clockwork) -> None:
    """Job j, which was told an interval, starts now (``first`` is 0 already)."""
    hear(now, live, clock)
    learnt = clock.learnt[live.told_as[j]]
    if live.late[j] == 0 and now > live.high_ms[j]:
        live.late[j] = 1
        count_late(live.told_high[j], learnt)
    count_start(now < live.low_ms[j], live.late[j] == 1, learnt)
