"""Finished runs gathered into one row a job, for workloads that fit in memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from westward.jit import jit
from westward.placement.state import F64, I32, I64
from westward.simulate.live import FINISHED, REFUSED, Records
from westward.simulate.results import I16, Segments


class Table(NamedTuple):
    """(n,) by workload row; what a row that never finished holds is -1 or 0."""

    pool: I32
    start_ms: I64
    end_ms: I64
    need_milli: I64
    not_before_ms: I64
    predicted_ms: I64
    low_ms: I64
    high_ms: I64
    waited_ms: I64
    transfer: F64
    refused: I16
    money: F64
    """(5, n) summed over a job's runs; see ``charging``."""


@jit
def gather_records(count: int, records: Records, money: F64, table: Table) -> int:
    """Each record to its job's row, in one pass. Returns how many tell of a run that was not its
    job's only one."""
    several = 0
    for r in range(count):
        row = records.row[r]
        why = records.why[r]
        if why >= REFUSED:
            table.refused[row] = why - REFUSED
            continue
        for k in range(5):
            table.money[k, row] += money[r, k]
        if why != FINISHED or records.start_ms[r] != records.first_ms[r]:
            several += 1
        if why == FINISHED:
            table.pool[row] = records.pool[r]
            table.start_ms[row] = records.first_ms[r]
            table.end_ms[row] = records.end_ms[r]
            table.need_milli[row] = records.need_milli[r]
            table.not_before_ms[row] = records.not_before_ms[r]
            table.predicted_ms[row] = records.predicted_ms[r]
            table.low_ms[row] = records.low_ms[r]
            table.high_ms[row] = records.high_ms[r]
            table.waited_ms[row] = records.waited_ms[r]
            table.transfer[row] = records.transfer[r]
    return several


class Gather:
    """A ``Sink``. Fills ``table``."""

    def __init__(self, rows: int) -> None:
        def wide() -> I64:
            return np.full(rows, -1, dtype=np.int64)

        self.table = Table(
            pool=np.full(rows, -1, dtype=np.int32),
            start_ms=wide(),
            end_ms=wide(),
            need_milli=np.zeros(rows, dtype=np.int64),
            not_before_ms=wide(),
            predicted_ms=wide(),
            low_ms=wide(),
            high_ms=wide(),
            waited_ms=wide(),
            transfer=np.zeros(rows),
            refused=np.zeros(rows, dtype=np.int16),
            money=np.zeros((5, rows)),
        )
        self._runs: list[list[I64]] = []

    def take(self, count: int, records: Records, money: F64) -> None:
        if gather_records(count, records, money, self.table) > 0:
            why = records.why[:count]
            again = (why != FINISHED) | (records.start_ms[:count] != records.first_ms[:count])
            several = (why < REFUSED) & again
            self._runs.append(
                [
                    np.asarray(column[:count][several], dtype=np.int64)
                    for column in (
                        records.row, records.pool, records.start_ms, records.end_ms,
                        records.need_milli, records.why,
                    )
                ]
            )  # fmt: skip

    def segments(self) -> Segments | None:
        """Every run of the jobs that ran more than once; None when no run was ever cut short."""
        if not self._runs:
            return None
        row, pool, start, end, need, why = (
            np.concatenate(parts) for parts in zip(*self._runs, strict=True)
        )
        order = np.lexsort((start, row))
        return Segments(
            row=row[order], pool=pool[order], start_ms=start[order], end_ms=end[order],
            need_milli=need[order], why=why[order],
        )  # fmt: skip
