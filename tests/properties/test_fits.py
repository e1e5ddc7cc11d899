"""Fits in a profile and starts on the table's grid, against trying every start."""

from __future__ import annotations

import numpy as np

from tests.twin.cases import case
from westward.placement.columns import cost_table, network_columns, rule_columns
from westward.placement.pricing import TIE, cheapest_start, run_sum
from westward.placement.profile import NEVER_MS, earliest_fit, fit_run

LONGEST = 30


def test_fits_and_how_long_they_last_by_trying() -> None:
    dice = np.random.Generator(np.random.PCG64(1))
    for _ in range(1500):
        length = int(dice.integers(1, 8))
        times = np.sort(dice.choice(LONGEST, length, replace=False)).astype(np.int64)
        free = dice.integers(0, 5, length).astype(np.int64)
        need, duration = int(dice.integers(1, 5)), int(dice.integers(1, 12))
        ready = int(times[0] + dice.integers(0, LONGEST))

        def fits(
            start: int,
            times: np.ndarray = times,
            free: np.ndarray = free,
            need: int = need,
            duration: int = duration,
        ) -> bool:
            at = np.searchsorted(times, np.arange(start, start + duration), "right") - 1
            return bool((free[at] >= need).all())

        found = earliest_fit(times, free, length, need, duration, ready)
        start, until = fit_run(times, free, length, need, duration, ready)
        assert start == found
        by_trying = next((t for t in range(ready, 3 * LONGEST) if fits(t)), NEVER_MS)
        assert start == by_trying
        if start < NEVER_MS:
            last = min(until, 3 * LONGEST)
            assert all(fits(t) for t in range(start, last + 1))
            assert until == NEVER_MS or not fits(until + 1)


def test_the_cheapest_start_is_that_of_pricing_each() -> None:
    dice = np.random.Generator(np.random.PCG64(2))
    stopped = table_ended = moved = 0
    for seed in range(400):
        one = case(seed)
        columns = network_columns(one.snapshot.network, one.policy.carbon_method)
        rules = rule_columns(one.policy, columns, one.snapshot.series_origin_ms)
        now = one.now
        step = rules.defer_step_ms
        costs = cost_table(columns, rules, now, until_ms=now + 40 * step)
        p = int(dice.integers(0, len(columns.pool_names)))
        first = (
            rules.origin_ms + ((now - rules.origin_ms) // step + int(dice.integers(0, 20))) * step
        )
        until = first + int(dice.integers(0, 40 * step))
        duration = int(dice.integers(1, 15 * step))
        devices = float(dice.integers(1, 50))
        wait = float(dice.choice([0.0, 0.0, 1e-3, 10.0])) if rules.prunable else 0.0
        least = devices * float(costs.least[p]) * duration / 3.6e6
        floor = least * (1 - 1e-6) if rules.prunable else -np.inf  # clear of rounding
        at_once = devices * run_sum(
            p, now, now + duration, columns.pools, columns.zones, costs, rules
        )
        value, start, boundary, ended = cheapest_start(
            p, first, until, duration, devices, 0.0, now, wait, floor, at_once, now, 1e-9, costs,
            rules,
        )  # fmt: skip
        best, best_start, at = at_once, now, first
        table_end = int(costs.window[0] + costs.window[1] * costs.window[2])
        beaten = False
        while at <= until and first >= costs.window[0] and at + duration < table_end:
            waited = (at - now) * wait
            if floor + waited > best:
                beaten = True
                break
            candidate = waited + devices * run_sum(
                p, at, at + duration, columns.pools, columns.zones, costs, rules
            )
            if candidate < best - TIE * abs(best) - 1e-9:
                best, best_start = candidate, at
            at += step
        assert (start, boundary, ended) == (best_start, at, beaten), seed
        assert abs(value - best) <= 1e-9 * max(1.0, abs(best))
        stopped += beaten
        moved += start != now
        table_ended += not beaten and at <= until
    assert min(stopped, moved, table_ended) > 10, "the cases show too little"
