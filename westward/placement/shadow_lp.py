"""The linear programme behind the shadow prices, solved by HiGHS.

Variables: how many jobs of class c start in block h at pool p; how many still wait when block h
ends; how many find no place at all (at the dearest price there is: so it always has a solution).

    least   Σ starts × (device + power + carbon + transfer) + Σ waiting × block × value of time
    with    waiting(h) = waiting(h-1) + arrivals(h) - starts(h)            for each class, block
            waiting(h) ≤ arrivals within the slack                         for classes with deadline
            Σ devices × hours within the block ≤ free devices × block      for each pool, block

The price of the last limit is what one device-hour more would save, in millionths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from westward.placement.shadow import F64, I64, Bools, ClassTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """Prices of one planning period, and where the solver stood."""

    price: F64
    """(P, H) millionths per device-hour, never below 0."""
    shape: tuple[bytes, int]
    """Tells whether ``basis`` fits a programme."""
    basis: Any
    """HiGHS' own; give the whole of this to the next call, which then starts from it."""


OUTSIDE_FACTOR = 2.0
"""Finding no place costs so many times the dearest place: it caps the prices."""


def shadow_prices(
    table: ClassTable,
    *,
    waiting: F64,
    arrivals: F64,
    free: F64,
    rate: F64,
    block_hours: float,
    beyond: F64 | None = None,
    before: Posted | None = None,
) -> Posted:
    """The price of a device-hour of each pool in each block.

    waiting   (C,) jobs of each class that wait now
    arrivals  (C, H) jobs expected in each block
    free      (P, H) mean devices that running jobs leave free
    rate      (P, H) device, power and carbon of one device-hour, millionths
    beyond    (P,) price of a device-hour after the last block (0 if not given): without it, what
              runs on past the horizon would seem cheap. The last period's mean price will do.
    before    the last period's answer: the solver starts there where the programme has the same
              form, which changes its time, not (but for ties) its answer

    Raises ValueError when the solver finds no optimum (it always exists).
    """
    pools, blocks = rate.shape
    used = _usable(table, waiting, arrivals)
    if len(used) == 0:
        return Posted(price=np.zeros((pools, blocks)), shape=(b"", 0), basis=None)
    tail = np.zeros(pools) if beyond is None else beyond
    overlap, rest = _overlaps(table.hours[used], blocks, block_hours)
    devices = table.devices[used]
    cost = (
        _start_costs(devices, overlap, rest, rate, tail) + table.transfer_micros[used][:, :, None]
    )
    can = np.broadcast_to((devices > 0)[:, :, None], cost.shape)
    outside = OUTSIDE_FACTOR * np.where(can, cost, 0.0).max(axis=(1, 2)) + 1.0
    come = np.maximum(arrivals[used], 0.0)
    come[:, 0] += waiting[used]
    shape = (used.tobytes() + (devices > 0).tobytes(), blocks)
    start = before.basis if before is not None and before.shape == shape else None
    duals, basis = _solve(
        cost=cost,
        can=can,
        use=devices[:, :, None] * overlap,
        come=come,
        wait_limit=_wait_limits(come, table.slack_hours[used], block_hours),
        wait_cost=table.wait_micros_per_hour[used] * block_hours,
        outside=outside,
        room=free * block_hours,
        start=start,
    )
    return Posted(price=np.maximum(-duals, 0.0), shape=shape, basis=basis)


def _usable(table: ClassTable, waiting: F64, arrivals: F64) -> I64:
    """Classes that have jobs and some pool to run on."""
    present = (waiting + arrivals.sum(axis=1) > 0) & (table.devices > 0).any(axis=1)
    return np.flatnonzero(present)


def _overlaps(hours: F64, blocks: int, block_hours: float) -> tuple[F64, F64]:
    """(C, P, H) hours that a run begun with block 0 spends in block k, and (C, P) hours after."""
    edges = np.arange(blocks) * block_hours
    within = np.clip(hours[:, :, None] - edges, 0.0, block_hours)
    return within, np.maximum(hours - blocks * block_hours, 0.0)


def _start_costs(devices: F64, overlap: F64, rest: F64, rate: F64, tail: F64) -> F64:
    """(C, P, H) what a job begun with block h pays for devices, power and carbon.

    After the last block: the pool's mean rate, and the price that is expected there.
    """
    blocks = rate.shape[1]
    after = rate.mean(axis=1) + tail
    cost = np.zeros((*devices.shape, blocks))
    for h in range(blocks):
        inside = blocks - h
        known = np.einsum("cpk,pk->cp", overlap[:, :, :inside], rate[:, h:])
        cost[:, :, h] = known + (overlap[:, :, inside:].sum(axis=2) + rest) * after
    return cost * devices[:, :, None]


