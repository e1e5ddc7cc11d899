"""Forecasts that are wrong: what the planner believes of the hours ahead.

Errors are drawn anew for each planning period: an Ornstein-Uhlenbeck walk over the lead time that
begins at 0, one for each zone and series. The factor on the true series is exp(error).
"""

from __future__ import annotations

import math

import numpy as np

from westward.model.faults import Fault, InputFaults
from westward.model.scenario import ForecastError
from westward.model.units import MS_PER_DAY, MS_PER_HOUR
from westward.placement.state import F64

PERIOD_MS = MS_PER_HOUR
"""A new forecast every hour."""
REACH_MS = 14 * MS_PER_DAY
"""Hours further ahead than this are known as they will be: no forecast is made for them."""
AT_GROWTH = 1.0 - math.exp(-1.0)


def walk(rng: np.random.Generator, rows: int, steps: int, decay: float, sigma: float) -> F64:
    """Factors on a series, (rows, steps): 1 in step 0; the error's standard deviation nears
    ``sigma`` as ``decay`` ** (2 × step) goes to 0, its mean is minus half its variance."""
    if sigma == 0.0:
        return np.ones((rows, steps))
    shocks = rng.standard_normal((steps, rows))
    error = np.zeros((steps, rows))
    pace = sigma * math.sqrt(1.0 - decay * decay)
    for step in range(1, steps):
        error[step] = decay * error[step - 1] + pace * shocks[step]
    variance = sigma * sigma * (1.0 - decay ** (2.0 * np.arange(steps)))
    return np.ascontiguousarray(np.exp(error - 0.5 * variance[:, None]).T)


class Forecast:
    """What is believed, one planning period after the other."""

    def __init__(self, error: ForecastError, zones: int, step_ms: int) -> None:
        faults = [
            Fault(file="forecast", row=None, field=name, problem=f"{value}", remedy=remedy)
            for name, value, good, remedy in (
                ("tariff_sigma", error.tariff_sigma, 0 <= error.tariff_sigma <= 3, "Give 0 to 3."),
                ("carbon_sigma", error.carbon_sigma, 0 <= error.carbon_sigma <= 3, "Give 0 to 3."),
                ("growth_ms", error.growth_ms, error.growth_ms > 0, "Give a time above 0."),
            )
            if not good
        ]
        if faults:
            raise InputFaults(faults)
        self._error = error
        self._zones = zones
        self._steps = max(1, REACH_MS // step_ms)
        # The spread is AT_GROWTH of the full one after growth_ms: 1 - decay ** (2 n) = AT_GROWTH².
        steps_to_growth = error.growth_ms / step_ms
        self._decay = (1.0 - AT_GROWTH * AT_GROWTH) ** (0.5 / steps_to_growth)
        self._rng = np.random.Generator(np.random.PCG64(error.seed))

    def next(self) -> tuple[F64, F64]:
        """Factors on tariff and carbon, (Z, steps) each, from the step of the present hour on."""
        tariff = walk(self._rng, self._zones, self._steps, self._decay, self._error.tariff_sigma)
        carbon = walk(self._rng, self._zones, self._steps, self._decay, self._error.carbon_sigma)
        return tariff, carbon
