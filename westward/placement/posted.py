"""Posted shadow prices: into the planner's sum, and out of it again as a term of its own."""

from __future__ import annotations

import numpy as np

from westward.model.plan import ShadowPrices
from westward.placement.columns import COST_STEPS, NetworkColumns, table_step_ms
from westward.placement.pricing import MS_PER_HOUR
from westward.placement.state import F64, I64, Rules


class Posted:
    """Prices of capacity as arrays. Raises ValueError for prices that the sum cannot hold exactly:
    another number of pools or of steps, a negative price, steps that lie across those of the
    network's series, or that reach further than the table of costs."""

    def __init__(
        self, shadow: ShadowPrices, columns: NetworkColumns, rules: Rules, now_ms: int
    ) -> None:
        pools, steps = len(columns.pool_names), len(shadow.per_pool[0]) if shadow.per_pool else 0
        if len(shadow.per_pool) != pools or any(len(row) != steps for row in shadow.per_pool):
            raise ValueError(f"shadow prices need one row for each of the {pools} pools, all alike")
        grid = table_step_ms(columns, rules)
        if shadow.step_ms < 1 or shadow.step_ms % grid or (shadow.from_ms - rules.origin_ms) % grid:
            raise ValueError(f"shadow prices must begin and step on the series' grid of {grid} ms")
        end_ms = shadow.from_ms + steps * shadow.step_ms
        if end_ms > now_ms + (COST_STEPS - 1) * grid:
            raise ValueError(f"shadow prices may reach {COST_STEPS - 1} steps of {grid} ms ahead")
        self.rates: F64 = np.array(shadow.per_pool, dtype=np.float64).reshape(pools, steps)
        """(P, H) millionths per device-hour."""
        if (self.rates < 0).any():
            raise ValueError("a shadow price may not be negative")
        self.from_ms = shadow.from_ms
        self.step_ms = shadow.step_ms
        self._steps = steps
        sums = np.zeros((pools, steps + 1))
        np.cumsum(self.rates * (shadow.step_ms / MS_PER_HOUR), axis=1, out=sums[:, 1:])
        self._table: F64 = sums
        self._sums: list[list[float]] = sums.tolist()

    def cost(self, pool_row: int, start_ms: int, end_ms: int) -> float:
        """Of one device over [start, end), millionths; nothing where no price is posted."""
        return self._until(pool_row, end_ms) - self._until(pool_row, start_ms)

    def costs(self, pool_rows: I64, start_ms: I64, end_ms: I64) -> F64:
        """``cost`` of many runs, (N,); equal to the bit."""
        return self._untils(pool_rows, end_ms) - self._untils(pool_rows, start_ms)

    def _untils(self, pool_rows: I64, at_ms: I64) -> F64:
        step, rest = np.divmod(at_ms - self.from_ms, self.step_ms)
        within = np.clip(step, 0, self._steps - 1)
        low, high = self._table[pool_rows, within], self._table[pool_rows, within + 1]
        between = low + (high - low) * (rest / self.step_ms)
        summed = np.where(step >= self._steps, self._table[pool_rows, -1], between)
        return np.where(at_ms <= self.from_ms, 0.0, summed)

    def _until(self, pool_row: int, at_ms: int) -> float:
        sums = self._sums[pool_row]
        if at_ms <= self.from_ms:
            return 0.0
        step, rest = divmod(at_ms - self.from_ms, self.step_ms)
        if step >= self._steps:
            return sums[-1]
        return sums[step] + (sums[step + 1] - sums[step]) * (rest / self.step_ms)
