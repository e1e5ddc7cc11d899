"""A pool with a paid-ahead base: who starts on reserved processors, who on demand.

Of an unlimited pool ``reserved`` processors are paid whether used or not; what does not fit whole
on the free part of them runs on demand. Jobs either start when told (a start-time rule chose the
moment), or, *work-conserving*, sooner as soon as they fit on reserved processors ("reserved
first"; with no rule at all, "all wait up to the threshold"). Jobs marked for spot capacity never
take reserved processors. The rules are GAIA's (ASPLOS'24).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from westward.jit import jit

I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
FAR_MS = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedOutcome:
    """By row: when it started (ms), and whether it ran on reserved processors."""

    start_ms: I64
    on_reserved: Bool


@jit
def push_heap(row: int, count: int, key_ms: I64, heap: I64) -> None:
    """Append ``row`` to a binary heap of ``count`` rows and let it rise past larger keys."""
    place = count
    while place > 0:
        above = (place - 1) // 2
        if key_ms[row] >= key_ms[heap[above]]:
            break
        heap[place] = heap[above]
        place = above
    heap[place] = row


@jit
def pop_heap(count: int, key_ms: I64, heap: I64) -> int:
    """Take the row of the smallest key out of a heap of ``count`` rows.

    Of equal keys that comes first which a heap in the manner of Python's ``heapq`` has there: the
    hole sinks to the bottom along the smaller children (the right one of equals), the last row
    rises from it.
    """
    top = heap[0]
    count -= 1
    if count > 0:
        place = 0
        child = 1
        while child < count:
            right = child + 1
            if right < count and key_ms[heap[child]] >= key_ms[heap[right]]:
                child = right
            heap[place] = heap[child]
            place = child
            child = 2 * place + 1
        push_heap(heap[count], place, key_ms, heap)
    return int(top)


@jit
def fill_reserved(
    reserved: int,
    tick_ms: int,
    conserving: bool,
    heap_ties: bool,
    arrival_ms: I64,
    told_ms: I64,
    run_ms: I64,
    processors: I64,
    spot: Bool,
    start_ms: I64,
    on_reserved: Bool,
    queue: I64,
    kept: I64,
    running: I64,
) -> None:
    """Step from event to event. Scratch: ``queue``, ``kept``, ``running`` (n,).

    In one instant jobs start first, in order of arrival, then ended jobs give their processors
    back: these can be taken one tick later. ``heap_ties``: the queue is a heap that is emptied and
    filled again at every tick, as in GAIA's simulator; jobs of one arrival time change places.
    """
    rows = len(arrival_ms)
    arrived = waiting = held = 0
    free = reserved
    now_ms = 0
    look_ms = FAR_MS
    while arrived < rows or waiting > 0 or held > 0:
        next_ms = look_ms
        if arrived < rows:
            next_ms = min(next_ms, arrival_ms[arrived])
        for place in range(waiting):
            next_ms = min(next_ms, told_ms[queue[place]])
        for place in range(held):
            next_ms = min(next_ms, start_ms[running[place]] + run_ms[running[place]])
        if heap_ties and waiting > 0:
            next_ms = min(next_ms, now_ms + tick_ms)
        now_ms = max(now_ms, next_ms)
        look_ms = FAR_MS
        while arrived < rows and arrival_ms[arrived] <= now_ms:
            if heap_ties:
                push_heap(arrived, waiting, arrival_ms, queue)
            else:
                queue[waiting] = arrived
            waiting += 1
            arrived += 1
        staying = 0
        for taken in range(waiting):
            row = pop_heap(waiting - taken, arrival_ms, queue) if heap_ties else queue[taken]
            fits = processors[row] <= free and not spot[row]
            if told_ms[row] > now_ms and not (conserving and fits):
                if heap_ties:
                    push_heap(row, staying, arrival_ms, kept)
                else:
                    kept[staying] = row
                staying += 1
                continue
            start_ms[row] = now_ms
            on_reserved[row] = fits
            if fits:
                free -= processors[row]
                running[held] = row
                held += 1
        for place in range(staying):
            queue[place] = kept[place]
        waiting = staying
        staying = 0
        for place in range(held):
            row = running[place]
            if start_ms[row] + run_ms[row] > now_ms:
                running[staying] = row
                staying += 1
            else:
                free += processors[row]
                look_ms = now_ms + tick_ms
        held = staying


def run_on_reserved(
    reserved: int,
    *,
    arrival_ms: I64,
    told_ms: I64,
    run_ms: I64,
    processors: I64,
    spot: Bool | None = None,
    conserving: bool = False,
    tick_ms: int = 1,
    heap_ties: bool = False,
) -> ReservedOutcome:
    """Start every row at ``told_ms`` or, conserving, sooner where reserved processors are free.

    Columns (n,), sorted by ``arrival_ms``; ``told_ms`` is not before it. Times in ms, on a clock
    that ticks every ``tick_ms``. Jobs that arrive together go in row order, or with ``heap_ties``
    (whose cost grows with the ticks, not the events) in that of GAIA's simulator.
    """
    rows = len(arrival_ms)
    start_ms = np.zeros(rows, dtype=np.int64)
    on_reserved = np.zeros(rows, dtype=np.bool_)
    scratch = np.zeros((3, max(rows, 1)), dtype=np.int64)
    fill_reserved(
        reserved,
        tick_ms,
        conserving,
        heap_ties,
        np.ascontiguousarray(arrival_ms),
        np.ascontiguousarray(told_ms),
        np.ascontiguousarray(run_ms),
        np.ascontiguousarray(processors),
        np.zeros(rows, dtype=np.bool_) if spot is None else np.ascontiguousarray(spot),
        start_ms,
        on_reserved,
        scratch[0],
        scratch[1],
        scratch[2],
    )
    return ReservedOutcome(start_ms=start_ms, on_reserved=on_reserved)
