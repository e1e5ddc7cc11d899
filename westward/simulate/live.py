"""The columns of a rehearsal in progress: what arrives, who is alive, what is over.

A job takes a slot when it arrives and leaves it when it is over, so that the memory of a rehearsal
follows the jobs alive at one time, not the jobs in the workload.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from westward.placement.roster import Roster
from westward.placement.state import F64, I32, I64, U8

I8 = npt.NDArray[np.int8]


class Arrivals(NamedTuple):
    """One stretch of a workload, in order of submission. A column of one entry stands for all."""

    submit_ms: I64
    """Absolute."""
    duration_ms: I64
    """True run time on the reference device."""
    estimate_ms: I64
    klass: I32
    home: I32
    deadline_ms: I64
    """Absolute; -1 = none."""
    input_bytes: I64
    dataset: I32
    priority: I8
    checkpoint_ms: I64
    pinned: U8
    tenant: I32
    payer: I32
    """Row of ``Pools.cover``."""


LIVE_FIELDS: tuple[tuple[str, type], ...] = (
    ("charged", np.uint8),
    ("late", np.uint8),
    ("told_as", np.uint8),
    # A line of the cache (see ``placement.slots``): the run.
    ("row", np.int64),
    ("start_ms", np.int64),
    ("end_ms", np.int64),
    ("left_ms", np.int64),
    ("first_ms", np.int64),
    ("since_ms", np.int64),
    ("waited_ms", np.int64),
    ("tenant", np.int32),
    ("priority", np.int8),
    ("first", np.uint8),
    ("away", np.uint8),
    ("asked", np.uint8),
    # Another: what was told and what is owed.
    ("checkpoint_ms", np.int64),
    ("predicted_ms", np.int64),
    ("low_ms", np.int64),
    ("high_ms", np.int64),
    ("due_ms", np.int64),
    ("paid", np.float64),
    ("state_gb", np.float64),
    ("told_high", np.float64),
)


class Live(NamedTuple):
    """(M,) one slot a live job, beside ``Jobs`` and the job columns of ``State``."""

    row: I64
    """Of the workload."""
    left_ms: I64
    """True work left, on the reference device."""
    checkpoint_ms: I64
    due_ms: I64
    """The deadline it came with; -1 = none."""
    priority: I8
    tenant: I32
    """Row of ``Clockwork.fair``, under fair shares."""
    charged: U8
    """1 = its work is in its tenant's virtual finish."""
    start_ms: I64
    """Of the run in progress; -1 = not running."""
    end_ms: I64
    first_ms: I64
    predicted_ms: I64
    """The start told at the first binding."""
    low_ms: I64
    """The interval told with it; -1 = none was told."""
    high_ms: I64
    told_high: F64
    """The upper quantile it was made with (``placement.intervals``)."""
    told_as: U8
    """0 = at a managed pool, 1 = at a delegated one: the row of ``Clockwork.learnt``."""
    late: U8
    """1 = it waited when that interval ended, and has been counted as such."""
    first: U8
    """1 until the first start."""
    away: U8
    """1 = a release event will bring it to its queue (or, unbound, to be placed again)."""
    since_ms: I64
    """Waiting since then."""
    waited_ms: I64
    """Waited so far, and work lost when it was stopped."""
    paid: F64
    """Millionths for moves of its inputs."""
    state_gb: F64
    """Of its inputs: its last checkpoint."""
    asked: U8
    """1 = in ``Clockwork.again`` to be looked at while it runs (see ``interrupt``)."""
    free: I32
    """(M + 1,) a stack of free slots; entry 0 is its height."""


class Records(NamedTuple):
    """(R,) what is over: one row a run segment, or a refusal."""

    row: I64
    pool: I32
    start_ms: I64
    end_ms: I64
    need_milli: I64
    why: U8
    """FINISHED and so on, or REFUSED + the planner's code."""
    not_before_ms: I64
    predicted_ms: I64
    low_ms: I64
    high_ms: I64
    first_ms: I64
    """Its very first start; on the last row of a job, as the next two."""
    waited_ms: I64
    transfer: F64
    due_ms: I64
    node_from: I64
    """(R + 1,) where its nodes begin in ``node``; length 1 where pools are one number."""
    node: I32
    """Nodes of the pool, from 0, one for each gang member in the order chosen."""


FINISHED = 0
PREEMPTED = 1
SUSPENDED = 2
LOST = 3
"""The site failed under it."""
MOVED = 4
REFUSED = 32

CURSOR_ARRIVAL = 0
"""Next row of the present stretch."""
CURSOR_HEAP = 1
CURSOR_EVENTS = 2
CURSOR_NOW = 3
CURSOR_RECORDS = 4
CURSOR_BASE_ROW = 5
"""Workload row of the stretch's first row."""
CURSOR_ZERO_MS = 6
"""Events count from here."""
CURSOR_STOP_MS = 7
"""Return before anything at or after this instant."""
CURSOR_PEAK = 8
"""Most jobs alive at once."""
CURSOR_REVIEW_MS = 9
"""No review before then."""
CURSOR_REVIEW_AT = 10
"""Next entry of ``Clockwork.review``."""
CURSOR_TOLD = 11
"""Entries of ``Clockwork.told``."""
CURSORS = 12

# Why the loop returned.
NEED_ROWS = 0
NEED_FLUSH = 1
NEED_SLOTS = 2
AT_STOP = 3
OVER = 4


class Clockwork(NamedTuple):
    cursor: I64
    heap: I64
    touched: I32
    """(P + 1,) pools to dispatch; entry 0 counts them."""
    marked: U8
    """(P,) 1 = in ``touched``."""
    again: I32
    """(2M + 1,) slots to place again at this instant; entry 0 counts them. A job under review that
    is preempted stands there twice."""
    review: I32
    """(P × depth + 1,) slots that look at all pools again at this instant; entry 0 counts them."""
    learnt: F64
    """(2, 4) what has been learnt of waits at managed and at delegated pools
    (``placement.intervals``)."""
    told: I64
    """(2M,) a heap of the ends of the intervals told (``told``)."""
    fair: F64
    """(T + 1,) virtual finish of each tenant's last job, in tags (see ``fair``); entry 0 is the
    virtual time."""
    weight: F64
    """(T + 1,) a tenant's weight within its programme; entry 0 unused. Length 1: no fair share."""
    programme: I32
    """(T + 1,) each tenant's programme."""
    alive: I32
    """(T + 1,) jobs of each tenant that wait or run."""
    active: F64
    """(G,) summed weight of a programme's tenants that have any."""
    programme_rate: F64
    """(G,) tags per device-ms of work, at the programme's weight."""
    roster: Roster
    """Who runs, by priority; kept under preemption only."""
    closed: U8
    """(P,) 1 = closed for a while."""
