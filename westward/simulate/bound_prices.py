"""Prices of capacity that make the lower bound as high as it gets.

For any prices that are not negative, the sum of the jobs' cheapest costs less the prices' worth of
all capacity is a lower bound (weak duality), so nothing here can make the bound wrong, only loose.
That sum is concave in the prices and its slope in one of them is the use of that pool and hour less
its capacity; the greatest is the value of the time-indexed linear programme (Dyer and Wolsey 1990;
Fisher 1981). The slope is followed upwards in steps as Adam takes them (Kingma and Ba 2015), sized
by each price's own history, since the slopes jump as whole crowds of jobs turn to another pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from westward.model.units import MS_PER_HOUR
from westward.simulate.bound_costs import Problem, prefix_of
from westward.simulate.bound_kernels import F64, I32, I64, U8, Market, cheapest_all

FIRST_STEP = 0.07
LAST_STEP = 0.001
"""Greatest change of a price in the first and the last step, as parts of a usual device-hour."""
MEAN_DECAY = 0.8
SQUARE_DECAY = 0.95
DAMPING = 0.3
"""Added to the root of the mean square slope (slopes are in units of capacity): a price whose
demand and capacity nearly meet moves slowly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the jobs would do at given prices, and the bound that follows."""

    total_micros: float
    """Lower bound of the counted jobs' cost together: their costs less the worth of capacity."""
    worth_micros: float
    """What all capacity of the grid would fetch at the prices."""
    cost: F64
    """(J,) each job's least cost, capacity's price included; 0 for those not counted."""
    pool: I32
    start_ms: I64
    """(J,) on the grid; -1 = none, or beyond the grid."""
    usage: F64
    """(P, K) device-hours."""
    beyond: int


def answers(problem: Problem, price: F64, counted: U8) -> Answers:
    """One look at every counted job. ``price``: (P, K) micros per device-hour, ≥ 0."""
    count = len(problem.requests.submit_ms)
    cost = np.zeros(count)
    pool = np.zeros(count, dtype=np.int32)
    start_ms = np.zeros(count, dtype=np.int64)
    usage = np.zeros_like(problem.rate)
    market: Market = problem.market._replace(
        rate=problem.rate + price, prefix=prefix_of(problem.rate + price, problem.bucket_ms)
    )
    beyond = cheapest_all(problem.requests, market, counted, cost, pool, start_ms, usage)
    hours = problem.bucket_ms / MS_PER_HOUR
    worth = float((price.sum(axis=1) * problem.capacity).sum()) * hours
    return Answers(
        total_micros=float(cost.sum()) - worth,
        worth_micros=worth,
        cost=cost,
        pool=pool,
        start_ms=start_ms,
        usage=usage,
        beyond=int(beyond),
    )


def raise_bound(
    problem: Problem, counted: U8, steps: int, price: F64 | None = None
) -> tuple[F64, Answers]:
    """The prices, of all that were tried, whose bound is highest, and that bound.

    ``price``: where to begin (nought if not given). The same arguments give the same prices.
    """
    usual = _usual(problem)
    tried = np.zeros_like(problem.rate) if price is None else price.copy()
    mean = np.zeros_like(tried)
    square = np.zeros_like(tried)
    room = np.maximum(problem.capacity, 1e-9)[:, None] * (problem.bucket_ms / MS_PER_HOUR)
    best = answers(problem, tried, counted)
    best_price = tried.copy()
    found = best
    for step in range(1, steps + 1):
        slope = found.usage / room - 1.0
        slope[(tried <= 0.0) & (slope < 0.0)] = 0.0
        mean += (1.0 - MEAN_DECAY) * (slope - mean)
        square += (1.0 - SQUARE_DECAY) * (slope * slope - square)
        size = usual * FIRST_STEP * (LAST_STEP / FIRST_STEP) ** (step / steps)
        root = np.sqrt(square / (1.0 - SQUARE_DECAY**step))
        tried += size * (mean / (1.0 - MEAN_DECAY**step)) / (root + DAMPING)
        np.maximum(tried, 0.0, out=tried)
        found = answers(problem, tried, counted)
        if found.total_micros > best.total_micros:
            best = found
            best_price = tried.copy()
    return best_price, best


def _usual(problem: Problem) -> float:
    """Micros of a usual device-hour, its waiting included: the scale of prices."""
    known: npt.NDArray[np.bool_] = problem.capacity > 0
    if not known.any():
        return 1.0
    level = float(np.average(problem.rate[known].mean(axis=1), weights=problem.capacity[known]))
    return level + problem.market.wait_value
