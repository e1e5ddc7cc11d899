"""What vouchers are expected to pay, as the kernels see it: rows of ``Pools.cover``.

A job is placed by the price its owner pays. What funders pay of a device-hour is worked out outside
(``ledger.vouchers``), for each account and pool, and comes with the snapshot; a cover may end while
a job runs (a pot runs dry), and then the ledger, not this sum, says who pays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from westward.model.plan import Cover
from westward.placement.state import F64


def cover_rows(
    covers: Sequence[Cover],
    pool_rows: Mapping[str, int],
    price: F64,
    accounts: Collection[str | None] | None = None,
) -> tuple[dict[str | None, int], F64]:
    """(Account → row, millionths per device-hour by row and pool); row 0 is nobody's.

    ``price``: the pools', NaN = unknown. ``accounts``: leave the others out. Raises ValueError for
    a cover of an unknown pool, one given twice, one below 0 or above the pool's price.
    """
    rows: dict[str | None, int] = {}
    found: dict[tuple[int, int], int] = {}
    for one in covers:
        pool = pool_rows.get(one.pool)
        if pool is None:
            raise ValueError(f"a cover names pool {one.pool!r}, the network has none")
        if not 0 <= one.micros_per_device_hour <= price[pool]:
            raise ValueError(
                f"the cover of {one.account!r} at {one.pool!r} is {one.micros_per_device_hour}: "
                "it must be from 0 to the pool's price"
            )
        if accounts is not None and one.account not in accounts:
            continue
        row = rows.setdefault(one.account, len(rows) + 1)
        if (row, pool) in found:
            raise ValueError(f"{one.account!r} has two covers at {one.pool!r}")
        found[row, pool] = one.micros_per_device_hour
    table = np.zeros((len(rows) + 1, len(price)))
    for place, micros in found.items():
        table[place] = micros
    return rows, table
