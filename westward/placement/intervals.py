"""Between when and when a job that must wait will start, with a stated probability.

The planner's estimate is one time; users' estimates of run times are wrong, so the truth lies around
it. The interval's ends are two quantiles of log((waited + 1 min) / (told + 1 min)). Each is moved by
what became of the intervals told: out by nine steps for a start beyond it, in by one for a start
within (adaptive conformal inference: Gibbs and Candès 2021; the share of starts beyond an end then
goes to its tenth whatever the process). Two things keep the lag small where jobs wait for days:
a job that still waits when its interval has ended counts then, not when it starts at last; and
steps are large at first, when nothing is known of this network. An interval is told only to jobs
that wait for capacity: a job put off by choice, or started at once, gets none.
"""

from __future__ import annotations

import math

from westward.jit import jit
from westward.model.units import MS_PER_DAY
from westward.placement.state import F64

SHARE_BELOW = 0.1
SHARE_ABOVE = 0.9
"""The interval between them holds 80 %."""
STEP = 0.1
MORE_AT_FIRST = 0.3
SETTLED = 30.0
"""After so many outcomes what is more at first has halved."""
AHEAD = 6.0
"""How far the upper quantile may run ahead of what a late job was told: a factor of 400. While nobody
starts, late jobs alone are heard of, and a thousand of them say no more than a few."""
FLOOR_MS = 60_000.0
FIRST_LOW = -1.5
FIRST_HIGH = 0.5
"""Where learning begins: owners mostly ask for more time than they use, so waits end early."""
LONGEST_MS = 3650.0 * MS_PER_DAY
"""No interval reaches further than ten years."""

LOW = 0
HIGH = 1
LOW_COUNT = 2
HIGH_COUNT = 3
LEARNT = 4
"""What has been learnt, (4,): the two quantiles, and how many outcomes have moved each. One such
row of pools that are managed, one of delegated ones: there another scheduler's queue is guessed at."""


@jit
def interval(from_ms: int, told_ms: int, learnt: F64) -> tuple[int, int]:
    """The 80 % interval for a start told as ``told_ms``, of a job that could start from
    ``from_ms`` on but for capacity."""
    base = told_ms - from_ms + FLOOR_MS
    low = from_ms + int(min(base * math.exp(min(learnt[LOW], 30.0)), LONGEST_MS) - FLOOR_MS)
    high = from_ms + int(min(base * math.exp(min(learnt[HIGH], 30.0)), LONGEST_MS) - FLOOR_MS)
    return max(low, from_ms), max(high, from_ms)


@jit
def step_after(outcomes: float) -> float:
    """How far one outcome moves a quantile that so many have moved before."""
    return STEP + MORE_AT_FIRST * SETTLED / (SETTLED + outcomes)


@jit
def count_late(told_high: float, learnt: F64) -> None:
    """A job that was told an interval still waits, and it has ended. ``told_high``: the upper
    quantile when it was told."""
    if learnt[HIGH] >= told_high + AHEAD:
        return
    learnt[HIGH] += step_after(learnt[HIGH_COUNT]) * SHARE_ABOVE
    learnt[HIGH_COUNT] += 1.0


@jit
def count_start(early: bool, late: bool, learnt: F64) -> None:
    """A job that was told an interval starts: before it (``early``), within, or once
    ``count_late`` has counted it (``late``)."""
    beyond = 1.0 if early else 0.0
    learnt[LOW] += step_after(learnt[LOW_COUNT]) * (SHARE_BELOW - beyond)
    learnt[LOW_COUNT] += 1.0
    if not late:
        learnt[HIGH] -= step_after(learnt[HIGH_COUNT]) * (1.0 - SHARE_ABOVE)
        learnt[HIGH_COUNT] += 1.0
    if learnt[HIGH] < learnt[LOW]:
        middle = (learnt[HIGH] + learnt[LOW]) / 2.0
        learnt[LOW] = middle
        learnt[HIGH] = middle
