"""Compiled loops of the one-pool simulator: queue order, EASY backfilling, two ways to step.

Everything is an integer (ms, processors) except the queue's scores. The caller gives the scratch
arrays; a run touches only those and ``start_ms``. Lists of running jobs are kept sorted by
insertion: one pool runs at most as many jobs as it has processors.

``advance_events`` is the usual simulator: something happens, the queue is looked at.
``pick_and_block`` is another kind, that of SchedGym: a scheduler that takes one job, waits until
it fits, and looks at arrivals only meanwhile or when it has nothing left to place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from westward.jit import jit
from westward.placement.orders import is_dynamic, score

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

NONE = 0
EASY = 1

PER_INSTANT = 0
ENDS_FIRST = 1
ARRIVALS_FIRST = 2

FAR_MS = 1 << 62
"""Later than any time of a run."""


class Jobs(NamedTuple):
    """Columns by row, (n,), in the order of submitting."""

    submit_ms: I64
    run_ms: I64
    requested_ms: I64
    processors: I64


class Scratch(NamedTuple):
    """Working lists, (n,) or (capacity + 1,), and the outcome."""

    start_ms: I64
    """(n,) The outcome: start of each job of the run."""
    queue: I64
    """(n,) Rows of waiting jobs, in queue order."""
    scores: F64
    """(n,) By row: the score that the queue is sorted by."""
    running: I64
    """(capacity + 1,) Rows of running jobs, by true end; equal ends in the order of starting."""
    planned: I64
    """(capacity + 1,) The same rows by expected end."""


@jit
def end_of(row: int, jobs: Jobs, work: Scratch) -> int:
    """When a started job ends in truth."""
    return int(work.start_ms[row] + jobs.run_ms[row])


@jit
def expected_end_of(row: int, jobs: Jobs, work: Scratch) -> int:
    """When a started job was said to end."""
    return int(work.start_ms[row] + jobs.requested_ms[row])


@jit
def score_of(order: int, row: int, now_ms: int, jobs: Jobs) -> float:
    """The job's rank, in the units of the rules: seconds."""
    return score(
        order,
        jobs.submit_ms[row] / 1000.0,
        jobs.requested_ms[row] / 1000.0,
        jobs.processors[row],
        now_ms / 1000.0,
    )


@jit
def enqueue(row: int, order: int, now_ms: int, waiting: int, jobs: Jobs, work: Scratch) -> None:
    """Put an arrived job at its place among ``waiting`` others, behind those of equal score."""
    work.scores[row] = score_of(order, row, now_ms, jobs)
    place = waiting
    while place > 0 and work.scores[work.queue[place - 1]] > work.scores[row]:
        work.queue[place] = work.queue[place - 1]
        place -= 1
    work.queue[place] = row


@jit
def sort_queue(order: int, now_ms: int, waiting: int, jobs: Jobs, work: Scratch) -> None:
    """Score and sort anew, for orders that change with time. Ties by row, as on arrival."""
    for place in range(waiting):
        row = work.queue[place]
        rank = score_of(order, row, now_ms, jobs)
        work.scores[row] = rank
        back = place
        while back > 0:
            other = work.queue[back - 1]
            ahead = work.scores[other]
            if ahead < rank or (ahead == rank and other < row):
                break
            work.queue[back] = other
            back -= 1
        work.queue[back] = row


@jit
def start_job(row: int, now_ms: int, running: int, jobs: Jobs, work: Scratch) -> None:
    """Enter a job in both lists of running jobs, behind those of the same end."""
    work.start_ms[row] = now_ms
    place = running
    end_ms = end_of(row, jobs, work)
    while place > 0 and end_of(work.running[place - 1], jobs, work) > end_ms:
        work.running[place] = work.running[place - 1]
        place -= 1
    work.running[place] = row
    place = running
    end_ms = expected_end_of(row, jobs, work)
    while place > 0 and expected_end_of(work.planned[place - 1], jobs, work) > end_ms:
        work.planned[place] = work.planned[place - 1]
        place -= 1
    work.planned[place] = row


@jit
def remove_row(row: int, rows: I64, count: int) -> None:
    """Take ``row`` out of a list, keeping the order of the others."""
    place = 0
    while rows[place] != row:
        place += 1
    for later in range(place, count - 1):
        rows[later] = rows[later + 1]


@jit
def reservation(
    needed: int, free: int, now_ms: int, running: int, jobs: Jobs, work: Scratch
) -> tuple[int, int]:
    """When the head will fit if every job ends as said, and what is left beside it then.

    A job past its expected end counts as about to end.
    """
    shadow_ms = now_ms
    place = 0
    while place < running:
        row = work.planned[place]
        end_ms = expected_end_of(row, jobs, work)
        if free >= needed and end_ms > shadow_ms:
            break
        free += jobs.processors[row]
        shadow_ms = max(shadow_ms, end_ms)
        place += 1
    return shadow_ms, free - needed


