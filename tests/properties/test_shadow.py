"""Shadow prices: by hand, and proved against another form of the same programme."""

from __future__ import annotations

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from westward.placement.shadow import (
    F64,
    ClassTable,
    class_of,
    class_table,
    classes_of,
    forecast,
    free_capacity,
    no_rates,
    observe,
    steady,
)
from westward.placement.shadow_lp import OUTSIDE_FACTOR, shadow_prices

HOUR = 3_600_000


def table(
    devices: F64, hours: F64, wait: list[float], slack: list[float] | None = None
) -> ClassTable:
    return ClassTable(
        devices=devices,
        hours=hours,
        transfer_micros=np.zeros_like(devices),
        wait_micros_per_hour=np.array(wait),
        slack_hours=np.full(len(wait), np.inf) if slack is None else np.array(slack),
    )


def test_a_scarce_pool_costs_what_it_saves() -> None:
    """Two jobs an hour, room for one at 1 a device-hour, the rest must take 3: the price is 2."""
    posted = shadow_prices(
        table(np.ones((1, 2)), np.ones((1, 2)), [50.0]),
        waiting=np.zeros(1),
        arrivals=np.full((1, 4), 2.0),
        free=np.array([[1.0] * 4, [9.0] * 4]),
        rate=np.array([[1.0] * 4, [3.0] * 4]),
        block_hours=1.0,
    )
    assert posted.price == pytest.approx(np.array([[2.0] * 4, [0.0] * 4]))


def test_who_can_wait_waits_for_the_dear_hours_to_pass() -> None:
    """One device; two jobs come at once, a wait costs 5: the first hour is worth those 5."""
    posted = shadow_prices(
        table(np.ones((1, 1)), np.ones((1, 1)), [5.0]),
        waiting=np.array([2.0]),
        arrivals=np.zeros((1, 6)),
        free=np.ones((1, 6)),
        rate=np.full((1, 6), 10.0),
        block_hours=1.0,
    )
    assert posted.price[0, 0] == pytest.approx(5.0)
    assert posted.price[0, 2:] == pytest.approx(0.0)


def test_plenty_is_free_and_nothing_asked_is_free() -> None:
    one = table(np.ones((1, 2)), np.full((1, 2), 3.0), [1.0])
    free = np.full((2, 5), 100.0)
    rate = np.ones((2, 5))
    for arrivals in (np.ones((1, 5)), np.zeros((1, 5))):
        posted = shadow_prices(
            one, waiting=np.zeros(1), arrivals=arrivals, free=free, rate=rate, block_hours=2.0
        )
        assert (posted.price == 0.0).all()


def test_what_runs_makes_the_rest_dearer() -> None:
    one = table(np.ones((1, 2)), np.ones((1, 2)), [50.0])
    rate = np.array([[1.0] * 4, [3.0] * 4])
    claims = free_capacity(
        np.array([4.0, 9.0]), np.array([0, 0]), np.array([2.0, 2.0]), np.array([2.0, 1.5]), 4, 1.0
    )
    assert claims[0] == pytest.approx([0.0, 1.0, 4.0, 4.0])
    assert claims[1] == pytest.approx([9.0] * 4)
    posted = shadow_prices(
        one, waiting=np.zeros(1), arrivals=np.full((1, 4), 2.0), free=claims, rate=rate,
        block_hours=1.0,
    )  # fmt: skip
    assert posted.price[0] == pytest.approx([2.0, 2.0, 0.0, 0.0])


