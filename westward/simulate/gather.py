"""Finished runs gathered into one row a job, for workloads that fit in memory."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from westward.placement.state import F64, I32, I64
from westward.simulate.live import FINISHED, REFUSED, Records
from westward.simulate.results import Segments


class Gather:
    """A ``Sink``. Arrays are (n,), by workload row; money summed over a job's runs."""

    def __init__(self, rows: int, *, by_nodes: bool = False) -> None:
        """``by_nodes``: every run is kept with the nodes it stood on."""

        def wide() -> I64:
            return np.full(rows, -1, dtype=np.int64)

        self.pool = np.full(rows, -1, dtype=np.int32)
        self.start_ms = wide()
        self.end_ms = wide()
        self.need_milli = np.zeros(rows, dtype=np.int64)
        self.not_before_ms = wide()
        self.predicted_ms = wide()
        self.low_ms = wide()
        self.high_ms = wide()
        self.waited_ms = wide()
        self.transfer = np.zeros(rows)
        self.money = np.zeros((rows, 5))
        self.refused = np.zeros(rows, dtype=np.int16)
        self._runs: list[list[I64]] = []
        self._run_money: list[F64] = []
        self._by_nodes = by_nodes
        self._widths: list[I64] = []
        self._nodes: list[I32] = []

    def take(self, count: int, records: Records, money: F64) -> None:
        row = records.row[:count]
        why = records.why[:count]
        over = why == FINISHED
        refused = why >= REFUSED
        done = row[over]
        for target, source in (
            (self.pool, records.pool),
            (self.start_ms, records.first_ms),
            (self.end_ms, records.end_ms),
            (self.need_milli, records.need_milli),
            (self.predicted_ms, records.predicted_ms),
            (self.low_ms, records.low_ms),
            (self.high_ms, records.high_ms),
            (self.waited_ms, records.waited_ms),
            (self.transfer, records.transfer),
        ):
            target[done] = source[:count][over]
        self.refused[row[refused]] = why[refused] - REFUSED
        # Put off until when: as first told. What held up a later run is no choice of hour.
        first = ~refused & (records.start_ms[:count] == records.first_ms[:count])
        self.not_before_ms[row[first]] = records.not_before_ms[:count][first]
        charged = row[~refused]
        if len(done) == len(charged):
            self.money[done] += money[:count][over]
        else:
            np.add.at(self.money, charged, money[:count][~refused])
        told = ~refused
        if not self._by_nodes:
            told &= ~over | (records.start_ms[:count] != records.first_ms[:count])
        if told.any():
            self._run_money.append(money[:count][told])
            self._runs.append(
                [
                    np.asarray(column[:count][told], dtype=np.int64)
                    for column in (
                        records.row, records.pool, records.start_ms, records.end_ms,
                        records.need_milli, records.why,
                    )
                ]
            )  # fmt: skip
        if self._by_nodes:
            # A refusal stands on no nodes: ``node`` holds those of the runs, in their order.
            self._widths.append(np.diff(records.node_from[: count + 1])[told])
            self._nodes.append(records.node[: records.node_from[count]].copy())

    def segments(self, checkpoint_ms: I64 | None) -> Segments | None:
        """Every run of the jobs that ran more than once; None when no run was ever cut short.

        ``checkpoint_ms``: the workload's column.
        """
        told = self._told(checkpoint_ms)
        if told is None or not self._by_nodes:
            return told
        cut = (told.why != FINISHED) | (told.start_ms != self.start_ms[told.row])
        if not cut.any():
            return None
        again = np.isin(told.row, told.row[cut])
        names = [one.name for one in fields(Segments) if not one.name.startswith("node")]
        return Segments(**{name: getattr(told, name)[again] for name in names})

    def runs(self, checkpoint_ms: I64 | None) -> Segments | None:
        """By nodes: every run of every job, with its nodes. None otherwise."""
        return self._told(checkpoint_ms) if self._by_nodes else None

    def _told(self, checkpoint_ms: I64 | None) -> Segments | None:
        if not self._runs:
            return None
        row, pool, start, end, need, why = (
            np.concatenate(parts) for parts in zip(*self._runs, strict=True)
        )
        order = np.lexsort((start, row))
        money = np.concatenate(self._run_money)[order]
        every = np.zeros(len(row), dtype=np.int64)
        if checkpoint_ms is not None:
            every = np.asarray(checkpoint_ms, dtype=np.int64)[row]
        ran = end - start
        since = np.where(every > 0, ran % np.maximum(every, 1), ran)
        lost = np.where(why == FINISHED, 0, since)
        node_from: I64 | None = None
        node: I32 | None = None
        if self._by_nodes:
            width = np.concatenate(self._widths)
            began = (np.cumsum(width) - width)[order]
            width = width[order]
            node_from = np.concatenate([[0], np.cumsum(width)]).astype(np.int64)
            within = np.arange(node_from[-1]) - np.repeat(node_from[:-1], width)
            node = np.concatenate(self._nodes)[np.repeat(began, width) + within]
        return Segments(
            row=row[order], pool=pool[order], start_ms=start[order], end_ms=end[order],
            need_milli=need[order], why=why[order],
            lost_ms=lost[order],
            device_micros=money[:, 0], power_micros=money[:, 1], carbon_g=money[:, 2],
            energy_kwh=money[:, 4], node_from=node_from, node=node,
        )  # fmt: skip