@jit
def dispatch_queue(
    discipline: int,
    order: int,
    now_ms: int,
    waiting: int,
    running: int,
    free: int,
    jobs: Jobs,
    work: Scratch,
) -> tuple[int, int, int]:
    """Start what may start now. Returns (waiting, running, free) afterwards.

    The head of the queue starts while it fits. Under EASY the others follow in queue order if they
    end, as said, by the head's reservation, or fit beside it (Lifka 1995; Mu'alem and Feitelson
    2001).
    """
    if is_dynamic(order):
        sort_queue(order, now_ms, waiting, jobs, work)
    head = 0
    while head < waiting and jobs.processors[work.queue[head]] <= free:
        row = work.queue[head]
        start_job(row, now_ms, running, jobs, work)
        running += 1
        free -= jobs.processors[row]
        head += 1
    kept = 0
    place = head
    if discipline == EASY and place < waiting and free > 0:
        needed = jobs.processors[work.queue[place]]
        shadow_ms, extra = reservation(needed, free, now_ms, running, jobs, work)
        work.queue[kept] = work.queue[place]
        kept += 1
        place += 1
        while place < waiting and free > 0:
            row = work.queue[place]
            place += 1
            processors = jobs.processors[row]
            over = now_ms + jobs.requested_ms[row] > shadow_ms
            if processors > free or (over and processors > extra):
                work.queue[kept] = row
                kept += 1
                continue
            start_job(row, now_ms, running, jobs, work)
            running += 1
            free -= processors
            if over:
                extra -= processors
    if kept < place:
        while place < waiting:
            work.queue[kept] = work.queue[place]
            kept += 1
            place += 1
        return kept, running, free
    return waiting, running, free


@jit
def end_first(running: int, free: int, jobs: Jobs, work: Scratch) -> tuple[int, int]:
    """The running job of the earliest true end leaves. Returns (running, free)."""
    row = work.running[0]
    remove_row(row, work.running, running)
    remove_row(row, work.planned, running)
    return running - 1, free + jobs.processors[row]


@jit
def release_exact_ends(
    now_ms: int, running: int, free: int, jobs: Jobs, work: Scratch
) -> tuple[int, int]:
    """Jobs that end now and were said to end by now leave. Returns (running, free)."""
    place = 0
    while place < running and end_of(work.running[place], jobs, work) == now_ms:
        row = work.running[place]
        if expected_end_of(row, jobs, work) > now_ms:
            place += 1
            continue
        remove_row(row, work.running, running)
        remove_row(row, work.planned, running)
        running -= 1
        free += jobs.processors[row]
    return running, free


@jit
def advance_events(
    first: int,
    last: int,
    capacity: int,
    order: int,
    discipline: int,
    events: int,
    jobs: Jobs,
    work: Scratch,
) -> int:
    """Simulate rows ``first`` to ``last`` (excluded) on an empty pool. Returns the last end (ms).

    What happens in one instant, by ``events``:
    PER_INSTANT     all ends, all arrivals, then one look at the queue.
    ENDS_FIRST      each end, then each arrival, with a look at the queue after each.
    ARRIVALS_FIRST  each arrival, then each end, with a look after each; a job that ends exactly
                    when it was said to has left before the instant's first arrival, one that ends
                    early has not. This is what pyss does: its plan of processors lets a job go at
                    its expected end, its event queue puts submissions before terminations.
    """
    free = capacity
    waiting = 0
    running = 0
    arriving = first
    now_ms = -1
    owed = False
    while arriving < last or running > 0 or owed:
        arrival_ms = jobs.submit_ms[arriving] if arriving < last else FAR_MS
        end_ms = end_of(work.running[0], jobs, work) if running > 0 else FAR_MS
        next_ms = min(arrival_ms, end_ms)
        look = True
        if events == PER_INSTANT:
            now_ms = next_ms
            while running > 0 and end_of(work.running[0], jobs, work) == now_ms:
                running, free = end_first(running, free, jobs, work)
            while arriving < last and jobs.submit_ms[arriving] == now_ms:
                enqueue(arriving, order, now_ms, waiting, jobs, work)
                waiting += 1
                arriving += 1
        elif events == ARRIVALS_FIRST and next_ms > now_ms and not owed:
            # A new instant. The look owed to exact ends comes after its arrivals, and only if an
            # early end does not come before them (ends go in the order of starting).
            now_ms = next_ms
            look = False
            if end_ms == now_ms:
                owed = expected_end_of(work.running[0], jobs, work) <= now_ms
                running, free = release_exact_ends(now_ms, running, free, jobs, work)
        elif arrival_ms < end_ms or (arrival_ms == end_ms and events == ARRIVALS_FIRST):
            if owed and arrival_ms > now_ms:
                owed = False
            else:
                now_ms = arrival_ms
                enqueue(arriving, order, now_ms, waiting, jobs, work)
                waiting += 1
                arriving += 1
        elif owed:
            owed = False
        else:
            now_ms = end_ms
            running, free = end_first(running, free, jobs, work)
        if look:
            waiting, running, free = dispatch_queue(
                discipline, order, now_ms, waiting, running, free, jobs, work
            )
    return now_ms


