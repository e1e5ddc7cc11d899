"""What a workload usually asks for, and what the rest of a partly used device is worth to it.

The worth is a shadow price. Filling devices with the usual parts is the cutting-stock problem
(Gilmore and Gomory 1961): use as few devices as can be, each cut by some pattern of parts. The
dual price of a part is the share of a device it costs in the best plan; a rest is worth the dearest
set of parts that still fits in it. 190 thousandths beside a part of 810 are worth nothing when
parts that small are few, while 530 are worth half a device to a workload full of parts of 470.
A part is then best put where the rest loses least.

Only counts of past or typical requests enter: the same knowledge that FGD's measure uses.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from westward.placement.packing_state import DEVICE_MILLI, F64, I64, Typical

TYPICAL_SHARE = 0.95
"""Share of all requests that the typical ones make up (the FGD paper's setting)."""
PRICE_TOLERANCE = 1e-9
MAX_PATTERNS = 2_000
"""Patterns generated at most; each adds the best one there is, so the prices are near by then."""


def typical_of(
    devices_milli: I64, cpus_milli: I64, kinds: I64, *, share: float = TYPICAL_SHARE
) -> tuple[Typical, I64]:
    """The most frequent kinds of request that make up ``share`` of all, and each request's spec.

    Columns are one row per request: thousandths of devices, cpus, mask of kinds (0 = any). Equal
    counts go by larger cpus, then more of each device, then more devices, then larger mask. The
    specs number all distinct requests from 0, the typical ones first. Raises ValueError when there
    is no request at all.
    """
    if len(devices_milli) == 0:
        raise ValueError("no requests to learn from")
    each = np.minimum(devices_milli, DEVICE_MILLI)
    count = np.maximum(1, devices_milli // DEVICE_MILLI)
    table, inverse, seen = np.unique(
        np.stack([cpus_milli, each, count, kinds], axis=1),
        axis=0,
        return_inverse=True,
        return_counts=True,
    )
    order = np.lexsort((*(-table[:, c] for c in (3, 2, 1, 0)), -seen))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    cumulated = np.cumsum(seen[order])
    kept = int(np.searchsorted(cumulated, share * len(devices_milli))) + 1
    chosen = order[: min(kept, len(order))]
    weight = seen[chosen] / seen[chosen].sum()
    rows = table[chosen]
    typical = Typical(
        milli=rows[:, 1],
        devices=rows[:, 2],
        cpus_milli=rows[:, 0],
        kinds=rows[:, 3],
        weight=weight,
        rest_value=rest_values(rows[:, 1], weight),
    )
    return typical, place[inverse.ravel()]


def rest_values(milli: I64, weight: F64) -> F64:
    """(1001,) the shadow value of each rest of a device, in thousandths of a device.

    ``milli``: what requests ask of one device, of which those from 1 to 999 are parts; ``weight``:
    how often. Without any parts a rest is worth nothing.
    """
    parts = (milli > 0) & (milli < DEVICE_MILLI)
    sizes, inverse = np.unique(milli[parts], return_inverse=True)
    if len(sizes) == 0:
        return np.zeros(DEVICE_MILLI + 1)
    demand = np.bincount(inverse.ravel(), weights=weight[parts]).astype(np.float64)
    prices = _prices(sizes, demand)
    return _knapsack(sizes, prices)[0] * DEVICE_MILLI


def _prices(sizes: I64, demand: F64) -> F64:
    """Dual price of each part, in devices, by column generation."""
    import highspy

    solver = cast(Any, highspy).Highs()
    solver.setOptionValue("output_flag", False)
    none = np.zeros(0, np.int32)
    for amount in demand:
        solver.addRow(float(amount), highspy.kHighsInf, 0, none, np.zeros(0))
    patterns = [np.where(np.arange(len(sizes)) == s, DEVICE_MILLI // sizes[s], 0)
                for s in range(len(sizes))]  # fmt: skip
    prices = np.zeros(len(sizes))
    for _ in range(MAX_PATTERNS):
        for pattern in patterns:
            used = np.flatnonzero(pattern).astype(np.int32)
            cuts = pattern[used].astype(np.float64)
            solver.addCol(1.0, 0.0, highspy.kHighsInf, len(used), used, cuts)
        solver.run()
        prices = np.maximum(0.0, np.array(solver.getSolution().row_dual))
        value, best = _knapsack(sizes, prices)
        if value[DEVICE_MILLI] <= 1.0 + PRICE_TOLERANCE:
            break
        patterns = [best]
    return prices


def _knapsack(sizes: I64, prices: F64) -> tuple[F64, I64]:
    """The dearest set of parts for every room up to a device, and the set for a whole one."""
    value = np.zeros(DEVICE_MILLI + 1)
    last = np.full(DEVICE_MILLI + 1, -1)
    for room in range(int(sizes[0]), DEVICE_MILLI + 1):
        value[room] = value[room - 1]
        fitting = int(np.searchsorted(sizes, room, side="right"))
        worth = value[room - sizes[:fitting]] + prices[:fitting]
        dearest = int(np.argmax(worth))
        if worth[dearest] > value[room]:
            value[room] = worth[dearest]
            last[room] = dearest
    counts = np.zeros(len(sizes), np.int64)
    room = DEVICE_MILLI
    while room > 0:
        if last[room] < 0:
            room -= 1
        else:
            counts[last[room]] += 1
            room -= int(sizes[last[room]])
    return value, counts
