"""The lower bound against exact answers by HiGHS, and against what finished runs paid."""

from __future__ import annotations

import math
from dataclasses import replace

import highspy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from westward.formats.generate import GeneratorOptions, generate
from westward.model.network import Accelerator, Link, Network, Pool, Series, Site, Zone
from westward.model.plan import RULES, Policy, Rule
from westward.model.units import BYTES_PER_GB
from westward.model.workload import Workload
from westward.simulate.bound import bound_of, gap, lower_bound, total_micros
from westward.simulate.bound_prices import answers
from westward.simulate.engine import simulate

HOUR = 3_600_000
UNIT = HOUR
ZERO = 1_767_225_600_000
"""2026-01-01T00:00:00Z"""


def network(
    nodes: tuple[int, ...],
    tariffs: tuple[tuple[float, ...], ...],
    prices: tuple[int, ...],
    *,
    speeds: tuple[float, ...] | None = None,
    devices_per_node: int = 1,
) -> Network:
    """One site, zone and pool per entry; a link between each two sites."""
    names = [f"s{at}" for at in range(len(nodes))]
    return Network(
        name="small",
        label="small",
        currency="CNY",
        series_origin="2026-01-01T00:00:00+00:00",
        sites=tuple(
            Site(
                name=n, label=n, operator="", zone=n, lat_deg=None, lon_deg=None, pue=1.2, tags=()
            )
            for n in names
        ),
        pools=tuple(
            Pool(
                name=n, site=n, engine="local", managed=True, accelerator=f"k{n}",
                nodes=nodes[at], devices_per_node=devices_per_node, cpus_per_node=8,
                memory_mib_per_node=8, price_micros_per_device_hour=prices[at],
                power_w_per_device=500.0,
            )
            for at, n in enumerate(names)
        ),
        accelerators=tuple(
            Accelerator(
                name=f"k{n}", label=n, vendor="", memory_gb=None, power_w_max=None,
                relative_speed=1.0 if speeds is None else speeds[at], fp16_dense_tflops=None,
            )
            for at, n in enumerate(names)
        ),
        zones=tuple(
            Zone(
                name=n, label=n, tariff_per_kwh=Series(step_ms=HOUR, values=tariffs[at]),
                carbon_location_g_per_kwh=Series(step_ms=HOUR, values=(500.0,)),
                carbon_contract_g_per_kwh=None,
            )
            for at, n in enumerate(names)
        ),
        places=(),
        links=tuple(
            Link(a=a, b=b, one_way_ms=1.0, bandwidth_gbps=0.01, price_micros_per_gb=300_000)
            for a in names
            for b in names
            if a < b
        ),
        facts=(),
        sources=(),
        digest="small",
    )  # fmt: skip


def workload(
    rows: list[tuple[int, int, int, int, int]],
) -> Workload:
    """(submit, duration, gang, deadline or -1, input GB), times in ms."""
    rows = sorted(rows)
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 5)
    count = len(rows)
    nothing = np.zeros(count, dtype=np.int32)
    return Workload(
        name="drawn", format="drawn", digest="drawn", rows_read=count, dropped=(), notes=(),
        submit_ms=table[:, 0].copy(), duration_ms=table[:, 1].copy(),
        estimate_ms=table[:, 1].copy(), nodes=table[:, 2].astype(np.int32),
        devices_milli=np.full(count, 1000, dtype=np.int32), cpus_milli=nothing,
        memory_mib=nothing, user=np.arange(count, dtype=np.int32), home=nothing - 1,
        deadline_ms=table[:, 3].copy(), input_bytes=table[:, 4] * BYTES_PER_GB,
        source_row=np.arange(count, dtype=np.int64),
    )  # fmt: skip