@jit
def sort_running(count: int, expected: bool, jobs: Jobs, work: Scratch) -> None:
    """Stable sort of the one list of running jobs by expected or true end."""
    for place in range(1, count):
        row = work.running[place]
        mine = expected_end_of(row, jobs, work) if expected else end_of(row, jobs, work)
        back = place
        while back > 0:
            other = work.running[back - 1]
            ahead = expected_end_of(other, jobs, work) if expected else end_of(other, jobs, work)
            if ahead <= mine:
                break
            work.running[back] = other
            back -= 1
        work.running[back] = row


@jit
def pick_next(waiting: int, jobs: Jobs, work: Scratch) -> int:
    """Place in the queue of the lowest score; ties to the earlier arrival.

    The queue is in the order of submitting. Equal submit times come to stand in the order of
    scores, as in the list that SchedGym sorts by score at each pick and by submit time after.
    """
    best = 0
    for place in range(waiting):
        row = work.queue[place]
        if work.scores[row] < work.scores[work.queue[best]]:
            best = place
    chosen = work.queue[best]
    for place in range(1, waiting):
        row = work.queue[place]
        back = place
        while back > 0:
            other = work.queue[back - 1]
            same = jobs.submit_ms[other] == jobs.submit_ms[row]
            if not same or work.scores[other] <= work.scores[row]:
                break
            work.queue[back] = other
            back -= 1
        work.queue[back] = row
    best = 0
    while work.queue[best] != chosen:
        best += 1
    return best


@jit
def step_blocked(
    now_ms: int,
    arriving: int,
    last: int,
    waiting: int,
    running: int,
    free: int,
    jobs: Jobs,
    work: Scratch,
) -> tuple[int, int, int, int, int]:
    """One event: the next arrival or the next end, arrivals first in one instant.

    Returns (now_ms, arriving, waiting, running, free).
    """
    sort_running(running, False, jobs, work)
    end_ms = end_of(work.running[0], jobs, work) if running > 0 else FAR_MS
    if arriving < last and jobs.submit_ms[arriving] <= end_ms:
        now_ms = max(now_ms, jobs.submit_ms[arriving])
        work.queue[waiting] = arriving
        return now_ms, arriving + 1, waiting + 1, running, free
    row = work.running[0]
    remove_row(row, work.running, running)
    return max(now_ms, end_ms), arriving, waiting, running - 1, free + jobs.processors[row]


@jit
def backfill_strictly(
    now_ms: int,
    shadow_ms: int,
    waiting: int,
    running: int,
    free: int,
    jobs: Jobs,
    work: Scratch,
) -> tuple[int, int, int]:
    """Start, in the order of submitting, what fits and ends *before* the reservation as said.

    No job may run beside the reservation ("extra nodes"). Returns (waiting, running, free).
    """
    kept = 0
    for place in range(waiting):
        row = work.queue[place]
        if jobs.processors[row] <= free and now_ms + jobs.requested_ms[row] < shadow_ms:
            work.start_ms[row] = now_ms
            work.running[running] = row
            running += 1
            free -= jobs.processors[row]
        else:
            work.queue[kept] = row
            kept += 1
    return kept, running, free


@jit
def pick_and_block(
    first: int,
    last: int,
    capacity: int,
    order: int,
    discipline: int,
    jobs: Jobs,
    work: Scratch,
) -> int:
    """SchedGym's scheduler (RLScheduler, SC'20). Returns the time of the last start (ms).

    Take the waiting job of the lowest score. Until it fits, step from event to event; with
    ``EASY``, backfill before each step against a reservation computed once, when it was taken.
    Start it. Jobs that have arrived meanwhile are seen at the next pick; time moves on for an
    arrival only when nothing waits. Scores are those of the moment of the pick.
    """
    for row in range(first, last):
        work.scores[row] = score_of(order, row, jobs.submit_ms[row], jobs)
    now_ms = jobs.submit_ms[first]
    work.queue[0] = first
    waiting, arriving, running, free = 1, first + 1, 0, capacity
    while waiting > 0:
        if is_dynamic(order):
            for place in range(waiting):
                row = work.queue[place]
                work.scores[row] = score_of(order, row, now_ms, jobs)
        place = pick_next(waiting, jobs, work)
        row = work.queue[place]
        if jobs.processors[row] > free:
            shadow_ms = now_ms
            if discipline == EASY:
                sort_running(running, True, jobs, work)
                freed = free
                for other in range(running):
                    freed += jobs.processors[work.running[other]]
                    shadow_ms = expected_end_of(work.running[other], jobs, work)
                    if freed >= jobs.processors[row]:
                        break
            while jobs.processors[row] > free:
                if discipline == EASY:
                    waiting, running, free = backfill_strictly(
                        now_ms, shadow_ms, waiting, running, free, jobs, work
                    )
                now_ms, arriving, waiting, running, free = step_blocked(
                    now_ms, arriving, last, waiting, running, free, jobs, work
                )
        work.start_ms[row] = now_ms
        work.running[running] = row
        running += 1
        free -= jobs.processors[row]
        remove_row(row, work.queue, waiting)
        waiting -= 1
        while waiting == 0 and arriving < last:
            now_ms, arriving, waiting, running, free = step_blocked(
                now_ms, arriving, last, waiting, running, free, jobs, work
            )
    return int(now_ms)
