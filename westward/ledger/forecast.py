"""When a pot runs dry, as a simulation: its daily spend of the last weeks, drawn again and again.

Each draw first makes up another past from whole weeks of the real one (we know its mean from a few
weeks only), then a future from that past, and notes the day on which the pot would be empty. Runs
of seven days are drawn together, so that weekends and a spell of busy days stay what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2_000
BLOCK_DAYS = 7
DAYS_LEAST = 14
"""Of past; of less nothing is foretold."""
LOW, HIGH = 0.10, 0.90
"""The interval: 80 % of the draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryForecast:
    """Days count from now: 1 is the day that has begun. None: not within the horizon."""

    low_day: int | None
    median_day: int | None
    high_day: int | None
    dry_share: float
    """Of the draws, how many were empty within the horizon."""
    mean_micros_per_day: int
    past_days: int
    horizon_days: int
    draws: int


def forecast(
    daily_micros: Sequence[int],
    left_micros: int,
    horizon_days: int,
    generator: np.random.Generator,
    draws: int = DRAWS,
) -> DryForecast:
    """From what was spent on each past day (oldest first, days without spend among them) and what
    is left. Raises ValueError for fewer days than ``DAYS_LEAST`` and without a horizon."""
    past = np.asarray(daily_micros, dtype=np.float64)
    if len(past) < DAYS_LEAST:
        raise ValueError(f"{len(past)} days are too few: {DAYS_LEAST} are needed")
    if horizon_days < 1 or draws < 1:
        raise ValueError("a forecast reaches a day at least, and is drawn once at least")
    empty = _empty_days(past, left_micros, horizon_days, generator, draws)
    low, median, high = (_at(empty, share, horizon_days) for share in (LOW, 0.5, HIGH))
    return DryForecast(
        low_day=low,
        median_day=median,
        high_day=high,
        dry_share=float(np.mean(empty <= horizon_days)),
        mean_micros_per_day=sum(daily_micros) // len(daily_micros),
        past_days=len(past),
        horizon_days=horizon_days,
        draws=draws,
    )


def _empty_days(
    past: NDArray[np.float64],
    left_micros: int,
    horizon_days: int,
    generator: np.random.Generator,
    draws: int,
) -> NDArray[np.int64]:
    """By draw, the first day at whose end nothing is left; the horizon + 1 where there is none."""
    if left_micros <= 0:  # spread out below, a day without spend may come to less than nought
        return np.ones(draws, dtype=np.int64)
    days = len(past)
    other = past[_blocks(generator, draws, days, days)]
    # Blocks of so short a past differ less than weeks do: their spread is too small by about this.
    mean = past.mean()
    other = mean + (other - mean) * np.sqrt(days / (days - BLOCK_DAYS))
    shown = _blocks(generator, draws, horizon_days, days)
    future = np.take_along_axis(other, shown, axis=1)
    spent = np.cumsum(future, axis=1)
    dry = spent >= left_micros
    return np.where(dry.any(axis=1), dry.argmax(axis=1) + 1, horizon_days + 1).astype(np.int64)


def _blocks(
    generator: np.random.Generator, draws: int, length: int, days: int
) -> NDArray[np.int64]:
    """By draw, ``length`` days of the past in runs of a week, each from anywhere (round the end)."""
    count = -(-length // BLOCK_DAYS)
    starts = generator.integers(0, days, size=(draws, count, 1))
    rows = (starts + np.arange(BLOCK_DAYS)) % days
    return rows.reshape(draws, count * BLOCK_DAYS)[:, :length].astype(np.int64)


def _at(empty: NDArray[np.int64], share: float, horizon_days: int) -> int | None:
    day = int(np.quantile(empty, share, method="inverted_cdf"))
    return day if day <= horizon_days else None