def cheapest_cohorts(
    one: ClassTable, come: F64, free: F64, rate: F64, price: F64 | None
) -> tuple[float, float]:
    """The programme by cohorts (class, block of arrival), blocks of one hour, no waiting jobs.

    Without ``price``: the optimum, solved whole. With: the sum of each cohort's cheapest choice at
    those prices less what all capacity is worth, which is at most the optimum, and equals it only
    at prices that are right.
    """
    classes, pools = one.devices.shape
    blocks = rate.shape[1]
    choices: list[tuple[int, int, float, list[tuple[int, int, float]]]] = []
    for c in range(classes):
        costs: dict[tuple[int, int], tuple[float, list[tuple[int, int, float]]]] = {}
        for p in range(pools):
            for h in range(blocks):
                if one.devices[c, p] == 0:
                    continue
                left, k, paid, uses = float(one.hours[c, p]), h, 0.0, []
                while left > 1e-12:
                    part = min(left, 1.0)
                    hourly = rate[p, k] if k < blocks else rate[p].mean()
                    paid += one.devices[c, p] * part * hourly
                    if k < blocks:
                        uses.append((p, k, float(one.devices[c, p] * part)))
                    left, k = left - part, k + 1
                costs[p, h] = (paid, uses)
        outside = OUTSIDE_FACTOR * max(paid for paid, _ in costs.values()) + 1.0
        keep = int(one.slack_hours[c]) if np.isfinite(one.slack_hours[c]) else blocks
        for a in range(blocks):
            for h in range(a, min(blocks, a + keep + 1)):
                wait = one.wait_micros_per_hour[c] * (h - a)
                choices.append((c, a, outside + wait, []))
                for p in range(pools):
                    if (p, h) in costs:
                        choices.append((c, a, costs[p, h][0] + wait, costs[p, h][1]))
            if a + keep >= blocks:
                end = one.wait_micros_per_hour[c] * (blocks - a)
                choices.append((c, a, min(paid for paid, _ in costs.values()) + end, []))
    if price is not None:
        total = -float((price * free).sum())
        for c in range(classes):
            for a in range(blocks):
                total += come[c, a] * min(
                    cost + sum(price[p, k] * amount for p, k, amount in uses)
                    for cc, aa, cost, uses in choices
                    if (cc, aa) == (c, a)
                )
        return total, 0.0
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    for _, _, cost, _ in choices:
        solver.addVar(0.0, highspy.kHighsInf)
        solver.changeColCost(solver.getNumCol() - 1, cost)
    for c in range(classes):
        for a in range(blocks):
            mine = [at for at, x in enumerate(choices) if x[:2] == (c, a)]
            solver.addRow(
                come[c, a], come[c, a], len(mine), np.array(mine, dtype=np.int32),
                np.ones(len(mine)),
            )  # fmt: skip
    for p in range(pools):
        for k in range(blocks):
            of = [(i, u[2]) for i, x in enumerate(choices) for u in x[3] if u[:2] == (p, k)]
            solver.addRow(
                -highspy.kHighsInf, free[p, k], len(of),
                np.array([i for i, _ in of], dtype=np.int32), np.array([u for _, u in of]),
            )  # fmt: skip
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    binding = np.abs(np.array(solver.getSolution().row_dual)[classes * blocks :]).max()
    return float(solver.getInfo().objective_function_value), float(binding)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_prices_prove_the_optimum(seed: int) -> None:
    rng = np.random.Generator(np.random.PCG64(seed))
    classes, pools, blocks = int(rng.integers(1, 4)), int(rng.integers(1, 4)), 5
    devices = rng.choice([0.0, 1.0, 2.0], (classes, pools))
    devices[:, 0] = 1.0
    one = table(
        devices,
        rng.choice([0.3, 1.0, 2.5, 7.0], (classes, pools)),
        rng.choice([0.0, 0.5, 4.0], classes).tolist(),
        rng.choice([0.0, 1.0, 2.0, np.inf], classes).tolist(),
    )
    come = rng.choice([0.0, 1.0, 3.0], (classes, blocks))
    come[0, 0] = 2.0
    free = rng.choice([0.0, 1.0, 4.0], (pools, blocks))
    rate = rng.choice([1.0, 2.0, 5.0], (pools, blocks))
    posted = shadow_prices(
        one, waiting=come[:, 0], arrivals=come * (np.arange(blocks) > 0), free=free, rate=rate,
        block_hours=1.0,
    )  # fmt: skip
    optimum, _ = cheapest_cohorts(one, come, free, rate, None)
    proved, _ = cheapest_cohorts(one, come, free, rate, posted.price)
    assert (posted.price >= 0).all()
    assert proved == pytest.approx(optimum, rel=1e-7, abs=1e-6)
    warm = shadow_prices(
        one, waiting=come[:, 0], arrivals=come * (np.arange(blocks) > 0), free=free, rate=rate,
        block_hours=1.0, before=posted,
    )  # fmt: skip
    assert cheapest_cohorts(one, come, free, rate, warm.price)[0] == pytest.approx(
        optimum, rel=1e-7, abs=1e-6
    )


def test_month_long_gangs_beside_short_jobs_have_an_answer() -> None:
    """Costs from 10^3 to 10^11 millionths in one programme."""
    hours = np.array([[0.02, 0.03], [3_500.0, 7_000.0], [2.0, 1.0]])
    devices = np.array([[1.0, 1.0], [64.0, 64.0], [8.0, 8.0]])
    posted = shadow_prices(
        table(devices, hours, [5e5, 3.2e7, 4e6]),
        waiting=np.array([300.0, 2.0, 0.0]),
        arrivals=np.array([[900.0] * 12, [0.3] * 12, [4.0] * 12]),
        free=np.array([[70.0] * 12, [40.0] * 12]),
        rate=np.array([[4.2e6] * 12, [3.1e6, 4.4e6] * 6]),
        block_hours=2.0,
    )
    assert np.isfinite(posted.price).all()
    assert posted.price.max() > 0