def _wait_limits(come: F64, slack_hours: F64, block_hours: float) -> F64:
    """(C, H) at most so many may wait at the end of a block: those who came within the slack."""
    blocks = come.shape[1]
    total = np.concatenate([np.zeros((len(come), 1)), np.cumsum(come, axis=1)], axis=1)
    limit = np.full(come.shape, np.inf)
    for c in np.flatnonzero(np.isfinite(slack_hours)):
        keep = int(slack_hours[c] // block_hours)
        first = np.maximum(np.arange(1, blocks + 1) - keep, 0)
        # The difference of two sums may come out a rounding below 0, and no plan waits less.
        limit[c] = np.maximum(total[c, 1:] - total[c, first], 0.0)
    return limit


def _solve(
    *,
    cost: F64,
    can: Bools,
    use: F64,
    come: F64,
    wait_limit: F64,
    wait_cost: F64,
    outside: F64,
    room: F64,
    start: Any,
) -> tuple[F64, Any]:
    """(P, H) duals of the capacity rows, and the basis. Rows: C × H balances, then P × H capacities."""
    import highspy

    classes, pools, blocks = cost.shape
    # Millionths of month-long gangs are large numbers: the solver's tolerances are absolute.
    unit = float(np.where(can, cost, 0.0).sum() / can.sum()) + 1.0
    cost, wait_cost, outside = cost / unit, wait_cost / unit, outside / unit
    starts = np.argwhere(can)
    c, p, h = starts.T
    # Entries of a start: its balance, then the blocks it runs in, while they are on the grid.
    runs = use[c, p] * (h[:, None] + np.arange(blocks) < blocks)
    column, k = np.nonzero(runs > 0)
    sizes = 1 + np.bincount(column, minlength=len(starts))
    begin = np.concatenate([[0], np.cumsum(sizes)])
    index = np.zeros(begin[-1], dtype=np.int32)
    value = np.ones(begin[-1])
    index[begin[:-1]] = c * blocks + h
    others = np.ones(begin[-1], dtype=bool)
    others[begin[:-1]] = False
    index[others] = classes * blocks + p[column] * blocks + h[column] + k
    value[others] = runs[column, k]

    # Waiting: +1 in its block's balance, -1 in the next. Outside: +1 in its block's balance.
    rows = np.arange(classes * blocks)
    last = rows % blocks == blocks - 1
    wait_sizes = np.where(last, 1, 2)
    wait_begin = np.concatenate([[0], np.cumsum(wait_sizes)])
    wait_index = np.zeros(wait_begin[-1], dtype=np.int32)
    wait_value = np.ones(wait_begin[-1])
    wait_index[wait_begin[:-1]] = rows
    second = wait_begin[:-1][~last] + 1
    wait_index[second] = rows[~last] + 1
    wait_value[second] = -1.0

    lp = highspy.HighsLp()
    lp.num_col_ = len(starts) + 2 * len(rows)
    lp.num_row_ = len(rows) + pools * blocks
    # Those who wait at the end have yet to run: at their cheapest start, and what that costs then.
    left = np.where(can, cost, np.inf).min(axis=(1, 2))
    ends = np.where(last, np.repeat(left, blocks), 0.0)
    lp.col_cost_ = np.concatenate(
        [cost[c, p, h], np.repeat(wait_cost, blocks) + ends, np.repeat(outside, blocks)]
    )
    lp.col_lower_ = np.zeros(lp.num_col_)
    endless = np.full(len(starts), highspy.kHighsInf)
    limits = np.where(np.isfinite(wait_limit), wait_limit, highspy.kHighsInf).reshape(-1)
    lp.col_upper_ = np.concatenate([endless, limits, np.full(len(rows), highspy.kHighsInf)])
    lp.row_lower_ = np.concatenate([come.reshape(-1), np.full(room.size, -highspy.kHighsInf)])
    lp.row_upper_ = np.concatenate([come.reshape(-1), room.reshape(-1)])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.concatenate(
        [
            begin[:-1],
            begin[-1] + wait_begin[:-1],
            begin[-1] + wait_begin[-1] + np.arange(len(rows) + 1),
        ]
    ).astype(np.int32)
    lp.a_matrix_.index_ = np.concatenate([index, wait_index, rows.astype(np.int32)])
    lp.a_matrix_.value_ = np.concatenate([value, wait_value, np.ones(len(rows))])

    solver = _solved(lp, start)
    duals = np.array(solver.getSolution().row_dual)[len(rows) :] * unit
    return duals.reshape(pools, blocks), solver.getBasis()


def _solved(lp: Any, start: Any) -> Any:
    """HiGHS with the optimum of ``lp``, from the basis ``start`` if there is one.

    Where rounding keeps it from an optimum it is asked again, afresh, with presolve. Raises
    ValueError when that fails too.
    """
    import highspy

    for basis, presolve in ((start, "off"), (None, "on")):
        solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("threads", 1)
        # Presolve finds next to nothing here and takes longer than the solution (2 to 4 ×).
        solver.setOptionValue("presolve", presolve)
        solver.passModel(lp)
        if basis is not None:
            solver.setBasis(basis)
        solver.run()
        if solver.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            return solver
    raise ValueError(f"no optimum: {solver.modelStatusToString(solver.getModelStatus())}")
