"""How well waits were foretold, pool by pool: what was predicted at the binding against what came."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from westward.placement.state import WAIT_FLOOR_MS
from westward.simulate.results import SimulationResult


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitScore:
    """Over the jobs bound to one pool, but the site's own (pinned) ones."""

    pool: str
    delegated: bool
    """The site's own scheduler decided there, and the wait was learnt."""
    jobs: int
    mean_wait_ms: float
    mean_predicted_ms: float
    bias: float
    """Mean of log((actual + 1 min) / (predicted + 1 min)): above 0, waits were longer than told."""
    within_factor_2: float
    """Share of jobs whose actual + 1 min was between half and twice of predicted + 1 min."""


def wait_scores(result: SimulationResult, *, delegated: bool) -> tuple[WaitScore, ...]:
    """One row for each pool with jobs, in the network's order. ``delegated``: as in the scenario."""
    told = (result.pool >= 0) & (result.predicted_start_ms >= 0)
    if result.workload.pinned is not None:
        told &= ~result.workload.pinned
    scores = []
    for row, pool in enumerate(result.network.pools):
        mine = told & (result.pool == row)
        if not mine.any():
            continue
        actual = (result.start_ms[mine] - result.submit_ms[mine]).astype(float)
        predicted = (result.predicted_start_ms[mine] - result.submit_ms[mine]).astype(float)
        error = np.log((actual + WAIT_FLOOR_MS) / (np.maximum(predicted, 0.0) + WAIT_FLOOR_MS))
        scores.append(
            WaitScore(
                pool=pool.name,
                delegated=delegated and not pool.managed,
                jobs=int(mine.sum()),
                mean_wait_ms=float(actual.mean()),
                mean_predicted_ms=float(predicted.mean()),
                bias=float(error.mean()),
                within_factor_2=float((np.abs(error) <= math.log(2.0)).mean()),
            )
        )
    return tuple(scores)
