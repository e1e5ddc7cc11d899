"""What a job handed over to a site is expected to wait in the site's own queue, learnt from ours.

A live server hands over no more than a pool holds, and what it has handed over waits behind the
site's own users, whose queue we do not see. What is heard is when each of ours was handed over and
when it started: the same as a rehearsal hears of a delegated pool, and the same kernels tell from it
what the next one is to expect (``placement.delegated``, docs/decisions/0050).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from westward.model.units import MS_PER_DAY
from westward.placement.delegated import WAIT_OVER_AGE, WAIT_PACE, Told, hear, tell
from westward.placement.state import F64, I64, WAIT_FLOOR_MS, WAIT_SIZES, State

HEARD_MOST = 64
"""Starts of ours at a pool that are looked at, the last ones: those before weigh a thousandth
(``WAIT_PACE``)."""
FORGOTTEN_MS = MS_PER_DAY
"""A convention: of a wait that no start of ours has confirmed for so long, half is left. Else a pool
where we once waited for long would never be tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """One of our runs at a pool whose site decides when it starts."""

    need_milli: int
    from_ms: int
    """Since when it could have started there."""
    started_ms: int | None = None
    """None: it waits on."""


def expected_site_wait_ms(runs: Sequence[HandedOver], now_ms: int) -> tuple[int, ...]:
    """By size of job (``PoolState.site_wait_ms``), from what happened to ours at one pool. Pure.

    What is expected of a larger job is at least what is of a smaller one: of a size that was never
    seen there, nothing else is known.
    """
    events = []
    for run in runs:
        start_ms = run.started_ms
        joined_ms = run.from_ms if start_ms is None else min(run.from_ms, start_ms)
        events.append((joined_ms, 0, run.need_milli, joined_ms))
        if start_ms is not None:
            events.append((start_ms, 1, run.need_milli, joined_ms))
    events.sort()
    at_ms, begins, need, joined = np.array(events, dtype=np.int64).reshape(-1, 4).T.copy()
    told = Told(
        wait_log=np.full((1, WAIT_SIZES), math.log(WAIT_FLOOR_MS)),
        ours_count=np.zeros((1, WAIT_SIZES), dtype=np.int64),
        ours_joined_ms=np.zeros((1, WAIT_SIZES), dtype=np.int64),
        ours_milli=np.zeros((1, WAIT_SIZES), dtype=np.int64),
        served_at_ms=np.full(1, -1, dtype=np.int64),
        served_gap_ms=np.zeros(1),
        served_milli=np.zeros(1),
    )
    wait_ms = np.zeros(WAIT_SIZES, dtype=np.int64)
    hear(at_ms, begins.astype(np.uint8), need, joined, told)
    starts = begins == 1
    told.wait_log[0] = _without_prior(told.wait_log[0], need[starts], at_ms[starts], now_ms)
    tell(now_ms, told, wait_ms)
    found: list[int] = np.maximum.accumulate(wait_ms).tolist()
    return tuple(found)


def still_waits_ms(site_wait_ms: Sequence[int], need_milli: int, waited_ms: int) -> int:
    """How long one of ours that has waited there for so long will have waited in all: what is told
    there, and not less than twice as long as by now."""
    told_ms = int(by_size(site_wait_ms)[sizes_of(np.array([need_milli]))[0]])
    return max(told_ms, int(WAIT_OVER_AGE * waited_ms))


def _without_prior(wait_log: F64, need: I64, start_ms: I64, now_ms: int) -> F64:
    """The means of what was heard alone: they begin at no wait, which a rehearsal of thousands of
    jobs forgets and the first ten of a site do not (the correction of Kingma and Ba 2015, section 3).
    And what is left of each, since it was confirmed last."""
    none = math.log(WAIT_FLOOR_MS)
    sizes = sizes_of(need)
    weight = 1 - (1 - WAIT_PACE) ** np.bincount(sizes, minlength=WAIT_SIZES)
    heard = weight > 0
    mean = none + (wait_log - none) / np.where(heard, weight, 1.0)
    last_ms = np.full(WAIT_SIZES, now_ms)
    last_ms[heard] = 0
    np.maximum.at(last_ms, sizes, start_ms)
    left = 0.5 ** (np.maximum(0, now_ms - last_ms) / FORGOTTEN_MS)
    found: F64 = np.log((np.exp(mean) - WAIT_FLOOR_MS) * left + WAIT_FLOOR_MS)
    return found


def sizes_of(need_milli: I64) -> I64:
    """``delegated.wait_size`` of many."""
    return np.searchsorted(1000 << np.arange(WAIT_SIZES - 1), need_milli).astype(np.int64)


def by_size(site_wait_ms: Sequence[int]) -> I64:
    """``PoolState.site_wait_ms`` as a row of the state's."""
    last = len(site_wait_ms) - 1
    return np.array([site_wait_ms[min(size, last)] for size in range(WAIT_SIZES)], dtype=np.int64)


def waits_of(rows: I64, state: State) -> I64:
    """``delegated.site_wait`` of jobs that have a pool."""
    if len(state.site_wait_ms) == 0:
        return np.zeros(len(rows), dtype=np.int64)
    found: I64 = state.site_wait_ms[state.job_pool[rows], sizes_of(state.job_need[rows])]
    return found