def run_price(net: Network, policy: Policy, p: int, start: int, end: int) -> float:
    """Micros per device of a run, added up second by second's hour: no prefix sums."""
    pool = net.pools[p]
    zone = net.zone(net.site(pool.site).zone)
    tariff, carbon = zone.tariff_per_kwh, zone.carbon_location_g_per_kwh
    assert tariff is not None
    assert carbon is not None
    assert pool.price_micros_per_device_hour is not None
    assert pool.power_w_per_device is not None
    kw = pool.power_w_per_device / 1000.0 * (net.site(pool.site).pue or 0.0)
    paid = 0.0
    at = start
    while at < end:
        edge = min((at // HOUR + 1) * HOUR, end)
        hourly = pool.price_micros_per_device_hour + kw * (
            tariff.at(at) * 1e6 + carbon.at(at) * policy.carbon_price_micros_per_tonne / 1e6
        )
        paid += hourly * (edge - at) / HOUR
        at = edge
    return paid


def exact(
    net: Network, work: Workload, policy: Policy, homes: list[int], hours: int, *, whole: bool
) -> float:
    """The time-indexed programme on starts at whole hours: its integer optimum or its relaxation.

    Capacity is held in every hour. Infinity when it has no solution.
    """
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("mip_rel_gap", 0.0)
    use: dict[tuple[int, int], list[tuple[int, int]]] = {}
    cost: list[float] = []
    of_job: list[list[int]] = []
    for j in range(len(work)):
        mine: list[int] = []
        submit, gang = int(work.submit_ms[j]), int(work.nodes[j])
        deadline = int(work.deadline_ms[j])
        gb = work.input_bytes[j] / BYTES_PER_GB
        for p, pool in enumerate(net.pools):
            if gang > pool.nodes * pool.devices_per_node:
                continue
            length = max(1, int(int(work.duration_ms[j]) / net.accelerators[p].relative_speed))
            link = net.link(net.pools[homes[j]].name, pool.name)
            transfer, move = 0.0, 0
            if gb > 0 and homes[j] != p:
                assert link is not None
                assert link.bandwidth_gbps
                assert link.price_micros_per_gb
                transfer = gb * link.price_micros_per_gb
                move = math.ceil(8.0 / link.bandwidth_gbps * 1000.0 * gb)
            for start in range(0, hours * HOUR, UNIT):
                end = start + length
                if start < submit + move or (0 <= deadline < end):
                    continue
                value = 0.0 if deadline >= 0 else policy.wait_value_micros_per_device_hour
                cost.append(
                    gang * run_price(net, policy, p, start, end)
                    + transfer
                    + value * gang * (start - submit) / HOUR
                )
                column = len(cost) - 1
                mine.append(column)
                for k in range(start // HOUR, -(-end // HOUR)):
                    use.setdefault((p, k), []).append((column, gang))
        of_job.append(mine)
        if not mine:
            return math.inf
    for c in cost:
        solver.addVar(0.0, 1.0)
        solver.changeColCost(solver.getNumCol() - 1, c)
    if whole:
        for column in range(len(cost)):
            solver.changeColIntegrality(column, highspy.HighsVarType.kInteger)
    for mine in of_job:
        solver.addRow(1.0, 1.0, len(mine), np.array(mine, dtype=np.int32), np.ones(len(mine)))
    for (p, _), entries in sorted(use.items()):
        size = net.pools[p].nodes * net.pools[p].devices_per_node
        columns = np.array([c for c, _ in entries], dtype=np.int32)
        solver.addRow(
            0.0, float(size), len(entries), columns, np.array([float(g) for _, g in entries])
        )
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return math.inf
    return float(solver.getInfo().objective_function_value)


JOBS = st.lists(
    st.tuples(
        st.integers(0, 5 * 60), st.integers(1, 300), st.integers(1, 3), st.integers(-1, 16),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip
TARIFF = st.lists(st.sampled_from([0.2, 0.5, 1.0, 3.0]), min_size=4, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    drawn=JOBS,
    tariffs=st.tuples(TARIFF, TARIFF),
    prices=st.tuples(st.sampled_from([10**6, 2 * 10**6]), st.sampled_from([10**6, 3 * 10**6])),
    speeds=st.tuples(st.just(1.0), st.sampled_from([0.5, 1.0, 1.7])),
    nodes=st.tuples(st.integers(2, 3), st.integers(1, 3)),
)
def test_no_schedule_costs_less(
    drawn: list[tuple[int, int, int, int, int]],
    tariffs: tuple[list[float], list[float]],
    prices: tuple[int, int],
    speeds: tuple[float, float],
    nodes: tuple[int, int],
) -> None:
    """The integer optimum of schedules that start at whole hours is a schedule like any other."""
    net = network(nodes, (tuple(tariffs[0]), tuple(tariffs[1])), prices, speeds=speeds)
    rows = []
    for submit, minutes, gang, slack, gb in drawn:
        deadline = -1 if slack < 0 else submit * 60_000 + minutes * 60_000 + slack * HOUR
        rows.append((submit * 60_000, minutes * 60_000, gang, deadline, gb))
    work = workload(rows)
    policy = Policy()
    bound = lower_bound(net, work, policy, seed=3, zero_ms=ZERO, steps=60)
    homes = [int(h) for h in bound.problem.requests.home]
    best = exact(net, work, policy, homes, 48, whole=True)
    counted = bound.jobs == len(work)
    if counted and math.isfinite(best):
        assert bound.total_micros <= best
        assert bound.alone_micros <= bound.total_micros + 1e-6 * abs(bound.total_micros)


@pytest.mark.parametrize("seed", range(6))
def test_prices_reach_the_linear_programme(seed: int) -> None:
    """Where all lies on whole hours the best prices give the value of the relaxation."""
    rng = np.random.Generator(np.random.PCG64(seed))
    tariffs = tuple(tuple(rng.choice([0.2, 0.6, 1.5], 6).tolist()) for _ in range(2))
    net = network((4, 3), (tariffs[0], tariffs[1]), (1_000_000, 1_800_000))
    rows = [
        (int(rng.integers(0, 8)) * HOUR, int(rng.integers(1, 6)) * HOUR, int(rng.integers(1, 3)),
         -1, 0)
        for _ in range(14)
    ]  # fmt: skip
    work = workload(rows)
    bound = lower_bound(net, work, Policy(), seed=0, zero_ms=ZERO, steps=600)
    homes = [int(h) for h in bound.problem.requests.home]
    relaxed = exact(net, work, Policy(), homes, 60, whole=False)
    assert bound.total_micros <= relaxed
    assert bound.total_micros >= 0.995 * relaxed
    # Capacity binds: else this would not test the prices.
    assert bound.alone_micros < 0.99 * relaxed


def test_tight_where_capacity_is_plenty() -> None:
    net = network((90, 90), ((0.2, 2.0, 0.4), (1.0, 0.1)), (1_000_000, 1_400_000))
    rows = [(at * HOUR, (1 + at % 4) * HOUR, 1 + at % 2, -1, at % 3) for at in range(12)]
    work = workload(rows)
    bound = lower_bound(net, work, Policy(), seed=5, zero_ms=ZERO, steps=5)
    homes = [int(h) for h in bound.problem.requests.home]
    # Whole hours only, so a little above the truth where data arrives between hours.
    best = exact(net, work, Policy(), homes, 40, whole=True)
    assert 0.97 * best <= bound.total_micros <= best
    still = replace(work, input_bytes=work.input_bytes * 0)
    bound = lower_bound(net, still, Policy(), seed=5, zero_ms=ZERO, steps=5)
    assert bound.total_micros == pytest.approx(
        exact(net, still, Policy(), homes, 40, whole=True), rel=1e-8
    )
    run = simulate(net, still, Policy(), seed=5, zero_ms=ZERO)
    assert 0.0 <= gap(run, bound).share < 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_each_job_finds_its_exact_minimum(seed: int) -> None:
    """At drawn prices, against every start by the minute (all breaks lie on whole minutes)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    tariffs = tuple(tuple(rng.choice([0.1, 0.6, 1.5], 5).tolist()) for _ in range(2))
    net = network((2, 2), (tariffs[0], tariffs[1]), (1_000_000, 1_100_000))
    policy = Policy()
    rows = []
    for _ in range(6):
        submit, minutes = int(rng.integers(0, 180)), int(rng.integers(1, 260))
        slack = int(rng.integers(0, 400)) if rng.random() < 0.5 else -1
        deadline = -1 if slack < 0 else (submit + minutes + slack) * 60_000
        rows.append((submit * 60_000, minutes * 60_000, 1, deadline, 0))
    work = workload(rows)
    priced = lower_bound(net, work, policy, seed=0, zero_ms=ZERO, steps=0).problem
    price = rng.choice([0.0, 0.0, 400_000.0, 2_000_000.0], priced.rate.shape)
    found = answers(priced, price, np.ones(len(work), dtype=np.uint8))
    first = (priced.zero_ms - ZERO) // HOUR
    for j in range(len(work)):
        length = int(work.duration_ms[j])
        submit = int(work.submit_ms[j])
        limit = int(work.deadline_ms[j])
        last = submit + 14 * HOUR if limit < 0 else limit - length
        least = math.inf
        for start in range(submit, last + 1, 60_000):
            value = 0.0 if limit >= 0 else policy.wait_value_micros_per_device_hour
            for p in range(2):
                cost = run_price(net, policy, p, start, start + length)
                cost += value * (start - submit) / HOUR
                at = start
                while at < start + length:
                    edge = min((at // HOUR + 1) * HOUR, start + length)
                    cost += price[p, at // HOUR - first] * (edge - at) / HOUR
                    at = edge
                least = min(least, cost)
        assert found.cost[j] == pytest.approx(least, rel=1e-9)


def drawn_workload(jobs: int, seed: int) -> tuple[Network, Workload]:
    net = network(
        (6, 4, 3),
        ((0.3, 0.3, 1.2, 0.9), (0.8, 0.2), (0.5,)),
        (3_000_000, 3_400_000, 6_000_000),
        speeds=(1.0, 0.9, 2.0),
        devices_per_node=8,
    )
    options = GeneratorOptions(homes=3, max_gang_devices=16)
    return net, generate(jobs, seed, capacity_devices=104, load=0.6, options=options)


def test_runs_are_charged_as_the_bound_prices() -> None:
    net, work = drawn_workload(150, 11)
    policy = Policy()
    run = simulate(net, work, policy, seed=2)
    requests = lower_bound(net, work, policy, seed=2, steps=1).problem.requests
    placed = np.flatnonzero(run.placed)
    assert len(placed) > 100
    charged = total_micros(run) - run.transfer_micros
    for j in placed:
        p = int(run.pool[j])
        need = int(requests.need_milli[requests.shape[j], p])
        assert need == run.need_milli[j]
        start, end = int(run.start_ms[j]), int(run.end_ms[j])
        assert end - start == max(1, int(work.duration_ms[j] / net.accelerators[p].relative_speed))
        waited = 0.0 if work.deadline_ms[j] >= 0 else (start - int(run.submit_ms[j])) / HOUR
        value = policy.wait_value_micros_per_device_hour * waited
        # The series' origin is a midnight, so absolute hours are hours of the series.
        expected = need / 1000.0 * (run_price(net, policy, p, start - ZERO, end - ZERO) + value)
        assert charged[j] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_beats_the_bound(rule: Rule) -> None:
    net, work = drawn_workload(400, 12)
    run = simulate(net, work, Policy(rule=rule), seed=2)
    bound = bound_of(run, steps=120)
    found = gap(run, bound)
    assert found.jobs == int(run.placed.sum()) > 200
    assert found.share >= 0.0
    assert found.bound_micros >= 0.98 * bound.total_micros
    # A bound for all jobs serves as well, and counts no job that the run refused.
    whole = lower_bound(net, work, Policy(), seed=2, steps=40)
    assert gap(run, whole).jobs == found.jobs
    assert 0.0 <= found.share <= gap(run, whole).share + 1e-6 or found.jobs == len(work)


def test_repeats_itself_and_refuses_what_does_not_belong() -> None:
    net, work = drawn_workload(60, 13)
    first = lower_bound(net, work, Policy(), seed=2, steps=20)
    again = lower_bound(net, work, Policy(), seed=2, steps=20)
    assert first.total_micros == again.total_micros
    assert np.array_equal(first.price, again.price)
    with pytest.raises(ValueError, match="does not divide"):
        lower_bound(net, work, Policy(), seed=2, bucket_ms=7 * 60_000 * 13)
    run = simulate(net, work, Policy(), seed=4)
    with pytest.raises(ValueError, match="seed"):
        gap(run, first)


def test_jobs_that_fit_nowhere_cost_nothing() -> None:
    net = network((2, 2), ((0.5,), (0.5,)), (1_000_000, 1_000_000))
    work = workload([(0, HOUR, 1, -1, 0), (0, HOUR, 9, -1, 0)])
    bound = lower_bound(net, work, Policy(), seed=0, zero_ms=ZERO, steps=3)
    assert (bound.jobs, bound.nowhere) == (1, 1)
    only = lower_bound(
        net, workload([(0, HOUR, 1, -1, 0)]), Policy(), seed=0, zero_ms=ZERO, steps=3
    )
    assert bound.total_micros == pytest.approx(only.total_micros, rel=1e-9)
