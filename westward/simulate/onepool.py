"""Simulate one pool of identical processors: a queue order, a discipline, a way to step.

The network simulator (``simulate.engine``) decides between pools and prices what it decides. This
one has no network: it is the textbook batch scheduler, here so that tables which others published
for one machine can be reproduced to the job, and so that a delegated site's own scheduler can be
rehearsed by its name. Orders are those of ``placement.orders``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from westward.model.faults import Fault, InputFaults
from westward.placement.orders import order_number
from westward.simulate.onepool_kernels import (
    ARRIVALS_FIRST,
    EASY,
    ENDS_FIRST,
    NONE,
    PER_INSTANT,
    Jobs,
    Scratch,
    advance_events,
    pick_and_block,
)

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

DISCIPLINES = {"none": NONE, "easy": EASY}
"""``none``: the head of the queue blocks the others. ``easy``: they may pass it without delay."""

EVENTS = {
    "per-instant": PER_INSTANT,
    "ends-first": ENDS_FIRST,
    "arrivals-first": ARRIVALS_FIRST,
}
BLOCKING_PICK = "blocking-pick"
"""SchedGym's way to step: one job is taken and waited for (see ``pick_and_block``)."""

STEPPING = (*EVENTS, BLOCKING_PICK)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolJobs:
    """Jobs of one pool as columns, (n,), in the order of submitting.

    Times in whole milliseconds from the workload's own zero (orders f1-f4 see it).
    ``requested_ms`` is what the scheduler believes; a job runs ``run_ms`` whatever was said. It may
    be below zero: logs hold −1 for "not recorded", and published simulators computed with it.
    """

    submit_ms: I64
    run_ms: I64
    requested_ms: I64
    processors: I64

    def __len__(self) -> int:
        return len(self.submit_ms)

    def checked(self, capacity: int) -> PoolJobs:
        """Itself. Raises InputFaults for unequal lengths, wrong order, or jobs that never fit."""
        faults: list[Fault] = []

        def fault(row: int | None, field: str, problem: str, remedy: str) -> None:
            faults.append(Fault("one-pool jobs", row, field, problem, remedy))

        lengths = {len(getattr(self, name)) for name in ("run_ms", "requested_ms", "processors")}
        if lengths != {len(self)}:
            fault(None, "", "the columns differ in length", "Give one entry per job in each.")
            raise InputFaults(faults)
        late = np.flatnonzero(np.diff(self.submit_ms) < 0)
        if len(late):
            fault(int(late[0]) + 2, "submit_ms", "earlier than the row before", "Sort by submit.")
        unsaid = np.flatnonzero(self.requested_ms == 0)
        if len(unsaid):
            problem = f"{len(unsaid)} rows request no time, and orders divide by it"
            fault(int(unsaid[0]) + 1, "requested_ms", problem, "Put the run time in its place.")
        for name, low in (("submit_ms", 0), ("run_ms", 1), ("processors", 1)):
            below = np.flatnonzero(getattr(self, name) < low)
            if len(below):
                problem = f"{len(below)} rows are below {low}"
                fault(int(below[0]) + 1, name, problem, "Drop or mend these rows.")
        large = np.flatnonzero(self.processors > capacity)
        if len(large):
            problem = f"{len(large)} jobs ask for more than the pool's {capacity} processors"
            fault(int(large[0]) + 1, "processors", problem, "Drop them or give a larger pool.")
        if faults:
            raise InputFaults(faults)
        return self


def simulate_pool(
    jobs: PoolJobs,
    capacity: int,
    *,
    order: str = "fcfs",
    discipline: str = "easy",
    stepping: str = "per-instant",
    window: tuple[int, int] | None = None,
) -> I64:
    """Start times in ms of the jobs in ``window`` (first row, rows; default all), (rows,).

    The pool is empty when the window's first job arrives, and no job after the window arrives.
    Raises InputFaults for unknown names, a window outside the jobs, or jobs that cannot run.
    """
    jobs.checked(capacity)
    first, rows = (0, len(jobs)) if window is None else window
    _check_names(discipline, stepping)
    if first < 0 or rows < 1 or first + rows > len(jobs):
        problem = f"window of {rows} rows from {first} leaves the {len(jobs)} jobs"
        raise InputFaults([Fault("window", None, "", problem, "Choose rows that exist.")])
    number = order_number(order)
    columns = Jobs(
        *(
            np.ascontiguousarray(column[first : first + rows], dtype=np.int64)
            for column in (jobs.submit_ms, jobs.run_ms, jobs.requested_ms, jobs.processors)
        )
    )
    slots = min(rows, capacity) + 1
    work = Scratch(
        start_ms=np.full(rows, -1, dtype=np.int64),
        queue=np.zeros(rows, dtype=np.int64),
        scores=np.zeros(rows, dtype=np.float64),
        running=np.zeros(slots, dtype=np.int64),
        planned=np.zeros(slots, dtype=np.int64),
    )
    backfill = DISCIPLINES[discipline]
    if stepping == BLOCKING_PICK:
        pick_and_block(0, rows, capacity, number, backfill, columns, work)
    else:
        advance_events(0, rows, capacity, number, backfill, EVENTS[stepping], columns, work)
    return work.start_ms


def _check_names(discipline: str, stepping: str) -> None:
    faults = []
    if discipline not in DISCIPLINES:
        remedy = f"Use one of {', '.join(DISCIPLINES)}."
        problem = f"unknown discipline {discipline!r}"
        faults.append(Fault("options", None, "discipline", problem, remedy))
    if stepping not in STEPPING:
        remedy = f"Use one of {', '.join(STEPPING)}."
        faults.append(Fault("options", None, "stepping", f"unknown stepping {stepping!r}", remedy))
    if faults:
        raise InputFaults(faults)


def bounded_slowdown(wait_ms: I64, run_ms: I64, *, threshold_ms: int = 10_000) -> F64:
    """max(1, (wait + run) / max(run, threshold)) of each job (Feitelson and Rudolph, 1998)."""
    turnaround = (wait_ms + run_ms).astype(np.float64)
    return np.maximum(1.0, turnaround / np.maximum(run_ms, threshold_ms))