def test_the_drawn_programmes_do_have_scarce_hours() -> None:
    """Else the proof above would hold for prices of nought."""
    rng = np.random.Generator(np.random.PCG64(5))
    one = table(np.ones((2, 2)), np.array([[2.5, 1.0], [1.0, 7.0]]), [4.0, 0.5])
    come = rng.choice([1.0, 3.0], (2, 5))
    free, rate = np.ones((2, 5)), rng.choice([1.0, 5.0], (2, 5))
    optimum, binding = cheapest_cohorts(one, come, free, rate, None)
    at_nought, _ = cheapest_cohorts(one, come, free, rate, np.zeros((2, 5)))
    assert binding > 0
    assert at_nought < 0.9 * optimum


def test_prices_beyond_the_horizon_keep_work_from_fleeing_there() -> None:
    """8 hours at 1 against 8 at 1.5, half of each beyond the last block: 5 more there decides."""
    prices = []
    for beyond in (None, np.array([5.0, 0.0])):
        posted = shadow_prices(
            table(np.ones((1, 2)), np.full((1, 2), 8.0), [0.1]),
            waiting=np.array([3.0]), arrivals=np.zeros((1, 4)),
            free=np.array([[2.0] * 4, [9.0] * 4]), rate=np.array([[1.0] * 4, [1.5] * 4]),
            block_hours=1.0, beyond=beyond,
        )  # fmt: skip
        prices.append(posted.price[0].sum())
    assert prices[0] > 0.1
    assert prices[1] == pytest.approx(0.0)


def test_steady_prices_follow_slowly() -> None:
    old = np.array([4.0, 0.0])
    assert steady(None, np.array([[2.0, 4.0], [0.0, 0.0]])).tolist() == [3.0, 0.0]
    assert steady(old, np.array([[2.0, 4.0], [8.0, 0.0]]), keep=0.75).tolist() == [3.75, 1.0]


def test_rates_are_learnt_by_hour_of_day() -> None:
    rates = no_rates(2)
    for day in range(30):
        for hour in range(24):
            counts = np.array([6.0 if hour == 9 else 1.0, 0.5 * (day % 2)])
            rates = observe(rates, hour, counts)
    ahead = forecast(rates, 8.5, 3, 1.0)
    # 8.5-9.5 holds half of the busy hour. Trust in an hour is 5 in 7: the rest is the day's mean.
    mean = (23 + 6) / 24
    trust = (1 / (1 - 0.8)) / (1 / (1 - 0.8) + 2.0)
    busy, calm = trust * 6 + (1 - trust) * mean, trust * 1 + (1 - trust) * mean
    assert ahead[0] == pytest.approx([(busy + calm) / 2, (busy + calm) / 2, calm], rel=2e-3)
    day_sum = forecast(rates, 5.0, 4, 6.0)
    assert day_sum.shape == (2, 4)
    assert day_sum[0].sum() == pytest.approx(29.0, rel=1e-3)
    assert forecast(rates, 5.0, 2, 24.0)[0] == pytest.approx([29.0, 29.0], rel=1e-3)
    assert (forecast(no_rates(2), 3.0, 4, 1.0) == 0).all()


def test_observing_leaves_the_old_state_as_it_was() -> None:
    before = no_rates(1)
    after = observe(before, 25, np.array([4.0]))
    assert before.weight.sum() == 0
    assert after.weight[1] == 1.0
    assert after.per_hour[1, 0] == 4.0


def test_classes_are_told_apart_and_averaged() -> None:
    minutes = np.array([5, 30, 30, 120, 600, 2000], dtype=np.int64) * 60_000
    deadline = np.array([False, False, True, False, False, False])
    pattern = np.array([0, 0, 0, 0, 1, 1], dtype=np.int64)
    klass = class_of(minutes, deadline, pattern)
    assert klass.tolist() == [0, 1, 6, 2, 13, 14]
    assert classes_of(2) == 20
    pair = np.array([0, 0], dtype=np.int64)
    found = class_table(
        pair, 2,
        devices=np.array([[1.0, 2.0], [3.0, 0.0]]),
        hours=np.array([[4.0, 1.0], [2.0, 1.0]]),
        transfer_micros=np.array([[0.0, 8.0], [2.0, 0.0]]),
        wait_micros_per_hour=np.array([1.0, 3.0]),
        slack_hours=np.array([np.inf, np.inf]),
    )  # fmt: skip
    assert found.devices.tolist() == [[2.0, 0.0], [0.0, 0.0]]
    assert (found.devices * found.hours)[0, 0] == pytest.approx(5.0)
    assert found.transfer_micros[0].tolist() == [1.0, 4.0]
    assert found.wait_micros_per_hour[0] == 2.0
    assert np.isinf(found.slack_hours).all()
