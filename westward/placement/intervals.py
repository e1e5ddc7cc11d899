"""Between when and when a job that must wait will start, with a stated probability.

The planner's estimate is one time; users' estimates of run times are wrong, so the truth lies around
it. Two quantiles of log((waited + 1 min) / (told + 1 min)) are learnt as jobs start, each by a small
step towards its own share (stochastic approximation of a quantile: Robbins and Monro 1951; Gibbs and
Candès 2021 show that the long-run coverage is then right whatever the process). An interval is
told only to jobs that wait for capacity: a job put off by choice, or started at once, gets none.
"""

from __future__ import annotations

import math

from westward.jit import jit
from westward.placement.state import F64

SHARE_BELOW = 0.1
SHARE_ABOVE = 0.9
"""The interval between them holds 80 %."""
STEP = 0.05
FLOOR_MS = 60_000.0
FIRST_LOW = -1.5
FIRST_HIGH = 0.5
"""Where learning begins: owners mostly ask for more time than they use, so waits end early."""


@jit
def interval(from_ms: int, told_ms: int, quantiles: F64) -> tuple[int, int]:
    """The 80 % interval for a start told as ``told_ms``, of a job that could start from
    ``from_ms`` on but for capacity. ``quantiles`` (2,): as learnt so far."""
    base = told_ms - from_ms + FLOOR_MS
    low = from_ms + int(base * math.exp(quantiles[0]) - FLOOR_MS)
    high = from_ms + int(base * math.exp(quantiles[1]) - FLOOR_MS)
    return max(low, from_ms), max(high, from_ms)


@jit
def learn(from_ms: int, told_ms: int, start_ms: int, quantiles: F64) -> None:
    """A job that was told ``told_ms`` started."""
    waited = max(start_ms - from_ms, 0) + FLOOR_MS
    z = math.log(waited / (told_ms - from_ms + FLOOR_MS))
    quantiles[0] += STEP * (SHARE_BELOW - (1.0 if z < quantiles[0] else 0.0))
    quantiles[1] += STEP * (SHARE_ABOVE - (1.0 if z < quantiles[1] else 0.0))
    if quantiles[1] < quantiles[0]:
        middle = (quantiles[0] + quantiles[1]) / 2.0
        quantiles[0] = middle
        quantiles[1] = middle
