"""The planner sees a forecast, the charge is the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.twin.demands import HOUR, Ask, demand
from tests.twin.small import cards, site, world, zone
from westward.formats.generate import GeneratorOptions, generate
from westward.model.faults import InputFaults
from westward.model.network import Series
from westward.model.plan import Policy
from westward.model.scenario import ForecastError, Scenario
from westward.placement.columns import cost_table, network_columns, rule_columns
from westward.simulate.engine import simulate
from westward.simulate.forecast import Forecast, walk

PRICES = tuple(1.0 + 0.9 * np.sin(np.arange(24) / 24 * 2 * np.pi))
NETWORK = world(
    cards("p", 40), cards("q", 40, at="t"),
    zones=(
        zone("z", tariff_per_kwh=Series(step_ms=HOUR, values=PRICES)),
        zone("y", tariff_per_kwh=Series(step_ms=HOUR, values=PRICES[7:] + PRICES[:7])),
    ),
    sites=(site("s", "z"), site("t", "y")),
).network  # fmt: skip
OPTIONS = GeneratorOptions(max_gang_devices=1, input_share=0.0, deadline_share=0.0)


def costs(sigma: float, seed: int = 1) -> float:
    workload = generate(400, 3, capacity_devices=4, load=0.8, options=OPTIONS)
    workload = replace(
        workload, cpus_milli=np.zeros_like(workload.cpus_milli),
        memory_mib=np.zeros_like(workload.memory_mib),
    )  # fmt: skip
    error = ForecastError(tariff_sigma=sigma, carbon_sigma=sigma, seed=seed)
    patient = Policy(wait_value_micros_per_device_hour=20_000)
    result = simulate(NETWORK, workload, patient, seed=1, scenario=Scenario(forecast=error))
    assert (result.pool >= 0).all()
    parts = (result.power_micros, result.carbon_micros, result.wait_micros)
    return float(sum(part.sum() for part in parts))


def test_the_error_is_none_now_and_spreads_with_the_hours_ahead() -> None:
    rng = np.random.Generator(np.random.PCG64(2))
    factors = walk(rng, 20_000, 60, 0.96, 0.3)
    assert (factors[:, 0] == 1.0).all()
    spread = np.log(factors).std(axis=0)
    assert (np.diff(spread[:30]) > 0).all()
    assert spread[-1] == pytest.approx(0.3, rel=0.02)
    assert factors.mean(axis=0) == pytest.approx(np.ones(60), rel=0.01)
    near = np.corrcoef(np.log(factors[:, 30]), np.log(factors[:, 31]))[0, 1]
    assert near > 0.9


def test_at_growth_ms_the_spread_is_63_percent() -> None:
    forecast = Forecast(ForecastError(tariff_sigma=0.2, growth_ms=6 * HOUR), 4_000, HOUR)
    tariff, carbon = forecast.next()
    assert np.log(tariff[:, 6]).std() == pytest.approx(0.632 * 0.2, rel=0.05)
    assert (carbon == 1.0).all()


def test_a_sure_forecast_changes_nothing() -> None:
    """Errors of nothing, through all the machinery of hourly tables, give the plain schedule."""
    workload = generate(300, 5, capacity_devices=80, load=1.1, options=OPTIONS)
    plain = simulate(NETWORK, workload, Policy(), seed=1)
    sure = simulate(
        NETWORK, workload, Policy(), seed=1, scenario=Scenario(forecast=ForecastError())
    )
    assert np.array_equal(plain.start_ms, sure.start_ms)
    assert np.array_equal(plain.power_micros, sure.power_micros)


def test_the_charge_is_the_truth() -> None:
    """A run's power is its true hours' tariff, however it was planned."""
    error = ForecastError(tariff_sigma=1.0, carbon_sigma=1.0)
    asks = [Ask(at=hour / 4, hours=2.0) for hour in range(120)]
    result = simulate(
        NETWORK, demand(asks), Policy(), seed=1, zero_ms=0, scenario=Scenario(forecast=error),
    )  # fmt: skip
    for row in range(len(asks)):
        start = (int(result.start_ms[row]) - result.series_origin_ms) / HOUR
        pool = result.network.pools[result.pool[row]]
        series = PRICES if pool.name == "p" else PRICES[7:] + PRICES[:7]
        at = np.linspace(start, start + 2, 200_001)[:-1]
        paid = np.array(series)[np.floor(at).astype(int) % 24].mean() * 2 * 1e6
        assert result.power_micros[row] == pytest.approx(paid, rel=1e-3)


def test_a_worse_forecast_costs_more() -> None:
    sure = costs(0.0)
    some = np.mean([costs(0.3, seed) for seed in range(3)])
    wild = np.mean([costs(1.5, seed) for seed in range(3)])
    assert sure < some < wild


def test_the_same_seed_the_same_errors() -> None:
    assert costs(0.3, 4) == costs(0.3, 4) != costs(0.3, 5)


def test_least_bounds_every_hour_of_a_wrong_table() -> None:
    """Candidates are cut off by it: were it above an entry, cheap hours would be missed."""
    columns = network_columns(NETWORK, "location")
    rules = rule_columns(Policy(), columns, 0)
    factors = Forecast(ForecastError(tariff_sigma=1.0, carbon_sigma=1.0), 2, HOUR).next()
    table = cost_table(columns, rules, 5 * HOUR, factors=factors)
    rates = np.diff(table.prefix, axis=1)
    assert (rates.min(axis=1) >= table.least - 1e-3).all()
    true = cost_table(columns, rules, 5 * HOUR)
    assert rates[:, 0] == pytest.approx(np.diff(true.prefix, axis=1)[:, 0])
    assert not np.allclose(rates[:, 5], np.diff(true.prefix, axis=1)[:, 5])


def test_faults_of_a_forecast_are_told_together() -> None:
    with pytest.raises(InputFaults) as caught:
        Forecast(ForecastError(tariff_sigma=-1.0, carbon_sigma=9.0, growth_ms=0), 1, HOUR)
    assert len(caught.value.faults) == 3
