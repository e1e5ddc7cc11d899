"""Start-time rules over one zone's series: when to run a job that may wait.

The rules of the carbon-aware literature as pure functions of the moment, the job's length, how
long it may wait, and a row of prefix sums as ``placement.columns`` makes them (entry i: the sum of
value × hours over the first i steps, steps + 1 entries; the series repeats). Whatever the series
holds is made small: carbon intensity, a tariff, or a planner's hourly sum.

- ``no_wait``        now.
- ``lowest_slot``    the first moment of the lowest step that begins within the wait.
- ``lowest_window``  the start with the lowest sum over the run.
- ``carbon_time``    the start that saves most per hour until the job ends.
- ``first_below``    the first moment below a threshold, at the latest when the wait is over.
- ``threshold_runs`` run while below a threshold, pause while above until the wait is used up
  (Ecovisor, ASPLOS'23, with the threshold of GAIA: a quantile of the day ahead).
- ``cheapest_runs``  the lowest parts of the time until the deadline, with pauses between (Wait
  Awhile, Middleware'21, interruptible).

Lowest-Slot, Lowest-Window and Carbon-Time are GAIA's (ASPLOS'24). The first five give one start in
ms; the last two fill the caller's arrays with runs and give their number. A later moment must gain
more than one part in 10⁹, so that the last digit of a prefix sum decides nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from westward.jit import jit
from westward.placement.pricing import integral

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

GAIN = 1e-9
"""What a later start must gain at least, relative to the sum it betters."""
MS_PER_HOUR = 3_600_000.0


@jit
def value_at(prefix: F64, steps: int, step_ms: int, now_ms: int) -> float:
    """The series' value at a moment."""
    step = (now_ms // step_ms) % steps
    return float((prefix[step + 1] - prefix[step]) * (MS_PER_HOUR / step_ms))


@jit
def no_wait(now_ms: int) -> int:
    """At once: what every other rule is compared with."""
    return now_ms


@jit
def lowest_slot(prefix: F64, steps: int, step_ms: int, now_ms: int, wait_ms: int) -> int:
    """The first moment of the lowest step that is under way or begins by now + wait."""
    best_ms = now_ms
    best = value_at(prefix, steps, step_ms, now_ms)
    begin_ms = (now_ms // step_ms + 1) * step_ms
    while begin_ms <= now_ms + wait_ms:
        value = value_at(prefix, steps, step_ms, begin_ms)
        if value < best - GAIN * abs(best):
            best = value
            best_ms = begin_ms
        begin_ms += step_ms
    return best_ms


@jit
def lowest_window(
    prefix: F64,
    steps: int,
    step_ms: int,
    now_ms: int,
    duration_ms: int,
    wait_ms: int,
    every_ms: int,
) -> int:
    """Of the starts now, now + every, … by now + wait: that with the lowest sum over the run."""
    best_ms = now_ms
    best = integral(prefix, steps, step_ms, now_ms, now_ms + duration_ms)
    start_ms = now_ms + every_ms
    while start_ms <= now_ms + wait_ms:
        total = integral(prefix, steps, step_ms, start_ms, start_ms + duration_ms)
        if total < best - GAIN * abs(best):
            best = total
            best_ms = start_ms
        start_ms += every_ms
    return best_ms


@jit
def carbon_time(
    prefix: F64,
    steps: int,
    step_ms: int,
    now_ms: int,
    duration_ms: int,
    wait_ms: int,
    every_ms: int,
) -> int:
    """Of the same starts: that with the largest saving, against now, per hour until the end."""
    best_ms = now_ms
    best = 0.0
    at_once = integral(prefix, steps, step_ms, now_ms, now_ms + duration_ms)
    start_ms = now_ms + every_ms
    while start_ms <= now_ms + wait_ms:
        total = integral(prefix, steps, step_ms, start_ms, start_ms + duration_ms)
        rate = (at_once - total) / (start_ms + duration_ms - now_ms)
        if rate > best + GAIN * abs(best) and at_once - total > GAIN * abs(at_once):
            best = rate
            best_ms = start_ms
        start_ms += every_ms
    return best_ms


@jit
def first_below(
    prefix: F64, steps: int, step_ms: int, now_ms: int, wait_ms: int, threshold: float
) -> int:
    """The first moment whose value is below the threshold; now + wait if there is none by then."""
    start_ms = now_ms
    while start_ms < now_ms + wait_ms:
        if value_at(prefix, steps, step_ms, start_ms) < threshold:
            return start_ms
        start_ms = (start_ms // step_ms + 1) * step_ms
    return now_ms + wait_ms


@jit
def quantile_ahead(
    prefix: F64,
    steps: int,
    step_ms: int,
    now_ms: int,
    ahead_ms: int,
    sample_ms: int,
    quantile: float,
    values: F64,
    weights: I64,
) -> float:
    """Quantile of the series sampled every ``sample_ms`` over [now, now + ahead).

    Linear between neighbouring samples, as numpy and pandas define it by default. ``values`` and
    ``weights`` are scratch, (ahead // step + 2,) at least; samples of one step are counted, not
    stored. ``step_ms``, ``now_ms`` and ``ahead_ms`` must be multiples of ``sample_ms``.
    """
    count = 0
    at_ms = now_ms
    while at_ms < now_ms + ahead_ms:
        until_ms = min((at_ms // step_ms + 1) * step_ms, now_ms + ahead_ms)
        value = value_at(prefix, steps, step_ms, at_ms)
        place = count
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            weights[place] = weights[place - 1]
            place -= 1
        values[place] = value
        weights[place] = (until_ms - at_ms) // sample_ms
        count += 1
        at_ms = until_ms
    position = quantile * (ahead_ms // sample_ms - 1)
    rank = int(position)
    passed = 0
    for place in range(count):
        passed += weights[place]
        if rank < passed:
            low = values[place]
            # The next sample is of the same step unless this was the step's last.
            high = low
            if rank + 1 == passed and place + 1 < count:
                high = values[place + 1]
            return float(low + (high - low) * (position - rank))
    return float(values[count - 1])


@jit
def add_run(from_ms: int, to_ms: int, runs: int, begin_ms: I64, end_ms: I64) -> int:
    """Append a run, or lengthen the last where it goes on without a pause. Returns the number."""
    if to_ms <= from_ms:
        return runs
    if runs > 0 and end_ms[runs - 1] == from_ms:
        end_ms[runs - 1] = to_ms
        return runs
    begin_ms[runs] = from_ms
    end_ms[runs] = to_ms
    return runs + 1


@jit
def threshold_runs(
    prefix: F64,
    steps: int,
    step_ms: int,
    now_ms: int,
    duration_ms: int,
    wait_ms: int,
    threshold: float,
    begin_ms: I64,
    end_ms: I64,
) -> int:
    """Run while the value is below the threshold; pause otherwise, ``wait_ms`` in all.

    Fills ``begin_ms`` and ``end_ms``, ((duration + wait) // step + 2,) at least, and returns how
    many runs there are. Together they last ``duration_ms``.
    """
    runs = 0
    at_ms = now_ms
    while duration_ms > 0:
        until_ms = (at_ms // step_ms + 1) * step_ms
        if value_at(prefix, steps, step_ms, at_ms) >= threshold:
            pause_ms = min(until_ms - at_ms, wait_ms)
            wait_ms -= pause_ms
            at_ms += pause_ms
        until_ms = min(until_ms, at_ms + duration_ms)
        runs = add_run(at_ms, until_ms, runs, begin_ms, end_ms)
        duration_ms -= until_ms - at_ms
        at_ms = until_ms
    return runs


@jit
def cheapest_runs(
    prefix: F64,
    steps: int,
    step_ms: int,
    now_ms: int,
    duration_ms: int,
    wait_ms: int,
    begin_ms: I64,
    end_ms: I64,
    taken_ms: I64,
) -> int:
    """The lowest parts of [now, now + duration + wait) that together last ``duration_ms``.

    Of equal steps the earlier, of a step that is not needed whole its first part. Arrays as in
    ``threshold_runs``; ``taken_ms`` is scratch of the same length.
    """
    last_ms = now_ms + duration_ms + wait_ms
    first_step = now_ms // step_ms
    pieces = (last_ms - 1) // step_ms - first_step + 1
    for piece in range(pieces):
        taken_ms[piece] = 0
    left_ms = duration_ms
    while left_ms > 0:
        best = -1
        lowest = 0.0
        for piece in range(pieces):
            if taken_ms[piece] > 0:
                continue
            value = value_at(prefix, steps, step_ms, (first_step + piece) * step_ms)
            if best < 0 or value < lowest - GAIN * abs(lowest):
                best = piece
                lowest = value
        from_ms = max(now_ms, (first_step + best) * step_ms)
        until_ms = min(last_ms, (first_step + best + 1) * step_ms)
        taken_ms[best] = min(until_ms - from_ms, left_ms)
        left_ms -= taken_ms[best]
    runs = 0
    for piece in range(pieces):
        from_ms = max(now_ms, (first_step + piece) * step_ms)
        runs = add_run(from_ms, from_ms + taken_ms[piece], runs, begin_ms, end_ms)
    return runs
