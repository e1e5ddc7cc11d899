"""When and where each job held its devices: one run for most, several for those cut short.

The table of jobs tells a job's first start and last end; what was held in between, and where,
stands here. Everything that counts device time (hours, utilisation, studies) counts runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from westward.model.workload import I64
from westward.simulate.results import F64, SimulationResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Every run of the placed jobs, sorted by (row, start). Shapes (r,)."""

    row: I64
    """Of the workload."""
    pool: I64
    start_ms: I64
    end_ms: I64
    need_milli: I64

    @property
    def length_ms(self) -> I64:
        return self.end_ms - self.start_ms

    @property
    def first(self) -> npt.NDArray[np.bool_]:
        """True for each job's first run (r,)."""
        return np.asarray(np.diff(self.row, prepend=-1) != 0)

    def waited_from_ms(self, submit_ms: I64) -> I64:
        """When the wait for each run began (r,): at the job's submission, or its last run's end."""
        return np.where(self.first, submit_ms[self.row], np.roll(self.end_ms, 1))


def runs_of(result: SimulationResult) -> Runs:
    """The segments of jobs that have them; of every other placed job its one run."""
    once = result.placed
    segments = result.segments
    if segments is not None:
        once = once.copy()
        once[segments.row] = False
    row = np.flatnonzero(once)
    runs = Runs(
        row=row,
        pool=result.pool[row].astype(np.int64),
        start_ms=result.start_ms[row],
        end_ms=result.end_ms[row],
        need_milli=result.need_milli[row],
    )
    if segments is None:
        return runs
    row = np.concatenate([runs.row, segments.row])
    start = np.concatenate([runs.start_ms, segments.start_ms])
    order = np.lexsort((start, row))
    return Runs(
        row=row[order],
        pool=np.concatenate([runs.pool, segments.pool])[order],
        start_ms=start[order],
        end_ms=np.concatenate([runs.end_ms, segments.end_ms])[order],
        need_milli=np.concatenate([runs.need_milli, segments.need_milli])[order],
    )


def time_run_ms(result: SimulationResult) -> I64:
    """Time each job ran, all its runs together (n,); 0 where not placed."""
    span = np.where(result.placed, result.end_ms - result.start_ms, 0)
    if result.segments is not None:
        span[result.segments.row] = 0
        np.add.at(span, result.segments.row, result.segments.end_ms - result.segments.start_ms)
    return span


def shared_out(result: SimulationResult, runs: Runs, amount: F64, per_pool: F64) -> F64:
    """``amount`` (n,) per job, shared out to its runs (r,) by device time × ``per_pool`` (pools,).

    A pool of unknown weight counts as 1. A job's only run gets its amount unchanged.
    """
    mine = np.asarray(amount[runs.row], dtype=np.float64)
    if result.segments is None:
        return mine
    weight = runs.need_milli * runs.length_ms * np.nan_to_num(per_pool, nan=1.0)[runs.pool]
    whole = np.bincount(runs.row, weight, minlength=len(result))[runs.row]
    count = np.bincount(runs.row, minlength=len(result))[runs.row]
    share = np.divide(weight, whole, out=1.0 / count, where=whole > 0)
    return np.where(count == 1, mine, mine * share)
